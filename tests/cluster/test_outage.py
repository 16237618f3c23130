"""An API that fails for a minute."""

import time

import pandas as pd
import pytest
from scenes import create_watched_keys, ends, hashes, listed, measured, reaches, runs_low

pytestmark = pytest.mark.timeout(900)


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
