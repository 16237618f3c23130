"""A listing as a file: read back it is what was written, and a reader never sees half of one."""

import builtins
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath
from pandas.testing import assert_frame_equal
from pyarrow import csv
from support.listings import listing_of, partition_of

from airflow_provider_openrouter.snapshots import files, kinds
from airflow_provider_openrouter.snapshots.columns import arrow_schema
from airflow_provider_openrouter.snapshots.files import WRITERS
from airflow_provider_openrouter.snapshots.frame import keys_file_frame

write_file = partial(files.write_file, kind=kinds.KEYS)
FILE_COLUMNS = kinds.KEYS.columns
SCHEMA = arrow_schema(kinds.KEYS.columns)

KEYS = [
    {
        "hash": "f01d",
        "name": "billing-prod",
        "disabled": False,
        "limit": 100,
        "limit_remaining": 0.1 + 0.2,
        "usage": 1e-7,
        "created_at": "2025-02-19T20:52:27.363244+00:00",
        "expires_at": "2199-12-31T23:59:59Z",
        "workspace_id": "w-1",
        "rank": {"of": [1, 2]},
    },
    {"hash": "beef", "disabled": True, "limit": None, "last_used_at": "2025-08-24T10:30:00Z"},
]
HOSTILE = {
    "quotes": '"say \'aye\'" ""',
    "commas": "a,b;c\td",
    "newlines": "one\ntwo\r\nthree\rfour\u2028five",
    "NUL": "a\0b",
    "emoji": "🔑 é 漢 \N{ZERO WIDTH JOINER}",
    "backslashes": r"C:\new\table \" \u0041",
    "like a null": "NULL",
    "like a formula": '=HYPERLINK("http://x")',
    "white space": "  padded\t ",
    "10 kB": "x" * 10_000,
}
TIMESTAMPS = [name for name, kind in FILE_COLUMNS.items() if kind == "timestamp"]
DTYPES = {"string": "string", "boolean": "boolean", "number": "float64", "timestamp": "string"}


def file_frame(*keys):
    listing = listing_of(keys, workspace_id="*", workspace_names={"w-1": "Billing"})
    return keys_file_frame(listing, partition_of(listing))


def with_timestamps(frame):
    """Read as times the columns that a file of text holds as text."""
    for name in TIMESTAMPS:
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    return frame


def read(path):
    """Read a file into the types of a frame."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=SCHEMA, strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
        types = {pa.string(): pd.StringDtype(), pa.bool_(): pd.BooleanDtype()}
        return table.to_pandas(types_mapper=types.get)
    dtypes = {name: DTYPES[kind] for name, kind in FILE_COLUMNS.items()}
    rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    return with_timestamps(pd.DataFrame(rows, columns=list(FILE_COLUMNS)).astype(dtypes))


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    return tmp_path / f"keys{request.param}"


def test_a_file_reads_back_as_the_frame_that_was_written(path):
    frame = file_frame(*KEYS)
    assert write_file(frame, str(path)) == path.stat().st_size
    assert_frame_equal(read(path), frame)


def test_a_file_url_is_a_path(path):
    write_file(file_frame(*KEYS), path.as_uri())
    assert read(path)["hash"].tolist() == ["f01d", "beef"]


def test_a_suffix_may_be_in_capitals(tmp_path):
    path = tmp_path / "KEYS.PARQUET"
    write_file(file_frame(*KEYS), str(path))
    assert pa.parquet.read_table(path).num_rows == 2


@pytest.mark.parametrize("keys", [[], [{"hash": "f01d"}], KEYS], ids=["no key", "nothing but a hash", "keys"])
def test_the_schema_of_a_parquet_file_never_changes(keys, tmp_path):
    path = tmp_path / "keys.parquet"
    write_file(file_frame(*keys), str(path))
    assert pa.parquet.read_schema(path).equals(SCHEMA, check_metadata=False)
    assert_frame_equal(pd.read_parquet(path), file_frame(*keys))
    for group in range(pa.parquet.read_metadata(path).num_row_groups):
        assert pa.parquet.read_metadata(path).row_group(group).column(0).compression == "ZSTD"


def test_no_keys_make_a_csv_with_a_header_and_no_json_lines(tmp_path):
    for suffix in (".csv", ".jsonl"):
        write_file(file_frame(), str(tmp_path / f"keys{suffix}"))
    assert list(pd.read_csv(tmp_path / "keys.csv")) == list(FILE_COLUMNS)
    assert (tmp_path / "keys.jsonl").read_bytes() == b""


def test_json_lines_are_objects_with_every_column(tmp_path):
    path = tmp_path / "keys.jsonl"
    write_file(file_frame(KEYS[0] | {"label": "Zürich"}, KEYS[1]), str(path))
    assert '"label": "Zürich"' in path.read_text()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(row) for row in rows] == [list(FILE_COLUMNS)] * 2
    assert rows[0]["created_at"] == "2025-02-19T20:52:27.363244+00:00"
    assert rows[1]["limit"] is None
    assert pd.read_json(path, lines=True)["hash"].tolist() == ["f01d", "beef"]


def test_missing_folders_are_made(path):
    path = path.parent / "day=2026-11-03" / "hour=06" / path.name
    write_file(file_frame(*KEYS), str(path))
    assert len(read(path)) == 2


def test_a_file_is_replaced_and_nothing_is_left_beside_it(path):
    write_file(file_frame(*KEYS), str(path))
    write_file(file_frame(KEYS[1]), str(path))
    assert read(path)["hash"].tolist() == ["beef"]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_replace_a_folder_leaves_it(path):
    path.mkdir()
    kept = path / "kept"
    kept.write_text("as before")
    with pytest.raises(IsADirectoryError, match=r"^Cannot replace a folder by a file: "):
        write_file(file_frame(*KEYS), str(path))
    assert kept.read_text() == "as before"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "gs://bucket/a.csv",
            "gs://: no filesystem of that scheme is installed. Install apache-airflow-providers-google.",
        ),
        (
            "nonsense://bucket/a://b.csv",
            "nonsense://: no filesystem of that scheme is installed. Install the Airflow provider of that scheme"
            ", or correct output_path.",
        ),
        (
            "s3://aws_without@bucket/a.csv",  # no other test has it, because Airflow keeps the filesystem
            "s3://: import of s3fs halted; None in sys.modules. Install apache-airflow-providers-amazon[s3fs].",
        ),
    ],
)
def test_a_store_that_lacks_a_package_is_refused(path, said, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_WITHOUT", json.dumps({"conn_type": "aws"}))
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(AirflowFailException) as refusal:
        files.check_store(path)
    assert str(refusal.value) == f"Cannot write to {said}"


@pytest.mark.parametrize("path", ["/data/keys.csv", "file:///data/keys.csv"])
def test_a_local_path_needs_no_package(path):
    files.check_store(path)


def test_what_a_connection_lacks_is_not_called_a_missing_package(monkeypatch):
    extra = {"service_config": {"s3": {"signer": "nobody"}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_ODD", json.dumps({"conn_type": "aws", "extra": extra}))
    with pytest.raises(ValueError, match="nobody"):
        files.check_store("s3://aws_odd@bucket/keys.csv")


def test_a_frame_that_cannot_be_written_leaves_the_old_file(path):
    write_file(file_frame(*KEYS), str(path))
    before = path.read_bytes()
    with pytest.raises(pa.ArrowException):
        write_file(file_frame(*KEYS).assign(limit="lots"), str(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", [(os, "fsync"), (builtins, "open")], ids=["synced", "opened"])
@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_alone(error, where, path, monkeypatch):
    def fail(*_, **__):
        raise error

    write_file(file_frame(*KEYS), str(path))
    before = path.read_bytes()
    monkeypatch.setattr(*where, fail)
    with pytest.raises(type(error)) as caught:
        write_file(file_frame(KEYS[1]), str(path))
    assert caught.value is error
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_all_of_a_file_is_synced(path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    size = write_file(file_frame(*KEYS), str(path))
    assert sizes == [size] == [path.stat().st_size]


@pytest.mark.parametrize("error", [io.UnsupportedOperation("fileno"), AttributeError("fileno")])
def test_a_store_that_is_no_disk_has_nothing_to_sync(error, path, monkeypatch):
    def fail(file):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    write_file(file_frame(*KEYS), str(path))
    assert len(read(path)) == 2


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_reads_back_as_it_was(text, path):
    keys = [{"hash": "f01d", "name": text, text: text}, {"hash": "beef", "name": "peaceful"}]
    write_file(file_frame(*keys), str(path))
    frame = read(path)
    assert frame["name"].tolist() == [text, "peaceful"]
    assert json.loads(frame["extra_fields"][0]) == {text: text}
    assert frame["hash"].tolist() == ["f01d", "beef"]


def test_listings_with_other_unknown_fields_read_as_one_table(tmp_path):
    listings = {
        "1": [],
        "2": [{"hash": "f01d", "rank": 1}],
        "3": [{"hash": "f01d", "rank": "first", "mood": {}}, {"hash": "beef", "limit": 5}],
    }
    for day, keys in listings.items():
        write_file(file_frame(*keys), str(tmp_path / f"day={day}" / "keys.parquet"))
    table = pa.dataset.dataset(tmp_path, partitioning="hive").to_table()
    rows = sorted(zip(*(table[name].to_pylist() for name in ("day", "hash", "extra_fields")), strict=True))
    assert rows == [
        (2, "f01d", '{"rank": 1}'),
        (3, "beef", None),
        (3, "f01d", '{"mood": {}, "rank": "first"}'),
    ]
    assert len(pd.read_parquet(tmp_path)) == 3


# -- what a run that is killed leaves


def leave(tmp_path):
    """Let a run be killed while it writes."""
    program = (
        "import os, signal, sys\n"
        "from airflow_provider_openrouter.snapshots import files\n"
        "from support.listings import listing_of, partition_of\n"
        "from airflow_provider_openrouter.snapshots import kinds\n"
        "from airflow_provider_openrouter.snapshots.frame import keys_file_frame\n"
        "os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        "listing = listing_of([])\n"
        "files.write_file(keys_file_frame(listing, partition_of(listing)), sys.argv[1], kind=kinds.KEYS)\n"
    )
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"PYTHONPATH": path}
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "keys.csv")], env=environment)
    assert killed.returncode == -signal.SIGKILL
    [left] = tmp_path.glob(".*.tmp")
    return left


def test_the_next_run_clears_up_what_is_old(tmp_path):
    left = leave(tmp_path)
    now, day = time.time(), 86_400
    for then, name, stays in (
        (now - 0.99 * day, "keys", True),
        (0, "keys", True),  # some stores keep no time
        (now - 1.01 * day, "others", True),
        (1, "keys", False),
    ):
        os.utime(left, (then, then))
        write_file(file_frame(), str(tmp_path / f"{name}.csv"))
        assert left.exists() == stays


def test_a_store_may_keep_its_times_as_datetimes(tmp_path, monkeypatch):
    lefts = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: lefts.extend(tmp_path.glob(".*.tmp")))
        write_file(file_frame(), str(tmp_path / "keys.csv"))
    [left] = lefts
    left.touch()
    for days, stays in ((0.99, True), (1.01, False)):
        stat = SimpleNamespace(st_mtime=datetime.now(UTC) - timedelta(days=days))
        monkeypatch.setattr(ObjectStoragePath, "stat", lambda path, stat=stat: stat)
        write_file(file_frame(), str(tmp_path / "keys.csv"))
        assert left.exists() == stays


def test_a_name_may_be_as_long_as_the_store_allows(tmp_path):
    path = tmp_path / f"{'k' * 251}.csv"
    write_file(file_frame(), str(path))
    assert list(tmp_path.iterdir()) == [path]
