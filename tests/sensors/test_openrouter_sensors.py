"""The sensor that waits for a key to run low: the same in every mode, with every fault, first or later."""

import asyncio
import json
import logging
import math
import os
import re
import subprocess
import sys
import time
import traceback
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from inspect import signature

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator
from support.lines import AIRFLOW_3_0, AirflowRescheduleException, DagBag, needs_dag_test
from support.sandboxes import once_asked
from support.sensors import MODES, Context, at_the_first_poke_and_later, in_every_mode, wait_with
from support.servers import BREAKS, HANGS, RETRY_AT_ONCE, TOKEN, Answer, Server, data, error

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

FIELDS = {
    "threshold",
    "openrouter_conn_id",
    "key_hashes",
    "name_pattern",
    "include_disabled",
    "workspace_id",
    "fail_if_unwatched",
    "expires_within",
}


def key(hash_, left, **fields):
    return {
        "hash": hash_,
        "name": f"name of {hash_}",
        "disabled": False,
        "limit": 10.0,
        "limit_remaining": left,
        "limit_reset": None,
        "expires_at": None,
    } | fields


WHY = {"reason": "limit", "threshold": 5, "next_reset_at": None}
FULL = [key("other", 10.0), key("low", 9.0), key("unlimited", None, limit=None)]
LOW = [key("other", 10.0), key("low", 1.5), key("unlimited", None, limit=None)]

ECHO = f"you sent {TOKEN}"
HIDDEN = "(you sent ***)"
TRANSIENT = {
    "429": error(429, ECHO),
    "500": error(500, ECHO),
    "503": error(503, ECHO),
    "a connection that breaks": BREAKS,
    "a body that breaks off": Answer(body={"data": [], "told": TOKEN}, cut=12),
    "a server that hangs": HANGS,
    "a page": Answer(401, f"<p>{ECHO}</p>"),
    "no JSON": Answer(body=f"{ECHO}"),
    "an error in a 200": Answer(body={"error": ECHO}),
}
FATAL = {
    "401": (
        error(401, ECHO),
        OpenRouterAuthError,
        401,
        f"answered 401 {HIDDEN}. The key must be an active management key",
    ),
    "403": (
        error(403, ECHO),
        OpenRouterAuthError,
        403,
        f"answered 403 {HIDDEN}. A limit, a budget or a data region may forbid it",
    ),
    "400": (error(400, ECHO), OpenRouterRequestError, 400, f"answered 400 {HIDDEN}. Check the base URL"),
    "404": (error(404, ECHO), OpenRouterRequestError, 404, f"answered 404 {HIDDEN}. Check the base URL"),
    "a redirect": (
        Answer(302, headers={"Location": f"https://elsewhere.example/{TOKEN}"}),
        OpenRouterResponseError,
        302,
        "answered 302, a redirect to elsewhere.example. It is not followed",
    ),
    "no data": (Answer(body={"keys": ECHO}), OpenRouterResponseError, None, "JSON that has no 'data'"),
    "no list": (data({"hash": ECHO}), OpenRouterResponseError, None, "answered no list under 'data'"),
    "no hash": (data([{"name": ECHO}]), OpenRouterResponseError, None, "answered a record without 'hash'"),
}
NONSENSE = [
    ("threshold", -1, "threshold must be USD such as 5"),
    ("threshold", "150%", "threshold must be USD such as 5"),
    ("threshold", "-1%", "threshold must be USD such as 5"),
    ("threshold", math.nan, "threshold must be USD such as 5"),
    ("threshold", math.inf, "threshold must be USD such as 5"),
    ("threshold", "soon", "threshold must be USD such as 5"),
    ("threshold", "", "threshold must be USD such as 5"),
    ("threshold", True, "threshold must be USD such as 5"),
    ("threshold", None, "threshold must be USD such as 5"),
    *(
        ("threshold", value, "threshold must be USD such as 5")
        for value in ("3 dayz", "0 days", "1e9 days", ["50%", "10%"], ["10%"])
    ),
    *(
        ("expires_within", value, 'expires_within must be a time such as "3 days"')
        for value in (5, "5", "3 dayz", "0 days", "1e9 days", "10%", "")
    ),
    ("key_hashes", 5, "key_hashes must be a list"),
    ("key_hashes", [5], "key_hashes must be a list"),
    ("key_hashes", ["['a', 'b']"], "needs render_template_as_native_obj=True"),
    ("key_hashes", {"a": 1}, "key_hashes must be a list"),
    ("name_pattern", 5, "name_pattern must be text"),
    ("include_disabled", "maybe", "include_disabled must be true or false"),
    ("fail_if_unwatched", "", "fail_if_unwatched must be true or false"),
]


class Polls:
    """Answers each listing as it is said, with keys or with a fault; the last one comes for ever."""

    def __init__(self, *listings):
        self.listings = listings
        self.count = 0
        self._now = None

    def __call__(self, request):
        if request.offset == 0:
            self._now = self.listings[min(self.count, len(self.listings) - 1)]
            self._now = self._now() if callable(self._now) else self._now
            self.count += 1
        if isinstance(self._now, Answer):  # which a later page, asked for ahead, may come before or after
            return data([]) if request.offset else self._now
        return data(self._now[request.offset :])


def connection(base_url, password=TOKEN, **extras):
    return json.dumps({"conn_type": "openrouter", "host": base_url, "password": password, "extra": extras})


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Return what changes how long refusals are outlasted; without it that is a moment."""

    def outlast(seconds):
        monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.PATIENCE", seconds)

    outlast(0.2)
    return outlast


@pytest.fixture
def serve(monkeypatch):
    """Return what starts a server of these listings, and the default connection to it."""
    with ExitStack() as stack:

        def start(*listings, **extras):
            server = stack.enter_context(Server(Polls(*listings)))
            # One page at a time, so that those of a poll are of one round.
            said = connection(server.base_url, **{"max_retries": 0, "max_concurrency": 1} | extras)
            monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", said)
            return server

        yield start


def warnings(text):
    return [line for line in text.splitlines() if re.search(r"\[warning|\[error|WARNING|ERROR", line)]


def wait(mode, context=None, **arguments):
    """Run the sensor to its end as Airflow does in this mode."""
    return wait_with(OpenRouterKeyLimitSensor, mode, context, **{"threshold": 5} | arguments)


def hashes(keys):
    return [key["hash"] for key in keys]


# -- what it returns


@in_every_mode
@at_the_first_poke_and_later
def test_it_returns_the_low_keys_the_lowest_first(mode, when, serve):
    low = [key("some", 4.99), key("owing", -0.5), key("exact", 5.0), key("none", 0), *FULL]
    server = serve(*[FULL] * 2 * (when == "later"), low)
    context = Context()
    before = datetime.now(UTC)
    keys = wait(mode, context)
    (observed_at,) = {record.pop("observed_at") for record in keys}
    assert all(record.items() >= WHY.items() for record in keys)
    keys = [{name: value for name, value in record.items() if name not in WHY} for record in keys]
    assert keys == [key("owing", -0.5), key("none", 0), key("some", 4.99)]
    assert before <= datetime.fromisoformat(observed_at) <= datetime.now(UTC)
    assert datetime.fromisoformat(observed_at).utcoffset() == timedelta(0)
    assert server.answer.count == (3 if when == "later" else 1)
    assert len(context.deferred) == (mode == "deferrable" and when == "later")


@in_every_mode
@at_the_first_poke_and_later
def test_it_pushes_a_message_and_all_low_keys_as_a_table(mode, when, serve):
    serve(*[FULL] * (when == "later"), [key(f"k{number}", number / 10) for number in range(30)])
    context = Context()
    assert len(wait(mode, context)) == 30
    message, report = context.xcoms["message"].splitlines(), context.xcoms["report"].splitlines()
    assert (message[0], len(message)) == ("30 OpenRouter keys are low", 23)
    assert message[2] == "- name of k1 has $0.10 of $10.00 left, below $5.00, never resets"
    assert (report[3], len(report)) == ("| name of k1 | $0.10 | $10.00 | never resets | below $5.00 |", 32)


@in_every_mode
@pytest.mark.parametrize(("do_xcom_push", "account"), [(False, LOW), (True, FULL)])
def test_it_pushes_nothing_if_none_is_low_or_none_is_wanted(do_xcom_push, account, mode, serve):
    serve(account)
    context = Context()
    with suppress(AirflowSensorTimeout):
        wait(mode, context, timeout=0, do_xcom_push=do_xcom_push)
    assert context.xcoms == {}


def test_an_event_of_an_earlier_release_gets_a_message_too():
    context = Context()
    event = {"version": 1, "status": "low", "keys": [key("low", 1.5)]}
    sensor = OpenRouterKeyLimitSensor(task_id="wait", threshold=5)
    assert sensor.execute_complete(context, event) == event["keys"]
    assert "- name of low has $1.50 of $10.00 left, never resets" in context.xcoms["message"].splitlines()


@in_every_mode
def test_a_key_that_runs_low_while_it_waits_is_found(mode, monkeypatch):
    with Sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        spent = sandbox.create_key(limit=100.0, limit_remaining=100.0, expires_at=None)
        with once_asked(sandbox, 5, lambda: sandbox.update_key(spent, limit_remaining=0.25)):
            keys = wait(mode, threshold=0.5)
    assert [(record["hash"], record["limit_remaining"]) for record in keys] == [(spent, 0.25)]


@in_every_mode
@at_the_first_poke_and_later
def test_whatever_the_api_sends_beside_is_handed_on_as_json(mode, when, serve):
    odd = key("odd", 1e-7, name="naïve 😀 %s {{ x }}", extra={"nested": [1, None, 2.5e18]}, usage=0)
    serve(*[FULL] * (when == "later"), [odd, *FULL])
    (record,) = wait(mode)
    assert record == odd | {"observed_at": record["observed_at"]} | WHY
    assert json.loads(json.dumps(record, allow_nan=False)) == record


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"threshold": "50%"}, ["b", "a", "c"]),
        ({"threshold": "5.00"}, ["b", "a"]),
        ({"threshold": Decimal("2")}, ["b"]),
        ({"key_hashes": ["c", "a"]}, ["a"]),
        ({"key_hashes": "a, b"}, ["b", "a"]),
        ({"name_pattern": "name of [!b]"}, ["a"]),
        ({"include_disabled": "true"}, ["b", "off", "a"]),
        ({"workspace_id": "", "name_pattern": "", "key_hashes": None}, ["b", "a"]),
    ],
)
def test_the_modes_watch_the_same_keys(mode, when, arguments, found, serve):
    high = [key("a", 90.0, limit=100.0), key("b", 90.0, limit=100.0), key("c", 90.0, limit=100.0)]
    low = [
        key("a", 3.0),
        key("b", 1.0),
        key("c", 40.0, limit=100.0),
        key("off", 2.0, disabled=True),
        key("over", 2.0, expires_at="2026-01-01T00:00:00Z"),
    ]
    asks_for_disabled = "include_disabled" in arguments
    server = serve(*[high] * (when == "later"), low)
    assert hashes(wait(mode, **arguments)) == found
    assert {request.query["include_disabled"] for request in server.requests} == {str(asks_for_disabled).lower()}
    assert not any("workspace_id" in request.query for request in server.requests)


@in_every_mode
@pytest.mark.parametrize(("workspace", "found"), [(0, ["first"]), (1, ["second"]), ("*", ["second", "first"])])
def test_the_modes_ask_for_the_same_workspace(mode, workspace, found, monkeypatch):
    with Sandbox(keys=0, workspaces=2) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        ids = [workspace["id"] for workspace in sandbox.answer("/workspaces", sandbox.token)[1]["data"]]
        first = sandbox.create_key(workspace_id=ids[0], limit=9.0, limit_remaining=9.0)
        second = sandbox.create_key(workspace_id=ids[1], limit=9.0, limit_remaining=9.0)

        def spend():
            sandbox.update_key(first, limit_remaining=0.5)
            sandbox.update_key(second, limit_remaining=0.25)

        with once_asked(sandbox, 8, spend):
            keys = wait(mode, workspace_id=workspace if workspace == "*" else ids[workspace], threshold=1)
    names = {first: "first", second: "second"}
    assert keys
    assert {names[hash_] for hash_ in hashes(keys)} <= set(found)


def spending(hash_, left, **fields):
    """Return a key that spends 10 USD today, and has spent nothing before."""
    used = dict.fromkeys(["usage", "usage_daily", "usage_weekly", "usage_monthly"], 10)
    return key(hash_, left, created_at=datetime.now(UTC).isoformat(), **used | fields)


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("threshold", ["36 hours", timedelta(days=1.5), "{{ params.days }} days"], ids=str)
def test_the_modes_find_the_same_keys_that_run_dry(mode, when, threshold, serve):
    # Ten dollars a day over six hours are forty.
    high = [spending("soon", 61), spending("reset", 1, limit=1, limit_reset="daily"), key("idle", 0.01)]
    low = [spending("soon", 59), *high[1:], spending("over", 0, limit_reset="daily")]
    server = serve(*[high] * (when == "later"), low)
    over, soon = wait(mode, Context(params={"days": 1.5}), threshold=threshold)
    for record, hash_ in ((over, "over"), (soon, "soon")):
        assert (record["hash"], record["reason"], record["threshold"]) == (hash_, "runway", "36 hours")
        assert record["pace_usd_per_day"] == 40
    assert over["runs_dry_at"] == over["observed_at"]
    lasts = datetime.fromisoformat(soon["runs_dry_at"]) - datetime.fromisoformat(soon["observed_at"])
    assert lasts == timedelta(hours=35.4)
    assert (over["next_reset_at"] is None, soon["next_reset_at"]) == (False, None)
    assert server.answer.count == (2 if when == "later" else 1)


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("within", ["7 days", timedelta(days=7), "{{ params.weeks }} week"], ids=str)
def test_the_modes_find_the_same_keys_that_expire(mode, when, within, serve):
    def expiring(hash_, days, **fields):
        return key(hash_, 9.0, expires_at=(datetime.now(UTC) + timedelta(days=days)).isoformat(), **fields)

    high = [expiring("later", 8), expiring("over", -1), expiring("off", 1, disabled=True)]
    expire = [expiring("soon", 6), expiring("free", 1, limit=None, limit_remaining=None)]
    serve(*[high] * (when == "later"), [*high, *expire, key("low", 4)])
    found = wait(mode, Context(params={"weeks": 1}), expires_within=within)
    assert [(record["hash"], record["reason"], record["threshold"]) for record in found] == [
        ("low", "limit", 5),
        ("free", "expiry", "7 days"),
        ("soon", "expiry", "7 days"),
    ]


@in_every_mode
@at_the_first_poke_and_later
def test_the_modes_return_all_keys_though_an_event_has_a_hundred(mode, when, serve):
    low = [key(str(number), number / 100) for number in range(250)]
    server = serve(*[FULL] * (when == "later"), low)
    context = Context()
    assert hashes(wait(mode, context)) == [str(number) for number in range(250)]
    resumed = mode == "deferrable" and when == "later"
    assert server.answer.count == 1 + (when == "later") + resumed
    if resumed:
        event = json.loads(context.payloads[0])
        assert (len(event["keys"]), event["total"]) == (100, 250)


@pytest.mark.parametrize(("last", "said"), [(error(500), 1), (FULL, 0)], ids=["a fault", "none low any more"])
def test_the_keys_of_the_event_are_returned_if_none_are_found(last, said, serve, log):
    low = [key(str(number), number / 100) for number in range(250)]
    serve(FULL, low, last)
    assert hashes(wait("deferrable")) == [str(number) for number in range(100)]
    assert log().count("Only the keys of the trigger's event are returned.") == said


# -- what may pass


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_transient_error_is_one_warning_and_the_wait_goes_on(mode, when, fault, serve, log):
    listings = [*[FULL] * (when == "later"), TRANSIENT[fault], LOW]
    server = serve(*listings, **{"timeout": 3} if fault == "a server that hangs" else {})
    assert hashes(wait(mode)) == ["low"]
    (line,) = warnings(log())
    assert "The wait goes on." in line
    assert "OpenRouterKeyLimit" in line or "{base.py:" in line  # Airflow 3.0 names the file
    assert f"{server.base_url}/keys" in line
    assert server.answer.count == len(listings)


@in_every_mode
def test_each_of_many_transient_errors_is_a_warning_of_its_own(mode, serve, log):
    server = serve(error(500), FULL, error(429), error(503), BREAKS, FULL, LOW)
    assert hashes(wait(mode)) == ["low"]
    said = warnings(log())
    assert len(said) == 4
    assert all("The wait goes on." in line for line in said)
    assert server.answer.count == 7


@in_every_mode
@at_the_first_poke_and_later
def test_what_a_retry_mends_is_no_warning(mode, when, serve, log):
    again = error(503, headers=RETRY_AT_ONCE)
    server = serve(*[FULL] * (when == "later"), again, again, LOW, max_retries=2)
    assert hashes(wait(mode)) == ["low"]
    text = log()
    assert warnings(text) == []
    assert text.count("Trying again in 0.0 s") == 2
    assert server.answer.count == (4 if when == "later" else 3)


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
@pytest.mark.parametrize("flag", [None, "soft_fail", "never_fail", "silent_fail"])
@pytest.mark.parametrize("fault", ["401", "403"])
def test_a_key_that_is_replaced_in_time_ends_no_wait(mode, flag, fault, serve, patience, monkeypatch, log):
    def replaced():
        said = connection(server.base_url, "sk-or-v1-the-new-one", max_retries=0)
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", said)
        return refused

    patience(60)
    refused = FATAL[fault][0]
    server = serve(FULL, refused, refused, error(500), replaced, FULL, LOW)
    assert hashes(wait(mode, poke_interval=0.02, **{flag: True} if flag else {})) == ["low"]
    used = [request.headers["Authorization"] for request in server.requests]
    assert used[-1] == "Bearer sk-or-v1-the-new-one"
    said = warnings(log())
    assert len(said) == 4
    assert sum("The wait goes on: it ends if this lasts" in line for line in said) == 3


# -- what will not pass


def script(fault, when):
    return [*[FULL] * (when == "later"), FATAL[fault][0]]


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", FATAL)
def test_a_fatal_error_is_the_same_typed_one_in_each_mode(mode, when, fault, serve):
    _, kind, status, said = FATAL[fault]
    server = serve(*script(fault, when))
    with pytest.raises(kind) as caught:
        wait(mode, poke_interval=0.02)
    refused = kind is OpenRouterAuthError
    assert isinstance(caught.value, AirflowFailException) is not refused
    assert caught.value.status_code == status
    assert said in str(caught.value)
    assert re.match(rf"({re.escape(server.base_url)})?/keys answered ", str(caught.value))
    polls = len(script(fault, when))
    if refused and when == "later" and mode != "reschedule":
        assert server.answer.count > polls + 1
    else:
        assert server.answer.count == polls


@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", FATAL)
def test_the_modes_say_the_same_of_a_fatal_error(when, fault, serve):
    said = set()
    for mode in MODES:
        server = serve(*script(fault, when))
        with pytest.raises(OpenRouterError) as caught:
            wait(mode, poke_interval=0.02)
        said.add(str(caught.value).replace(server.base_url, "…"))
    assert len(said) == 1


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", ["400", "a redirect"])
def test_silent_fail_changes_nothing_of_a_fatal_error(mode, when, fault, serve):
    serve(*script(fault, when))
    with pytest.raises(FATAL[fault][1]) as caught:
        wait(mode, poke_interval=0.02, silent_fail=True)
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize(("mode", "goes_on"), [("poke", True), ("reschedule", True), ("deferrable", False)])
def test_silent_fail_hides_a_refused_key_but_not_if_deferred(mode, goes_on, serve):
    serve(FULL, *[error(401)] * 30, LOW)
    if goes_on:
        assert hashes(wait(mode, poke_interval=0.02, silent_fail=True)) == ["low"]
    else:
        with pytest.raises(OpenRouterAuthError):
            wait(mode, poke_interval=0.02, silent_fail=True)


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", ["500", "a connection that breaks"])
@pytest.mark.parametrize("flag", ["silent_fail", "soft_fail", "never_fail"])
def test_no_flag_changes_anything_of_a_transient_error(mode, when, fault, flag, serve, log):
    serve(*[FULL] * (when == "later"), TRANSIENT[fault], LOW)
    assert hashes(wait(mode, **{flag: True})) == ["low"]
    assert len(warnings(log())) == 1


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", ["401", "400", "a redirect"])
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_a_fatal_error_skips_where_that_is_wanted(mode, when, fault, flag, serve):
    serve(*script(fault, when))
    kind = FATAL[fault][1]
    if AIRFLOW_3_0 and (mode, when, flag) == ("deferrable", "later", "never_fail"):
        with pytest.raises(kind):  # its base class forgets the flag when it resumes
            wait(mode, poke_interval=0.02, never_fail=True)
        return
    with pytest.raises(AirflowSkipException, match=None if AIRFLOW_3_0 else f"Skipping due to {flag}") as caught:
        wait(mode, poke_interval=0.02, **{flag: True})
    assert isinstance(caught.value.__cause__, kind)


@in_every_mode
def test_a_connection_that_is_missing_ends_the_wait(mode):
    with pytest.raises(OpenRouterAuthError, match="`no_such_connection` isn't defined"):
        wait(mode, openrouter_conn_id="no_such_connection")


@in_every_mode
@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({}, OpenRouterAuthError),
        ({"soft_fail": True}, AirflowSkipException),
    ],
)
def test_a_connection_that_goes_missing_ends_the_wait(mode, flags, kind, serve, monkeypatch):
    def deleted():
        monkeypatch.delenv("AIRFLOW_CONN_OPENROUTER_DEFAULT")
        return FULL

    server = serve(deleted)
    with pytest.raises(kind) as caught:
        wait(mode, poke_interval=0.02, **flags)
    error = caught.value.__cause__ if "soft_fail" in flags else caught.value
    assert "`openrouter_default` isn't defined" in str(error)
    assert server.answer.count == 1


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"password": ""}, OpenRouterAuthError, "There is no management key"),
        ({"password": f"{TOKEN}\n{TOKEN}"}, OpenRouterAuthError, "has a character that cannot be sent"),
        ({"extra": {"timeout": "soon"}}, OpenRouterRequestError, "^timeout must be a number"),
        ({"host": "http://openrouter.example"}, OpenRouterRequestError, "management key unencrypted"),
    ],
)
def test_a_nonsense_connection_ends_the_wait(mode, when, change, kind, said, serve, monkeypatch):
    def changed():
        said = json.loads(connection(server.base_url)) | change
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(said))
        return FULL

    server = serve(changed)
    if when == "first":
        changed()
    with pytest.raises(
        kind, match=rf"{said}.*is the (password|host|extra \w+) of connection 'openrouter_default'\.$"
    ) as caught:
        wait(mode, poke_interval=0.02)
    assert isinstance(caught.value, AirflowFailException) is (kind is not OpenRouterAuthError)
    assert server.answer.count == (when == "later")


# -- how long it waits


DEFERRED_TIMEOUT = AirflowSensorTimeout if AIRFLOW_3_0 else AirflowSkipException
"""A deferred sensor's timeout where a flag wants a skip: on 3.0 Airflow's base class forgets the flags."""


@in_every_mode
@pytest.mark.parametrize(
    ("flags", "outcomes"),
    [
        ({}, dict.fromkeys(MODES, AirflowSensorTimeout)),
        ({"silent_fail": True}, dict.fromkeys(MODES, AirflowSensorTimeout)),
        (
            {"soft_fail": True},
            {"poke": AirflowSkipException, "reschedule": AirflowSkipException, "deferrable": DEFERRED_TIMEOUT},
        ),
        (
            {"never_fail": True},
            {"poke": AirflowSensorTimeout, "reschedule": AirflowSensorTimeout, "deferrable": DEFERRED_TIMEOUT},
        ),
    ],
    ids=["no flag", "silent_fail", "soft_fail", "never_fail"],
)
@pytest.mark.parametrize("listing", [FULL, error(500), []], ids=["none low", "an error each time", "no keys"])
def test_it_times_out(mode, flags, outcomes, listing, serve, log):
    serve(listing)
    with pytest.raises(outcomes[mode]):
        wait(mode, timeout=0.2, **flags)
    assert "never retrieved" not in log()


@in_every_mode
def test_it_times_out_while_the_server_hangs(mode, serve, log):
    serve(FULL, HANGS, timeout=0.3)
    with pytest.raises(AirflowSensorTimeout):
        wait(mode, timeout=0.2)
    assert "never retrieved" not in log()


@in_every_mode
@pytest.mark.parametrize("timeout", [0, timedelta(0)])
def test_without_time_to_wait_it_looks_once(mode, timeout, serve):
    server = serve(FULL, LOW)
    with pytest.raises(AirflowSensorTimeout):
        wait(mode, timeout=timeout)
    assert server.answer.count == 1
    serve(LOW)
    assert hashes(wait(mode, timeout=timeout)) == ["low"]


@in_every_mode
@pytest.mark.parametrize(
    "arguments",
    [{"exponential_backoff": True, "max_wait": 0.05}, {"max_wait": timedelta(seconds=0.05)}],
    ids=["exponential_backoff and max_wait", "max_wait"],
)
def test_only_a_deferred_wait_warns_that_it_does_not_back_off(mode, arguments, serve, log):
    serve(FULL, FULL, LOW)
    assert hashes(wait(mode, **arguments)) == ["low"]
    said = warnings(log())
    assert len(said) == (mode == "deferrable")
    assert all("exponential_backoff and max_wait are ignored" in line for line in said)


def test_a_wait_that_does_not_defer_does_not_warn_of_back_off(serve, log):
    serve(LOW)
    wait("deferrable", exponential_backoff=True)
    assert warnings(log()) == []


# -- when the server, or the key, needs time


@in_every_mode
@pytest.mark.parametrize(("first", "took"), [(FULL, 0.0), (error(500), 0.0), (error(500, delay=0.5), 0.5)])
def test_the_second_poll_comes_an_interval_after_the_first(mode, first, took, serve):
    server, began = serve(first, LOW), time.monotonic()
    wait(mode, poke_interval=0.5)
    _, second = (request.arrived for request in server.requests if not request.offset)
    assert second - began >= took + 0.5


@pytest.mark.parametrize("first", [FULL, error(500)])
def test_a_deferred_wait_polls_ten_seconds_after_its_deferral(first, serve):
    serve(first)
    with pytest.raises(TaskDeferred) as deferred:
        OpenRouterKeyLimitSensor(task_id="wait", threshold=5, deferrable=True).execute(Context())
    left = deferred.value.trigger.first_poll_at - datetime.now(UTC)
    assert timedelta(seconds=5) < left <= timedelta(seconds=10)


@pytest.mark.parametrize("status", [429, 503])
@in_every_mode
@at_the_first_poke_and_later
def test_no_poll_comes_before_the_time_that_the_server_asks_for(mode, when, status, serve, log):
    asks = error(status, headers={"Retry-After": "0.4"})
    server = serve(*[FULL] * (when == "later"), asks, LOW)
    assert hashes(wait(mode)) == ["low"]
    *_, asked, again = (request.arrived for request in server.requests if not request.offset)
    assert again - asked >= 0.4
    assert len(warnings(log())) == 1


@in_every_mode
@at_the_first_poke_and_later
def test_the_timeout_ends_a_wait_whose_server_asks_for_hours(mode, when, serve):
    server = serve(*[FULL] * (when == "later"), error(429, headers={"Retry-After": "36000"}))
    with pytest.raises(AirflowSensorTimeout):
        wait(mode, timeout=0.5)
    at_its_end = mode == "reschedule"  # the last process of all looks once more
    assert server.answer.count == 1 + (when == "later") + at_its_end


@pytest.mark.parametrize("flag", ["silent_fail", "never_fail", "soft_fail"])
def test_no_flag_changes_when_a_poke_is_rescheduled(flag, serve):
    serve(error(429, headers={"Retry-After": "3600"}))
    sensor = OpenRouterKeyLimitSensor(
        task_id="wait", threshold=5, mode="reschedule", timeout=9999, **{flag: True}
    )
    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as rescheduled:
        sensor.execute(Context())
    assert rescheduled.value.reschedule_date - before >= timedelta(hours=1)


def test_a_deferred_wait_whose_first_poke_failed_has_not_listed(serve):
    serve(error(500), error(401))
    context = Context()
    with pytest.raises(OpenRouterAuthError):
        wait("deferrable", context)
    (row,) = map(json.loads, context.trigger_rows)
    assert row["has_listed"] is False


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_a_key_that_stays_refused_ends_a_wait_of_a_long_interval(mode, serve, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.LONGEST_PAUSE", 0.1)
    serve(FULL, error(401))
    slept, asleep, dozing = [], time.sleep, asyncio.sleep

    def shortened(seconds):
        slept.append(seconds)
        return min(seconds, 0.3)

    monkeypatch.setattr(time, "sleep", lambda seconds: asleep(shortened(seconds)))
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: dozing(shortened(seconds)))
    with pytest.raises(OpenRouterAuthError):
        wait(mode, poke_interval=86_400, timeout=999_999)
    [long] = [seconds for seconds in slept if seconds > 1]  # after the success alone
    assert long == (86_400 if mode == "poke" else pytest.approx(10, abs=5))


@in_every_mode
def test_a_wait_that_never_listed_ends_with_the_first_refusal(mode, serve):
    server = serve(error(500), error(401))
    with pytest.raises(OpenRouterAuthError) as caught:
        wait(mode)
    assert not isinstance(caught.value, AirflowFailException)
    assert server.answer.count == 2


# -- execution_timeout, which Airflow does not apply to what is deferred


@pytest.mark.parametrize(
    ("limits", "seconds", "kind"),
    [
        ({"timeout": 0.3, "execution_timeout": timedelta(hours=1)}, 0.3, AirflowSensorTimeout),
        ({"timeout": 3600, "execution_timeout": timedelta(seconds=0.3)}, 0.3, AirflowTaskTimeout),
        ({"timeout": 0.3, "execution_timeout": timedelta(seconds=0.3)}, 0.3, AirflowTaskTimeout),
        (
            {"timeout": 0.3, "execution_timeout": timedelta(0)},
            0.3,
            AirflowSensorTimeout,
        ),  # Airflow takes 0 as none
        ({"timeout": 0.3, "execution_timeout": None}, 0.3, AirflowSensorTimeout),
    ],
)
def test_a_deferred_wait_ends_with_the_shorter_timeout(limits, seconds, kind, serve):
    serve(FULL)
    context = Context()
    with pytest.raises(kind) as caught:
        wait("deferrable", context, **limits)
    assert not isinstance(caught.value, AirflowFailException)
    (deferred,) = context.deferred
    assert not deferred.kwargs
    spent = timedelta(seconds=seconds) - deferred.timeout
    assert (timedelta(0) < spent < timedelta(seconds=seconds)) is (kind is AirflowTaskTimeout)


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_execution_timeout_leaves_its_retries_to_a_deferred_wait(flag, serve):
    serve(FULL)
    with pytest.raises(AirflowTaskTimeout, match=r"^The execution_timeout of 0:00:00\.2"):
        wait("deferrable", execution_timeout=timedelta(seconds=0.2), **{flag: True})


def test_a_key_low_within_the_execution_timeout_is_found(serve):
    serve(FULL, FULL, LOW)
    assert hashes(wait("deferrable", execution_timeout=timedelta(seconds=20))) == ["low"]


# -- what it defers with


def test_it_defers_with_plain_json_its_timeout_and_no_secret(serve):
    serve(FULL, LOW)
    context, began = Context(), datetime.now(UTC)
    wait(
        "deferrable",
        context,
        threshold=Decimal("5.0"),
        key_hashes=("low", "other", "low"),
        include_disabled="False",
        poke_interval=timedelta(seconds=0.25),
        timeout=timedelta(minutes=3),
        name_pattern="",
        workspace_id="",
    )
    ((deferred,), (row,)) = context.deferred, context.trigger_rows
    assert (deferred.timeout, deferred.method_name) == (timedelta(minutes=3), "execute_complete")
    assert not deferred.kwargs
    assert json.loads(row) == deferred.trigger.serialize()[1]
    first_poll_at = json.loads(row)["first_poll_at"]
    assert began + timedelta(seconds=0.25) <= datetime.fromisoformat(first_poll_at) <= datetime.now(UTC)
    assert json.loads(row) == {
        "threshold": 5.0,
        "key_hashes": ["low", "other"],
        "name_pattern": None,
        "include_disabled": False,
        "fail_if_unwatched": False,
        "openrouter_conn_id": "openrouter_default",
        "poll_interval": 0.25,
        "workspace_id": None,
        "has_listed": True,
        "first_poll_at": first_poll_at,
    }


DEFAULTS = """
import os
import airflow.sdk

for default in ("true", "false", None):
    if not os.fork():  # because the sensor's module reads the configuration once
        if default:
            os.environ["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] = default
        from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor as Sensor

        given = ({}, {"deferrable": True}, {"deferrable": False})
        defers = [Sensor(task_id="x", threshold=1, **more).deferrable for more in given]
        print("defers", default, *defers, flush=True)
        os._exit(0)
    os.wait()
"""


def test_whether_it_defers_is_what_the_configuration_says():
    run = subprocess.run([sys.executable, "-c", DEFAULTS], capture_output=True, text=True, check=True)
    said = [line.split() for line in run.stdout.splitlines() if line.startswith("defers")]
    assert said == [
        ["defers", str(default), str(default == "true"), "True", "False"] for default in ("true", "false", None)
    ]


# -- what it makes of the trigger's event

SENSOR = OpenRouterKeyLimitSensor(task_id="wait", threshold=5)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (None, "The trigger's event is of version None, not 1. Run the same version of"),
        ("low", "The trigger's event is of version None, not 1. Run the same version of"),
        ({}, "The trigger's event is of version None, not 1. Run the same version of"),
        ({"version": 2, "status": "low", "keys": LOW}, "is of version 2, not 1. Run the same version of"),
        ({"version": 1}, "has neither what is low nor an error"),
        ({"version": 1, "status": "low"}, "has neither what is low nor an error"),
        ({"version": 1, "status": "low", "keys": []}, "has neither what is low nor an error"),
        ({"version": 1, "status": "low", "keys": ["low"]}, "has neither what is low nor an error"),
        ({"version": 1, "status": "error", "error": "KeyError"}, "has neither what is low nor an error"),
        ({"version": 1, "status": "high", "keys": LOW, "message": "x"}, "has neither what is low nor an error"),
        ({"version": 1, "status": "error", "error": "KeyError", "message": "it broke"}, "^it broke$"),
        ({"version": 1, "status": "error", "error": "annotations", "message": "it broke"}, "^it broke$"),
        ({"version": 1, "status": "error", "error": ["x"], "message": "it broke"}, "^it broke$"),
    ],
)
def test_an_event_that_it_does_not_know_is_not_believed(event, said):
    with pytest.raises(AirflowException, match=said) as caught:
        SENSOR.execute_complete({}, event)
    assert not isinstance(caught.value, AirflowFailException | OpenRouterError)
    assert "\n" not in str(caught.value)


def test_no_event_at_all_is_not_believed():
    with pytest.raises(AirflowException, match="is of version None"):
        SENSOR.execute_complete({})


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, OpenRouterError) and kind is not OpenRouterError
    ],
)
@pytest.mark.parametrize("status", [418, None])
def test_an_error_of_the_trigger_is_raised_as_itself(kind, status):
    said = {"version": 1, "status": "error", "error": kind.__name__, "message": "it broke", "status_code": status}
    with pytest.raises(kind, match=r"^it broke$") as caught:
        SENSOR.execute_complete({}, said)
    with_task_retries = (OpenRouterRateLimitError, OpenRouterServerError, OpenRouterAuthError)
    assert isinstance(caught.value, AirflowFailException) == (kind not in with_task_retries)
    assert caught.value.status_code == status


# -- what it watches in vain


@in_every_mode
def test_a_missing_key_is_a_warning_at_each_poke(mode, serve, log):
    serve(FULL, FULL, LOW)
    assert hashes(wait(mode, key_hashes=["low", "gone"])) == ["low"]
    said = warnings(log())
    assert len(said) == 3
    assert all("key_hashes names keys that are not listed: gone. They may" in line for line in said)


@in_every_mode
@pytest.mark.parametrize("listing", [[], [key("unlimited", None, limit=None)]], ids=["no keys", "no limits"])
def test_no_key_to_watch_is_a_warning_at_each_poke(mode, listing, serve, log):
    serve(listing, listing, LOW)
    assert hashes(wait(mode)) == ["low"]
    said = warnings(log())
    assert len(said) == 2
    assert all("No key is watched: no active key with a limit matches the rule" in line for line in said)


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("flag", [True, "true", "{{ params.yes }}"])
@pytest.mark.parametrize(
    ("listing", "said"),
    [
        ([key("other", 9.0)], "^key_hashes names keys that are not listed: low. They may"),
        ([key("low", None, limit=None)], "^No key is watched"),
    ],
    ids=["missing", "no limit"],
)
def test_watching_in_vain_is_an_error_where_that_is_wanted(mode, when, flag, listing, said, serve):
    server = serve(*[FULL] * (when == "later"), listing)
    with pytest.raises(OpenRouterRequestError, match=said) as caught:
        wait(mode, Context(params={"yes": True}), key_hashes=["low"], fail_if_unwatched=flag)
    assert isinstance(caught.value, AirflowFailException)
    assert server.answer.count == 1 + (when == "later")


@in_every_mode
def test_an_error_for_watching_in_vain_comes_only_then(mode, serve, log):
    serve(FULL, LOW)
    assert hashes(wait(mode, key_hashes=["low"], fail_if_unwatched=True)) == ["low"]
    assert warnings(log()) == []


# -- what it says


@in_every_mode
@at_the_first_poke_and_later
def test_each_poke_logs_what_is_watched_and_what_is_left(mode, when, serve, log):
    low = [
        key("a", 1.5, name="billing-prod", limit_reset="monthly"),
        key("b", -0.25, name="chat", limit=1250, limit_reset=None),
        *FULL,
    ]
    serve(*[FULL] * (when == "later"), low)
    wait(mode)
    text = log()
    assert "4 keys watched (1 more not measurable), 2 below $5.00" in text
    assert "chat has -$0.25 of $1,250.00 left, never resets" in text
    assert re.search(
        r"billing-prod has \$1.50 of \$10.00 left, resets monthly, next on \d{4}-\d\d-01 at 00:00 UTC", text
    )
    assert text.count("2 keys watched (1 more not measurable), 0 below $5.00") == (when == "later")
    assert text.count("Lowest: name of low has $9.00 of $10.00 left") == (when == "later")


# -- what it refuses


@pytest.mark.parametrize(("name", "value", "said"), NONSENSE)
def test_nonsense_is_refused_when_the_dag_is_parsed(name, value, said):
    with pytest.raises(OpenRouterRequestError, match=said) as caught:
        OpenRouterKeyLimitSensor(task_id="wait", **{"threshold": 5} | {name: value})
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("poke_interval", [0, 0.0, timedelta(0)])
def test_a_deferrable_sensor_without_pause_is_refused(poke_interval):
    OpenRouterKeyLimitSensor(task_id="wait", threshold=5, poke_interval=poke_interval)
    with pytest.raises(OpenRouterRequestError, match="poke_interval must be a number of seconds above 0"):
        OpenRouterKeyLimitSensor(task_id="wait", threshold=5, poke_interval=poke_interval, deferrable=True)


def test_what_is_not_known_yet_is_not_refused_when_parsed():
    with DAG("later", schedule=None, params={"threshold": 5}) as dag:
        unknown = BaseOperator(task_id="unknown").output
        for number, value in enumerate(
            ["{{ params.x }}", "{% if x %}5{% endif %}", unknown, dag.param("threshold")]
        ):
            OpenRouterKeyLimitSensor(task_id=f"wait_{number}", **dict.fromkeys(FIELDS, value))
        for number, value in enumerate(["{{ params.x }}", unknown, unknown["low"]]):
            OpenRouterKeyLimitSensor(task_id=f"list_{number}", threshold=5, key_hashes=["a", value])
    assert len(dag.tasks) == 8


@in_every_mode
@pytest.mark.parametrize(("name", "value", "said"), NONSENSE)
def test_nonsense_of_a_template_is_refused_at_once(mode, name, value, said, serve):
    server = serve(LOW)
    with pytest.raises(OpenRouterRequestError, match=said) as caught:
        wait(
            mode,
            Context(params={"nonsense": value}),
            dag=DAG("nonsense", schedule=None, render_template_as_native_obj=True),
            **{name: "{{ params.nonsense }}"},
        )
    assert isinstance(caught.value, AirflowFailException)
    assert server.requests == []


# -- its templates


def test_every_argument_of_its_own_is_a_template_field():
    parameters = signature(OpenRouterKeyLimitSensor.__init__).parameters.keys() - {"self", "kwargs"}
    assert set(OpenRouterKeyLimitSensor.template_fields) == FIELDS == parameters - {"deferrable"}


def test_every_template_field_is_rendered():
    sensor = OpenRouterKeyLimitSensor(task_id="wait", **{name: f"{{{{ params.{name} }}}}" for name in FIELDS})
    sensor.render_template_fields(Context(params={name: f"a {name}" for name in FIELDS}))
    assert {name: getattr(sensor, name) for name in FIELDS} == {name: f"a {name}" for name in FIELDS}


WORKSPACE = "0b4fb4a9-ee5d-55d5-af62-c395b86d6479"
RENDERED = {
    "threshold": "20%",
    "key_hashes": ["low", "off"],
    "name_pattern": "name *",
    "include_disabled": True,
    "workspace_id": WORKSPACE,
    "fail_if_unwatched": True,
    "expires_within": "36 hours",
}


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize("threshold", ["20%", "2.00", 2, "3 days"])
def test_templates_are_used_as_they_are_rendered(mode, when, native, threshold, serve, monkeypatch):
    high = [key("low", 9.0), key("off", 8.0, disabled=True), key("out", 8.0)]
    low = [key("low", 0.0), key("off", -0.5, disabled=True), key("out", -1)]
    server = serve(*[high] * (when == "later"), low)
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", os.environ["AIRFLOW_CONN_OPENROUTER_DEFAULT"])
    monkeypatch.delenv("AIRFLOW_CONN_OPENROUTER_DEFAULT")
    params = RENDERED | {"threshold": threshold, "openrouter_conn_id": "team_keys"}
    context = Context(params=params if native else params | {"key_hashes": "low, off"})
    keys = wait(
        mode,
        context,
        dag=DAG("rendered", schedule=None, render_template_as_native_obj=native),
        **{name: f"{{{{ params.{name} }}}}" for name in FIELDS},
    )
    assert hashes(keys) == ["off", "low"]
    assert {request.query["workspace_id"] for request in server.requests} == {WORKSPACE}
    assert {request.query["include_disabled"] for request in server.requests} == {"true"}
    for row in map(json.loads, context.trigger_rows):
        wanted = threshold if threshold in ("20%", "3 days") else 2.0
        assert {name: row[name] for name in RENDERED} == RENDERED | {"threshold": wanted}


# -- through Airflow


@pytest.fixture(params=[pytest.param("dag.test", marks=needs_dag_test)])
def run_dag(dag_folder):
    """Return what runs a DAG through Airflow, and answers each task instance by its id and map index."""

    def run(dag_id, body):
        head = f"""
            from datetime import timedelta
            from airflow.sdk import DAG, task
            from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor as Sensor
            MODES = {MODES!r}
            again = {{"retries": 2, "retry_delay": timedelta(0), "poke_interval": 0.05, "timeout": 60}}
            with DAG({dag_id!r}, schedule=None, default_args=again):"""
        lines = [*(line[12:] for line in head.splitlines()), *body.splitlines()]
        (dag_folder / f"{dag_id}.py").write_text("\n".join(lines))
        bag = DagBag(dag_folder)
        assert bag.import_errors == {}
        instances = bag.dags[dag_id].test().get_task_instances()
        return {(instance.task_id, instance.map_index): instance for instance in instances}

    return run


def low_keys(instance):
    return hashes(instance.xcom_pull(task_ids=instance.task_id, map_indexes=instance.map_index))


@pytest.mark.xdist_group("airflow database")
def test_xcom_args_give_threshold_and_hashes(run_dag, serve):
    serve(LOW)
    instances = run_dag(
        "openrouter_sensor_xcom_args",
        """
    @task
    def threshold():
        return "20%"

    @task
    def key_hashes():
        return ["low", "other"]

    @task
    def count(keys):
        return len(keys)

    for mode, arguments in MODES.items():
        wait = Sensor(task_id=mode, threshold=threshold(), key_hashes=key_hashes(), **arguments)
        count.override(task_id=f"count_{mode}")(wait.output)
""",
    )
    assert {instance.state for instance in instances.values()} == {"success"}
    for mode in MODES:
        assert low_keys(instances[mode, -1]) == ["low"]
        count = instances[f"count_{mode}", -1]
        assert count.xcom_pull(task_ids=count.task_id) == 1


@pytest.mark.xdist_group("airflow database")
def test_a_mapped_sensor_waits_for_each_threshold_and_connection(run_dag, monkeypatch):
    with ExitStack() as stack:
        for name in ("one", "two"):
            servers = stack.enter_context(Server(Polls(FULL, [key(f"{name} low", 1.0), key(f"{name} mid", 3.0)])))
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", connection(servers.base_url, max_retries=0))
        instances = run_dag(
            "openrouter_sensor_mapped",
            """
    wait = Sensor.partial(task_id="wait", deferrable=True)
    wait.expand(threshold=["20%", 4], openrouter_conn_id=["one", "two"])
""",
        )
    assert {instance.state for instance in instances.values()} == {"success"}
    assert [low_keys(instances["wait", index]) for index in range(4)] == [
        ["one low"],
        ["two low"],
        ["one low", "one mid"],
        ["two low", "two mid"],
    ]


@pytest.mark.xdist_group("airflow database")
def test_a_mapped_nonsense_threshold_fails_before_any_request(run_dag, serve):
    server = serve(LOW)
    instances = run_dag(
        "openrouter_sensor_mapped_nonsense",
        """
    for mode, arguments in MODES.items():
        Sensor.partial(task_id=mode, **arguments).expand(threshold=["soon", "150%", -1])
""",
    )
    assert len(instances) == 9
    assert {(instance.state, instance.try_number) for instance in instances.values()} == {("failed", 1)}
    assert server.requests == []


@pytest.mark.xdist_group("airflow database")
@pytest.mark.parametrize("fault", ["404", "a redirect"])
def test_a_fatal_error_later_on_fails_without_task_retries(fault, run_dag, monkeypatch):
    with ExitStack() as stack:
        for mode in MODES:
            server = stack.enter_context(Server(Polls(FULL, FATAL[fault][0])))
            monkeypatch.setenv(f"AIRFLOW_CONN_{mode.upper()}", connection(server.base_url, max_retries=0))
        modes = [mode for mode in MODES if mode != "reschedule"]  # dag.test() reschedules slowly
        instances = run_dag(
            f"openrouter_sensor_fatal_{fault.replace(' ', '_')}",
            f"""
    for mode in {modes}:
        Sensor(task_id=mode, threshold=5, openrouter_conn_id=mode, **MODES[mode])
""",
        )
    assert len(instances) == 2
    assert {(instance.state, instance.try_number) for instance in instances.values()} == {("failed", 1)}


# -- what it never shows


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", [*TRANSIENT, *FATAL])
def test_the_key_is_shown_nowhere(mode, when, fault, serve, log, caplog):
    caplog.set_level(logging.DEBUG)
    answer = TRANSIENT[fault] if fault in TRANSIENT else FATAL[fault][0]
    server = serve(*[FULL] * (when == "later"), answer, LOW if fault in TRANSIENT else answer, timeout=0.5)
    context = Context()
    shown = []
    try:
        shown.append(repr(wait(mode, context, poke_interval=0.02)))
    except OpenRouterError as caught:
        shown += [repr(caught), str(vars(caught)), *traceback.format_exception(caught)]
    logged = caplog.text  # with what log() takes for printed already
    shown += [logged, log(), *context.trigger_rows, *context.payloads]
    assert server.requests[-1].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "http" in logged
    assert TOKEN not in "\n".join(shown)
