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

SHARES = {
    "reported before": ("reported", "drains"),
    "in time": ("in time", "judged"),
    "false": ("false", "reports"),
}


def percent(counts: Counter, part: str, whole: str) -> str:
    return f"{100 * counts[part] / counts[whole]:.0f}" if counts[whole] else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--every", type=int, default=15)
    options = parser.parse_args()
    runaways: Counter = Counter()
    names = [name for share in SHARES for name in (f"{share}, %", "naive")]
    print("|", " | ".join(["spend", "reset", "ran dry", *names, "reset first, %"]), "|")
    print("|---|---|" + "--:|" * (len(names) + 2))
    for kind in KINDS:
        for reset in RESETS:
            by_threshold = measure(kind, reset, options.keys, options.every // 15)
            drains = next(iter(by_threshold.values()))["drains"]
            ours = sum(by_threshold.values(), Counter())
            naives = sum(measure(kind, reset, options.keys, options.every // 15, naive).values(), Counter())
            if kind == "runaways":
                runaways += ours
            cells = [kind, reset or "never", f"{drains:,}"]
            cells += [percent(counts, *share) for share in SHARES.values() for counts in (ours, naives)]
            print("|", " | ".join([*cells, percent(ours, "reset first", "reports")]), "|", flush=True)
    print(
        f"Reported at the first poll that shows it: {runaways['at once']:,} of {runaways['implied']:,} runaways."
    )


if __name__ == "__main__":
    main()
