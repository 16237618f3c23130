"""
Print how long each way to list every key takes, beside the others in the same run.

Each contender runs in a process of its own, in turn, ROUNDS times; the figures are medians, the ratios those of
the provider to the contender, round by round. What is not ours is what its users write: a loop over pages.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import machine

HERE = Path(__file__).parent
PEERS = ("session_loop", "sdk_loop", "http_operator")
SLOW = ("--latency=0.05", "--connect-latency=0.1")
SCENES = (
    ("10,000 keys, 50 ms per response, 100 ms per connection", ("--keys=10000", *SLOW), PEERS),
    ("100,000 keys, the same", ("--keys=100000", *SLOW), PEERS[:1]),
    ("100 keys, the same", ("--keys=100", *SLOW), PEERS[:1]),
    ("99 keys, the same", ("--keys=99", *SLOW), PEERS[:1]),
    ("10,000 keys, without latency", ("--keys=10000",), PEERS[:1]),
    ("10,000 keys, 10 requests a second (ideal: 10 s)", ("--keys=10000", "--latency=0.05", "--rate=10"), ()),
)


@contextmanager
def serving(*options: str) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, HERE / "server.py", *options], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def measure(contender: str, url: str) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, HERE / "contenders.py", contender, url], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    rounds = parser.parse_args().rounds
    print(f"{machine()}; medians of {rounds} rounds\n")
    print("| | | seconds | provider / it | peak MB | requests | connections |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for scene, options, peers in SCENES:
        with serving(*options) as url:
            runs = [{name: measure(name, url) for name in ("provider", *peers)} for _ in range(rounds)]
        for name in runs[0]:
            figures = {key: statistics.median(run[name][key] for run in runs) for key in runs[0][name]}
            ratio = statistics.median(run["provider"]["seconds"] / run[name]["seconds"] for run in runs)
            print(
                f"| {scene} | {name} | {figures['seconds']:.2f} | {ratio:.2f} | {figures['MB']:.0f} "
                f"| {figures['requests']:.0f} | {figures['connections']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
