"""
Print how time and memory grow with the number of keys, from an account's first hundred to a hundred thousand.

They are listed, framed and written to parquet: by the provider, and by a loop over pages, pandas and its own
types. Each contender runs in a process of its own, in turn, ROUNDS times; the figures are medians, the ratios
those of the provider to the contender, round by round. Memory is what the process grows by at its peak. Without
latency all of the time is work; with it, most of the loop's is waiting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import contenders
from listing import SLOW, serving
from machine import machine
from writing import memory, our_frame

COUNTS = (100, 1_000, 10_000, 100_000)
SCENES = (("50 ms per response, 100 ms per connection", SLOW), ("without latency", ()))
STEPS = ("list", "frame", "write")


def provider(url: str):
    from airflow_provider_openrouter.snapshots.files import write_file
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    return contenders.provider(url), our_frame, partial(write_file, kind=KEYS)


def loop_and_pandas(url: str):
    import pandas as pd

    def write(frame: pd.DataFrame, path: str) -> None:
        frame.to_parquet(path, compression="zstd", index=False)

    return contenders.session_loop(url), pd.DataFrame, write


CONTENDERS = (provider, loop_and_pandas)


def run(contender: str, url: str, path: str) -> None:
    """Run a contender and print its figures, as JSON."""
    import pyarrow.parquet  # noqa: F401
    import requests  # noqa: F401
    from airflow.sdk import ObjectStoragePath  # what every task has loaded is nobody's own cost

    import airflow_provider_openrouter.api.client
    import airflow_provider_openrouter.snapshots.files  # noqa: F401

    with ObjectStoragePath("file:///dev/null").open("wb") as file:
        file.write(b"")
    list_keys, make_frame, write = globals()[contender](url)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = memory("VmRSS")
    moments = [time.perf_counter()]
    keys = list_keys()
    moments.append(time.perf_counter())
    frame = make_frame(keys)
    moments.append(time.perf_counter())
    write(frame, path)
    moments.append(time.perf_counter())
    figures = {step: moments[number + 1] - moments[number] for number, step in enumerate(STEPS)}
    figures |= {"seconds": moments[-1] - moments[0], "MB": memory("VmHWM") - before, "keys": len(frame)}
    print(json.dumps(figures))


def measure(contender: str, url: str, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--contend", contender, url, f"{folder}/keys.parquet"]
        figures = json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
        )
    if figures["keys"] != count:
        raise SystemExit(f"{contender} has {figures['keys']} of {count} keys.")
    return figures


def compare(scene: str, count: int, url: str, rounds: int) -> None:
    runs = [{each.__name__: measure(each.__name__, url, count) for each in CONTENDERS} for _ in range(rounds)]
    for name in runs[0]:
        figures = {key: statistics.median(run[name][key] for run in runs) for key in runs[0][name]}
        slower, larger = (
            statistics.median(run["provider"][key] / run[name][key] for run in runs) for key in ("seconds", "MB")
        )
        print(
            f"| {scene} | {count:,} | {name} | {' | '.join(f'{figures[step]:.3f}' for step in STEPS)} "
            f"| {figures['seconds']:.3f} | {slower:.2f} | {figures['seconds'] / count * 1e6:.0f} "
            f"| {figures['MB']:.1f} | {larger:.2f} | {figures['MB'] / count * 1024:.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    parser.add_argument("--contend", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        run(*options.contend)
        return
    print(f"{machine()}; medians of {options.rounds} rounds\n")
    print(
        "| | keys | | list s | frame s | write s | total s | provider / it | ms per 1,000 keys "
        "| peak MB | provider / it | kB per key |"
    )
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for scene, latency in SCENES:
        for count in COUNTS:
            with serving(f"--keys={count}", *latency) as url:
                compare(scene, count, url, options.rounds)


if __name__ == "__main__":
    main()
