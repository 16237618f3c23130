"""The triggers of an account's credits: what they report, share and remember."""

import asyncio
import json
from contextlib import aclosing

import pytest
import support.polling as polling
from support.accounts import CreditAccount, activity, asked
from support.polling import eventually, listing_threads, until
from support.servers import BREAKS, HANGS, TOKEN, Answer, Server, data, error
from support.state_store import Store
from support.tasks import logging_kind

from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterServerError
from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterCreditsEventTrigger,
    OpenRouterCreditsTrigger,
)
from airflow_provider_openrouter.watch.events import read_account

connect = polling.connect
nothing_is_left = polling.nothing_is_left

PATH = "airflow_provider_openrouter.triggers.openrouter"
TEMPORARY = [error(429), error(500), BREAKS, Answer(401, "<html>"), Answer(200, "no JSON")]
PERMANENT = [error(404), data(None), data({"total_credits": 5}), data({"total_credits": 5, "total_usage": "NaN"})]


def trigger(kind, *, store=None, **arguments):
    made = logging_kind(kind)(**{"threshold": 5, "poll_interval": 0.05} | arguments)
    made.asset_state_store = store
    return made


def wait(**arguments):
    async def events():
        async with asyncio.timeout(20):
            return [event.payload async for event in trigger(OpenRouterCreditsTrigger, **arguments).run()]

    [event] = asyncio.run(events())
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert event["version"] == 1
    assert TOKEN not in json.dumps(event)
    return event


class Watcher:
    """An event trigger that runs in the background, and what it has reported."""

    def __init__(self, **arguments):
        self.events = []
        self.task = asyncio.create_task(self._run(trigger(OpenRouterCreditsEventTrigger, **arguments)))

    async def _run(self, watching):
        async with aclosing(watching.run()) as events:
            async for event in events:
                self.events.append(event.payload)

    @property
    def balances(self):
        return [event["balance"] for event in self.events]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.wait([self.task])


async def polled(server, times=1):
    """Wait until what is true now was read, and came to the watchers."""
    enough = asked(server) + times + 2
    await until(lambda: asked(server) >= enough)


# -- a wait


@pytest.mark.parametrize("polls", [[4.5], [90, 5, 4.5]], ids=["first", "later"])
def test_a_low_balance_is_reported(polls, connect):
    with Server(CreditAccount(*polls)) as server:
        connect(server)
        event = wait()
    assert event.pop("message").startswith("The OpenRouter account has $4.50 of credits left")
    assert event.pop("observed_at").endswith("+00:00")
    assert event == {
        "version": 1,
        "status": "low",
        "total_credits": 1000,
        "total_usage": 995.5,
        "balance": 4.5,
        "reason": "limit",
        "threshold": 5.0,
        "pace_usd_per_day": None,
        "runs_dry_at": None,
    }
    assert [request.path for request in server.requests] == ["/credits"] * len(polls)  # and no activity


def test_a_balance_that_lasts_too_short_is_reported(connect):
    with Server(CreditAccount(100, 29, activity=activity(5, 15))) as server:
        connect(server)
        event = wait(threshold="1 day")  # it grows by 71 within moments, over at least six hours
    assert (event["reason"], event["threshold"]) == ("runway", "1 day")
    assert event["pace_usd_per_day"] == pytest.approx(284)
    assert event["runs_dry_at"] > event["observed_at"]
    assert (asked(server), asked(server, "/activity")) == (2, 1)


@pytest.mark.parametrize("when", ["first", "later"])
@pytest.mark.parametrize("fault", TEMPORARY)
def test_a_wait_goes_on_after_a_temporary_fault(fault, when, connect, caplog):
    with Server(CreditAccount(*[90] * (when == "later"), fault, 1)) as server:
        connect(server)
        assert wait()["balance"] == 1
    assert caplog.text.count("The wait goes on.") == 1


@pytest.mark.parametrize("when", ["first", "later"])
@pytest.mark.parametrize("fault", PERMANENT)
def test_a_permanent_fault_ends_a_wait(fault, when, connect):
    with Server(CreditAccount(*[90] * (when == "later"), fault)) as server:
        connect(server)
        event = wait()
    assert event["status"] == "error"
    with pytest.raises(Exception, match="Check") as raised:
        read_account(event)
    assert type(raised.value).__name__.startswith("OpenRouter")


@pytest.mark.parametrize("fault", [error(500), error(404), data("rows"), data([{"date": None, "usage": 1}])])
def test_a_fault_of_the_activity_is_one_of_a_time_alone(fault, connect, caplog):
    account = CreditAccount(90, 1, activity=fault)
    with Server(account) as server:
        connect(server)
        assert wait()["balance"] == 1
        if fault.status != 500:
            assert wait(threshold="3 days")["status"] == "error"
            return

        async def recovers():
            waiting = asyncio.create_task(anext(trigger(OpenRouterCreditsTrigger, threshold="3 days").run()))
            await until(lambda: "The wait goes on." in caplog.text)
            account.activity = activity(7)
            return (await waiting).payload

        assert asyncio.run(recovers())["pace_usd_per_day"] == 7


def test_a_key_that_is_shown_zeros_is_refused_and_no_alert(connect):
    with Server(
        CreditAccount(data({"total_credits": 0, "total_usage": 0}), key={"is_management_key": False})
    ) as server:
        connect(server)
        event = wait()
    assert (event["status"], event["error"]) == ("error", "OpenRouterAuthError")


@pytest.mark.parametrize("hangs", ["/credits", "/activity"])
def test_a_wait_that_is_given_up_ends_its_request(hangs, connect):
    async def give_up():
        waiting = asyncio.create_task(anext(trigger(OpenRouterCreditsTrigger, threshold="3 days").run()))
        await until(lambda: asked(server, hangs))
        waiting.cancel()
        await asyncio.wait([waiting])

    account = CreditAccount(90)
    with Server(lambda request: HANGS if request.path == hangs else account(request)) as server:
        connect(server, timeout=60)
        asyncio.run(give_up())
        assert eventually(lambda: not listing_threads())


# -- a watch


def test_a_low_balance_is_reported_once_until_it_has_recovered(connect):
    async def watch():
        async with Watcher(rearm_margin=10) as watcher:
            for balance, reported in [
                (4, [4]),
                (3, [4]),
                (14.99, [4]),  # within the margin
                (2, [4]),
                (15, [4]),
                (1, [4, 1]),
            ]:
                account.set(balance)
                await polled(server)
                assert watcher.balances == reported

    account = CreditAccount(90)
    with Server(account) as server:
        connect(server)
        asyncio.run(watch())


def test_credits_that_are_bought_re_arm_a_time(connect):
    async def watch():
        async with Watcher(threshold="3 days") as watcher:
            for balance, reported in [(29, [29]), (28, [29]), (900, [29]), (28, [29, 28])]:
                account.set(balance)
                await polled(server)
                assert watcher.balances == reported

    account = CreditAccount(90, activity=activity(10))
    with Server(account) as server:
        connect(server)
        asyncio.run(watch())
    assert asked(server, "/activity") == 1


def test_after_a_restart_it_is_not_reported_again(connect, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.alert_state.SETTLING", 0.05)

    async def watch():
        async with Watcher(store=store) as watcher:
            await until(lambda: watcher.balances == [4])
            await until(lambda: store.written)
        async with Watcher(store=store) as watcher:
            account.set(3)
            await polled(server)
            assert watcher.balances == []
            account.set(90)
            await polled(server)
            account.set(2)
            await until(lambda: watcher.balances == [2])

    store, account = Store(), CreditAccount(4)
    with Server(account) as server:
        connect(server)
        asyncio.run(watch())


def test_a_failing_watch_goes_on_and_says_so(connect, caplog):
    async def watch():
        async with Watcher(report_failures_after=2) as watcher:
            await until(lambda: watcher.events)
            account.set(1)
            await until(lambda: len(watcher.events) == 3)
            return watcher.events

    account = CreditAccount(error(500))
    with Server(account) as server:
        connect(server)
        failing, recovered, low = asyncio.run(watch())
    assert [event["status"] for event in (failing, recovered, low)] == ["error", "recovered", "low"]
    watched = {"connection": "openrouter_default", "rule": "credits below $5.00"}
    assert watched.items() <= failing.items() & recovered.items()
    said = "The watch of connection 'openrouter_default', credits below $5.00, goes on (failure 1 in a row)."
    assert said in caplog.text


def test_after_so_many_failures_the_watch_raises(connect):
    async def watch():
        async with Watcher(max_consecutive_failures=2) as watcher:
            await asyncio.wait([watcher.task], timeout=20)
            return watcher.task.exception()

    with Server(CreditAccount(error(500))) as server:
        connect(server)
        assert isinstance(asyncio.run(watch()), OpenRouterServerError)


# -- sharing


@pytest.mark.parametrize(("unit", "activities"), [("", 0), (" hours", 1)])
def test_hundreds_share_their_polls(unit, activities, connect):
    async def watch():
        kinds = [OpenRouterCreditsTrigger, OpenRouterCreditsEventTrigger]
        waiting = [
            asyncio.create_task(anext(trigger(kinds[n % 2], threshold=f"{n}{unit}", poll_interval=1).run()))
            for n in range(1, 301)
        ]
        await until(lambda: asked(server) == 2)
        account.set(-1)
        return await asyncio.gather(*waiting)

    account = CreditAccount(1000, activity=activity(1))
    with Server(account) as server:
        connect(server)
        events = asyncio.run(watch())
    assert len({event.payload["threshold"] for event in events}) == 300
    assert {event.payload["balance"] for event in events} == {-1}
    assert (asked(server), asked(server, "/activity")) == (3, activities)


# -- what is stored


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (OpenRouterCreditsTrigger, {"has_listed": False, "first_poll_at": None}),
        (OpenRouterCreditsEventTrigger, {"rearm_margin": 0.0, "max_consecutive_failures": None}),
    ],
)
def test_a_trigger_is_stored_by_its_public_path(kind, arguments):
    path, stored = kind(threshold="72 hours").serialize()
    assert path == f"{PATH}.{kind.__name__}"
    assert stored == {
        "threshold": "3 days",
        "openrouter_conn_id": "openrouter_default",
        "poll_interval": 60.0,
        **arguments,
    }
    assert kind(**json.loads(json.dumps(stored))).serialize() == (path, stored)


@pytest.mark.parametrize("kind", [OpenRouterCreditsTrigger, OpenRouterCreditsEventTrigger])
@pytest.mark.parametrize(
    ("name", "value"), [("threshold", "10%"), ("threshold", ["1 day"]), ("poll_interval", 0)]
)
def test_nonsense_is_refused_at_once(kind, name, value):
    with pytest.raises(OpenRouterRequestError, match=name):
        kind(**{"threshold": 5} | {name: value})


@pytest.mark.parametrize(
    ("threshold", "margin"), [(5, "10%"), (5, "1 day"), ("1 day", 5), ("1 day", "10%"), (5, -1)]
)
def test_a_margin_of_another_kind_is_refused(threshold, margin):
    with pytest.raises(OpenRouterRequestError, match="rearm_margin"):
        OpenRouterCreditsEventTrigger(threshold=threshold, rearm_margin=margin)
