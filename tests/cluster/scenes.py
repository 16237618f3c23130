"""What the tests of the cluster share: its examples, its secrets, and helpers that wait for what happens."""

import time
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from sqlalchemy import text

EXAMPLES = [
    Path(__file__).parents[2] / "dags" / f"openrouter_{name}.py"
    for name in ("keys_snapshot", "keys_warehouse", "key_limit_alert", "key_low_event")
]
"""Those that list keys and wait for them."""

TOKEN = "sk-or-v1-a/management+key=of-the-cluster"
FERNET_KEY = Fernet.generate_key().decode()


PATIENCE = 300
"""Seconds for which is waited for what should happen: a machine may be slow."""


def ends(cluster, dag_id, *, runs=1):
    cluster.wait_for(
        lambda: cluster.run_states(dag_id) == ["success"] * runs,
        f"success number {runs} of {dag_id}",
        seconds=PATIENCE,
    )


def reaches(cluster, dag_id, task_id, states):
    """Wait until the instances of a task have these states, sorted."""
    query = "select state from task_instance where dag_id = :dag_id and task_id = :task_id order by state"
    cluster.wait_for(
        lambda: [state for (state,) in cluster.query(query, dag_id=dag_id, task_id=task_id)] == states,
        f"{task_id} of {dag_id} to be {states}",
        seconds=PATIENCE,
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


def create_watched_keys(account):
    return {
        name: account.create_key(name=name, limit=100.0, limit_remaining=50.0, disabled=False, expires_at=None)
        for name in ("wait-0", "wait-1", "wait-2", "alert-0", "alert-1")
    }


def runs_low(account, key):
    account.update_key(key, limit_remaining=5.0)


def listed(cluster, account, *, times):
    wanted = len(account.listings) + times
    cluster.wait_for(lambda: len(account.listings) >= wanted, f"{times} listings", seconds=PATIENCE)


def ask(engine, sql):
    with engine.connect() as database:
        return [tuple(row) for row in database.execute(text(sql))]


def hashes(engine, table):
    return [hash_ for (hash_,) in ask(engine, f"select hash from {table} order by hash")]


@contextmanager
def inserts_held(engine, table, *, when="true"):
    """Hold inserts of such rows for as long as the block runs; what is yielded says whether one waits."""
    with engine.begin() as database:
        database.execute(
            text(
                "create function wait_here() returns trigger language plpgsql as "
                "'begin perform pg_advisory_xact_lock(1); return new; end';"
                f"create trigger wait_here before insert on {table} for each row "
                f"when ({when}) execute function wait_here()"
            )
        )
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and objid = 1 and not granted"
    with engine.begin() as holder:
        holder.execute(text("select pg_advisory_xact_lock(1)"))
        yield lambda: ask(engine, waiting) != [(0,)]


@contextmanager
def measured(record_property, what):
    began = time.monotonic()
    yield
    record_property(what, round(time.monotonic() - began, 1))
