"""Files that a killed process was writing: whole, or not there."""

import json
import os
import random
import re
import secrets
import subprocess
import sys

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import support.lake
from pandas.testing import assert_frame_equal
from support.lake import BUCKET, PARTITIONS, READERS, files_below, run, without_the_time

from airflow_provider_openrouter.sandbox import Sandbox

pytestmark = [pytest.mark.usefixtures("outside_the_task_runner"), pytest.mark.xdist_group("lake")]
bucket, bulky, s3_server = support.lake.bucket, support.lake.bulky, support.lake.s3_server


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


execute(sys.argv[1])  # which imports what it needs, so that the children need not
print("ready", flush=True)
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
def killable(large, tmp_path_factory):
    """A process that writes in its children, which find all imported."""
    path, pipe = tmp_path_factory.mktemp("first") / "keys.jsonl", subprocess.PIPE
    environment = os.environ | {"AIRFLOW_CONN_OPENROUTER_DEFAULT": large.connection}
    command = [sys.executable, "-c", KILLED, path.as_uri()]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as program:
        while program.stdout.readline() != "ready\n":
            assert program.poll() is None
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
    """An account whose listing is 5 MB."""
    with Sandbox(keys=0) as sandbox:
        for _ in range(600):
            sandbox.create_key(name=secrets.token_hex(4_000), expires_at=None)
        yield sandbox


@pytest.mark.parametrize(("suffix", "seconds"), [(".parquet", 0.04), (".csv", 0.04), (".jsonl", 0.12)])
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
        assert len(pd.read_parquet(lake)) == 600
        assert pa.dataset.dataset(lake, partitioning="hive").count_rows() == 600
        assert duckdb.sql(f"SELECT count(*) FROM '{lake}/**/*.parquet'").fetchall() == [(600,)]


def test_a_process_killed_over_an_older_file_leaves_one_whole(large, killable, monkeypatch, tmp_path):
    path = tmp_path / "keys.parquet"
    with Sandbox(keys=7) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        run(path)
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", large.connection)
    counts = []
    for _ in kill_while_writing(killable, path.as_uri(), ["open", *random_moments(3, 0.04), "rename"]):
        counts.append(len(pd.read_parquet(path)))
    assert set(counts) <= {7, 600}
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
