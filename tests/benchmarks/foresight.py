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

from support.foresight import KINDS, RESETS, THRESHOLDS, measure, naive

from airflow_provider_openrouter.text import duration
from airflow_provider_openrouter.watch.pace import forecast


def percent(counts: Counter, part: str, whole: str) -> str:
    return f"{100 * counts[part] / counts[whole]:.0f} %" if counts[whole] else ""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keys", type=int, default=16)
    arguments.add_argument("--every", type=int, default=15)
    arguments.add_argument("--kind", choices=KINDS)
    options = arguments.parse_args()
    print("| spend | reset | threshold | runs dry | reported before | half in time | at once | reports | false |")
    print("|---|---|---|--:|--:|--:|--:|--:|--:|")
    for kind in [options.kind] if options.kind else KINDS:
        for reset in RESETS:
            ours, naives = (
                measure(kind, reset, keys=options.keys, every=options.every // 15, rule=rule)
                for rule in (forecast, naive)
            )
            for threshold in THRESHOLDS[reset]:
                both = (ours[threshold], naives[threshold])
                cells = [kind, reset or "never", duration(threshold.total_seconds()), f"{both[0]['drains']:,}"]
                for part, whole in (("reported", "drains"), ("in time", "judged"), ("at once", "implied")):
                    cells.append(" / ".join(percent(counts, part, whole) for counts in both))
                cells.append(" / ".join(f"{counts['reports']:,}" for counts in both))
                cells.append(" / ".join(percent(counts, "false", "reports") for counts in both))
                print("|", " | ".join(cells), "|", flush=True)


main()
