"""
Print how long a day's activity takes: to ask for it key by key, and to write much of it into PostgreSQL.

Each contender runs in a process of its own, in turn, ROUNDS times; the figures are medians, the ratios those of
the provider to the contender, round by round. Memory is what writing adds to the process that holds the frame.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from listing import serving
from machine import machine
from writing import memory

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from postgresql import running_postgresql

NOW = datetime.now(UTC)
DAY = (NOW - timedelta(days=1)).date()
SCENES = (
    ("2,000 keys, 50 ms per response", ("--latency=0.05",), 2_000, ("side_by_side", "one_by_one")),
    ("300 keys, 10 requests a second (ideal: 30 s)", ("--latency=0.05", "--rate=10"), 300, ("side_by_side",)),
)


# -- key by key


def side_by_side(url: str, count: int) -> Callable[[], object]:
    from airflow_provider_openrouter.api import OpenRouterClient
    from airflow_provider_openrouter.keys import KeyListing
    from airflow_provider_openrouter.scope import WorkspaceScope

    keys = [{"hash": f"hash-{number}"} for number in range(count)]
    listing = KeyListing(keys=keys, observed_at=NOW, scope=WorkspaceScope.read("*"))
    client = OpenRouterClient("key", base_url=url)
    return lambda: client.get_activity_by_key(DAY, listing)


def one_by_one(url: str, count: int) -> Callable[[], object]:
    import requests

    def ask() -> None:
        with requests.Session() as session:
            for number in range(count):
                query = {"date": str(DAY), "group_by": "workspace", "api_key_hash": f"hash-{number}"}
                session.get(f"{url}/activity", params=query, timeout=30).json()

    return ask


# -- into PostgreSQL


def our_frame(count: int):
    from airflow_provider_openrouter.activity import Activity
    from airflow_provider_openrouter.snapshots.frame import activity_frame

    rows = [
        {
            "date": str(DAY),
            "model": f"vendor/model-{number % 300}",
            "model_permaslug": f"vendor/model-{number % 300}-20260101",
            "endpoint_id": f"{number % 900:08x}-0000-0000-0000-000000000000",
            "provider_name": f"Provider {number % 40}",
            "usage": number / 7,
            "byok_usage_inference": 0,
            "requests": number,
            "prompt_tokens": 1_000 * number,
            "completion_tokens": 100 * number,
            "reasoning_tokens": 0,
            "cached_tokens": 10 * number,
            "workspace_id": f"{number % 20:08x}-0000-0000-0000-000000000000",
        }
        for number in range(count)
    ]
    rows_of = {f"{number:064x}": rows[number::20_000] for number in range(min(count, 20_000))}
    names = {hash_: f"key {number}" for number, hash_ in enumerate(rows_of)}
    activity = Activity(day=DAY, grouped_by="key", observed_at=NOW, rows_of=rows_of, key_names=names)
    return activity_frame(activity, our_partition())


def our_partition():
    from airflow_provider_openrouter.snapshots.partition import ActivityPartition

    return ActivityPartition(DAY, "openrouter_default", "key")


def replace_partition(url: str, count: int) -> Callable[[], object]:
    from sqlalchemy import create_engine

    from airflow_provider_openrouter.snapshots.tables import replace_partition

    engine, frame = create_engine(url), our_frame(count)
    target = {"partition": our_partition(), "table": "activity", "schema": None, "create_table": True}
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS activity")
    replace_partition(engine, frame[:0], **target)
    return lambda: replace_partition(engine, frame, **target)


def copy_csv(url: str, count: int) -> Callable[[], object]:
    """Copy the same frame into the same table in one go."""
    import psycopg
    import pyarrow as pa
    import pyarrow.csv

    from airflow_provider_openrouter.snapshots.columns import arrow_schema
    from airflow_provider_openrouter.snapshots.kinds import ACTIVITY

    replace_partition(url, 0)
    frame = our_frame(count)

    def write() -> None:
        table = pa.Table.from_pandas(frame, schema=arrow_schema(ACTIVITY.columns))
        pa.csv.write_csv(table, buffer := io.BytesIO(), pa.csv.WriteOptions(include_header=False))
        with (
            psycopg.connect(url.replace("+psycopg2", "")) as connection,
            connection.cursor() as cursor,
            cursor.copy("COPY activity FROM STDIN (FORMAT csv)") as stream,
        ):
            stream.write(buffer.getbuffer())

    return write


# -- measuring


def run(contender: str, url: str, count: int) -> None:
    """Run a contender and print its figures, as JSON."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401
    import requests  # noqa: F401

    import airflow_provider_openrouter.api
    import airflow_provider_openrouter.snapshots.tables  # noqa: F401

    work = globals()[contender](url, count)
    frames = [cell.cell_contents for cell in work.__closure__ or ()]
    sizes = [frame.memory_usage(deep=True).sum() / 2**20 for frame in frames if isinstance(frame, pd.DataFrame)]
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins again
    before, began = memory("VmRSS"), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "frame": sum(sizes), "added": memory("VmHWM") - before}))


def compare(scene: str, url: str, count: int, contenders: tuple[str, ...], rounds: int) -> None:
    def measure(name: str) -> dict[str, float]:
        command = [sys.executable, __file__, f"--contender={name}", f"--where={url}", f"--count={count}"]
        return json.loads(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )

    runs = [{name: measure(name) for name in contenders} for _ in range(rounds)]
    for name in contenders:
        figures = {key: statistics.median(each[name][key] for each in runs) for key in runs[0][name]}
        ratio = statistics.median(each[contenders[0]]["seconds"] / each[name]["seconds"] for each in runs)
        print(
            f"| {scene} | {name} | {figures['seconds']:.2f} | {ratio:.2f} | {figures['frame']:.0f} "
            f"| {figures['added']:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    parser.add_argument("--rows", type=int, default=500_000, metavar="N", help="how many (default: 500000)")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--where", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        run(options.contender, options.where, options.count)
        return

    print(f"{machine()}; medians of {options.rounds} rounds\n")
    print("| | | seconds | provider / it | frame MB | added MB |")
    print("|---|---|--:|--:|--:|--:|")
    for scene, arguments, keys, contenders in SCENES:
        with serving("--keys=1", *arguments) as url:
            compare(scene, url, keys, contenders, options.rounds)
    with running_postgresql() as server:
        url, contenders = server.get_uri(driver="psycopg2"), ("replace_partition", "copy_csv")
        compare(f"{options.rows:,} rows into PostgreSQL", url, options.rows, contenders, options.rounds)


if __name__ == "__main__":
    main()
