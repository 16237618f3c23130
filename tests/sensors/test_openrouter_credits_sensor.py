"""The sensor of an account's credits: the same in every mode, with every fault, first or later."""

import json
from contextlib import ExitStack
from datetime import timedelta

import pytest
import support.polling as polling
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout
from support.accounts import CreditAccount, activity, asked
from support.sensors import Context, at_the_first_poke_and_later, in_every_mode, wait_with
from support.servers import BREAKS, Server, data, error

from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterRequestError,
    OpenRouterResponseError,
)
from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, Sandbox
from airflow_provider_openrouter.sensors.openrouter import OpenRouterCreditsSensor

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

connect = polling.connect
nothing_is_left = polling.nothing_is_left

FATAL = {
    "401": (error(401), OpenRouterAuthError),
    "403": (error(403), OpenRouterAuthError),
    "404": (error(404), OpenRouterRequestError),
    "no object": (data([]), OpenRouterResponseError),
    "no amount": (data({"total_credits": 5, "total_usage": None}), OpenRouterResponseError),
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.PATIENCE", 0.2)


@pytest.fixture
def serve(connect):
    """Return what starts a server of an account, and the connection to it."""
    with ExitStack() as stack:

        def start(*polls, **account):
            server = stack.enter_context(Server(CreditAccount(*polls, **account)))
            connect(server)
            return server

        yield start


def wait(mode, context=None, **arguments):
    return wait_with(OpenRouterCreditsSensor, mode, context, **{"threshold": 5} | arguments)


@in_every_mode
@at_the_first_poke_and_later
def test_it_returns_the_account_and_pushes_a_message(mode, when, serve):
    server = serve(*[90, 90] * (when == "later"), 4.5)
    context = Context()
    account = wait(mode, context)
    assert json.loads(json.dumps(account, allow_nan=False)) == account
    assert account.pop("observed_at")
    assert account == {
        "total_credits": 1000,
        "total_usage": 995.5,
        "balance": 4.5,
        "reason": "limit",
        "threshold": 5.0,
        "pace_usd_per_day": None,
        "runs_dry_at": None,
    }
    assert [request.path for request in server.requests] == ["/credits"] * (3 if when == "later" else 1)
    assert len(context.deferred) == (mode == "deferrable" and when == "later")
    assert context.xcoms.keys() == {"message"}
    assert context.xcoms["message"].startswith("The OpenRouter account has $4.50 of credits left")


@in_every_mode
def test_a_time_is_foreseen(mode, serve):
    server = serve(100, 29, activity=activity(5, 15))
    account = wait(mode, threshold=timedelta(days=3))
    assert (account["reason"], account["threshold"], account["balance"]) == ("runway", "3 days", 29)
    # In poke mode today's growth of 71 counts; elsewhere another process has seen the first poll.
    assert account["pace_usd_per_day"] == pytest.approx(284 if mode == "poke" else 10)
    assert asked(server, "/activity") == (1 if mode == "poke" else 2)


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", [error(429), error(503), BREAKS])
def test_the_wait_goes_on_after_a_temporary_fault(mode, when, fault, serve, log):
    serve(*[90] * (when == "later"), fault, 1)
    assert wait(mode)["balance"] == 1
    assert log().count("The wait goes on.") >= 1


@in_every_mode
@at_the_first_poke_and_later
@pytest.mark.parametrize("fault", FATAL)
def test_a_permanent_fault_ends_the_task(mode, when, fault, serve):
    response, kind = FATAL[fault]
    serve(*[90] * (when == "later"), response)
    with pytest.raises(kind) as raised:
        wait(mode)
    assert isinstance(raised.value, AirflowFailException) is (kind is not OpenRouterAuthError)


@in_every_mode
def test_it_times_out(mode, serve):
    serve(90)
    with pytest.raises(AirflowSensorTimeout):
        wait(mode, timeout=0.3)


def test_an_inference_key_that_is_shown_zeros_fails(serve):
    server = serve(data({"total_credits": 0, "total_usage": 0}), key={"is_management_key": False})
    with pytest.raises(OpenRouterAuthError, match=r"inference key.*password of connection 'openrouter_default'"):
        wait("poke")
    assert [request.path for request in server.requests] == ["/credits", "/key"]


@in_every_mode
def test_what_is_spent_while_it_waits_is_noticed(mode, monkeypatch):
    with Sandbox(keys=5, drain=60.0, balance=1.0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        account = wait(mode, threshold=0.5)
    assert account["balance"] < 0.5
    assert account["balance"] == pytest.approx(account["total_credits"] - account["total_usage"])


def test_a_key_of_the_sandbox_that_is_no_management_key_fails(monkeypatch):
    with Sandbox() as sandbox:
        said = json.loads(sandbox.connection) | {"password": INFERENCE_TOKEN}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(said))
        with pytest.raises(OpenRouterAuthError, match="answered 403"):
            wait("poke")


def test_the_arguments_may_be_templates(serve):
    serve(4)
    account = wait(
        "deferrable",
        Context(least="3.50", conn="openrouter_default"),
        threshold="{{ least | float + 1 }}",
        openrouter_conn_id="{{ conn }}",
    )
    assert account["threshold"] == 4.5


@pytest.mark.parametrize("value", ["10%", "3 dayz", "0 days", "1e9 days", ["3 days"], -1, None])
def test_nonsense_is_refused_when_the_dag_is_parsed(value):
    with pytest.raises(OpenRouterRequestError, match=r"^threshold must be USD such as 25 or a time"):
        OpenRouterCreditsSensor(task_id="wait", threshold=value)


def test_a_rendered_percentage_is_refused_before_a_request(serve):
    server = serve(1)
    with pytest.raises(OpenRouterRequestError, match="an account has no limit"):
        wait("poke", Context(least="10%"), threshold="{{ least }}")
    assert server.requests == []


@pytest.mark.parametrize(
    "event", [None, {}, {"version": 2}, {"version": 1, "status": "low", "keys": [{"hash": "a"}]}]
)
def test_an_event_without_an_account_is_not_understood(event):
    sensor = OpenRouterCreditsSensor(task_id="wait", threshold=5)
    with pytest.raises(AirflowException, match="The trigger's event"):
        sensor.execute_complete(Context(), event)
