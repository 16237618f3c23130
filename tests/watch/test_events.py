"""Events: what triggers send in one process, and what sensors read in another."""

import json

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support.keys import key, listing

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
    without_task_retries,
)
from airflow_provider_openrouter.watch.events import (
    VERSION,
    error_event,
    failing_event,
    low_event,
    read_account,
    read_keys,
    recovered_event,
)
from airflow_provider_openrouter.watch.messages import format_message
from airflow_provider_openrouter.watch.rule import LimitRule

LOW = {"version": VERSION, "status": "low", "keys": [{"hash": "f01d", "limit_remaining": -0.12}]}
ERROR = {
    "version": VERSION,
    "status": "error",
    "error": "OpenRouterAuthError",
    "message": "No.",
    "status_code": 401,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def stored(event):
    """The event as it comes out of the database."""
    return json.loads(json.dumps(event, allow_nan=False))


def raised(event):
    """The error of an event."""
    with pytest.raises(AirflowException) as error:
        read_keys(event)
    return error.value


def is_understood_as_no_error_of_ours(event):
    error = raised(event)
    return type(error) is AirflowException and len(str(error).splitlines()) == 1


# -- low keys


def test_low_keys_arrive_as_they_are():
    keys = [{"hash": "a", "limit_remaining": -0.12, "mood": {"good": [None]}}, {"hash": "b"}]
    assert read_keys(stored(LOW | {"keys": keys})) == keys


@settings(deadline=None, database=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=3))
def test_any_records_arrive_as_they_were_sent(keys):
    assert read_keys(stored(LOW | {"keys": keys})) == keys


def test_an_event_of_low_keys_is_plain_json():
    check = LimitRule(threshold=5).check(listing(key("a"), key("b", 9)))
    event = low_event(check, check.low, connection="team_a")
    assert event.pop("message") == format_message(event | {"connection": "team_a"})
    assert event == {"version": 1, "status": "low", "keys": check.records, "total": 1, "low_count": 1}


ACCOUNT = {"balance": 4.5, "reason": "limit"}


def test_an_account_arrives_without_what_every_event_has():
    assert read_account(stored({"version": VERSION, "status": "low", "message": "Low.", **ACCOUNT})) == ACCOUNT


def test_an_event_of_keys_is_none_of_an_account():
    with pytest.raises(AirflowException) as error:
        read_account(LOW)
    assert str(error.value) == "The trigger's event has neither what is low nor an error. Run the task again."


# -- errors

OURS = [
    OpenRouterRequestError("GET /keys answered 404.", status_code=404),
    OpenRouterResponseError("GET /keys answered 200 with something that is not JSON.", status_code=200),
    OpenRouterConnectionError("The certificate cannot be verified.", transient=False),
]


@pytest.mark.parametrize("error", OURS, ids=repr)
@pytest.mark.parametrize("given", [lambda error: error, without_task_retries], ids=["as it is", "final"])
def test_a_permanent_error_arrives_as_its_kind_without_retries(error, given):
    arrived = raised(stored(error_event(given(error))))
    assert isinstance(arrived, type(error))
    assert isinstance(arrived, AirflowFailException)
    assert str(arrived) == str(error)
    assert arrived.status_code == error.status_code
    assert not arrived.transient


def test_every_permanent_kind_of_error_of_ours_is_among_them():
    ours = [
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, OpenRouterError) and kind is not OpenRouterError
    ]
    arrived = {type(without_task_retries(error)) for error in OURS}
    assert arrived == {kind for kind in ours if issubclass(kind, AirflowFailException)}


@pytest.mark.parametrize(
    "error",
    [
        OpenRouterAuthError("The connection has no password."),
        OpenRouterAuthError("GET /keys answered 401.", status_code=401),
        OpenRouterRateLimitError("GET /keys answered 429.", retry_after=3.0),
        OpenRouterServerError("GET /keys answered 503.", status_code=503, retry_after=1.0),
    ],
)
def test_any_other_error_arrives_as_its_kind_with_task_retries(error):
    arrived = raised(stored(error_event(error)))
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.status_code) == (str(error), error.status_code)


def test_an_error_is_plain_json():
    assert error_event(OpenRouterAuthError("No.", status_code=401)) == {
        "version": 1,
        "status": "error",
        "error": "OpenRouterAuthError",
        "message": "No.",
        "status_code": 401,
    }


SINCE = "2026-11-26T20:00:00+00:00"
WATCHED = {"connection": "team_a", "rule": "keys below $5.00"}


def test_an_event_of_a_watch_that_fails_is_plain_json():
    error = OpenRouterServerError("Busy.", status_code=503)
    event = failing_event(error, failing_since=SINCE, failures=5, watched=WATCHED)
    assert event.pop("message") == format_message(event)
    assert event == {
        "version": 1,
        "status": "error",
        "error": "OpenRouterServerError",
        "status_code": 503,
        "cause": "Busy.",
        "failing_since": SINCE,
        "failures": 5,
        **WATCHED,
    }


def test_an_event_of_a_watch_that_works_again_is_plain_json():
    event = recovered_event(failing_since=SINCE, watched=WATCHED)
    assert event.pop("message") == format_message(event)
    assert event.pop("observed_at").endswith("+00:00")
    assert event == {"version": 1, "status": "recovered", "failing_since": SINCE, **WATCHED}


def test_an_error_of_airflow_arrives_with_its_message():
    error = AirflowNotFoundException("The conn_id `openrouter_default` isn't defined")
    event = stored(error_event(error))
    assert event["error"] == "AirflowNotFoundException"
    assert event["status_code"] is None
    arrived = raised(event)
    assert type(arrived) is AirflowException
    assert str(arrived) == str(error)


def test_of_a_foreign_error_only_the_kind_arrives():
    event = stored(error_event(KeyError("sk-or-v1-secret")))
    assert "secret" not in json.dumps(event)
    arrived = raised(event)
    assert type(arrived) is AirflowException
    assert str(arrived) == "KeyError ended the wait. The triggerer's log has the traceback."


@pytest.mark.parametrize(
    "name",
    [
        *("SystemExit", "KeyboardInterrupt", "AirflowException", "AirflowFailException", "annotations"),
        *("without_task_retries", "ClassVar", "__name__", "__doc__", "OpenRouterFutureError", "", None, 7, []),
    ],
    ids=repr,
)
def test_an_error_that_is_not_ours_is_an_airflow_exception(name):
    arrived = raised(ERROR | {"error": name})
    assert type(arrived) is AirflowException
    assert str(arrived) == "No."


def test_an_error_without_a_name_or_a_status_code_still_arrives():
    assert str(raised({"version": VERSION, "status": "error", "message": "No."})) == "No."
    arrived = raised({name: value for name, value in ERROR.items() if name != "status_code"})
    assert isinstance(arrived, OpenRouterAuthError)
    assert arrived.status_code is None


# -- what is not to be understood


@pytest.mark.parametrize("version", [0, 2, "1", None, [], {}], ids=repr)
@pytest.mark.parametrize("event", [LOW, ERROR], ids=["low", "error"])
def test_an_event_of_another_version_asks_for_one_release(event, version):
    event = event | {"version": version}
    assert is_understood_as_no_error_of_ours(event)
    assert str(raised(event)) == (
        f"The trigger's event is of version {version!r}, not 1. Run the same version of "
        "airflow-provider-openrouter on triggerers and workers."
    )


@pytest.mark.parametrize("event", [None, {}, [], [LOW], "low", "", 1, True, {"status": "low"}], ids=repr)
def test_what_is_no_event_is_of_no_version(event):
    assert is_understood_as_no_error_of_ours(event)
    assert "of version None, not 1" in str(raised(event))


@pytest.mark.parametrize(
    "event",
    [
        *(LOW | {"status": status} for status in ("high", "", None, 7, "LOW", [])),
        *(LOW | {"keys": keys} for keys in ([], None, {}, "f01d", ["f01d"], [{"hash": "f01d"}, None], 7)),
        *(ERROR | {"message": message} for message in (None, 7, [], {})),
        {"version": VERSION},
        {"version": VERSION, "status": "low"},
        {"version": VERSION, "status": "error"},
    ],
    ids=repr,
)
def test_an_event_with_neither_keys_nor_an_error_says_so(event):
    assert is_understood_as_no_error_of_ours(event)
    assert str(raised(event)) == "The trigger's event has neither what is low nor an error. Run the task again."


@settings(deadline=None, database=None)
@given(
    JSON
    | st.fixed_dictionaries(
        {"version": st.just(VERSION) | JSON},
        optional={
            "status": st.sampled_from(["low", "error"]) | JSON,
            "keys": st.lists(st.dictionaries(st.text(), JSON, max_size=2), max_size=2) | JSON,
            "error": st.sampled_from(["OpenRouterServerError", "SystemExit"]) | JSON,
            "message": JSON,
            "status_code": JSON,
        },
    )
)
def test_any_event_is_low_keys_or_an_airflow_exception(event):
    try:
        keys = read_keys(event)
    except AirflowException:
        return
    assert keys
    assert keys == event["keys"]
