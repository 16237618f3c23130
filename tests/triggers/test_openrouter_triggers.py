"""The trigger: what it waits for, which errors it survives, and the one event it yields."""

import asyncio
import importlib
import json
import logging
import re
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import support.polling as polling
from support.keys import key
from support.polling import NEW_TOKEN, begun, now_and_then, until
from support.servers import BREAKS, HANGS, TOKEN, Answer, Server, data, error
from support.tasks import logging_kind

from airflow_provider_openrouter.exceptions import OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitTrigger
from airflow_provider_openrouter.watch.events import read_keys
from airflow_provider_openrouter.watch.rule import LimitRule

MALFORMED = {
    "no data": Answer(200, {"keys": [TOKEN]}),
    "no hash": data([{"name": TOKEN}]),
    "redirect": Answer(302, headers={"Location": f"https://example.com/{TOKEN}"}),
}
TEMPORARY = {
    "429": error(429, f"slow down {TOKEN}"),
    "500": error(500, f"oh {TOKEN}"),
    "breaks": BREAKS,
    "breaks in the body": Answer(body={"data": [TOKEN]}, cut=20),
    "hangs": HANGS,
    "html": Answer(401, f"<html>{TOKEN}"),
    "no JSON": Answer(200, TOKEN),
}
PERMANENT = {"400": error(400, f"no {TOKEN}"), "404": error(404, f"no {TOKEN}"), **MALFORMED}
REFUSED = {"401": error(401, f"who is {TOKEN}"), "403": error(403, f"not {TOKEN}")}


def by_name(faults: dict[str, Answer]):
    return [pytest.param(fault, id=name) for name, fault in faults.items()]


class Keys:
    """Keys whose money is spent from one listing to the next; faults come before them."""

    def __init__(self, *rounds: list[dict] | Answer) -> None:
        self.rounds = rounds
        self.listings = 0
        self.lock = threading.Lock()

    def __call__(self, request):
        with self.lock:
            if not request.offset:
                self.listings += 1
            now = self.rounds[min(self.listings, len(self.rounds)) - 1]
        return now if isinstance(now, Answer) else data(now[request.offset :])


TEAM_ID = "5f0c1f2e-0f3a-4c55-9a0b-0d7a52d6a001"
FULL = [key("full", 90)]
LOW = [key("full", 90), key("low", 4), key("lower", -0.5), key("edge", 5)]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Return what changes how long refusals are outlasted; without it that is a moment."""

    def outlast(seconds, *, longest_pause=600):
        monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.PATIENCE", seconds)
        monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.LONGEST_PAUSE", longest_pause)

    outlast(0.2)
    return outlast


connect_to = polling.connect
nothing_is_left = polling.nothing_is_left


@pytest.fixture
def connect(connect_to):
    """Return what connects to a server; pages come one by one, so that those of a poll are of one round."""
    return partial(connect_to, max_concurrency=1)


def timeouts(fault: Answer) -> dict[str, float]:
    """Return a timeout for the connection where it is waited for, long enough for a busy machine to respond."""
    return {"timeout": 2} if fault is HANGS else {}


def trigger(**arguments) -> OpenRouterKeyLimitTrigger:
    return logging_kind(OpenRouterKeyLimitTrigger)(**{"threshold": 5, "poll_interval": 0.05} | arguments)


async def events(watching: OpenRouterKeyLimitTrigger) -> list[dict]:
    async with asyncio.timeout(20):
        return [event.payload async for event in watching.run()]


def wait(**arguments) -> dict:
    [event] = asyncio.run(events(trigger(**arguments)))
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert event["version"] == 1
    assert TOKEN not in json.dumps(event)
    return event


def said(caplog, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "trigger" and each.levelno == level]


# -- what it waits for


def test_a_key_that_is_low_is_reported_at_once(connect):
    with Server(Keys(LOW)) as server:
        connect(server)
        event = wait(poll_interval=60)
    assert event["status"] == "low"
    assert [each["hash"] for each in event["keys"]] == ["lower", "low"]
    assert begun(server) == 1


def test_the_event_has_keys_as_the_api_sent_them_and_when(connect):
    with Server(Keys([key("low", 4, brand_new={"deep": [1, None]})])) as server:
        connect(server)
        [low] = read_keys(wait())
    assert low.pop("observed_at").endswith("+00:00")
    assert low == key("low", 4, brand_new={"deep": [1, None]}) | {
        "reason": "limit",
        "threshold": 5,
        "next_reset_at": None,
    }


def test_those_who_wait_for_times_and_amounts_share_their_polls(connect):
    async def main():
        rules = [{"threshold": "3 days"}, {"threshold": "1 hour", "expires_within": "7 days"}, {"threshold": 5}]
        triggers = [OpenRouterKeyLimitTrigger(**rule, poll_interval=60) for rule in rules * 10]
        return await asyncio.gather(*(anext(each.run()) for each in triggers))

    with Server(Keys([key("over", 0), key("full", 90)])) as server:
        connect(server)
        events = [event.payload for event in asyncio.run(main())]
    assert begun(server) == 1
    assert {(each["hash"], each["reason"]) for event in events for each in event["keys"]} == {
        ("over", "runway"),
        ("over", "limit"),
    }


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_key_that_becomes_low_is_reported_then(rounds, connect, caplog):
    with Server(Keys(*[FULL] * rounds, LOW)) as server:
        connect(server)
        assert wait()["status"] == "low"
    assert begun(server) == rounds + 1
    lines = said(caplog, logging.INFO)
    assert lines[: 2 * rounds : 2] == ["1 key watched, 0 below $5.00"] * rounds
    assert lines[1 : 2 * rounds : 2] == ["Lowest: full has $90.00 of $100.00 left, never resets"] * rounds
    assert lines[2 * rounds :] == [
        "4 keys watched, 2 below $5.00",
        "lower has -$0.50 of $100.00 left, never resets",
        "low has $4.00 of $100.00 left, never resets",
    ]


def test_the_log_has_a_line_for_each_poll_and_each_low_key(connect, caplog):
    low = key("low", 0.45, name="billing-prod-0", limit=5, limit_reset="monthly")
    full = [key(f"full-{number}", 90) for number in range(18)]
    unlimited = [key(f"unlimited-{number}", None, limit=None) for number in range(3)]
    with Server(Keys([*full, low, *unlimited])) as server:
        connect(server)
        wait(threshold="10%")
    counts, line = said(caplog, logging.INFO)
    assert counts == "19 keys watched (3 more not measurable), 1 below 10% of the limit"
    assert re.fullmatch(
        r"billing-prod-0 has \$0\.45 of \$5\.00 left, resets monthly, next on \d{4}-\d\d-01 at 00:00 UTC", line
    )


@pytest.mark.parametrize(
    ("rule", "low"),
    [
        ({"threshold": "5%"}, ["lower", "low"]),
        ({"threshold": 5.01}, ["lower", "low", "edge"]),
        ({"threshold": 5, "key_hashes": ["low", "full"]}, ["low"]),
        ({"threshold": 5, "name_pattern": "lower*"}, ["lower"]),
        ({"threshold": "100%", "name_pattern": "f*"}, ["full"]),
    ],
)
def test_the_rule_says_what_is_low(rule, low, connect):
    with Server(Keys(LOW)) as server:
        connect(server)
        assert [each["hash"] for each in wait(**rule)["keys"]] == low


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({}, {"include_disabled": "false"}),
        ({"include_disabled": True}, {"include_disabled": "true"}),
        ({"workspace_id": TEAM_ID}, {"include_disabled": "false", "workspace_id": TEAM_ID}),
    ],
)
def test_only_what_is_watched_is_asked_for(arguments, sent, connect):
    with Server(Keys(LOW)) as server:
        connect(server)
        wait(**arguments)
    assert {name: value for name, value in server.requests[0].query.items() if name != "offset"} == sent


def test_it_yields_nothing_when_it_is_cancelled(connect):
    async def main():
        seen = []

        async def run():
            async for event in trigger().run():
                seen.append(event)

        task = asyncio.create_task(run())
        await until(lambda: begun(server) >= 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == []

    with Server(Keys(FULL)) as server:
        connect(server)
        asyncio.run(main(), debug=True)


# -- the row in the database


EVERY_ARGUMENT = {
    "threshold": "10%",
    "openrouter_conn_id": "other",
    "poll_interval": 7.5,
    "key_hashes": ["a", "b"],
    "name_pattern": "billing-*",
    "include_disabled": True,
    "workspace_id": "*",
    "fail_if_unwatched": True,
    "has_listed": True,
    "first_poll_at": "2026-11-26T18:00:00+00:00",
    "expires_within": "7 days",
}


@pytest.mark.parametrize(
    "arguments", [{"threshold": 5}, {"threshold": 5, "workspace_id": "team a"}, EVERY_ARGUMENT]
)
def test_it_can_be_made_from_its_row_again(arguments):
    path, row = OpenRouterKeyLimitTrigger(**arguments).serialize()
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(row, allow_nan=False)))
    assert type(made) is OpenRouterKeyLimitTrigger
    assert made.serialize() == (path, row)
    assert row.keys() == EVERY_ARGUMENT.keys() - {"expires_within"} | arguments.keys()
    assert row.items() >= arguments.items()


def test_a_row_holds_nothing_but_plain_json():
    plain = (str, int, float, bool, list, type(None))
    for value in OpenRouterKeyLimitTrigger(**EVERY_ARGUMENT).serialize()[1].values():
        assert type(value) in plain
        assert not isinstance(value, list) or {type(each) for each in value} == {str}


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"threshold": 5}, {"threshold": "5.00"}),
        ({"threshold": "10%"}, {"threshold": " 10.0 %"}),
        ({"poll_interval": 60}, {"poll_interval": 60.0}),
        ({"key_hashes": ["b", "a", "b"]}, {"key_hashes": "a, b"}),
        ({"key_hashes": ("b", "a")}, {"key_hashes": {"a", "b"}}),
        ({"name_pattern": ""}, {"name_pattern": None}),
        ({"workspace_id": ""}, {"workspace_id": None}),
        ({"include_disabled": "True"}, {"include_disabled": True}),
        ({"fail_if_unwatched": "false"}, {}),
        ({"has_listed": False, "first_poll_at": None, "expires_within": None}, {}),
        ({"threshold": "1.5 days"}, {"threshold": timedelta(hours=36)}),
        ({"expires_within": "1 week"}, {"expires_within": "7 days"}),
        ({"openrouter_conn_id": "openrouter_default"}, {}),
    ],
)
def test_rules_that_are_the_same_have_the_same_row(one, same):
    rows = [
        json.dumps(OpenRouterKeyLimitTrigger(**{"threshold": 1} | each).serialize(), sort_keys=True)
        for each in (one, same)
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("threshold", value) for value in (-1, "-1", "", "five", "101%", "%", None, True, [5], ["9%", "5%"])),
        *(("threshold", value) for value in (float("nan"), "3 dayz", "0 days", "1e9 days")),
        *(("expires_within", value) for value in (5, "3 dayz", "0 days", "10%", ["3 days"])),
        *(("poll_interval", value) for value in (0, -1, float("nan"), float("inf"), "x", "60", True, None)),
        *(("key_hashes", value) for value in (5, {"a": 1}, [""], [None], "['a']")),
        *(("name_pattern", value) for value in (5, ["a"], True)),
        *((name, value) for name in ("include_disabled", "fail_if_unwatched") for value in ("yes", None, 1)),
        *(("has_listed", value) for value in ("yes", None, 1)),
        *(("first_poll_at", value) for value in ("soon", "2026-11-26T18:00:00", 5, True, "")),
    ],
)
def test_nonsense_is_refused(name, value):
    with pytest.raises(OpenRouterRequestError, match=name):
        OpenRouterKeyLimitTrigger(**{"threshold": 5, name: value})


# -- which errors it survives


@pytest.mark.parametrize("fault", by_name(TEMPORARY))
def test_after_a_temporary_error_the_wait_goes_on_with_a_warning(fault, connect, caplog):
    with Server(Keys(fault, fault, FULL, fault, LOW)) as server:
        connect(server, **timeouts(fault))
        assert wait()["status"] == "low"
    warnings = said(caplog, logging.WARNING)
    assert len(warnings) == 3
    assert all(warning.endswith("The wait goes on.") for warning in warnings)
    assert not said(caplog, logging.ERROR)


@pytest.mark.parametrize("fault", by_name(PERMANENT))
def test_a_permanent_error_ends_the_wait_at_once(fault, connect, caplog):
    with Server(Keys(FULL, fault, LOW)) as server:
        connect(server)
        event = wait()
    assert event["status"] == "error"
    assert event["error"] in ("OpenRouterRequestError", "OpenRouterResponseError")
    assert event["status_code"] in (None, fault.status)
    assert begun(server) == 2
    assert not said(caplog, logging.WARNING) + said(caplog, logging.ERROR)
    with pytest.raises(OpenRouterError) as caught:
        read_keys(event)
    assert str(caught.value) == event["message"]


@pytest.mark.parametrize("fault", by_name(REFUSED))
def test_a_key_refused_before_any_success_ends_the_wait_at_once(fault, connect, caplog):
    with Server(Keys(fault)) as server:
        connect(server)
        event = wait()
    assert (event["status"], event["error"]) == ("error", "OpenRouterAuthError")
    assert event["status_code"] == fault.status
    assert begun(server) == 1
    assert not said(caplog, logging.WARNING)


@pytest.mark.parametrize("listed", ["by its sensor", "by itself"])
@pytest.mark.parametrize("fault", by_name(REFUSED))
def test_a_wait_that_has_listed_outlasts_refusals_in_time(fault, listed, connect, patience, caplog):
    patience(0.5, longest_pause=0.1)
    first = [] if listed == "by its sensor" else [FULL]
    with Server(Keys(*first, fault)) as server:
        connect(server)
        event = wait(poll_interval=0.01, has_listed=not first)
    assert event["error"] == "OpenRouterAuthError"
    refused = [request.arrived for request in server.requests if not request.offset][len(first) :]
    assert refused[-1] - refused[0] >= 0.4  # the first may arrive some time after it began
    warnings = said(caplog, logging.WARNING)
    assert 3 <= len(warnings) == len(refused) - 1 <= 12  # the pauses grow
    assert all(". The wait goes on: it ends if this lasts " in warning for warning in warnings)


def test_an_outage_of_401_that_is_short_enough_ends_no_wait(connect, patience, caplog):
    patience(60, longest_pause=0.1)
    now = [Keys(FULL)]

    async def main():
        waiting = asyncio.create_task(events(trigger(poll_interval=0.02)))
        await until(lambda: begun(server) > 1)
        now[0] = lambda request: error(401, "User not found.")
        await until(lambda: len(said(caplog, logging.WARNING)) >= 6)
        now[0] = Keys(LOW)
        [event] = await waiting
        assert event["status"] == "low"

    with Server(lambda request: now[0](request)) as server:
        connect(server)
        asyncio.run(main())


def test_an_interval_of_a_day_keeps_no_revoked_key_waiting(connect, patience):
    patience(0.3, longest_pause=0.1)
    with Server(Keys(error(401), error(500), error(401))) as server:
        connect(server)
        assert wait(poll_interval=86_400, has_listed=True)["error"] == "OpenRouterAuthError"
    assert begun(server) >= 3


def test_it_does_not_poll_before_its_first_poll_is_due(connect):
    before = datetime.now(UTC)
    with Server(Keys(LOW)) as server:
        connect(server)
        due = before + timedelta(seconds=0.5)
        [low, _] = wait(first_poll_at=due.isoformat())["keys"]
        assert datetime.fromisoformat(low["observed_at"]) >= due
        wait(first_poll_at="2026-01-01T00:00:00+00:00")


def test_a_key_that_is_replaced_during_the_wait_is_taken_up(connect, patience, caplog):
    keys = Keys(FULL, LOW)

    def answer(request):
        if len(server.requests) > 4 and request.headers["Authorization"] != f"Bearer {NEW_TOKEN}":
            connect(server, password=NEW_TOKEN)
            return error(401)
        return keys(request)

    with Server(answer) as server:
        connect(server)
        patience(60)
        keys.rounds = (FULL, FULL, LOW)
        assert wait()["status"] == "low"
    assert len(said(caplog, logging.WARNING)) == 1
    assert NEW_TOKEN not in caplog.text


@pytest.mark.parametrize("has_listed", [False, True])
def test_a_missing_connection_is_treated_as_a_refused_key(has_listed, caplog):
    event = wait(openrouter_conn_id="missing", poll_interval=0.02, has_listed=has_listed)
    assert event["status"] == "error"
    assert event["error"] == "OpenRouterAuthError"
    assert "`missing` isn't defined. Create the connection" in event["message"]
    assert event["status_code"] is None
    assert (len(said(caplog, logging.WARNING)) > 1) is has_listed


def test_a_connection_that_is_missing_for_a_moment_is_taken_up(connect, patience):
    patience(60)

    async def main():
        waiting = asyncio.create_task(
            events(trigger(openrouter_conn_id="late", poll_interval=0.1, has_listed=True))
        )
        await asyncio.sleep(0.15)
        connect(server, "late")
        [event] = await waiting
        assert event["status"] == "low"

    with Server(Keys(LOW)) as server:
        asyncio.run(main())


def test_an_extra_that_makes_no_sense_ends_the_wait_at_once(connect, caplog):
    with Server(Keys(LOW)) as server:
        connect(server, timeout="soon")
        event = wait()
    assert event["error"] == "OpenRouterRequestError"
    assert event["message"].startswith("timeout must be ")
    assert "'openrouter_default'" in event["message"]
    assert not said(caplog, logging.WARNING)


def test_the_event_of_a_foreign_error_has_its_kind_only(connect, caplog):
    class Wrong(LimitRule):
        def check(self, *arguments, **options):
            raise KeyError("a detail")

    watching = trigger(poll_interval=0.02, has_listed=True)
    watching.rule = Wrong(threshold=5)
    with Server(Keys(LOW)) as server:
        connect(server)
        [event] = asyncio.run(events(watching))
    assert event == {
        "version": 1,
        "status": "error",
        "error": "KeyError",
        "message": "KeyError ended the wait. The triggerer's log has the traceback.",
        "status_code": None,
    }
    assert said(caplog, logging.ERROR) == ["The wait has ended"]
    assert said(caplog, logging.WARNING)
    assert all(
        line.startswith("An unexpected KeyError. The wait goes on: it ends if this lasts ")
        for line in said(caplog, logging.WARNING)
    )
    warned = [each for each in caplog.records if each.name == "trigger" and each.levelno == logging.WARNING]
    assert all(each.exc_info and each.exc_info[0] is KeyError for each in warned)
    assert "a detail" in caplog.text  # of the tracebacks


@pytest.mark.parametrize(
    "rule", [{"key_hashes": ["full", "gone"]}, {"name_pattern": "nobody-*"}, {"key_hashes": ["gone"]}]
)
@pytest.mark.parametrize("fails", [True, False])
def test_what_is_watched_in_vain_is_an_error_or_a_warning(rule, fails, connect, caplog):
    with Server(Keys(FULL, FULL, [*LOW, key("gone", 1), key("nobody-0", 1)])) as server:
        connect(server)
        event = wait(**rule, fail_if_unwatched=fails)
    assert event["status"] == ("error" if fails else "low")
    assert begun(server) == (1 if fails else 3)
    assert len(said(caplog, logging.WARNING)) == (0 if fails else 2)
    if fails:
        assert event["error"] == "OpenRouterRequestError"


@pytest.mark.parametrize("fault", by_name(TEMPORARY | PERMANENT | REFUSED))
def test_the_management_key_is_in_no_row_no_event_and_no_log(fault, connect, caplog):
    with Server(Keys(fault, fault, LOW)) as server:
        connect(server, **timeouts(fault))
        watching = trigger(poll_interval=0.02)
        [event] = asyncio.run(events(watching))
    assert caplog.records
    for shown in (json.dumps(event), json.dumps(watching.serialize()), repr(vars(watching)), caplog.text):
        assert TOKEN not in shown
    assert all(TOKEN not in repr(record.args) for record in caplog.records)


# -- many of them


def many(count: int, conn_ids: list[str], shortest: float) -> list[OpenRouterKeyLimitTrigger]:
    return [
        trigger(
            threshold=number % 7 + 1,
            name_pattern=f"*{number % 10}" if number % 3 else None,
            key_hashes=["full", f"key-{number}"] if number % 2 else None,
            openrouter_conn_id=conn_ids[number % len(conn_ids)],
            poll_interval=shortest * (1 + number // len(conn_ids) % 5 / 2),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("connections", [1, 3])
def test_many_triggers_poll_as_often_as_one_of_them(connections, connect, caplog):
    caplog.set_level(logging.WARNING)
    shortest = 0.2
    conn_ids = [f"team_{number}" for number in range(connections)]

    async def main(server):
        tasks = [asyncio.create_task(events(each)) for each in many(300, conn_ids, shortest)]
        await until(lambda: begun(server) > 4 * connections)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def list_as_one_does():
        with Server(Keys([key(f"key-{number}", 50) for number in range(30)])) as server:
            for conn_id in conn_ids:
                connect(server, conn_id)
            began = time.monotonic()
            asyncio.run(main(server))
            intervals = (time.monotonic() - began) / shortest
        return begun(server) <= (1.5 + intervals) * connections

    assert now_and_then(list_as_one_does)


def test_one_that_is_cancelled_takes_nothing_from_the_others(connect):
    released = threading.Event()
    keys = Keys(FULL, LOW)

    def answer(request):
        assert released.wait(10)
        return keys(request)

    async def main():
        tasks = [asyncio.create_task(events(trigger(poll_interval=1))) for _ in range(50)]
        await until(lambda: server.requests)
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]
        released.set()
        others = await asyncio.gather(*tasks[1:])
        assert all(event["status"] == "low" for [event] in others)

    with Server(answer) as server:
        connect(server)
        asyncio.run(main(), debug=True)
    assert begun(server) == 2


@pytest.mark.parametrize(
    ("fault", "has_listed", "polls"),
    [(PERMANENT["404"], True, 1), (REFUSED["401"], False, 1), (REFUSED["403"], True, 3)],
    ids=["404", "401", "403"],
)
def test_an_error_that_is_shared_reaches_each(fault, has_listed, polls, connect, patience):
    patience(0.3)

    async def main():
        watching = [trigger(threshold=number, poll_interval=0.1, has_listed=has_listed) for number in range(30)]
        return await asyncio.gather(*map(events, watching))

    with Server(Keys(fault)) as server:
        connect(server)
        ended = asyncio.run(main())
    assert {event["status_code"] for [event] in ended} == {fault.status}
    assert polls <= begun(server) <= 2 * polls


def test_a_server_that_hangs_delays_no_trigger_of_another(connect):
    async def main():
        hanging = [asyncio.create_task(events(trigger(openrouter_conn_id="hanging"))) for _ in range(20)]
        await until(lambda: silent.requests)
        [event] = await events(trigger())
        assert event["status"] == "low"
        assert not any(task.done() for task in hanging)
        assert len(silent.requests) == 1
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    with Server(lambda request: HANGS) as silent, Server(Keys(FULL, FULL, LOW)) as server:
        connect(silent, "hanging", timeout=60)
        connect(server)
        asyncio.run(main())
