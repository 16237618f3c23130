"""Files of the list operator in a lake: S3, killed processes, a month of days, two accounts."""

import io
import json
import os
import random
import re
import secrets
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import Asset
from airflow.sdk.bases.operator import ExecutorSafeguard
from pandas.testing import assert_frame_equal
from support.s3 import running_s3
from support.tasks import Context

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.columns import arrow_schema

FILE_COLUMNS = kinds.KEYS.columns
SCHEMA = arrow_schema(kinds.KEYS.columns)

pytestmark = [pytest.mark.usefixtures("outside_the_task_runner"), pytest.mark.xdist_group("lake")]

SUFFIXES = (".parquet", ".csv", ".jsonl")
PARTITIONS = "keys/date={snapshot}/{source}/{workspace_scope}"
BUCKET = "lake"
CREDENTIALS = {"login": "AKIAIOSFODNN7EXAMPLE", "password": "not-checked-by-moto"}


@pytest.fixture(scope="module")
def s3_server():
    """A server of the S3 protocol, as a URL."""
    with running_s3() as url:
        yield url


class Bucket:
    """A bucket as someone else sees it, by boto3 and without Airflow."""

    def __init__(self, url):
        import boto3

        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="eu-west-1",
            aws_access_key_id=CREDENTIALS["login"],
            aws_secret_access_key=CREDENTIALS["password"],
        )

    def clear(self):
        for key in self.sizes():
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def sizes(self):
        listed = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {each["Key"]: each["Size"] for each in listed}

    def read(self, key):
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def frame(self, key):
        return READERS[f".{key.rpartition('.')[2]}"](io.BytesIO(self.read(key)))


@pytest.fixture
def bucket(s3_server, monkeypatch):
    extra = {"endpoint_url": s3_server, "region_name": "eu-west-1"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_CONN", json.dumps({"conn_type": "aws", **CREDENTIALS, "extra": json.dumps(extra)})
    )
    bucket = Bucket(s3_server)
    bucket.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield bucket
    bucket.clear()
    bucket.client.delete_bucket(Bucket=BUCKET)


READERS = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".jsonl": lambda file: pd.read_json(file, lines=True, precise_float=True),
}


def run(output_path, context=None, **arguments):
    operator = OpenRouterListKeysOperator(task_id="list_keys", output_path=str(output_path), **arguments)
    return operator.execute(Context() if context is None else context)


def without_the_time(frame):
    """Leave out what differs between a listing and the next."""
    return frame.drop(columns="observed_at")


def assert_holds_the_listing(frame):
    keys = OpenRouterHook().list_keys(include_disabled=True, include_expired=True)
    assert list(frame) == list(FILE_COLUMNS)
    assert frame["hash"].tolist() == [key["hash"] for key in keys]
    assert frame["name"].tolist() == [key["name"] for key in keys]
    assert frame["usage"].tolist() == [key["usage"] for key in keys]


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


# -- S3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_in_s3_is_the_listing_and_the_path_is_returned(suffix, bucket, connection):
    path = run(f"s3://aws_conn@{BUCKET}/{PARTITIONS}{suffix}", workspace_id="*")
    [key] = bucket.sizes()
    assert path == f"s3://aws_conn@{BUCKET}/{key}"
    frame = bucket.frame(key)
    assert_holds_the_listing(frame)
    day = pd.Timestamp(frame["observed_at"][0]).strftime("%Y-%m-%d")
    assert key == f"keys/date={day}/openrouter_default/all{suffix}"


def test_a_parquet_in_s3_equals_the_same_parquet_on_disk(bucket, connection, tmp_path):
    run(f"s3://aws_conn@{BUCKET}/keys.parquet", snapshot="2026-11-03")
    run(tmp_path / "keys.parquet", snapshot="2026-11-03")
    assert pa.parquet.read_schema(io.BytesIO(bucket.read("keys.parquet"))).equals(SCHEMA, check_metadata=False)
    assert_frame_equal(
        without_the_time(bucket.frame("keys.parquet")),
        without_the_time(pd.read_parquet(tmp_path / "keys.parquet")),
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_to_s3_twice_is_writing_once(suffix, bucket, sandbox, connection):
    output_path = f"s3://aws_conn@{BUCKET}/{PARTITIONS}{suffix}"
    first = run(output_path, snapshot="2026-11-03")
    once = bucket.frame(first.partition(f"{BUCKET}/")[2])
    assert run(output_path, snapshot="2026-11-03") == first
    [key] = bucket.sizes()
    assert_frame_equal(without_the_time(bucket.frame(key)), without_the_time(once))
    sandbox.delete_key(once["hash"][0])
    run(output_path, snapshot="2026-11-03")
    assert bucket.frame(key)["hash"].tolist() == once["hash"].tolist()[1:]


def test_outlet_assets_are_told_path_and_bytes_in_s3(bucket, connection):
    asset = Asset("keys")
    context = Context()
    path = run(f"s3://aws_conn@{BUCKET}/keys/all.parquet", context, outlets=[asset])
    extra = context["outlet_events"][asset].extra
    assert extra == {
        "rows": 25,
        "observed_at": extra["observed_at"],
        "path": path,
        "bytes": bucket.sizes()["keys/all.parquet"],
    }


def test_no_keys_are_a_file_in_s3_of_the_same_schema(bucket, monkeypatch):
    with Sandbox(keys=0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        run(f"s3://aws_conn@{BUCKET}/keys.parquet")
    table = pa.parquet.read_table(io.BytesIO(bucket.read("keys.parquet")))
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA, check_metadata=False)


@pytest.fixture(scope="module")
def bulky():
    """Few keys that are 60 MB, which is more than s3fs sends in one request."""
    with Sandbox(keys=0) as sandbox:
        for _ in range(600):
            sandbox.create_key(name=secrets.token_hex(50_000), expires_at=None)
        yield sandbox


def test_while_a_big_file_is_sent_nothing_partial_is_listed(bucket, bulky, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", bulky.connection)
    listed, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            listed.update(bucket.sizes().items())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(f"s3://aws_conn@{BUCKET}/keys.jsonl")
    finally:
        done.set()
        watcher.join()
    assert listed <= bucket.sizes().items()
    assert bucket.sizes()["keys.jsonl"] > 50 * 2**20
    assert len(bucket.frame("keys.jsonl")) == 600


# -- a process that is killed

KILLED = """
import json, os, signal, sys, threading, time
from types import SimpleNamespace

import s3fs  # noqa: F401  # here, and not once in each child
from airflow.sdk.bases.operator import ExecutorSafeguard

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.snapshots.files import write_file

ExecutorSafeguard.test_mode = True


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment):
    def at_an_event(name, arguments):
        if name == "open" and moment == "open" and str(arguments[0]).endswith(".tmp"):
            die()
        if name == "os.rename" and moment == "rename" and str(arguments[0]).endswith(".tmp"):
            die()

    def at_a_time(frame, event, argument):
        if event == "call" and frame.f_code is write_file.__code__:
            sys.setprofile(None)
            threading.Thread(target=lambda: (time.sleep(moment), die()), daemon=True).start()

    sys.addaudithook(at_an_event) if isinstance(moment, str) else sys.setprofile(at_a_time)


def execute(output_path):
    operator = OpenRouterListKeysOperator(task_id="list_keys", output_path=output_path, snapshot="2026-11-03")
    operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None), "outlet_events": {}})


for line in sys.stdin:
    connections, output_path, moment = json.loads(line)
    if not os.fork():
        os.environ |= connections
        arm(moment)
        execute(output_path)
        os._exit(0)
    _, status = os.wait()
    print("killed" if os.WIFSIGNALED(status) else "finished", os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture(scope="module")
def killable():
    """A process that writes in its children, which find all imported."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", KILLED], stdin=pipe, stdout=pipe, text=True) as program:
        yield program
        program.stdin.close()


def kill_while_writing(program, output_path, moments):
    """Begin to write, once for each moment, and yield what became of the process."""
    connections = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")}
    for moment in moments:
        program.stdin.write(json.dumps([connections, output_path, moment]) + "\n")
        program.stdin.flush()
        while (line := program.stdout.readline()) and not line.startswith(("killed", "finished")):
            pass
        yield line.split()


def random_moments(count, seconds):
    """Choose moments all over a stretch of time."""
    return [round((part + random.random()) * seconds / count, 5) for part in range(count)]


@pytest.fixture(scope="module")
def large():
    """An account whose listing is 12 MB."""
    with Sandbox(keys=0) as sandbox:
        for _ in range(1_500):
            sandbox.create_key(name=secrets.token_hex(4_000), expires_at=None)
        yield sandbox


@pytest.mark.parametrize(("suffix", "seconds"), [(".parquet", 0.1), (".csv", 0.1), (".jsonl", 0.3)])
def test_a_process_killed_while_it_writes_leaves_no_torn_file(
    suffix, seconds, large, killable, monkeypatch, tmp_path
):
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", large.connection)
    lake = tmp_path / "lake"
    clean = READERS[suffix](run(tmp_path / f"clean{suffix}", snapshot="2026-11-03"))
    output_path = f"{lake.as_uri()}/{PARTITIONS}{suffix}"
    path = lake / f"keys/date=2026-11-03/openrouter_default/default{suffix}"

    moments = ["open", *random_moments(3, seconds), "rename"]
    outcomes = []
    for outcome, code in kill_while_writing(killable, output_path, moments):
        outcomes.append(outcome)
        assert code in ("-9", "0")
        seen = list(lake.rglob(f"*{suffix}"))
        assert seen in ([], [path])
        for each in seen:
            assert_frame_equal(without_the_time(READERS[suffix](each)), without_the_time(clean))
    assert outcomes[0] == outcomes[-1] == "killed"

    run(output_path, snapshot="2026-11-03")
    assert list(path.parent.glob(f"*{suffix}")) == [path]
    assert_frame_equal(without_the_time(READERS[suffix](path)), without_the_time(clean))
    left = [each.name for each in files_below(lake) if each != path]
    assert left
    assert all(re.fullmatch(r"\.[0-9a-f]{16}\.[0-9a-f]{32}\.tmp", name) for name in left)
    if suffix == ".parquet":  # what is left is read by nobody
        assert len(pd.read_parquet(lake)) == 1_500
        assert pa.dataset.dataset(lake, partitioning="hive").count_rows() == 1_500
        assert duckdb.sql(f"SELECT count(*) FROM '{lake}/**/*.parquet'").fetchall() == [(1_500,)]


def test_a_process_killed_over_an_older_file_leaves_one_whole(large, killable, monkeypatch, tmp_path):
    path = tmp_path / "keys.parquet"
    with Sandbox(keys=7) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        run(path)
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", large.connection)
    counts = []
    for _ in kill_while_writing(killable, path.as_uri(), ["open", *random_moments(3, 0.1), "rename"]):
        counts.append(len(pd.read_parquet(path)))
    assert set(counts) <= {7, 1_500}
    assert counts[0] == 7


def test_a_process_killed_while_it_sends_leaves_no_torn_file(bucket, bulky, killable, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", bulky.connection)
    path = f"s3://aws_conn@{BUCKET}/keys.jsonl"
    for outcome, code in kill_while_writing(killable, path, random_moments(4, 1.5)):
        assert code == ("-9" if outcome == "killed" else "0")
        assert all(size > 50 * 2**20 for size in bucket.sizes().values())
        for key in bucket.sizes():
            assert len(bucket.frame(key)) == 600
        bucket.clear()
    run(path)
    assert list(bucket.sizes()) == ["keys.jsonl"]
    assert len(bucket.frame("keys.jsonl")) == 600


# -- a month of files


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Thirty daily files, of an account that the API shows with other unknown fields each day."""
    lake = tmp_path_factory.mktemp("month")
    days = [datetime(2026, 9, 1, tzinfo=UTC) + timedelta(days=day) for day in range(30)]
    patch = pytest.MonkeyPatch()
    patch.setattr(ExecutorSafeguard, "test_mode", True)
    with Sandbox(keys=0) as sandbox:
        patch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        for number, day in enumerate(days):
            changing = [
                {},
                {"rank": number},
                {"rank": f"no. {number}", "budget": {"usd": number}},
                {"rank": None, "tags": ["a", number]},
                {"observed_at": "not ours", "snapshot": 5, f"only_on_{number}": True},
            ]
            sandbox.create_key(usage=float(number), expires_at=None, **changing[number % 5])
            run(f"{lake}/{PARTITIONS}.parquet", snapshot=day.isoformat())
    patch.undo()
    return lake


@pytest.fixture(scope="module")
def lake_in_duckdb(month):
    with duckdb.connect() as database:
        database.sql("SET timezone = 'UTC'")
        database.sql(f"CREATE VIEW keys AS FROM read_parquet('{month}/keys/date=*/*/*.parquet')")
        yield database


def test_thirty_days_are_one_table_in_duckdb(lake_in_duckdb):
    assert lake_in_duckdb.sql("SELECT count(*), count(DISTINCT snapshot) FROM keys").fetchall() == [(465, 30)]
    types = {
        "string": "VARCHAR",
        "boolean": "BOOLEAN",
        "number": "DOUBLE",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
    }
    described = {name: kind for name, kind, *_ in lake_in_duckdb.sql("DESCRIBE keys").fetchall()}
    described.pop("date", None)
    assert described == {name: types[kind] for name, kind in FILE_COLUMNS.items()}


def test_spend_per_day_is_one_query_in_duckdb(lake_in_duckdb):
    rows = lake_in_duckdb.sql(
        'SELECT snapshot::DATE::VARCHAR, count(*), sum("usage") FROM keys GROUP BY ALL ORDER BY ALL'
    ).fetchall()
    assert rows == [
        (f"2026-09-{number + 1:02}", number + 1, float(number * (number + 1) / 2)) for number in range(30)
    ]


def test_unknown_fields_are_queried_as_json_in_duckdb(lake_in_duckdb):
    rows = lake_in_duckdb.sql(
        "SELECT \"usage\"::INT, extra_fields::JSON ->> '$.budget.usd' FROM keys "
        "WHERE snapshot = '2026-09-30' AND (extra_fields::JSON ->> '$.budget.usd') IS NOT NULL ORDER BY 1"
    ).fetchall()
    assert rows == [(number, str(number)) for number in range(2, 30, 5)]
    [(without,)] = lake_in_duckdb.sql(
        "SELECT count(*) FROM keys WHERE snapshot = '2026-09-30' AND extra_fields IS NULL"
    ).fetchall()
    assert without == 6


def test_an_unknown_field_does_not_replace_a_column_of_its_name(lake_in_duckdb):
    [(snapshots, mine)] = lake_in_duckdb.sql(
        "SELECT count(DISTINCT snapshot), min(extra_fields::JSON ->> '$.observed_at') FROM keys "
        "WHERE extra_fields LIKE '%only_on_4\"%'"
    ).fetchall()
    assert (snapshots, mine) == (26, "not ours")


def test_thirty_days_are_one_table_in_pandas_and_pyarrow(month):
    frame = pd.read_parquet(month)
    dataset = pa.dataset.dataset(month / "keys", partitioning="hive")
    assert len(frame) == dataset.count_rows() == 465
    assert dataset.schema.remove(dataset.schema.get_field_index("date")).equals(SCHEMA, check_metadata=False)
    known = frame[list(FILE_COLUMNS)]
    assert known.dtypes.equals(pd.read_parquet(files_below(month)[7], partitioning=None).dtypes)
    assert (frame["snapshot"].dt.strftime("%Y-%m-%d") == frame["date"].astype(str)).all()


def test_every_file_of_the_month_has_the_same_schema(month):
    assert len(files_below(month)) == 30
    for path in files_below(month):
        assert pa.parquet.read_schema(path).equals(SCHEMA, check_metadata=False)


def test_no_keys_nulls_and_unknown_fields_make_one_schema(monkeypatch, tmp_path):
    nothing = dict.fromkeys(FIELDS.keys() - {"hash", "workspace_id"}) | {"disabled": True}
    accounts = {"none": [], "nulls": [nothing], "unknown": [{"rank": 1}, {"rank": "first", "mood": [{}]}]}
    for name, keys in accounts.items():
        with Sandbox(keys=0) as sandbox:
            for key in keys:
                sandbox.create_key(**key)
            monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
            run(tmp_path / f"{name}.parquet")
    schemas = [pa.parquet.read_schema(path) for path in files_below(tmp_path)]
    assert len(schemas) == 3
    assert all(schema.equals(SCHEMA, check_metadata=False) for schema in schemas)
    assert {tuple(schema.remove_metadata()) for schema in schemas} == {tuple(SCHEMA)}
    assert pd.read_parquet(tmp_path)["extra_fields"].dropna().tolist() == [
        '{"mood": [{}], "rank": "first"}',
        '{"rank": 1}',
    ]


# -- whose file it is


def test_two_accounts_do_not_overwrite_one_another(monkeypatch, tmp_path):
    with Sandbox(keys=3) as one, Sandbox(keys=5) as two:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_ONE", one.connection)
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_TWO", two.connection)
        for account in ("team_one", "team_two", "team_one"):
            run(
                f"{tmp_path}/{PARTITIONS}.parquet",
                openrouter_conn_id=account,
                workspace_id="*",
                snapshot="2026-11-03",
            )
    paths = {path.relative_to(tmp_path).as_posix(): len(pd.read_parquet(path)) for path in files_below(tmp_path)}
    assert paths == {
        "keys/date=2026-11-03/team_one/all.parquet": 3,
        "keys/date=2026-11-03/team_two/all.parquet": 5,
    }
    assert pd.read_parquet(tmp_path)["source"].value_counts().to_dict() == {"team_one": 3, "team_two": 5}


def test_workspaces_and_all_of_them_do_not_overwrite_another(monkeypatch, tmp_path):
    with Sandbox(keys=9, workspaces=2) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        ids = [workspace["id"] for workspace in OpenRouterHook().list_workspaces()]
        for workspace_id in (None, *ids, "*"):
            run(f"{tmp_path}/{PARTITIONS}.parquet", workspace_id=workspace_id, snapshot="2026-11-03")
    counts = {path.stem: len(pd.read_parquet(path)) for path in files_below(tmp_path)}
    assert counts == {"default": 5, ids[0]: 5, ids[1]: 4, "all": 9}


def test_a_day_and_its_hours_do_not_replace_one_another(connection, tmp_path):
    moments = {"day": "2026-11-03T06:30:00Z", "hour": "2026-11-03T06:30:00Z"}
    output_path = f"{tmp_path}/{PARTITIONS}.parquet"
    for granularity, moment in moments.items():
        run(output_path, granularity=granularity, snapshot=moment)
    run(output_path, granularity="hour", snapshot="2026-11-03T08:59:59+01:00")
    snapshots = {
        path.relative_to(tmp_path).parts[1]: set(
            pd.read_parquet(path)[["snapshot", "granularity"]].itertuples(index=False, name=None)
        )
        for path in files_below(tmp_path)
    }
    assert snapshots == {
        "date=2026-11-03": {(pd.Timestamp("2026-11-03", tz="UTC"), "day")},
        "date=2026-11-03T06": {(pd.Timestamp("2026-11-03T06:00", tz="UTC"), "hour")},
        "date=2026-11-03T07": {(pd.Timestamp("2026-11-03T07:00", tz="UTC"), "hour")},
    }


def test_granularity_may_be_part_of_a_path(connection, tmp_path):
    output_path = f"{tmp_path}/{{granularity}}={{snapshot}}.csv"
    paths = {run(output_path, granularity=each, snapshot="2026-11-03") for each in ("day", "hour")}
    assert paths == {f"{tmp_path}/day=2026-11-03.csv", f"{tmp_path}/hour=2026-11-03T00.csv"}


def test_names_of_workspaces_are_in_the_file_of_all(monkeypatch, tmp_path):
    with Sandbox(keys=6, workspaces=2) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        names = {each["id"]: each["name"] for each in OpenRouterHook().list_workspaces()}
        frame = pd.read_parquet(run(tmp_path / "keys.parquet", workspace_id="*"))
    assert frame["workspace_name"].tolist() == frame["workspace_id"].map(names).tolist()
    assert frame["workspace_name"].nunique() == 2


def test_a_run_cleared_a_week_later_leaves_the_older_file(sandbox, connection, tmp_path):
    output_path = f"{tmp_path}/{PARTITIONS}.parquet"
    a_week_ago = datetime.now(UTC) - timedelta(days=7)
    older = run(output_path, snapshot=a_week_ago.isoformat())
    with open(older, "rb") as file:
        before = file.read()

    sandbox.create_key(name="of this week")
    newer = run(output_path)

    assert newer != older
    with open(older, "rb") as file:
        assert file.read() == before
    assert files_below(tmp_path) == sorted(tmp_path / path for path in (older, newer))
    assert len(pd.read_parquet(newer)) == len(pd.read_parquet(older)) + 1
