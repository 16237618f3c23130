"""
Print how well keys that run dry are foreseen, beside what remains divided by today's usage.

KEYS keys of each class spend for a year, and are looked at every EVERY minutes. See support/foresight.py.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.foresight import measure, naive
from support.spenders import KINDS, RESETS

from airflow_provider_openrouter.watch.pace import forecast

COLUMNS = (
    ("reported before", "reported", "drains"),
    ("in time", "in time", "judged"),
    ("false", "false", "reports"),
)


def percent(counts: Counter, part: str, whole: str) -> str:
    return f"{100 * counts[part] / counts[whole]:.0f}" if counts[whole] else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--every", type=int, default=15)
    options = parser.parse_args()
    names = [f"{name}, %{by}" for name, *_ in COLUMNS for by in ("", ", naive")]
    print("|", " | ".join(["spend", "reset", "drains", *names, "reset first, %", "at once, %"]), "|")
    print("|---|---|--:|" + "--:|" * (len(names) + 2))
    for kind in KINDS:
        for reset in RESETS:
            ours, naives = (
                sum(
                    measure(kind, reset, keys=options.keys, every=options.every // 15, rule=rule).values(),
                    Counter(),
                )
                for rule in (forecast, naive)
            )
            cells = [kind, reset or "never", f"{ours['drains']:,}"]
            cells += [percent(counts, part, whole) for _, part, whole in COLUMNS for counts in (ours, naives)]
            cells += [percent(ours, "reset first", "reports"), percent(ours, "at once", "implied")]
            print("|", " | ".join(cells), "|", flush=True)


main()
