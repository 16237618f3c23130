"""The event trigger: what it reports, how it shares its polls, and what it remembers."""

import asyncio
import gc
import importlib
import json
import logging
import time
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest
import support.polling as polling
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from support.keys import key
from support.lines import needs_state_store
from support.polling import NEW_TOKEN, ROUNDING, begun, until
from support.servers import BREAKS, HANGS, TOKEN, Answer, Server, data, error
from support.state_store import Store
from support.tasks import logging_kind

from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterKeyLimitEventTrigger,
    OpenRouterKeyLimitTrigger,
)
from airflow_provider_openrouter.watch.polling import polls
from airflow_provider_openrouter.watch.rule import LimitRule

connect_to = polling.connect
nothing_is_left = polling.nothing_is_left


@pytest.fixture
def connect(connect_to):
    """Return what connects to a server; pages come one by one, so that those of a poll are of one moment."""
    return partial(connect_to, max_concurrency=1)


TEAM_ID = "5f0c1f2e-0f3a-4c55-9a0b-0d7a52d6a001"


WATCH = "The watch of connection 'openrouter_default', keys below $5.00,"


class Keys:
    """An account of a single workspace whose keys change, and which fails as long as there is a fault."""

    def __init__(self, *keys: dict, fault: Answer | None = None) -> None:
        self.keys = {each["hash"]: each for each in keys}
        self.fault = fault

    def __call__(self, request):
        if request.path == "/workspaces" and not self.fault:
            return Answer(body={"data": [{"id": TEAM_ID, "name": "team"}][request.offset :], "total_count": 1})
        return self.fault or data(list(self.keys.values())[request.offset :])

    def set(self, hash_: str, remaining: float | None) -> None:
        self.keys = self.keys | {hash_: key(hash_, remaining)}

    def delete(self, hash_: str) -> None:
        self.keys = {name: each for name, each in self.keys.items() if name != hash_}


class Watcher:
    """A trigger that runs in the background, and what it has reported."""

    def __init__(self, trigger: OpenRouterKeyLimitEventTrigger) -> None:
        self.events: list[dict] = []
        self.on_event = lambda: None
        self.task = asyncio.create_task(self._run(trigger))

    async def _run(self, trigger: OpenRouterKeyLimitEventTrigger) -> None:
        async with aclosing(trigger.run()) as events:
            async for event in events:
                assert type(event) is TriggerEvent
                assert json.loads(json.dumps(event.payload, allow_nan=False)) == event.payload
                self.on_event()
                self.events.append(event.payload)

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    @property
    def reported(self) -> list[list[str]]:
        return [[each["hash"] for each in event["keys"]] for event in self.events]

    async def ended(self) -> BaseException | None:
        async with asyncio.timeout(10):
            await asyncio.wait([self.task])
        return self.task.exception()


def new_key(sandbox, **fields) -> str:
    """Create an active key."""
    return sandbox.create_key(**{"disabled": False, "expires_at": None} | fields)


def pauses(beginnings: list[float], server: Server) -> list[float]:
    """Return how far apart the beginnings are of the listings that a server has seen, which come in any order."""
    assert 0 <= begun(server) - len(beginnings) <= 1  # the last one may have been given up
    return [after - before + ROUNDING for before, after in pairwise(sorted(beginnings))]


async def polled(server, times: int = 1) -> None:
    """Wait until what is true now was listed, and handed to the watchers before the next listing ended."""
    enough = begun(server) + times + 2
    await until(lambda: begun(server) >= enough)


def trigger(number: int = 0, *, store=None, **arguments) -> OpenRouterKeyLimitEventTrigger:
    kind = logging_kind(OpenRouterKeyLimitEventTrigger, f"trigger.{number}")
    made = kind(**{"threshold": 5, "poll_interval": 0.05} | arguments)
    made.asset_state_store = store
    return made


def said(caplog, level: int, number: int = 0) -> list[str]:
    return [
        each.getMessage() for each in caplog.records if each.name == f"trigger.{number}" and each.levelno == level
    ]


def failures(caplog, number: int = 0) -> list[str]:
    return [each for each in said(caplog, logging.WARNING, number) if "in a row)." in each]


@pytest.fixture
def beginnings(monkeypatch):
    """When the polls began that came to watchers, on the monotonic clock: what a server sees is later."""
    seen: list[float] = []

    async def noting(*arguments, **options):
        async with aclosing(polls(*arguments, **options)) as taken:
            async for poll in taken:
                if poll.began not in seen:
                    seen.append(poll.began)
                yield poll

    monkeypatch.setattr("airflow_provider_openrouter.triggers.base.polls", noting)
    return seen


@pytest.fixture
def settling(monkeypatch):
    """Events that are saved soon."""
    monkeypatch.setattr("airflow_provider_openrouter.watch.alert_state.SETTLING", 0.05)


@asynccontextmanager
async def watching(*triggers):
    """Run triggers in one event loop, and end what they leave."""
    watchers = [Watcher(each) for each in triggers]
    try:
        yield watchers
        assert not [each.task for each in watchers if each.task.done() and not each.task.exception()]
    finally:
        for each in watchers:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in watchers), return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def run(coroutine) -> None:
    async def main():
        async with asyncio.timeout(30):
            await coroutine

    asyncio.run(main())


# -- what it reports


def test_the_event_has_the_keys_as_the_api_sent_them(sandbox, connection):
    hash_ = new_key(sandbox, name="billing-prod", limit=50.0, limit_remaining=4.25, limit_reset="weekly")
    new_key(sandbox, name="billing-dev", limit=50.0, limit_remaining=49.0)

    async def main():
        async with watching(trigger(name_pattern="billing-prod", threshold="10%")) as [watcher]:
            await until(lambda: watcher.events)
        return watcher.events

    [event] = asyncio.run(main())
    sent = sandbox.answer(f"/api/v1/keys/{hash_}", f"Bearer {sandbox.token}")[1]["data"]
    [reported] = event.pop("keys")
    assert "- billing-prod (sk-or-v1-" in event.pop("message")
    assert event == {"version": 1, "status": "low", "low_count": 1, "total": 1}
    assert (reported.pop("reason"), reported.pop("threshold")) == ("limit", "10%")
    assert datetime.fromisoformat(reported.pop("next_reset_at")).weekday() == 0
    assert reported.pop("observed_at").endswith("+00:00")
    assert reported == sent
    assert reported["label"].startswith("sk-or-v1-")
    assert (reported["hash"], reported["name"], reported["limit_reset"]) == (hash_, "billing-prod", "weekly")
    assert (reported["limit"], reported["limit_remaining"]) == (50, 4.25)
    assert reported["workspace_id"] == sent["workspace_id"]
    assert sent["workspace_id"]


def test_keys_that_cross_in_one_poll_are_reported_in_one_event(connect):
    keys = Keys(key("a", 4), key("b", 90), key("c", 90), key("d", 90))

    async def main():
        async with watching(trigger()) as [watcher]:
            await until(lambda: watcher.events)
            keys.keys = {each["hash"]: each for each in (key("a", 4), key("b", 3), key("c", -1), key("d", 90))}
            await until(lambda: len(watcher.events) == 2)
            await polled(server)
        assert watcher.reported == [["a"], ["c", "b"]]
        assert [event["low_count"] for event in watcher.events] == [1, 3]
        assert {each["threshold"] for event in watcher.events for each in event["keys"]} == {5.0}

    with Server(keys) as server:
        connect(server)
        run(main())


def test_a_crossing_is_reported_again_only_after_a_recovery(sandbox, connection, caplog):
    hash_ = new_key(sandbox, name="watched", limit=100.0, limit_remaining=90.0)

    async def main():
        async with watching(trigger(key_hashes=[hash_], poll_interval=0.03)) as [watcher]:
            await polled(sandbox)
            assert not watcher.events
            for crossings in (1, 2, 3):
                sandbox.update_key(hash_, limit_remaining=4.0)
                await until(lambda: len(watcher.events) == crossings)  # noqa: B023  # at once
                await polled(sandbox, 3)
                assert len(watcher.events) == crossings
                sandbox.update_key(hash_, limit_remaining=90.0)
                await polled(sandbox)
        assert watcher.reported == [[hash_]] * 3

    run(main())
    assert said(caplog, logging.INFO).count("Reporting 1 key that crossed the threshold") == 3


def test_a_deleted_disabled_or_unlimited_key_is_re_armed(sandbox, connection):
    hash_ = new_key(sandbox, name="watched", limit=100.0, limit_remaining=4.0)

    async def main():
        async with watching(trigger(name_pattern="watched", poll_interval=0.03)) as [watcher]:
            await until(lambda: len(watcher.events) == 1)
            sandbox.update_key(hash_, disabled=True)
            await polled(sandbox)
            sandbox.update_key(hash_, disabled=False)
            await until(lambda: len(watcher.events) == 2)
            sandbox.update_key(hash_, limit=None, limit_remaining=None)
            await polled(sandbox)
            sandbox.update_key(hash_, limit=100.0, limit_remaining=4.0)
            await until(lambda: len(watcher.events) == 3)
            sandbox.delete_key(hash_)
            await polled(sandbox)
            new_key(sandbox, hash=hash_, name="watched", limit=100.0, limit_remaining=4.0)
            await until(lambda: len(watcher.events) == 4)
            await polled(sandbox)
        assert watcher.reported == [[hash_]] * 4

    run(main())


@pytest.mark.parametrize(("margin", "times"), [(0, 3), (10, 1), ("10%", 1)])
def test_a_key_that_hovers_is_reported_once_with_a_margin(margin, times, connect):
    keys = Keys(key("a", 4))

    async def main():
        async with watching(trigger(poll_interval=0.03, rearm_margin=margin)) as [watcher]:
            await until(lambda: watcher.events)
            for _ in range(2):
                keys.set("a", 6)
                await polled(server)
                keys.set("a", 4)
                await polled(server)
        assert watcher.reported == [["a"]] * times

    with Server(keys) as server:
        connect(server)
        run(main())


def test_a_key_is_reported_at_each_step_after_a_restart_too(connect, settling):
    keys, store = Keys(key("a", 90)), Store()
    steps = ["50%", "25%", "10%"]

    async def main():
        for left, reported in ((40, ["50%"]), (20, ["25%"]), (30, []), (5, ["10%"])):
            keys.set("a", left)
            async with watching(trigger(threshold=steps, store=store)) as [watcher]:
                await polled(server)
                await until(lambda: store.values)
                if reported:
                    await until(lambda: store.state["steps"] == {"a": reported[0]})  # noqa: B023  # at once
            assert [each["threshold"] for event in watcher.events for each in event["keys"]] == reported

    with Server(keys) as server:
        connect(server)
        run(main())


def test_one_that_runs_dry_and_one_that_expires_come_once(connect, settling):
    soon = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    spends = {"usage_daily": 30, "usage_weekly": 30, "usage_monthly": 30, "usage": 30}
    old = {"created_at": "2026-01-01T00:00:00Z"}
    keys = Keys(
        key("dry", 40, **spends, **old),
        key("lasts", 40, **old),
        key("free", None, limit=None, expires_at=soon, **spends, **old),
    )
    store = Store()

    async def main():
        for events in (1, 0):
            watched = trigger(threshold="3 days", expires_within="7 days", store=store)
            async with watching(watched) as [watcher]:
                await polled(server, 3)
                await until(lambda: store.values)
            assert len(watcher.events) == events
            for event in watcher.events:
                dry, free = event["keys"]
                assert (dry["hash"], dry["reason"], dry["threshold"]) == ("dry", "runway", "3 days")
                assert datetime.fromisoformat(dry["runs_dry_at"]) > datetime.now(UTC)
                assert dry["pace_usd_per_day"] >= 30 / 31
                assert (free["hash"], free["reason"], free["threshold"]) == ("free", "expiry", "7 days")
                assert (event["total"], event["low_count"]) == (2, 2)

    with Server(keys) as server:
        connect(server)
        run(main())


def test_an_event_carries_the_hundred_lowest_keys(connect):
    async def main():
        async with watching(trigger()) as [watcher]:
            await until(lambda: watcher.events)
        [event] = watcher.events
        assert watcher.reported == [[str(number) for number in range(100)]]
        assert (event["total"], event["low_count"]) == (130, 130)

    with Server(Keys(*(key(str(number), number / 100) for number in range(130)))) as server:
        connect(server)
        run(main())


# -- one poll for many


def test_fifty_watchers_of_different_rules_poll_as_often_as_one(connect, beginnings):
    interval, enough = 0.5, 4  # half an interval may pass before a late watcher polls by itself
    names = [f"key-{number:02}" for number in range(50)]
    keys = Keys(*(key(name, 90) for name in names))
    triggers = [
        trigger(number, key_hashes=[name], threshold=5 + number / 10, poll_interval=interval)
        for number, name in enumerate(names)
    ]

    async def main():
        before = begun(server)
        async with watching(*triggers) as watchers:
            await until(lambda: begun(server) > before)
            keys.keys = {name: key(name, 1) for name in names}
            await until(lambda: all(each.events for each in watchers))
            await until(lambda: begun(server) >= before + enough)
        assert [watcher.reported for watcher in watchers] == [[[each.rule.key_hashes[0]]] for each in triggers]
        assert all(event["low_count"] == 1 for each in watchers for event in each.events)

    with Server(keys) as server:
        connect(server)
        run(main())
    assert begun(server) >= enough
    assert len(server.requests) <= 2 * begun(server)
    assert all(pause >= interval for pause in pauses(beginnings, server))


def test_watchers_that_begin_at_the_same_moment_share_their_poll(connect):
    async def main():
        triggers = [trigger(number, threshold=5 + number, poll_interval=60) for number in range(2)]
        async with watching(*triggers) as watchers:
            await until(lambda: all(each.events for each in watchers))

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert begun(server) == 1


def test_a_watcher_and_a_task_that_waits_share_their_poll(connect):
    async def main():
        waiting = OpenRouterKeyLimitTrigger(threshold=5, poll_interval=60)
        async with watching(trigger(poll_interval=60)) as [watcher], aclosing(waiting.run()) as events:
            [found] = (await anext(events)).payload["keys"]
            await until(lambda: watcher.events)
        assert [[found["hash"]]] == watcher.reported

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert begun(server) == 1


@pytest.mark.airflow(">=3.3", "shared streams")
def test_it_does_not_use_the_shared_streams_of_airflow():
    assert trigger().shared_stream_key() is None


def test_those_who_come_later_share_and_leaving_ends_nothing(connect, beginnings):
    keys = Keys(key("a", 90))

    async def main():
        first = Watcher(trigger(poll_interval=0.1))
        await until(lambda: begun(server) == 2)
        second = Watcher(trigger(poll_interval=0.1, threshold=50))
        keys.set("a", 40)
        await until(lambda: second.events)
        await first.cancel()
        keys.set("a", 90)
        await polled(server)
        keys.set("a", 1)
        await until(lambda: len(second.events) == 2)
        await second.cancel()
        assert not first.events

    with Server(keys) as server:
        connect(server)
        run(main())
    assert all(pause >= 0.1 for pause in pauses(beginnings, server))


def test_a_watcher_of_a_named_workspace_reports_its_name(connect):
    watched = trigger(workspace_id="team", store=Store())

    async def main():
        async with watching(watched) as [watcher]:
            await until(lambda: watcher.events)
            await polled(server)
        [[reported]] = [event["keys"] for event in watcher.events]
        assert reported["workspace_name"] == "team"
        assert reported["workspace_id"] == TEAM_ID

    with Server(Keys(key("a", 4, workspace_id=TEAM_ID))) as server:
        connect(server)
        run(main())
    assert sum(request.path == "/workspaces" and not request.offset for request in server.requests) == 1
    assert {request.query["workspace_id"] for request in server.requests if request.path == "/keys"} == {TEAM_ID}
    assert watched.serialize()[1]["workspace_id"] == "team"


def test_watchers_of_other_connections_or_workspaces_list_theirs(connect):
    def answer(account: str):
        return lambda request: data([key(f"{account} {request.query.get('workspace_id')}", 1)][request.offset :])

    async def main():
        triggers = [
            trigger(openrouter_conn_id=conn_id, workspace_id=workspace, poll_interval=interval)
            for conn_id in ("one", "other")
            for workspace in (None, TEAM_ID)
            for interval in (0.1, 0.15)
        ]
        async with watching(*triggers) as watchers:
            await until(lambda: all(each.events for each in watchers))
        for each, watcher in zip(triggers, watchers, strict=True):
            assert watcher.reported == [[f"{each.source.openrouter_conn_id} {each.source.scope.typed}"]]

    with Server(answer("one")) as one, Server(answer("other")) as other:
        connect(one, "one")
        connect(other, "other")
        run(main())
    for server in (one, other):
        assert {request.query.get("workspace_id") for request in server.requests} == {None, TEAM_ID}


# -- failures


def test_after_failures_pauses_grow_and_each_watcher_warns_once(connect, beginnings, caplog):
    keys = Keys(key("a", 90))

    def answer(request):  # the third to the fifth listing fail
        return error(500) if not request.offset and 3 <= begun(server) <= 5 else keys(request)

    async def main():
        triggers = [trigger(number, poll_interval=0.1, store=Store()) for number in range(3)]
        async with watching(*triggers) as watchers:
            await until(lambda: begun(server) == 5)
            keys.set("a", 4)
            await until(lambda: all(each.events for each in watchers))
            await polled(server)
        assert [each.reported for each in watchers] == [[["a"]]] * 3

    with Server(answer) as server:
        connect(server)
        run(main())
    least = [0.1, 0.1, 0.1, 0.2, 0.4, 0.1]
    seen = pauses(beginnings, server)
    assert len(seen) >= len(least)
    assert all(pause >= each for pause, each in zip(seen, least, strict=False))
    for number in range(3):
        lines = said(caplog, logging.WARNING, number)
        assert [line.rpartition(f" {WATCH} goes on ")[2] for line in lines] == [
            f"(failure {failure} in a row)." for failure in (1, 2, 3)
        ]
        assert not any("\n" in line for line in lines)
        assert not said(caplog, logging.ERROR, number)
    assert not [each for each in caplog.records if each.exc_info]


FAULTS = {
    "429": (error(429, f"slow down {TOKEN}"), "OpenRouterRateLimitError"),
    "500": (error(500, f"oh {TOKEN}"), OpenRouterServerError),
    "breaks": (BREAKS, OpenRouterConnectionError),
    "401": (error(401, f"who is {TOKEN}"), OpenRouterAuthError),
    "403": (error(403, f"not {TOKEN}"), OpenRouterAuthError),
    "404": (error(404, f"no {TOKEN}"), OpenRouterRequestError),
    "html": (Answer(200, f"<html>{TOKEN}"), OpenRouterResponseError),
    "no hash": (data([{"name": TOKEN}]), OpenRouterResponseError),
    "redirect": (Answer(302, headers={"Location": f"https://example.com/{TOKEN}"}), OpenRouterResponseError),
}


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, (fault, _) in FAULTS.items()])
def test_whatever_fails_the_watch_goes_on_at_its_interval(fault, connect, beginnings, caplog):
    keys = Keys(key("a", 4), fault=fault)

    async def main():
        async with watching(trigger(poll_interval=0.06), trigger(1, poll_interval=0.06)) as watchers:
            await until(lambda: begun(server) == 3)
            keys.fault = None
            await until(lambda: all(each.events for each in watchers))
        assert [each.reported for each in watchers] == [[["a"]]] * 2

    with Server(keys) as server:
        connect(server)
        run(main())
    seen = pauses(beginnings, server)
    assert len(seen) >= 2
    assert all(pause >= 0.06 for pause in seen)
    assert failures(caplog)
    assert not [each for each in caplog.records if each.exc_info]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [pytest.param(*case, id=name) for name, case in FAULTS.items() if not isinstance(case[1], str)],
)
def test_after_so_many_failures_in_a_row_the_error_is_raised(fault, kind, connect, caplog):
    async def main():
        async with watching(trigger(max_consecutive_failures=2, store=Store())) as [watcher]:
            raised = await watcher.ended()
        assert type(raised) is kind
        assert TOKEN not in repr(vars(raised)) + str(raised)
        assert not watcher.events

    with Server(Keys(fault=fault)) as server:
        connect(server)
        run(main())
    assert begun(server) == 2
    _, last = said(caplog, logging.WARNING)
    assert last.endswith(f". {WATCH} ends, and Airflow starts it again (failure 2 in a row).")


def test_each_watcher_counts_its_failures_for_itself(connect, caplog):
    keys = Keys(key("a", 4), fault=error(503))

    async def main():
        limits = (1, 2, 3, None)
        triggers = [
            trigger(number, max_consecutive_failures=limit, store=Store()) for number, limit in enumerate(limits)
        ]
        async with watching(*triggers) as watchers:
            for each in watchers[:3]:
                assert type(await each.ended()) is OpenRouterServerError
            seen = begun(server)
            keys.fault = None
            await until(lambda: watchers[3].events)
        assert seen >= 3
        assert [each.reported for each in watchers] == [[], [], [], [["a"]]]
        assert [len(failures(caplog, number)) for number in range(3)] == [1, 2, 3]
        assert len(failures(caplog, 3)) >= 3

    with Server(keys) as server:
        connect(server)
        run(main())


def test_only_failures_in_a_row_are_counted(connect, caplog):
    keys = Keys(key("a", 90))

    def answer(request):  # two of three listings fail
        return error(500) if not request.offset and begun(server) % 3 else keys(request)

    async def main():
        async with watching(trigger(max_consecutive_failures=3, poll_interval=0.02)) as [watcher]:
            await until(lambda: begun(server) >= 10)
            assert not watcher.task.done()

    with Server(answer) as server:
        connect(server)
        run(main())
    assert len(failures(caplog)) >= 6
    assert {line[-len("(failure 1 in a row).") :] for line in failures(caplog)} == {
        f"(failure {number} in a row)." for number in (1, 2)
    }


def test_a_key_that_is_gone_is_a_warning_and_is_re_armed(connect, settling, caplog):
    keys, stores = Keys(key("a", 90)), [Store(), Store()]

    async def main():
        triggers = [
            trigger(0, key_hashes=["gone"], max_consecutive_failures=1, store=stores[0]),
            trigger(1, max_consecutive_failures=1, store=stores[1]),
        ]
        async with watching(*triggers) as watchers:
            await until(lambda: len(said(caplog, logging.WARNING)) >= 2)
            for times in (1, 2):
                keys.set("gone", 1)
                await until(lambda: all(len(each.events) == times for each in watchers))  # noqa: B023  # at once
                await until(lambda: all(each.values and each.reported == ["gone"] for each in stores))
                keys.delete("gone")
                await until(lambda: all(each.reported == [] for each in stores))
            assert not any(each.task.done() for each in watchers)
        assert [each.reported for each in watchers] == [[["gone"]] * 2] * 2

    with Server(keys) as server:
        connect(server)
        run(main())
    assert all("not listed: gone" in line for line in said(caplog, logging.WARNING, 0))
    assert not said(caplog, logging.WARNING, 1)


def test_a_watch_of_nothing_is_a_warning_and_no_failure(connect, caplog):
    keys = Keys(key("a", 90))

    async def main():
        watched = trigger(name_pattern="none*", max_consecutive_failures=1, store=Store())
        async with watching(watched) as [watcher]:
            await polled(server, 3)
            assert not watcher.task.done()
            assert not watcher.events

    with Server(keys) as server:
        connect(server)
        run(main())
    assert len(said(caplog, logging.WARNING)) >= 3
    assert all(line.startswith("No key is watched") for line in said(caplog, logging.WARNING))
    assert all("matches name_pattern 'none*'." in line for line in said(caplog, logging.WARNING))


def test_a_failing_watch_names_connection_workspace_and_rule(connect, caplog):
    async def main():
        watched = trigger(openrouter_conn_id="late", workspace_id="team a", threshold="10%", name_pattern="b-*")
        async with watching(watched) as [watcher]:
            await until(lambda: len(said(caplog, logging.WARNING)) >= 3)
            assert not watcher.task.done()

    run(main())
    state, first, second, *_ = said(caplog, logging.WARNING)
    watch = (
        "he watch of connection 'late', workspace 'team a', keys below 10% of the limit with name_pattern 'b-*',"
    )
    assert f"t{watch}" in state
    for number, line in enumerate((first, second), 1):
        assert line.startswith("The conn_id `late` isn't defined. Create the connection, or correct its id. ")
        assert line.endswith(f". T{watch} goes on (failure {number} in a row).")


def test_a_warning_of_a_foreign_error_has_its_kind_and_traceback(connect, caplog):
    class Wrong(LimitRule):
        def check(self, listing):
            raise KeyError("a detail")

    async def main():
        watched = trigger(store=Store())
        right, watched.rule = watched.rule, Wrong(threshold=5)
        async with watching(watched, trigger(1, store=Store())) as [watcher, other]:
            await until(lambda: len(failures(caplog)) >= 2 and other.events)
            assert not watcher.events
            watched.rule = right
            await until(lambda: watcher.events)
        assert watcher.reported == other.reported == [["a"]]

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert failures(caplog) == [
        f"An unexpected KeyError. {WATCH} goes on (failure {number} in a row)."
        for number in range(1, len(failures(caplog)) + 1)
    ]
    warned = [each for each in caplog.records if each.name == "trigger.0" and each.levelno == logging.WARNING]
    assert all(each.exc_info and each.exc_info[0] is KeyError for each in warned)
    assert "a detail" in caplog.text  # of the traceback
    assert not said(caplog, logging.WARNING, 1)


def test_a_foreign_error_is_raised_after_so_many_failures(connect, caplog):
    async def main():
        store = Store()
        store.failure = RuntimeError("the API server is away")
        async with watching(trigger(max_consecutive_failures=2, store=store)) as [watcher]:
            assert await watcher.ended() is store.failure

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert said(caplog, logging.WARNING) == [
        f"An unexpected RuntimeError. {WATCH} goes on (failure 1 in a row).",
        f"An unexpected RuntimeError. {WATCH} ends, and Airflow starts it again (failure 2 in a row).",
    ]


def test_a_refused_key_that_is_replaced_is_taken_up(connect, beginnings, caplog):
    valid = [TOKEN]
    keys = Keys(key("a", 90))

    def answer(request):
        return keys(request) if request.headers["Authorization"] == f"Bearer {valid[0]}" else error(401)

    async def main():
        async with watching(trigger(poll_interval=0.08, store=Store())) as [watcher]:
            await until(lambda: begun(server) == 2)
            valid[0] = NEW_TOKEN
            await until(lambda: len(failures(caplog)) >= 2)
            connect(server, password=NEW_TOKEN)
            keys.set("a", 4)
            await until(lambda: watcher.events)

    with Server(answer) as server:
        connect(server)
        run(main())
    assert all(pause >= 0.08 for pause in pauses(beginnings, server))
    assert all("management key" in line for line in failures(caplog))
    assert not [each for each in caplog.records if each.exc_info]
    assert "Traceback" not in caplog.text


def test_a_connection_that_does_not_exist_yet_is_waited_for(connect, caplog):
    async def main():
        watched = trigger(openrouter_conn_id="late", poll_interval=0.05, store=Store())
        async with watching(watched) as [watcher]:
            await until(lambda: len(failures(caplog)) == 2)
            connect(server, "late")
            await until(lambda: watcher.events)

    with Server(Keys(key("a", 4))) as server:
        run(main())
    assert all("late" in line for line in failures(caplog))


def test_one_started_again_after_it_raised_waits_its_interval(connect, beginnings):
    async def main():
        for _ in range(4):
            watcher = Watcher(trigger(poll_interval=0.05, max_consecutive_failures=1))
            assert type(await watcher.ended()) is OpenRouterServerError

    with Server(Keys(fault=error(500))) as server:
        connect(server)
        run(main())
    assert begun(server) == len(beginnings) == 4
    assert all(pause >= 0.05 for pause in pauses(beginnings, server))


def test_one_started_again_does_not_raise_the_same_failure(connect):
    async def main():
        async with watching(trigger(poll_interval=0.06)):
            for lives in (1, 2, 3, 4):
                watcher = Watcher(trigger(1, poll_interval=0.06, max_consecutive_failures=1))
                assert type(await watcher.ended()) is OpenRouterServerError
                assert begun(server) >= lives

    with Server(Keys(fault=error(500))) as server:
        connect(server)
        run(main())


def test_one_started_again_after_its_end_waits_its_interval(connect, beginnings):
    keys = Keys(key("a", 4))

    async def main():
        for _ in range(3):
            watcher = Watcher(trigger(poll_interval=0.1))
            await until(lambda: watcher.events)  # noqa: B023  # at once
            await watcher.cancel()

    with Server(keys) as server:
        connect(server)
        run(main())
    assert begun(server) == len(beginnings) == 3
    assert all(pause >= 0.1 for pause in pauses(beginnings, server))


def test_one_started_again_during_its_poll_waits_its_interval(connect, beginnings):
    keys = Keys(key("a", 4))

    async def main():
        started = time.monotonic()
        watcher = Watcher(trigger(poll_interval=0.2))
        await until(lambda: server.requests)
        await watcher.cancel()
        watcher = Watcher(trigger(poll_interval=0.2))
        await until(lambda: watcher.events)
        await watcher.cancel()
        assert len(beginnings) == 1
        assert beginnings[0] - started + ROUNDING >= 0.2

    with Server(lambda request: keys(request) if request.number else HANGS) as server:
        connect(server)
        run(main())
    assert begun(server) == 2


# -- failures that are reported


def statuses(watcher: Watcher) -> list[str]:
    return [event["status"] for event in watcher.events]


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, (fault, _) in FAULTS.items()])
def test_failures_are_reported_once_and_so_is_the_recovery(fault, connect, settling):
    keys, store = Keys(key("a", 4)), Store()

    async def main():
        watched = trigger(report_failures_after=2, store=store, poll_interval=0.02)
        async with watching(watched) as [watcher]:
            await until(lambda: store.values)
            keys.fault = fault
            await until(lambda: len(watcher.events) == 2)
            await polled(server)
            assert statuses(watcher) == ["low", "error"]
            keys.fault = None
            await until(lambda: len(watcher.events) == 3)
            await polled(server, 2)
        assert statuses(watcher) == ["low", "error", "recovered"]
        low, failing, recovered = watcher.events
        assert failing["error"].startswith("OpenRouter")
        assert failing["cause"] in failing["message"]
        for event in (failing, recovered):
            assert (event["connection"], event["rule"]) == ("openrouter_default", "keys below $5.00")
            assert event["failing_since"] == failing["failing_since"] > low["keys"][0]["observed_at"]
        assert failing["failures"] == 2
        stored = {name.partition(":")[0]: json.loads(value) for name, value in store.values.items()}
        assert stored == {
            "openrouter_low": {"version": 1, "told": ["a"]},
            "openrouter_failing": {"version": 1, "failing_since": None},
        }

    with Server(keys) as server:
        connect(server)
        run(main())


def test_a_watch_of_nothing_is_reported_like_a_failure(connect):
    keys = Keys(key("a", 90))

    async def main():
        async with watching(trigger(name_pattern="b*", report_failures_after=3)) as [watcher]:
            await until(lambda: watcher.events)
            assert begun(server) >= 3
            keys.set("b", 90)
            await until(lambda: len(watcher.events) == 2)
            keys.delete("b")
            await until(lambda: len(watcher.events) == 3)
        assert statuses(watcher) == ["error", "recovered", "error"]
        assert watcher.events[0]["cause"].startswith("No key is watched: no active key with a limit matches ")
        assert watcher.events[0]["rule"] == "keys below $5.00 with name_pattern 'b*'"

    with Server(keys) as server:
        connect(server)
        run(main())


@pytest.mark.parametrize("store", [None, Store(assets=2)], ids=["none", "two assets"])
def test_failures_are_reported_without_a_store_too(store, connect):
    keys = Keys(key("a", 90), fault=error(500))

    async def main():
        async with watching(trigger(report_failures_after=1, store=store)) as [watcher]:
            await until(lambda: watcher.events)
            keys.fault = None
            await until(lambda: len(watcher.events) == 2)
        assert statuses(watcher) == ["error", "recovered"]

    with Server(keys) as server:
        connect(server)
        run(main())


def test_a_failure_that_was_reported_is_known_after_a_restart(connect):
    keys, store = Keys(key("a", 90), fault=error(500)), Store()
    watched = {"report_failures_after": 1, "max_consecutive_failures": 1, "store": store}

    async def main():
        for reported in (["error"], [], []):
            watcher = Watcher(trigger(**watched))
            assert type(await watcher.ended()) is OpenRouterServerError
            assert statuses(watcher) == reported
        keys.fault = None
        async with watching(trigger(**watched)) as [watcher]:
            await until(lambda: watcher.events)
            await polled(server, 2)
        assert statuses(watcher) == ["recovered"]
        async with watching(trigger(**watched)) as [watcher]:
            await polled(server, 2)
        assert not watcher.events

    with Server(keys) as server:
        connect(server)
        run(main())
    assert {name.partition(":")[0] for name in store.values} == {"openrouter_failing"}


def test_failures_that_do_not_last_are_not_reported(connect, caplog):
    keys = Keys(key("a", 90))

    def answer(request):  # two of three listings fail
        return error(500) if not request.offset and begun(server) % 3 else keys(request)

    async def main():
        async with watching(trigger(report_failures_after=3, poll_interval=0.02)) as [watcher]:
            await until(lambda: begun(server) >= 10)
        assert not watcher.events

    with Server(answer) as server:
        connect(server)
        run(main())
    assert len(failures(caplog)) >= 6


# -- what it remembers


def test_what_was_reported_is_not_reported_after_a_restart(connect, settling, caplog):
    keys, store = Keys(key("a", 4), key("b", 90)), Store()

    async def main():
        async with watching(trigger(store=store)) as [watcher]:
            await until(lambda: watcher.events and store.values)
        assert watcher.reported == [["a"]]
        assert store.reported == ["a"]
        async with watching(trigger(store=store)) as [watcher]:
            await polled(server, 2)
            assert not watcher.events
            keys.set("b", 3)
            await until(lambda: watcher.events)
            keys.set("a", 90)
            await until(lambda: store.reported == ["b"])
            keys.set("a", 2)
            await until(lambda: len(watcher.events) == 2)
        assert watcher.reported == [["b"], ["a"]]

    with Server(keys) as server:
        connect(server)
        run(main())
    assert not said(caplog, logging.WARNING)


def test_what_was_reported_is_stored_though_later_polls_fail(connect, settling, caplog):
    keys, store = Keys(key("a", 4)), Store()

    async def main():
        async with watching(trigger(store=store)) as [watcher]:
            await until(lambda: watcher.events)
            assert not store.values
            keys.fault = error(500)
            await until(lambda: store.values)
            assert store.reported == ["a"]
            assert failures(caplog)
            keys.fault = None
            await polled(server)
        assert watcher.reported == [["a"]]

    with Server(lambda request: keys(request)) as server:
        connect(server)
        run(main())


def test_what_was_reported_is_stored_before_an_error_is_raised(connect, settling):
    keys, store = Keys(key("a", 4)), Store()

    async def main():
        async with watching(trigger(store=store, poll_interval=0.1, max_consecutive_failures=1)) as [watcher]:
            await until(lambda: watcher.events)
            keys.fault = error(500)
            assert type(await watcher.ended()) is OpenRouterServerError

    with Server(keys) as server:
        connect(server)
        run(main())
    assert store.reported == ["a"]


def test_nothing_is_stored_before_the_event_is_handed_on(connect, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.alert_state.SETTLING", 0)
    store = Store()
    stored_when_reported = []

    async def main():
        async with watching(trigger(store=store)) as [watcher]:
            watcher.on_event = lambda: stored_when_reported.append(dict(store.values))
            await until(lambda: watcher.events and store.values)
        assert watcher.reported == [["a"]]

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert stored_when_reported == [{}]


def test_a_recovered_key_is_forgotten_before_the_next_event(connect, settling):
    keys, store = Keys(key("a", 4), key("b", 90)), Store()
    stored_when_reported = []

    async def main():
        async with watching(trigger(store=store)) as [watcher]:
            await until(lambda: store.values)
            watcher.on_event = lambda: stored_when_reported.append(store.reported)
            keys.keys = {each["hash"]: each for each in (key("a", 90), key("b", 4))}
            await until(lambda: len(watcher.events) == 2)
        assert watcher.reported == [["a"], ["b"]]

    with Server(keys) as server:
        connect(server)
        run(main())
    assert stored_when_reported == [[]]


def test_one_that_ends_right_after_the_event_reports_it_again(connect):
    store = Store()

    async def main():
        for _ in range(2):
            async with watching(trigger(store=store)) as [watcher]:
                await until(lambda: watcher.events)
                await polled(server, 2)
            assert watcher.reported == [["a"]]
            assert not store.values

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())


def test_nothing_is_stored_before_the_poll_after_the_event(connect, settling):
    store = Store()

    async def main():
        async with asyncio.timeout(10), aclosing(trigger(store=store, poll_interval=60).run()) as events:
            await anext(events)
            await asyncio.sleep(0.1)  # longer than SETTLING, and the event is not yet handed on
            going_on = asyncio.create_task(anext(events))
            await asyncio.sleep(0.1)
            going_on.cancel()
            await asyncio.wait([going_on])
        assert begun(server) == 1
        assert not store.values

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())


def test_a_store_that_cannot_be_reached_is_warned_of(connect, settling, caplog):
    store = Store()

    async def main():
        store.failure = RuntimeError("the API server is away")
        async with watching(trigger(store=store)) as [watcher]:
            await until(lambda: len(failures(caplog)) == 2)
            assert not watcher.events
            store.failure = None
            await until(lambda: watcher.events)
            store.failure = RuntimeError("the API server is away")
            await until(lambda: len(said(caplog, logging.WARNING)) >= 5)
            store.failure = None
            await until(lambda: store.values)
        assert watcher.reported == [["a"]]

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert failures(caplog) == [
        f"An unexpected RuntimeError. {WATCH} goes on (failure {number} in a row)."
        for number in range(1, len(failures(caplog)) + 1)
    ]
    assert any(each.exc_info and each.exc_info[1] is not None for each in caplog.records)
    rest = said(caplog, logging.WARNING)[len(failures(caplog)) :]
    assert rest
    assert set(rest) == {
        f"Could not store the alert state: the API server is away. {WATCH} tries again at its next poll."
    }


@pytest.mark.parametrize("store", ["absent", "None"])
def test_without_a_store_it_remembers_in_memory_only(store, connect, caplog):
    async def main():
        watched = trigger()
        if store == "absent":  # as before Airflow 3.3
            del watched.asset_state_store
        async with watching(watched) as [watcher]:
            await until(lambda: watcher.events)
            await polled(server, 2)
        assert watcher.reported == [["a"]]

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    [warning] = said(caplog, logging.WARNING)
    assert warning.startswith(f"Alert state is kept in memory only. After a restart t{WATCH[1:]} reports ")


def test_a_warning_of_damaged_state_reads_as_a_sentence(connect, caplog):
    class Damaged(Store):
        async def aget(self, key, default=None):
            return "damaged"

    async def main():
        async with watching(trigger(store=Damaged())) as [watcher]:
            await until(lambda: watcher.events)

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    [warning] = said(caplog, logging.WARNING)
    assert warning.endswith(f". {WATCH} reports what is low now once more.")


def accessors(*names: str):
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    return AssetStateStoreAccessors([Asset(name) for name in names])


class Supervisor:
    """The other end of Airflow's accessors."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    async def asend(self, message):
        from airflow.sdk.execution_time import comms

        if isinstance(message, comms.SetAssetStateStoreByName):
            self.values[message.name, message.key] = json.dumps(message.value)
            return comms.OKResponse(ok=True)
        assert isinstance(message, comms.GetAssetStateStoreByName)
        if (message.name, message.key) not in self.values:
            return comms.ErrorResponse(error=comms.ErrorType.ASSET_STORE_NOT_FOUND)
        return comms.AssetStateStoreResult(value=json.loads(self.values[message.name, message.key]))


@pytest.fixture
def supervisor(monkeypatch):
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@needs_state_store
def test_the_store_of_one_asset_is_used_through_airflow(supervisor, connect, settling, caplog):
    async def main():
        for reported in ([["a"]], []):
            async with watching(trigger(store=accessors("keys"))) as [watcher]:
                await polled(server, 3)
                await until(lambda: len(supervisor.values) == 2)
            assert watcher.reported == reported

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    stored = {(asset, key[:-32]): json.loads(value) for (asset, key), value in supervisor.values.items()}
    assert stored["keys", "openrouter_low:"] == {"version": 1, "told": ["a"]}
    assert stored["keys", "openrouter_status:"]["low"] == 1
    assert not said(caplog, logging.WARNING)


@needs_state_store
def test_a_trigger_of_two_assets_remembers_in_memory_only(supervisor, connect, settling, caplog):
    async def main():
        for _ in range(2):
            async with watching(trigger(store=accessors("a", "b"))) as [watcher]:
                await until(lambda: watcher.events)
                await polled(server, 2)
            assert watcher.reported == [["a"]]

    with Server(Keys(key("a", 4))) as server:
        connect(server)
        run(main())
    assert not supervisor.values
    warnings = said(caplog, logging.WARNING)
    assert len(warnings) == 2  # one for each life
    assert all("in memory only" in warning for warning in warnings)


def test_two_rules_on_one_asset_do_not_meet_in_its_store(connect, settling):
    store = Store()
    keys = Keys(key("a", 4), key("b", 20))

    async def main():
        for reported in ([["a"]], [["a", "b"]]), ([], []):
            async with watching(trigger(store=store), trigger(store=store, threshold=50)) as watchers:
                await polled(server, 3)
                await until(lambda: len(store.values) == 2)
            assert [each.reported for each in watchers] == list(reported)

    with Server(keys) as server:
        connect(server)
        run(main())
    assert sorted(json.loads(each)["told"] for each in store.values.values()) == [["a"], ["a", "b"]]


def state_key(**arguments) -> str:
    """Return the key under which a watcher asks the store."""
    store = Store()

    async def main():
        async with watching(trigger(store=store, **arguments)):
            await until(lambda: store.asked)

    run(main())
    [asked] = [name for name in store.asked if name.startswith("openrouter_low:")]
    return asked


def test_the_state_key_is_of_rule_connection_and_workspace(connect):
    same = [
        {},
        {"poll_interval": 0.3},
        {"max_consecutive_failures": 4},
        {"report_failures_after": 4},
        {"threshold": "5.00"},
        {"workspace_id": ""},
    ]
    others = [
        {"threshold": 6},
        {"threshold": "5%"},
        {"key_hashes": ["a"]},
        {"key_hashes": ["a", "b"]},
        {"name_pattern": "a"},
        {"include_disabled": True},
        {"openrouter_conn_id": "other"},
        {"workspace_id": "team"},
        {"workspace_id": TEAM_ID},
        {"workspace_id": "*"},
        {"rearm_margin": 3},
        {"rearm_margin": "10%"},
        {"threshold": "3 days"},
        {"threshold": "3 days", "rearm_margin": "12 hours"},
        {"threshold": [6, 5]},
        {"expires_within": "7 days"},
    ]
    with Server(Keys(key("a", 90), key("b", 90))) as server:
        connect(server)
        connect(server, "other")
        [mine] = {state_key(**arguments) for arguments in same}
        assert len({mine, *(state_key(**arguments) for arguments in others)}) == 1 + len(others)
    name, _, digest = mine.partition(":")
    assert name == "openrouter_low"
    assert len(digest) == 32
    assert int(digest, 16)


# -- the row in the database


EVERY_ARGUMENT = {
    "threshold": "10%",
    "openrouter_conn_id": "other",
    "poll_interval": 7.5,
    "key_hashes": ["a", "b"],
    "name_pattern": "billing-*",
    "include_disabled": True,
    "workspace_id": "*",
    "rearm_margin": "2.5%",
    "max_consecutive_failures": 4,
    "expires_within": "7 days",
    "report_failures_after": 3,
}


ADDED = {"expires_within", "report_failures_after"}
"""What is part of a row only if it is given, so that the rows of an earlier release are the same triggers."""


@pytest.mark.parametrize(
    "arguments",
    [
        {"threshold": 5},
        {"threshold": 5, "workspace_id": "team a"},
        {"threshold": "3 days", "rearm_margin": "12 hours"},
        {"threshold": ["50%", "10%"], "expires_within": "36 hours"},
        EVERY_ARGUMENT,
    ],
)
def test_it_can_be_made_from_its_row_again(arguments):
    path, row = OpenRouterKeyLimitEventTrigger(**arguments).serialize()
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(row, allow_nan=False)))
    assert type(made) is OpenRouterKeyLimitEventTrigger
    assert isinstance(made, BaseEventTrigger)
    assert made.serialize() == (path, row)
    assert row.keys() == EVERY_ARGUMENT.keys() - ADDED | arguments.keys()
    assert row.items() >= arguments.items()
    assert BaseEventTrigger.hash(path, row) == BaseEventTrigger.hash(*made.serialize())


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"threshold": 5}, {"threshold": "5.00"}),
        ({"threshold": "10%"}, {"threshold": " 10.0 %"}),
        ({"threshold": "3 days"}, {"threshold": timedelta(hours=72), "rearm_margin": 0}),
        ({"threshold": [5, 10]}, {"threshold": ("10", 5.0, 5)}),
        ({"threshold": [5]}, {"threshold": 5}),
        ({"expires_within": "7 days"}, {"expires_within": "1 week"}),
        ({"expires_within": None, "report_failures_after": None}, {}),
        ({"poll_interval": 60}, {"poll_interval": 60.0}),
        ({"key_hashes": ["b", "a", "b"]}, {"key_hashes": "a, b"}),
        ({"key_hashes": ("b", "a")}, {"key_hashes": {"a", "b"}}),
        ({"name_pattern": ""}, {}),
        ({"workspace_id": ""}, {}),
        ({"include_disabled": "True"}, {"include_disabled": True}),
        ({"rearm_margin": 1}, {"rearm_margin": "1.00"}),
        ({"rearm_margin": "1%"}, {"rearm_margin": " 1.0 %"}),
        ({"rearm_margin": "0"}, {}),
        ({"max_consecutive_failures": None}, {}),
        ({"openrouter_conn_id": "openrouter_default"}, {}),
    ],
)
def test_rules_that_are_the_same_are_one_trigger_to_airflow(one, same):
    rows = [OpenRouterKeyLimitEventTrigger(**{"threshold": 1} | each).serialize() for each in (one, same)]
    assert json.dumps(rows[0], sort_keys=True) == json.dumps(rows[1], sort_keys=True)
    assert BaseEventTrigger.hash(*rows[0]) == BaseEventTrigger.hash(*rows[1])


@pytest.mark.parametrize("name", [name for name in EVERY_ARGUMENT if name != "threshold"])
def test_rules_that_differ_are_two_triggers_to_airflow(name):
    rows = [
        OpenRouterKeyLimitEventTrigger(**each).serialize()
        for each in ({"threshold": 5}, {"threshold": 5, name: EVERY_ARGUMENT[name]})
    ]
    assert BaseEventTrigger.hash(*rows[0]) != BaseEventTrigger.hash(*rows[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rearm_margin", value) for value in (-1, "-1", "-1%", "101%", "", "much", None, True, [1])),
        *(("rearm_margin", value) for value in (float("nan"), float("inf"))),
        *(("max_consecutive_failures", value) for value in (0, -1, True, False, "x", "3", 1.5, 2.0, [3])),
        *(
            ("threshold", value)
            for value in (-1, "", "five", "101%", None, True, "3 dayz", "0 days", [], [5, "5%"])
        ),
        *(("expires_within", value) for value in (5, "3 dayz", "0 days", "1e9 days", "10%", ["3 days"])),
        *(("report_failures_after", value) for value in (0, -1, True, "3", 1.5)),
        ("rearm_margin", "3 days"),
        *(("poll_interval", value) for value in (0, -1, float("nan"), float("inf"), "60", True, None)),
        *(("include_disabled", value) for value in ("yes", None, 1)),
        *(("key_hashes", value) for value in (5, {"a": 1}, [""], "['a']")),
        ("name_pattern", 5),
    ],
)
def test_nonsense_is_refused(name, value):
    with pytest.raises(OpenRouterRequestError, match=name):
        OpenRouterKeyLimitEventTrigger(**{"threshold": 5, name: value})


def test_a_report_that_could_never_be_sent_is_refused():
    with pytest.raises(OpenRouterRequestError, match="must not be above max_consecutive_failures"):
        trigger(report_failures_after=3, max_consecutive_failures=2)
    trigger(report_failures_after=2, max_consecutive_failures=2)


def test_arguments_it_does_not_know_are_refused():
    with pytest.raises(TypeError, match="treshold"):
        OpenRouterKeyLimitEventTrigger(treshold=5)


def test_it_takes_no_argument_that_fails_on_a_key_that_is_gone():
    with pytest.raises(TypeError, match="fail_if_unwatched"):
        OpenRouterKeyLimitEventTrigger(threshold=5, fail_if_unwatched=True)
    assert "fail_if_unwatched" not in OpenRouterKeyLimitEventTrigger(threshold=5).serialize()[1]


# -- what is left


@pytest.mark.parametrize("fault", [HANGS, error(500), None], ids=["hangs", "500", "none"])
def test_a_cancelled_watch_leaves_no_thread_and_no_task(fault, connect):
    async def main():
        async with watching(*(trigger(number) for number in range(5))) as watchers:
            await until(lambda: server.requests)
            await asyncio.sleep(0.05)
        assert all(each.task.cancelled() for each in watchers)
        gc.collect()

    with Server(Keys(key("a", 4), fault=fault)) as server:
        connect(server, timeout=0.5)
        asyncio.run(main(), debug=True)


@pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS.values()] + [None], ids=[*FAULTS, "none"])
def test_the_management_key_is_in_no_event_argument_error_or_log(fault, connect, caplog):
    watched = trigger(max_consecutive_failures=3, poll_interval=0.03)
    keys = Keys(key("a", 4), fault=fault)

    async def main():
        async with watching(watched) as [watcher]:
            if fault:
                shown.append(repr(await watcher.ended()))
            else:
                await until(lambda: watcher.events)
            shown.append(json.dumps(watcher.events))
        gc.collect()
        shown.append(repr(watched) + repr(watched.serialize()))

    shown: list[str] = []
    with Server(keys) as server:
        connect(server)
        asyncio.run(main(), debug=True)
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert len(shown) == 2 + bool(fault)
    assert TOKEN not in "".join(shown)
    assert caplog.text  # what is in it, and in what is printed, is seen to for every test
