"""What a watch leaves about itself: what, when, and what of it outlives a restart."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import support.polling as polling
from support.keys import key, listing
from support.polling import until
from support.servers import Server, data, error
from support.state_store import Store

from airflow_provider_openrouter.exceptions import OpenRouterServerError
from airflow_provider_openrouter.keys import read_time
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger
from airflow_provider_openrouter.watch.events import failing_event, low_event
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.status import Status, read_status

connect = polling.connect
nothing_is_left = polling.nothing_is_left

KEY = "openrouter_status:of-a-rule"
BUSY = OpenRouterServerError("OpenRouter is busy", status_code=503)


def found(*left):
    """Return what a rule finds in keys of which so much is left."""
    return LimitRule(threshold=5).check(listing(*(key(f"k{number}", each) for number, each in enumerate(left))))


def poll(outcome):
    """Return how a poll went: ``x`` failed, ``.`` nothing is low, ``l`` a key is; ``e`` and ``r`` report it."""
    if outcome in "xe":
        event = failing_event(BUSY, failing_since=ago(hours=1), failures=3, watched={})
        return None, BUSY, [event] if outcome == "e" else []
    check = found(90, 90) if outcome == "." else found(90, 3.4)
    return check, None, [low_event(check, check.low, connection="one")] if outcome == "r" else []


def polls(outcomes, store, away=()):
    """Return what was stored after each poll: ``w`` or ``-``."""

    async def main():
        status, written = Status(KEY, store), ""
        for number, outcome in enumerate(outcomes):
            store.failure = RuntimeError("away") if number in away else None
            before = store.statuses_written
            await status.store(*poll(outcome))
            written += "w" if store.statuses_written > before else "-"
        return written

    return asyncio.run(main())


def ago(**time):
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def status(*, minutes=1, **fields):
    """Return a status as it was stored so long ago; of two keys that are watched, none is low."""
    fine = {"version": 1, "looked_at": ago(minutes=minutes), "watched": 2, "low": 0, "failures": 0}
    return fine | {"failing_since": None, "error": None, "reported": None} | fields


@pytest.mark.parametrize(
    ("outcomes", "written"),
    [
        (".....", "w----"),
        ("..rll..", "w-w--w-"),
        ("rr", "ww"),
        ("..xxx.x", "w-w--ww"),
        ("xxl", "w-w"),
    ],
)
def test_it_is_stored_when_it_changes(outcomes, written):
    assert polls(outcomes, Store()) == written


@pytest.mark.parametrize(
    ("before", "written"),
    [
        (status, "-"),
        (partial(status, low=1), "w"),
        (partial(status, minutes=4), "-"),
        (partial(status, minutes=6), "w"),
        (partial(status, minutes=-1), "w"),
        (partial(status, failing_since="2026-11-26T12:00:00+00:00"), "w"),
        (partial(status, version=2), "w"),
        (partial(status, failures="many"), "w"),
        (partial(status, looked_at="x"), "w"),
        (lambda: 5, "w"),
    ],
)
def test_after_a_restart_it_is_stored_if_it_is_old_or_differs(before, written):
    store = Store()
    store.statuses[KEY] = before()
    assert polls(".", store) == written
    assert read_status(store.status)


def test_a_thousand_quick_polls_store_it_once():
    assert polls("." * 1000, store := Store()).count("w") == 1
    assert store.written == 0


def test_it_says_what_is_watched_low_and_reported():
    began = datetime.now(UTC)
    polls("r", store := Store())
    seen = store.status
    at, text = seen["looked_at"], "k1 has $3.40 of $100.00 left, never resets"
    assert read_time(at) >= began
    assert at.endswith("+00:00")
    assert seen == status(looked_at=at, low=1, reported={"at": at, "text": text, "total": 1})


def test_a_key_that_is_low_and_expires_counts_once():
    at = datetime.now(UTC)
    both = key("k", 3.4, expires_at=(at + timedelta(days=1)).isoformat())
    check = LimitRule(threshold=5, expires_within="7 days").check(listing(both, observed_at=at))
    asyncio.run(Status(KEY, store := Store()).store(check, None, []))
    assert (store.status["watched"], store.status["low"]) == (1, 1)


def test_it_says_why_and_since_when_it_fails():
    polls(".x", store := Store())
    seen = store.status
    assert seen == status(
        looked_at=seen["looked_at"], failures=1, failing_since=seen["looked_at"], error="OpenRouter is busy."
    )


def test_it_counts_failures_in_a_row():
    assert polls("xxxe", store := Store()) == "w--w"
    assert store.status["failures"] == 4


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OpenRouterServerError("a\nb " * 1000, status_code=500), "a b " * 74 + "a …"),
        (KeyError("sk-or-v1-secret"), "An unexpected KeyError. The triggerer's log has the traceback."),
    ],
    ids=["long", "unexpected"],
)
def test_errors_are_short_and_those_of_others_are_not_shown(failure, said):
    store = Store()
    asyncio.run(Status(KEY, store).store(None, failure, []))
    assert store.status["error"] == said


def test_reports_and_the_start_of_failures_outlive_a_restart():
    reported = {"at": ago(days=2), "text": "k1 has $3.40 left", "total": 1}
    since = ago(hours=1)
    store = Store()
    store.statuses[KEY] = status(reported=reported, failures=7, failing_since=since, looked_at=ago(hours=1))
    polls("x", store)
    assert store.status["reported"] == reported
    assert (store.status["failures"], store.status["failing_since"]) == (8, since)
    assert (store.status["watched"], store.status["low"]) == (2, 0)
    polls(".", store)
    assert store.status == status(looked_at=store.status["looked_at"], reported=reported)


def test_what_happens_while_the_store_is_away_is_stored_later():
    assert polls("r..x", store := Store(), away=(0, 1)) == "--ww"
    assert store.status["reported"]["total"] == 1
    assert polls(".x.xx", Store(), away=(1, 3)) == "w---w"


@pytest.mark.parametrize("store", [None, Store(assets=2)], ids=["none", "of two assets"])
def test_without_a_store_of_its_own_it_is_not_stored(store):
    asyncio.run(Status(KEY, store).store(*poll("r")))
    assert store is None or not store.statuses


def test_a_watch_stores_how_each_poll_went(connect):
    keys, fault = {"a": key("a", 90)}, []
    store, events = Store(), []

    async def watch(trigger):
        async with aclosing(trigger.run()) as sent:
            async for event in sent:
                events.append((event.payload["status"], dict(store.status)))

    async def main():
        trigger = OpenRouterKeyLimitEventTrigger(threshold=5, poll_interval=0.02, report_failures_after=1)
        trigger.asset_state_store = store
        watching = asyncio.create_task(watch(trigger))
        try:
            await until(lambda: store.status)
            assert (store.status["watched"], store.status["low"]) == (1, 0)
            keys["a"] = key("a", 3)
            await until(lambda: store.status["reported"])
            assert (store.status["low"], store.status["reported"]["text"][:12]) == (1, "a has $3.00 ")
            fault.append(error(500))
            await until(lambda: store.status["failing_since"])
            assert store.status["error"]
            assert store.status["reported"]["text"].startswith("OpenRouter is not watched: 1 poll in a row")
            fault.clear()
            await until(lambda: not store.status["failing_since"])
            keys.clear()
            await until(lambda: store.status["failing_since"])
            assert store.status["error"].startswith("No key is watched: no active key with a limit")
            assert (store.status["watched"], store.status["low"]) == (0, 0)
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    with Server(lambda request: fault[0] if fault else data(list(keys.values())[request.offset :])) as server:
        connect(server)
        asyncio.run(main())
    assert [kind for kind, _ in events] == ["low", "error", "recovered", "error"]
    assert events[0][1]["low"] == 0, "An event goes before the status that tells of it."
