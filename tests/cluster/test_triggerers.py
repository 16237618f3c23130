"""Triggerers that are killed while they watch: no alert is lost, and none comes again once it is remembered."""

import json
from datetime import UTC, datetime
from operator import ge

import pytest
from scenes import PATIENCE, create_watched_keys, ends, inserts_held, listed, measured, reaches, runs_low
from sqlalchemy import create_engine

pytestmark = pytest.mark.timeout(900)


def test_the_other_triggerer_takes_over_and_reports_once(cluster, accounts, record_property):
    account = accounts["stored"]
    keys = create_watched_keys(account)
    cluster.wait_for(lambda: len(account.listings) > 2, "the watch")
    with measured(record_property, "seconds from crossing to run, checked every 2 s"):
        runs_low(account, keys["alert-0"])
        cluster.wait_for(lambda: cluster.run_states("alerts_stored"), "a run for the event")
    ends(cluster, "alerts_stored")
    cluster.wait_for(lambda: remembered(cluster, "keys_stored") == [keys["alert-0"]], "the alert state")

    victim = kill_triggerer(cluster, "triggerer-2")  # so that everything waits in the one that is killed below
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


# -- in the three moments of an alert


@pytest.fixture(scope="module")
def metadata(cluster):
    """Airflow's own database."""
    engine = create_engine(cluster.metadata_database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def account(accounts, cluster):
    """An account with a key that is watched at several steps, and credits that are; triggerer-1 watches alone."""
    account = accounts["steps"]
    account.create_key(name="steps", limit=100.0, limit_remaining=80.0, disabled=False, expires_at=None)
    set_balance(account, 100)
    kill_triggerer(cluster, "triggerer-2")
    polled(cluster, account)
    return account


def test_an_alert_lost_with_its_triggerer_comes_from_the_next(cluster, account, metadata):
    with inserts_held(metadata, "asset_event") as holds:
        before = polls(account)
        account.update_key(account.hashes[0], limit_remaining=40.0)
        set_balance(account, 20)
        polled(cluster, account, more_than=before)
        cluster.wait_for(holds, "an alert that is about to be saved", seconds=PATIENCE)
        cluster.kill("triggerer-1")
        assert reported(cluster, "steps") == reported(cluster, "credits") == []
    takes_over(cluster, "triggerer-2")

    ends(cluster, "alerts_steps")
    ends(cluster, "alerts_credits")
    assert reported(cluster, "steps") == ["50%"]
    assert reported(cluster, "credits") == [20.0]
    cluster.wait_for(lambda: remembered(cluster, "steps") == {account.hashes[0]: "50%"}, "the key's alert state")
    cluster.wait_for(lambda: remembered(cluster, "credits") == ["account"], "the credits' alert state")


def test_a_triggerer_killed_before_it_remembers_reports_twice(cluster, account):
    set_balance(account, 100)
    polled(cluster, account)
    cluster.wait_for(lambda: remembered(cluster, "credits") == [], "the credits to be re-armed")
    account.update_key(account.hashes[0], limit_remaining=20.0)
    set_balance(account, 15)
    cluster.wait_for(
        lambda: len(reported(cluster, "steps") + reported(cluster, "credits")) == 4, "both to be reported"
    )
    cluster.kill("triggerer-2")
    assert remembered(cluster, "steps") == {account.hashes[0]: "50%"}
    assert remembered(cluster, "credits") == []
    takes_over(cluster, "triggerer-1")

    cluster.wait_for(lambda: remembered(cluster, "steps") == {account.hashes[0]: "25%"}, "the key's alert state")
    cluster.wait_for(lambda: remembered(cluster, "credits") == ["account"], "the credits' alert state")
    assert reported(cluster, "steps") == ["50%", "25%", "25%"]
    assert reported(cluster, "credits") == [20.0, 15.0, 15.0]


def test_what_a_killed_triggerer_remembers_is_not_reported_again(cluster, account):
    before = reported(cluster, "steps"), reported(cluster, "credits")
    cluster.kill("triggerer-1")
    takes_over(cluster, "triggerer-2")
    polled(cluster, account, times=3)
    assert (reported(cluster, "steps"), reported(cluster, "credits")) == before


def test_a_triggerer_that_hangs_reports_once_more_at_most(cluster, account):
    before, hanging = reported(cluster, "steps"), holders(cluster)
    supervisor = cluster.process("triggerer-2")
    cluster.start("triggerer-1")
    cluster.wait_for(lambda: len(cluster.triggerers()) == 2, "the other triggerer", seconds=PATIENCE)
    supervisor.suspend()  # and the process that watches for it goes on
    account.update_key(account.hashes[0], limit_remaining=5.0)
    is_taken_over(cluster, hanging)
    cluster.wait_for(lambda: reported(cluster, "steps") == [*before, "10%"], "the alert", seconds=PATIENCE)

    supervisor.resume()
    cluster.wait_for(lambda: len(cluster.triggerers()) == 2, "the other triggerer", seconds=PATIENCE)
    polled(cluster, account, times=3)
    assert reported(cluster, "steps") in ([*before, "10%"], [*before, "10%", "10%"])


# -- helpers


def kill_triggerer(cluster, name):
    """Kill one of two triggerers, wait until the other has all triggers, and return the other's job id."""
    cluster.kill(name)
    killed = datetime.now(UTC)
    [other] = cluster.wait_for(lambda: cluster.triggerers(since=killed), "a heartbeat of the other triggerer")
    cluster.wait_for(lambda: cluster.triggerers() == [other], "the killed one to be missed")
    cluster.wait_for(lambda: holders(cluster) <= {other}, "all triggers to be in the other", seconds=PATIENCE)
    return other


def takes_over(cluster, name):
    """Start a triggerer after the only other one was killed, and wait until it has all triggers."""
    dead = holders(cluster)
    cluster.start(name)
    is_taken_over(cluster, dead)


def is_taken_over(cluster, before):
    """Wait until these triggerers have no trigger any more."""
    gone = before | {None}
    cluster.wait_for(lambda: holders(cluster).isdisjoint(gone), "the takeover", seconds=PATIENCE)


def holders(cluster):
    return {holder for (holder,) in cluster.query("select distinct triggerer_id from trigger")}


def set_balance(account, amount):
    credits_ = account.get_credits()
    account.buy_credits(amount - (credits_["total_credits"] - credits_["total_usage"]))


def polls(account):
    """Return how often the keys and the credits were read."""
    return [len(account.listings), account.requests.count("/api/v1/credits")]


def polled(cluster, account, *, more_than=None, times=1):
    """Wait until the keys and the credits were read so many times more, by default from now on."""
    wanted = [count + times for count in more_than or polls(account)]
    cluster.wait_for(lambda: all(map(ge, polls(account), wanted)), "polls of both watchers", seconds=PATIENCE)


def reported(cluster, name):
    """Return of each event of a watcher the threshold of its only key, or the balance."""
    extras = cluster.query(
        "select asset_event.extra from asset_event join asset on asset.id = asset_id where name = :name "
        "order by asset_event.id",
        name=f"low_{name}",
    )
    payloads = [extra["payload"] for (extra,) in extras]
    return [payload["balance"] if name == "credits" else payload["keys"][0]["threshold"] for payload in payloads]


def remembered(cluster, name):
    """Return what a watcher has stored as reported: the keys or the account, or each key and its step."""
    find = (
        "select value from asset_state_store join asset on asset.id = asset_id "
        "where name = :name and key like 'openrouter_low:%'"
    )
    for (state,) in cluster.query(find, name=f"low_{name}"):
        return json.loads(state)["steps" if name == "steps" else "told"]
    return None
