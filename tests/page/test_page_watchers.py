"""The watchers of assets, as the page shows them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from support import airflow_rows as rows
from support.keys import key, listing
from support.lines import BEFORE_AIRFLOW_3_3, needs_page, needs_state_store
from support.state_store import Store

from airflow_provider_openrouter.exceptions import OpenRouterServerError
from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterCreditsEventTrigger,
    OpenRouterKeyLimitEventTrigger,
)
from airflow_provider_openrouter.watch.events import low_event
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.status import Status

session = rows.session
pytestmark = needs_page

RULE = {"threshold": 5, "name_pattern": "billing-*", "workspace_id": "*", "openrouter_conn_id": "one"}
CHECK = LimitRule(threshold=5).check(listing(key("billing-eu", 3.4), key("billing-us", 1), key("other", 90)))
EVENT = low_event(CHECK, CHECK.low, connection="one")
REPORT = "billing-us has $1.00 of $100.00 left, never resets, and 1 more"
BUSY = OpenRouterServerError("OpenRouter is busy.", status_code=503)


@pytest.fixture
def watch(session):
    """Return a function that adds a trigger that watches for an asset of each name."""
    for dag_id in ("alert", "mail", "secret"):
        rows.add_dag(session, dag_id)

    def watch(*names, trigger=None, dag_ids=("alert", "mail"), silent=timedelta(0)):
        triggerer = None if silent is None else rows.add_triggerer(session, silent=silent)
        assets = [rows.add_asset(session, name, dag_ids=dag_ids) for name in names]
        row = rows.add_trigger(session, trigger or key_trigger(), *assets, triggerer=triggerer)
        return row, *assets

    return watch


def key_trigger(**arguments):
    return OpenRouterKeyLimitEventTrigger(**RULE | arguments)


def leave(session, asset, trigger, *, changes=None, error=None, events=()):
    """Store the status that a trigger leaves after one poll, as Airflow's own API does."""
    from airflow.state import AssetScope, get_state_backend

    store = Store()
    check = None if error else CHECK
    asyncio.run(Status(trigger.status_key, store).store(check, error, events))
    value = json.dumps(store.status | (changes or {}))
    get_state_backend().set(AssetScope(asset_id=asset.id), trigger.status_key, value, session=session)


def shown(session, *, dag_ids=("alert", "mail"), connections=("one",)):
    from airflow_provider_openrouter.page.watchers import show_watchers

    return show_watchers(session, dag_ids=dag_ids, may_read_connection=lambda conn_id: conn_id in connections)


def watchers(session, **readable):
    return shown(session, **readable)["watchers"]


def ago(**time):
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


@needs_state_store
def test_a_watcher_is_shown_as_it_says_it_is(watch, session):
    trigger = key_trigger(poll_interval=30)
    _, asset = watch("low", trigger=trigger)
    leave(session, asset, trigger, events=[EVENT])
    [watcher] = watchers(session)
    at = watcher["looked_at"]
    assert ago(minutes=1) < at < ago()
    assert watcher == {
        "asset": "low",
        "dags": ["alert", "mail"],
        "watches": "keys",
        "connection": "one",
        "scope": "all workspaces",
        "rule": "keys below $5.00 with name_pattern 'billing-*'",
        "poll_interval": 30.0,
        "state": "watching",
        "looked_at": at,
        "failing_since": None,
        "watched": 3,
        "low": 2,
        "failures": 0,
        "error": None,
        "reported": {"at": at, "text": REPORT, "total": 2},
    }
    assert shown(session)["notice"] is None


@needs_state_store
def test_one_that_fails_says_why(watch, session):
    _, asset = watch("low")
    leave(session, asset, key_trigger(), error=BUSY, changes={"looked_at": ago(hours=2)})
    [watcher] = watchers(session)
    assert (watcher["state"], watcher["failures"], watcher["error"]) == ("failing", 1, "OpenRouter is busy.")
    assert watcher["failing_since"]


@needs_state_store
@pytest.mark.parametrize(
    ("silent", "minutes", "state"),
    [(0, 7, "watching"), (0, 9, "not running"), (10, 0, "not running"), (None, 0, "not running")],
)
def test_one_that_has_not_looked_for_long_is_not_running(silent, minutes, state, watch, session):
    _, asset = watch("low", silent=None if silent is None else timedelta(minutes=silent))
    looked_at = ago(minutes=minutes)
    leave(session, asset, key_trigger(), changes={"looked_at": looked_at})
    [watcher] = watchers(session)
    assert (watcher["state"], watcher["looked_at"]) == (state, looked_at)


@needs_state_store
@pytest.mark.parametrize("changes", [{"version": 2}, {"failures": None}, {"looked_at": 5}], ids=repr)
def test_a_status_that_is_not_understood_counts_as_none(changes, watch, session):
    _, asset = watch("low")
    leave(session, asset, key_trigger(), changes=changes)
    [watcher] = watchers(session)
    assert (watcher["state"], watcher["looked_at"], watcher["failures"]) == ("unknown", None, 0)


@needs_state_store
def test_what_several_assets_share_has_no_state(watch, session):
    watch("one", "two")
    assert [(each["asset"], each["state"]) for each in watchers(session)] == [
        ("one", "unknown"),
        ("two", "unknown"),
    ]
    assert all(each["error"].startswith("Several assets share this watcher") for each in watchers(session))


@needs_state_store
def test_state_that_is_kept_elsewhere_is_said_to_be(watch, session, monkeypatch):
    watch("low")
    monkeypatch.setenv("AIRFLOW__WORKERS__STATE_STORE_BACKEND", "a.b.Backend")
    assert "[workers] state_store_backend" in shown(session)["notice"]


@pytest.mark.airflow("<3.3", "limits of older Airflows")
def test_before_airflow_3_3_the_notice_says_what_is_not_known(watch, session):
    watch("low")
    seen = shown(session)
    assert seen["notice"].startswith("Before version 3.3, Airflow does not keep the state of watchers.")
    assert (seen["watchers"][0]["state"], seen["watchers"][0]["error"]) == ("unknown", None)


def test_one_without_a_living_triggerer_is_not_running(watch, session):
    watch("low", silent=timedelta(hours=1))
    watch("lost", silent=None)
    assert [each["state"] for each in watchers(session)] == ["not running"] * 2


def test_those_that_fail_come_first(watch, session):
    watch("b")
    watch("a", trigger=key_trigger(threshold=6), silent=None)
    assert [each["asset"] for each in watchers(session)] == ["a", "b"]


def test_an_account_is_watched_as_well(watch, session):
    watch("credits", trigger=OpenRouterCreditsEventTrigger(threshold="3 days", openrouter_conn_id="one"))
    [watcher] = watchers(session)
    said = {name: watcher[name] for name in ("watches", "scope", "rule", "connection")}
    assert said == {
        "watches": "credits",
        "scope": None,
        "rule": "credits dry within 3 days",
        "connection": "one",
    }


def test_there_may_be_none(session):
    assert shown(session) == {"notice": None, "watchers": []}


# -- what may be seen


def test_only_what_the_user_may_read_is_shown(watch, session):
    watch("low", dag_ids=("alert", "secret"))
    watch("hidden", dag_ids=("secret",))
    watch("other", trigger=key_trigger(openrouter_conn_id="two"))
    assert [(each["asset"], each["dags"]) for each in watchers(session)] == [("low", ["alert"])]
    assert watchers(session, dag_ids=()) == watchers(session, connections=()) == []


def test_triggers_of_others_are_not_shown(watch, session):
    from airflow.providers.standard.triggers.file import FileDeleteTrigger

    watch("file", trigger=FileDeleteTrigger(filepath="/x"))
    assert watchers(session) == []


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        (RULE | {"threshold": "much"}, "threshold must be"),
        (RULE | {"of_a_later_release": 1}, "TypeError."),
        (None, "JSONDecodeError."),
    ],
    ids=["refused", "unknown", "encrypted"],
)
def test_one_that_cannot_be_rebuilt_is_shown_with_why(kwargs, why, watch, session):
    row, _ = watch("low")
    row.encrypted_kwargs = row.encrypt_kwargs(kwargs) if kwargs else "of another Fernet key"
    [watcher] = watchers(session)
    assert watcher["error"].startswith(f"The arguments of this watcher cannot be read: {why}")
    assert (watcher["asset"], watcher["rule"], watcher["connection"]) == ("low", None, kwargs and "one")
    assert len(watchers(session, connections=())) == (kwargs is None)


# -- what they reported, where no state says so


NEWER = {"from_trigger": True, "payload": EVENT}


@pytest.mark.parametrize(
    ("extras", "text"),
    [
        ([NEWER], REPORT),
        ([{"from_trigger": True, "payload": {"version": 1, "status": "recovered"}}, NEWER], REPORT),
        (
            [{"from_trigger": True, "payload": {"version": 1, "status": "recovered"}}],
            "OpenRouter is watched again",
        ),
        ([NEWER, {"from_rest_api": True}], REPORT),
        ([NEWER, {"from_trigger": True, "payload": {"version": 7}}], REPORT),
        ([NEWER, {"from_trigger": True, "payload": {"version": 1, "status": "low", "keys": ["a"]}}], REPORT),
        ([NEWER, {"from_trigger": True, "payload": "x"}], REPORT),
        ([{"payload": EVENT}], None),
    ],
    ids=["low", "newest", "recovered", "of a person", "of another", "odd", "of a stranger", "of a task"],
)
def test_the_newest_event_says_what_was_reported(extras, text, watch, session):
    _, asset = watch("low")
    for minute, extra in enumerate(extras):
        at = datetime.now(UTC) + timedelta(minutes=minute)
        rows.add_event(session, asset, extra, timestamp=at)
    [watcher] = watchers(session)
    assert (watcher["reported"] and watcher["reported"]["text"]) == text
    if not BEFORE_AIRFLOW_3_3:
        leave(session, asset, key_trigger(), events=[{"version": 1, "status": "recovered"}])
        assert watchers(session)[0]["reported"]["text"] == "OpenRouter is watched again"


def test_events_of_tasks_hide_no_report(watch, session):
    _, asset = watch("low")
    rows.add_event(session, asset, NEWER, timestamp=datetime.now(UTC) - timedelta(days=1))
    for _ in range(10):
        rows.add_event(session, asset, {}, source_task_id="top_up")
    assert watchers(session)[0]["reported"]["text"] == REPORT


def test_events_of_an_asset_with_two_watchers_are_of_neither(watch, session):
    _, asset = watch("low")
    rows.add_trigger(session, key_trigger(threshold=1), asset)
    rows.add_event(session, asset, NEWER)
    assert [each["reported"] for each in watchers(session)] == [None, None]
