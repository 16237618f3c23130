"""Workers that are killed while they list and write."""

from contextlib import contextmanager

import pandas as pd
import pytest
from scenes import ask, ends, hashes, measured, reaches, tries, worker_of
from sqlalchemy import text

pytestmark = pytest.mark.timeout(900)


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
        ends(cluster, "keeps_slow")
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

    ends(cluster, "keeps_slow", runs=2)
    assert tries(cluster, "keeps_slow")["write_table"] == 2
    [path] = (cluster.home / "lake" / "openrouter_slow").rglob("*")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "keys_slow") == sorted(account.hashes)
    cluster.start(killed)


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
