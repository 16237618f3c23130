"""The example DAGs and failures in a cluster: PostgreSQL, Redis, Celery workers, two triggerers."""

import json
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import hunt
import pandas as pd
import pytest
from cluster import Cluster
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import create_engine, text
from support.sandboxes import Flaky

pytestmark = pytest.mark.timeout(900)

EXAMPLES = [
    Path(__file__).parents[2] / "dags" / f"openrouter_{name}.py"
    for name in ("keys_snapshot", "keys_warehouse", "key_limit_alert", "key_low_event")
]
"""Those that list keys and wait for them."""

TOKEN = "sk-or-v1-a/management+key=of-the-cluster"
FERNET_KEY = Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def accounts():
    """An account for each scenario, all with the same key, which must not be found anywhere."""
    with ExitStack() as stack:
        sizes = {"default": 25, "slow": 1_000, "stored": 0, "flaky": 0}
        yield {name: stack.enter_context(Flaky(keys=keys, token=TOKEN)) for name, keys in sizes.items()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, accounts):
    home = tmp_path_factory.mktemp("cluster") / "home"
    environment = {
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
        "AIRFLOW_VAR_OPENROUTER_LAKE": (home / "lake").as_uri(),
    }
    for name in ("default", "slow", "flaky"):
        environment[f"AIRFLOW_CONN_OPENROUTER_{name.upper()}"] = accounts[name].connection
    with Cluster(home, EXAMPLES, environment) as cluster:
        cluster.run(
            "connections", "add", "openrouter_stored", "--conn-type", "openrouter",
            "--conn-host", accounts["stored"].base_url, "--conn-password", TOKEN,
        )  # fmt: skip
        cluster.add(sorted((Path(__file__).parent / "dags").glob("*.py")))
        yield cluster


@pytest.fixture(scope="module")
def warehouse(cluster):
    engine = create_engine(cluster.warehouse)
    yield engine
    engine.dispose()


# -- the example DAGs


def test_the_snapshot_dag_passes_its_frame_through_storage(cluster):
    ends(cluster, "openrouter_keys_snapshot")

    frame = hunt.unpacked(cluster.xcom_file("openrouter_keys_snapshot", "list_keys"))
    assert len(frame) == frame["hash"].nunique() == 25
    [(in_database,)] = cluster.query(
        "select cast(value as text) from xcom where dag_id = 'openrouter_keys_snapshot' "
        "and task_id = 'list_keys' and key = 'return_value'"
    )
    assert json.loads(in_database).startswith(cluster.xcoms.as_uri())
    [path] = (cluster.home / "lake" / "keys").rglob("*.parquet")
    assert sorted(pd.read_parquet(path)["hash"]) == sorted(frame["hash"])
    top = frame.nlargest(1, "usage_monthly")["name"].item()
    [log] = (cluster.home / "logs").glob("dag_id=openrouter_keys_snapshot/*/task_id=log_top_spenders/*.log")
    assert f"in all: {top}" in log.read_text()


def test_the_warehouse_dag_fills_the_lake_and_the_warehouse(cluster, warehouse):
    ends(cluster, "openrouter_keys_warehouse")

    assert cluster.xcom("openrouter_keys_warehouse", "compare_counts") == 0
    [path] = (cluster.home / "lake" / "workspaces").rglob("*.parquet")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "openrouter_keys")
    assert len(hashes(warehouse, "openrouter_keys")) == 25


def test_a_low_key_ends_the_wait_and_starts_the_dag_of_its_event(cluster, accounts, record_property):
    reaches(cluster, "openrouter_key_limit_alert", "wait_for_low_key", ["deferred"])
    assert cluster.run_states("openrouter_key_low_event") == []

    with measured(record_property, "seconds from crossing to run, checked every 15 s"):
        accounts["default"].create_key(name="nearly-dry", limit=10.0, limit_remaining=0.25, expires_at=None)
        cluster.wait_for(lambda: cluster.run_states("openrouter_key_low_event"), "a run for the event")

    ends(cluster, "openrouter_key_low_event")
    ends(cluster, "openrouter_key_limit_alert")
    assert "nearly-dry" in cluster.xcom("openrouter_key_low_event", "report_low_keys")
    assert "nearly-dry" in cluster.xcom("openrouter_key_limit_alert", "wait_for_low_key", "message")
    [low] = cluster.xcom("openrouter_key_limit_alert", "wait_for_low_key")
    assert low["limit_remaining"] == 0.25


# -- a worker that is killed


def test_a_worker_killed_while_it_lists_loses_nothing(cluster, accounts, warehouse, record_property):
    account = accounts["slow"]
    account.goes_on.clear()
    cluster.trigger("keeps_slow")
    reaches(cluster, "keeps_slow", "write_file", ["running"])
    reaches(cluster, "keeps_slow", "write_table", ["running"])
    cluster.wait_for(lambda: len(account.listings) >= 2 and account.kept_waiting >= 2, "both to list")
    killed = worker_of(cluster, "keeps_slow", "write_file")
    cluster.kill(killed)
    assert not list((cluster.home / "lake" / "openrouter_slow").rglob("*"))

    with measured(record_property, "seconds from a worker's death to the end of its tasks' run"):
        account.goes_on.set()
        ends(cluster, "keeps_slow", seconds=240)
    assert tries(cluster, "keeps_slow")["write_file"] == 2
    [path] = (cluster.home / "lake" / "openrouter_slow").rglob("*")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "keys_slow") == sorted(account.hashes)
    cluster.start(killed)


def test_a_worker_killed_while_it_writes_leaves_the_table_whole(cluster, accounts, warehouse):
    account, before = accounts["slow"], hashes(warehouse, "keys_slow")
    account.create_key(name="new", expires_at=None)
    with inserts_held(warehouse, "keys_slow", at=before[500]):
        cluster.trigger("keeps_slow")
        held = "select count(*) from pg_locks where locktype = 'advisory' and objid = 1 and not granted"
        cluster.wait_for(lambda: ask(warehouse, held) == [(1,)], "the insert to have come half way")
        killed = worker_of(cluster, "keeps_slow", "write_table")
        cluster.kill(killed)
        assert hashes(warehouse, "keys_slow") == before

    ends(cluster, "keeps_slow", runs=2, seconds=240)
    assert tries(cluster, "keeps_slow")["write_table"] == 2
    [path] = (cluster.home / "lake" / "openrouter_slow").rglob("*")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "keys_slow") == sorted(account.hashes)
    cluster.start(killed)


# -- a triggerer that is killed


def test_the_other_triggerer_takes_over_and_reports_once(cluster, accounts, record_property):
    account = accounts["stored"]
    keys = create_watched_keys(account)
    cluster.wait_for(lambda: len(account.listings) > 2, "the watch")
    with measured(record_property, "seconds from crossing to run, checked every 2 s"):
        runs_low(account, keys["alert-0"])
        cluster.wait_for(lambda: cluster.run_states("alerts_stored"), "a run for the event")
    ends(cluster, "alerts_stored")
    remembered = "select count(*) from asset_state_store where value like :key"
    cluster.wait_for(
        lambda: cluster.query(remembered, key=f"%{keys['alert-0']}%") == [(1,)], "the alert state to be stored"
    )

    cluster.kill("triggerer-2")  # so that everything waits in the one that is killed below
    killed = datetime.now(UTC)
    [victim] = cluster.wait_for(lambda: cluster.triggerers(since=killed), "a heartbeat of the other triggerer")
    cluster.wait_for(lambda: cluster.triggerers() == [victim], "the killed one to be missed")
    cluster.trigger("waits_stored")
    reaches(cluster, "waits_stored", "wait", ["deferred"] * 3)
    cluster.wait_for(lambda: holders(cluster) == {victim}, "all triggers to be in one triggerer")
    cluster.start("triggerer-2")
    cluster.wait_for(lambda: len(cluster.triggerers()) == 2, "the other triggerer")
    assert holders(cluster) == {victim}

    with measured(record_property, "seconds from a triggerer's death to the other's first listing"):
        with measured(
            record_property, "seconds from a triggerer's death to the other's takeover of all its waits"
        ):
            cluster.kill("triggerer-1")
            runs_low(account, keys["alert-1"])
            asked = len(account.listings)
            cluster.wait_for(lambda: holders(cluster).isdisjoint({victim, None}), "the waits to be taken over")
        cluster.wait_for(lambda: len(account.listings) > asked, "a listing of the other triggerer")
    ends(cluster, "alerts_stored", runs=2)
    assert cluster.xcom("alerts_stored", "list_low_keys") == ["alert-1"]

    for number, low in enumerate(("wait-0", "wait-1", "wait-2"), start=1):
        reaches(cluster, "waits_stored", "wait", ["deferred"] * (4 - number) + ["success"] * (number - 1))
        runs_low(account, keys[low])
    ends(cluster, "waits_stored")
    listed(cluster, account, times=5)
    assert cluster.run_states("alerts_stored") == ["success"] * 2
    cluster.start("triggerer-1")
    cluster.wait_for(lambda: len(cluster.triggerers()) == 2, "both triggerers")


# -- an API that fails


def test_an_outage_of_a_minute_loses_and_doubles_nothing(cluster, accounts, warehouse, record_property):
    account = accounts["flaky"]
    keys = create_watched_keys(account)
    listed(cluster, account, times=2)
    runs_low(account, keys["alert-0"])
    ends(cluster, "alerts_flaky")
    cluster.trigger("waits_flaky")
    reaches(cluster, "waits_flaky", "wait", ["deferred"] * 3)

    account.fails = True
    over = time.monotonic() + 60
    runs_low(account, keys["alert-1"])
    runs_low(account, keys["wait-0"])
    cluster.trigger("keeps_flaky")
    time.sleep(max(0.0, over - time.monotonic()))
    assert cluster.run_states("alerts_flaky") == ["success"]
    assert cluster.run_states("waits_flaky") == cluster.run_states("keeps_flaky") == ["running"]
    account.fails = False

    with measured(record_property, "seconds from the end of an outage to the end of everything that it delayed"):
        reaches(cluster, "waits_flaky", "wait", ["deferred", "deferred", "success"])
        ends(cluster, "alerts_flaky", runs=2)
        ends(cluster, "keeps_flaky")
    assert cluster.xcom("alerts_flaky", "list_low_keys") == ["alert-1"]
    [path] = (cluster.home / "lake" / "openrouter_flaky").rglob("*")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "keys_flaky") == sorted(keys.values())

    runs_low(account, keys["wait-1"])
    runs_low(account, keys["wait-2"])
    ends(cluster, "waits_flaky")
    listed(cluster, account, times=5)
    assert cluster.run_states("alerts_flaky") == ["success"] * 2


# -- at the end


def test_no_failure_made_an_alert_come_twice(cluster):
    assert cluster.run_states("openrouter_key_low_event") == ["success"]


def test_the_management_key_is_written_only_encrypted(cluster):
    places = list(hunt.places(cluster))
    assert hunt.found(TOKEN, places) == {}
    encrypted = hunt.decrypted(FERNET_KEY, cluster.dump())
    assert [each for each in encrypted if TOKEN in each] == [TOKEN]

    ran = {dag_id for (dag_id,) in cluster.query("select dag_id from dag_run where state = 'success'")}
    scenarios = {"keeps_slow", "keeps_flaky", "waits_stored", "waits_flaky", "alerts_stored", "alerts_flaky"}
    assert ran >= scenarios | {path.stem for path in EXAMPLES}, "The hunt must come after the other tests."


def test_the_hunt_finds_a_secret_that_leaks(cluster, warehouse):
    secret = "sk-or-v1-a/secret+that=leaks"
    cluster.trigger("leaks", secret=secret)
    ends(cluster, "leaks")
    Redis.from_url(cluster.redis).set("leaked", secret)
    with warehouse.begin() as database:
        database.execute(text("create table leaked as select :secret as secret"), {"secret": secret})

    found = hunt.found(secret, list(hunt.places(cluster)))
    assert found.keys() == hunt.disguises(secret).keys()
    [log] = (cluster.home / "logs").glob("dag_id=leaks/*/*/*.log")
    name = log.relative_to(cluster.home).as_posix()
    assert all(name in places for places in found.values())
    plain = found["plain"]
    assert {"metadata database", "warehouse", name} <= plain
    assert {name.partition("/")[0] for name in plain} >= {"logs", "redis", "xcoms"}


# -- helpers


def ends(cluster, dag_id, *, runs=1, seconds=180):
    cluster.wait_for(
        lambda: cluster.run_states(dag_id) == ["success"] * runs,
        f"success number {runs} of {dag_id}",
        seconds=seconds,
    )


def reaches(cluster, dag_id, task_id, states):
    """Wait until the instances of a task have these states, sorted."""
    query = "select state from task_instance where dag_id = :dag_id and task_id = :task_id order by state"
    cluster.wait_for(
        lambda: [state for (state,) in cluster.query(query, dag_id=dag_id, task_id=task_id)] == states,
        f"{task_id} of {dag_id} to be {states}",
    )


def tries(cluster, dag_id):
    return dict(
        cluster.query(
            "select task_id, try_number from task_instance where dag_id = :dag_id "
            "and run_id = (select run_id from dag_run where dag_id = :dag_id order by id desc limit 1)",
            dag_id=dag_id,
        )
    )


def worker_of(cluster, dag_id, task_id):
    [(pid,)] = cluster.query(
        "select pid from task_instance where dag_id = :dag_id and task_id = :task_id and state = 'running'",
        dag_id=dag_id,
        task_id=task_id,
    )
    [worker] = [
        name
        for name in ("worker-1", "worker-2")
        if pid in {child.pid for child in cluster.process(name).children(recursive=True)}
    ]
    return worker


def holders(cluster):
    return {holder for (holder,) in cluster.query("select distinct triggerer_id from trigger")}


def create_watched_keys(account):
    return {
        name: account.create_key(name=name, limit=100.0, limit_remaining=50.0, disabled=False, expires_at=None)
        for name in ("wait-0", "wait-1", "wait-2", "alert-0", "alert-1")
    }


def runs_low(account, key):
    account.update_key(key, limit_remaining=5.0)


def listed(cluster, account, *, times):
    wanted = len(account.listings) + times
    cluster.wait_for(lambda: len(account.listings) >= wanted, f"{times} listings")


def ask(engine, sql):
    with engine.connect() as database:
        return [tuple(row) for row in database.execute(text(sql))]


def hashes(engine, table):
    return [hash_ for (hash_,) in ask(engine, f"select hash from {table} order by hash")]


@contextmanager
def inserts_held(engine, table, *, at):
    """Hold every insert at a row, for as long as the block runs."""
    with engine.begin() as database:
        database.execute(
            text(
                "create function wait_here() returns trigger language plpgsql as "
                "'begin perform pg_advisory_xact_lock(1); return new; end';"
                f"create trigger wait_here before insert on {table} for each row "
                f"when (new.hash = '{at}') execute function wait_here()"
            )
        )
    with engine.begin() as holder:
        holder.execute(text("select pg_advisory_xact_lock(1)"))
        yield


@contextmanager
def measured(record_property, what):
    began = time.monotonic()
    yield
    record_property(what, round(time.monotonic() - began, 1))
