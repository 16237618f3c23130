"""Workers that are killed while they list and write."""

import pandas as pd
import pytest
from scenes import PATIENCE, ends, hashes, inserts_held, measured, reaches, tries, worker_of

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
    with inserts_held(warehouse, "keys_slow", when=f"new.hash = '{before[500]}'") as holds:
        cluster.trigger("keeps_slow")
        cluster.wait_for(holds, "the insert to have come half way", seconds=PATIENCE)
        killed = worker_of(cluster, "keeps_slow", "write_table")
        cluster.kill(killed)
        assert hashes(warehouse, "keys_slow") == before

    ends(cluster, "keeps_slow", runs=2)
    assert tries(cluster, "keeps_slow")["write_table"] == 2
    [path] = (cluster.home / "lake" / "openrouter_slow").rglob("*")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "keys_slow") == sorted(account.hashes)
    cluster.start(killed)
