"""
Print what it costs to write KEYS keys into a file and into a table, beside pandas, COPY and SQLAlchemy.

Each contender runs in a process of its own, in turn, ROUNDS times; the figures are medians, the ratios those of
the provider to the contender, round by round. The keys are there before the clock starts. Memory is the process's
peak in all. The clock stops when the file is closed or the rows are committed. An ``ObjectStoragePath`` was
opened before, as the first in a process loads Airflow's plugins and providers; what that costs is in the figures
of a process's first file.
"""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from machine import machine

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from postgresql import running_postgresql

OBSERVED_AT = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)
SCENES = {
    "keys into parquet": {
        "keys_to_parquet": "provider",
        "pandas_to_parquet": "pandas alone, to the same types",
    },
    "a frame into parquet, a process's first": {"first_write_file": "provider", "to_parquet": "pandas alone"},
    "a frame into parquet": {"write_file": "provider", "to_parquet": "pandas alone"},
    "rows into PostgreSQL": {
        "replace_partition": "provider",
        "copy_csv": "COPY of the frame, as pyarrow's CSV",
        "copy_rows": "COPY of the frame, by psycopg's write_row",
        "insert_batches": "SQLAlchemy's insert, in batches",
    },
    "rows into PostgreSQL, with psycopg 3": {
        "replace_partition_3": "provider",
        "copy_csv": "COPY of the frame, as pyarrow's CSV",
    },
    "rows into PostgreSQL, in place of as many": {"replace_partition_again": "provider"},
    "rows into SQLite": {"replace_partition": "provider", "execute_many": "sqlite3's executemany"},
}


def many_keys(count: int) -> list[dict]:
    """Make keys, each tenth with an unknown field."""
    from airflow_provider_openrouter.sandbox.records import make_key

    return [make_key(number, "0" * 36) | ({} if number % 10 else {"rank": number}) for number in range(count)]


def our_listing(keys: list[dict]):
    from airflow_provider_openrouter.keys import KeyListing
    from airflow_provider_openrouter.scope import WorkspaceScope

    return KeyListing(keys=keys, observed_at=OBSERVED_AT, scope=WorkspaceScope.read("*"))


def our_partition():
    from airflow_provider_openrouter.snapshots.partition import Partitioning

    return Partitioning(granularity="day", source="openrouter_default").partition(our_listing([]))


def our_frame(keys: list[dict]):
    from airflow_provider_openrouter.snapshots.frame import keys_file_frame

    return keys_file_frame(our_listing(keys), our_partition())


# -- files


def write_file(keys: list[dict], where: str) -> Callable[[], object]:
    from airflow_provider_openrouter.snapshots.files import write_file
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    frame = our_frame(keys)
    return lambda: write_file(frame, where, kind=KEYS)


first_write_file = write_file


def to_parquet(keys: list[dict], where: str) -> Callable[[], object]:
    frame = our_frame(keys)
    return lambda: frame.to_parquet(where, compression="zstd", index=False)


def keys_to_parquet(keys: list[dict], where: str) -> Callable[[], object]:
    from airflow_provider_openrouter.snapshots.files import write_file
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    return lambda: write_file(our_frame(keys), where, kind=KEYS)


def pandas_to_parquet(keys: list[dict], where: str) -> Callable[[], object]:
    import pandas as pd

    from airflow_provider_openrouter.keys import FIELDS
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    partition = our_partition()
    dtypes = {"string": "string", "boolean": "boolean", "number": "float64"}

    def write() -> None:
        frame = pd.DataFrame(keys)
        unknown = frame.columns.difference(list(FIELDS))
        extras = [
            {name: value for name, value in zip(unknown, row, strict=True) if value == value}
            for row in frame[unknown].itertuples(index=False, name=None)
        ]
        frame = frame[list(FIELDS)]
        for name, kind in FIELDS.items():
            if kind == "timestamp":
                times = pd.to_datetime(frame[name], format="ISO8601", utc=True)
                frame[name] = times.astype("datetime64[us, UTC]")
            else:
                frame[name] = frame[name].astype(dtypes[kind])
        frame["extra_fields"] = pd.array(
            [json.dumps(extra) if extra else None for extra in extras], dtype="string"
        )
        frame["observed_at"] = pd.Timestamp(OBSERVED_AT).as_unit("us")
        frame["snapshot"] = pd.Timestamp(partition.snapshot).as_unit("us")
        for name in ("granularity", "source", "workspace_scope"):
            frame[name] = pd.array([partition.columns[name]] * len(frame), dtype="string")
        frame["workspace_name"] = pd.array([None] * len(frame), dtype="string")
        frame[list(KEYS.columns)].to_parquet(where, compression="zstd", index=False)

    return write


# -- tables


def replace_partition(keys: list[dict], where: str, *, again: bool = False) -> Callable[[], object]:
    from airflow_provider_openrouter.snapshots.tables import replace_partition

    engine, table = empty_table(where)
    frame = our_frame(keys)

    def write() -> None:
        replace_partition(
            engine, frame, partition=our_partition(), table=table.name, schema=None, create_table=False
        )

    if again:
        write()
    return write


def replace_partition_again(keys: list[dict], where: str) -> Callable[[], object]:
    return replace_partition(keys, where, again=True)


def replace_partition_3(keys: list[dict], where: str) -> Callable[[], object]:
    return replace_partition(keys, where.replace("+psycopg2", "+psycopg"))


def insert_batches(keys: list[dict], where: str) -> Callable[[], object]:
    from airflow_provider_openrouter.snapshots.dialects.sqlite import ROWS_A_BATCH

    engine, table = empty_table(where)
    rows = rows_of(keys)

    def write() -> None:
        with engine.begin() as connection:
            for start in range(0, len(rows), ROWS_A_BATCH):
                connection.execute(table.insert(), rows[start : start + ROWS_A_BATCH])

    return write


def copy_csv(keys: list[dict], where: str) -> Callable[[], object]:
    import pyarrow as pa
    import pyarrow.csv

    from airflow_provider_openrouter.snapshots.columns import arrow_schema
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    frame = our_frame(keys)

    def lines(stream) -> None:
        table = pa.Table.from_pandas(frame, schema=arrow_schema(KEYS.columns))
        pa.csv.write_csv(table, buffer := io.BytesIO(), pa.csv.WriteOptions(include_header=False))
        stream.write(buffer.getbuffer())

    return copy(where, "FROM STDIN (FORMAT csv)", lines)


def copy_rows(keys: list[dict], where: str) -> Callable[[], object]:
    import pyarrow as pa

    from airflow_provider_openrouter.snapshots.columns import arrow_schema
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    frame = our_frame(keys)

    def lines(stream) -> None:
        for row in pa.Table.from_pandas(frame, schema=arrow_schema(KEYS.columns)).to_pylist():
            stream.write_row(tuple(row.values()))

    return copy(where, "FROM STDIN", lines)


def copy(where: str, what: str, lines: Callable[[object], None]) -> Callable[[], object]:
    import psycopg

    _, table = empty_table(where)
    names = ", ".join(f'"{column.name}"' for column in table.columns)

    def write() -> None:
        with (
            psycopg.connect(where.replace("+psycopg2", "")) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({names}) {what}") as stream,
        ):
            lines(stream)

    return write


def execute_many(keys: list[dict], where: str) -> Callable[[], object]:
    engine, table = empty_table(where)
    frame = our_frame(keys)
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)

    def write() -> None:
        import pyarrow as pa

        from airflow_provider_openrouter.snapshots.columns import arrow_schema
        from airflow_provider_openrouter.snapshots.kinds import KEYS

        columns = [
            (column.cast(pa.string()) if pa.types.is_timestamp(column.type) else column).to_pylist()
            for column in pa.Table.from_pandas(frame, schema=arrow_schema(KEYS.columns)).columns
        ]
        with closing(sqlite3.connect(engine.url.database)) as connection, connection:
            connection.executemany(
                f"INSERT INTO {table.name} ({names}) VALUES ({marks})", zip(*columns, strict=True)
            )

    return write


def rows_of(keys: list[dict]) -> list[dict]:
    import pyarrow as pa

    from airflow_provider_openrouter.snapshots.columns import arrow_schema
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    return pa.Table.from_pandas(our_frame(keys), schema=arrow_schema(KEYS.columns)).to_pylist()


def empty_table(where: str):
    """Create the provider's own table again, the same for all."""
    from sqlalchemy import MetaData, Table, create_engine

    from airflow_provider_openrouter.snapshots.tables import replace_partition

    engine = create_engine(where)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS benchmark_keys")
    replace_partition(
        engine,
        our_frame([]),
        partition=our_partition(),
        table="benchmark_keys",
        schema=None,
        create_table=True,
    )
    return engine, Table("benchmark_keys", MetaData(), autoload_with=engine)


# -- measuring


def run(contender: str, source: str, where: str) -> None:
    """Run a contender and print its figures, as JSON."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    from airflow.sdk import ObjectStoragePath  # what every task has loaded is nobody's own cost

    import airflow_provider_openrouter.snapshots.files  # noqa: F401

    if not contender.startswith("first_"):
        with ObjectStoragePath("file:///dev/null").open("wb") as file:
            file.write(b"")
    write = globals()[contender](json.loads(Path(source).read_text()), where)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    began = time.perf_counter()
    write()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak": memory("VmHWM")}))


def memory(name: str) -> float:
    """Return a line of the process's own status, in MB."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024


def measure(contender: str, source: Path, where: str) -> dict[str, float]:
    command = [sys.executable, __file__, f"--contender={contender}", f"--source={source}", f"--where={where}"]
    measured = subprocess.run(command, capture_output=True, text=True)
    if measured.returncode:
        raise SystemExit(f"{contender}: {measured.stderr}")
    return json.loads(measured.stdout.splitlines()[-1])


def compare(rounds: int, count: int, folder: Path, database: str) -> None:
    source = folder / "keys.json"
    source.write_text(json.dumps(many_keys(count)))
    print("| | | seconds | provider / it | peak MB | provider / it |")
    print("|---|---|--:|--:|--:|--:|")
    for scene, contenders in SCENES.items():
        where = {"parquet": f"{folder}/keys.parquet", "SQLite": f"sqlite:///{folder}/keys.db"}
        where = next((place for name, place in where.items() if name in scene), database)
        runs = [{name: measure(name, source, where) for name in contenders} for _ in range(rounds)]
        provider = next(iter(contenders))
        for name, label in contenders.items():
            cells = []
            for key in ("seconds", "peak"):
                ratio = statistics.median(run[provider][key] / run[name][key] for run in runs)
                median = statistics.median(run[name][key] for run in runs)
                cells += [f"{median:.2f}" if key == "seconds" else f"{median:.0f}", f"{ratio:.2f}"]
            print(f"| {scene} | {label} | {' | '.join(cells)} |", flush=True)


def compare_settings(rounds: int, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    from airflow_provider_openrouter.snapshots.columns import arrow_schema
    from airflow_provider_openrouter.snapshots.kinds import KEYS

    table = pa.Table.from_pandas(our_frame(many_keys(count)), schema=arrow_schema(KEYS.columns))
    print("\n| compression | rows a group | MB | seconds to write | to read | to read two columns |")
    print("|---|--:|--:|--:|--:|--:|")
    for compression in ("zstd", "snappy", "none"):
        for group in (10_000, 100_000, 1_048_576):
            figures = []
            for _ in range(rounds):
                # Arrow's own memory: what is Python's, Arrow's threads may release while the interpreter ends.
                sink = pa.BufferOutputStream()
                writing = timed(
                    partial(pa.parquet.write_table, table, sink, compression=compression, row_group_size=group)
                )
                file = sink.getvalue()
                reading = timed(partial(pa.parquet.read_table, pa.BufferReader(file)))
                some = timed(partial(pa.parquet.read_table, pa.BufferReader(file), columns=["hash", "usage"]))
                figures.append((writing, reading, some))
            medians = " | ".join(f"{statistics.median(each):.3f}" for each in zip(*figures, strict=True))
            print(f"| {compression} | {group:,} | {file.size / 1e6:.2f} | {medians} |", flush=True)


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    parser.add_argument("--keys", type=int, default=100_000, metavar="N", help="how many (default: 100000)")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    parser.add_argument("--where", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        run(options.contender, options.source, options.where)
        return

    print(f"{machine()}; {options.keys:,} keys; medians of {options.rounds} rounds\n")
    with running_postgresql() as server, tempfile.TemporaryDirectory() as folder:
        compare(options.rounds, options.keys, Path(folder), server.get_uri(driver="psycopg2"))
    compare_settings(options.rounds, options.keys)


if __name__ == "__main__":
    main()
