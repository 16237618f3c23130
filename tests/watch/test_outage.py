"""A watch that fails: reported once, and once more when it is over, and remembered."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from support.state_store import Store

from airflow_provider_openrouter.exceptions import OpenRouterServerError
from airflow_provider_openrouter.watch.outage import Outage

KEY = "openrouter_failing:of-a-rule"


def outage(store=None, after=2):
    return Outage(after, KEY, store, {"connection": "one", "rule": "keys below $5.00"})


async def polls(watch, outcomes, store=None, unreachable=()):
    """Return the status of what is sent after each poll: ``x`` failed, ``.`` did not."""
    sent = []
    for number, outcome in enumerate(outcomes):
        if store:
            store.failure = RuntimeError("away") if number in unreachable else None
        await watch.keep()
        event = watch.failed(OpenRouterServerError("Busy.", status_code=503)) if outcome == "x" else watch.ended()
        sent.append(event["status"][0] if event else outcome)
    await watch.keep()
    return "".join(sent)


@pytest.mark.parametrize(
    ("after", "outcomes", "sent"),
    [
        (2, "..xx..", "..xer."),
        (1, ".x.x.", ".erer"),
        (2, "x.x.xxxxx.x.xx", "x.x.xexxxrx.xe"),
        (None, "xxxxx.", "xxxxx."),
    ],
)
@pytest.mark.parametrize("stores", [0, 1, 2])
def test_so_many_failures_in_a_row_are_sent_once(after, outcomes, sent, stores):
    store = Store(assets=stores) if stores else None
    assert asyncio.run(polls(outage(store, after), outcomes)) == sent


@pytest.mark.parametrize(
    ("before", "after", "sent"), [("xe", "xxx.", "xxxr"), ("xer", "xx.", "xer"), ("x", "x.", "x.")]
)
def test_what_was_sent_is_known_after_a_restart(before, after, sent):
    store = Store()

    async def main():
        assert await polls(outage(store), before.replace("e", "x").replace("r", ".")) == before
        return await polls(outage(store), after)

    assert asyncio.run(main()) == sent


def test_a_store_that_is_away_at_first_loses_neither_event():
    store = Store()
    assert asyncio.run(polls(outage(store), "xxxxx.", store, unreachable=(0, 1, 2))) == "xexxxr"
    store = Store({"version": 1, "failing_since": "2026-11-03T06:30:00+00:00"}, key=KEY)
    assert asyncio.run(polls(outage(store), "..x", store, unreachable=(0,))) == ".rx"
    assert json.loads(store.values[KEY]) == {"version": 1, "failing_since": None}


@pytest.mark.parametrize("state", [5, [], {"version": 1}, "x"], ids=repr)
def test_damaged_state_is_taken_as_none(state):
    assert asyncio.run(polls(outage(Store(state, key=KEY)), "xx.")) == "xer"


def test_a_watch_that_reports_no_failure_reports_no_recovery():
    store = Store({"version": 1, "failing_since": "2026-11-03T06:30:00+00:00"}, key=KEY)
    assert asyncio.run(polls(outage(store, after=None), "x.")) == "x."


def test_failures_begin_with_the_first_in_a_row():
    watch, error = outage(), OpenRouterServerError("Busy.", status_code=503)
    assert watch.failed(error) is None
    after_the_first = datetime.now(UTC).isoformat()
    since = watch.failed(error)["failing_since"]
    assert since.endswith("+00:00")
    assert since <= after_the_first


def test_failures_go_on_since_when_they_were_sent_to_have_begun():
    since = "2026-11-03T06:30:00+00:00"

    async def main():
        watch = outage(Store({"version": 1, "failing_since": since}, key=KEY))
        await watch.keep()
        assert watch.failed(OpenRouterServerError("Busy.", status_code=503)) is None
        return watch.ended()

    event = asyncio.run(main())
    assert event.items() >= {"failing_since": since, "connection": "one", "rule": "keys below $5.00"}.items()
