"""Files of the list operator in a lake: S3, and whose file it is."""

import io
import threading
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import support.lake
from airflow.providers.common.compat.sdk import Asset
from pandas.testing import assert_frame_equal
from support.lake import BUCKET, PARTITIONS, SUFFIXES, files_below, run, without_the_time
from support.tasks import Context

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.columns import arrow_schema

FILE_COLUMNS = kinds.KEYS.columns
SCHEMA = arrow_schema(kinds.KEYS.columns)

pytestmark = [pytest.mark.usefixtures("outside_the_task_runner"), pytest.mark.xdist_group("lake")]
bucket, bulky, s3_server = support.lake.bucket, support.lake.bulky, support.lake.s3_server


# -- S3


def assert_holds_the_listing(frame):
    keys = OpenRouterHook().list_keys(include_disabled=True, include_expired=True)
    assert list(frame) == list(FILE_COLUMNS)
    assert frame["hash"].tolist() == [key["hash"] for key in keys]
    assert frame["name"].tolist() == [key["name"] for key in keys]
    assert frame["usage"].tolist() == [key["usage"] for key in keys]


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
