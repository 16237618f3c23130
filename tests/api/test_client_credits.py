"""The client reads the credits of an account."""

from concurrent.futures import CancelledError
from datetime import UTC, datetime
from threading import Event, Timer

import pytest
from support.servers import BREAKS, HANGS, RETRY_AT_ONCE, TOKEN, Answer, Request, Server, data, error

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, Sandbox
from airflow_provider_openrouter.sandbox import TOKEN as MANAGEMENT_TOKEN

PAID = {"total_credits": 100.5, "total_usage": 25.75}
NOTHING = {"total_credits": 0, "total_usage": 0}


def client(server: Server, **options) -> OpenRouterClient:
    return OpenRouterClient(TOKEN, **{"base_url": server.base_url, "timeout": 10, "max_retries": 0} | options)


def account(credits_: object, key: object = None):
    """Respond with credits, and with what the key says of itself."""

    def answer(request: Request) -> Answer:
        return data({"/credits": credits_, "/key": key}[request.path])

    return answer


def paths(server: Server) -> list[str]:
    return [request.path for request in server.requests]


def test_credits_are_returned_as_they_were_sent():
    sent = PAID | {"brand_new": None}
    with Server(account(sent)) as server:
        assert client(server).get_credits() == sent
    assert paths(server) == ["/credits"]
    assert server.requests[0].query == {}


def test_a_reading_of_credits_has_its_time():
    before, arrived = datetime.now(UTC), []

    def answer(request: Request) -> Answer:
        arrived.append(datetime.now(UTC))
        return data(PAID)

    with Server(answer) as server:
        reading = client(server).read_credits()
    assert before <= reading.observed_at <= arrived[0]
    assert str(reading.balance) == "74.75"


@pytest.mark.parametrize("key", [{"is_management_key": True}, {"is_provisioning_key": True}, {}])
def test_an_account_without_credits_has_a_balance_of_0(key):
    with Server(account(NOTHING, key)) as server:
        assert client(server).read_credits().balance == 0
    assert paths(server) == ["/credits", "/key"]


@pytest.mark.parametrize("key", [{"is_management_key": False}, {"is_provisioning_key": False}])
def test_credits_of_0_for_an_inference_key_are_an_error(key):
    with Server(account(NOTHING, key)) as server, pytest.raises(OpenRouterAuthError) as refused:
        client(server, advice={"management_key": "It is in the safe."}).get_credits()
    assert str(refused.value).startswith("The key is an inference key, to which the API shows credits of 0. ")
    assert str(refused.value).endswith(" It is in the safe.")


@pytest.mark.parametrize("used", [{"total_usage": 5}, {"total_credits": 5}])
def test_only_credits_of_0_make_the_key_be_asked(used):
    with Server(account(NOTHING | used)) as server:
        client(server).get_credits()
    assert paths(server) == ["/credits"]


@pytest.mark.parametrize("value", [None, [], "credits", PAID | {"total_usage": None}])
def test_odd_credits_are_an_error_with_advice(value):
    with Server(account(value)) as server, pytest.raises(OpenRouterResponseError) as refused:
        client(server, advice={"base_url": "It is the host."}).get_credits()
    assert str(refused.value).startswith("/credits answered no ")
    assert "Check that the base URL is the API's" in str(refused.value)
    assert str(refused.value).endswith(" It is the host.")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (error(401), OpenRouterAuthError),
        (error(403), OpenRouterAuthError),
        (error(404), OpenRouterRequestError),
        (error(429), OpenRouterRateLimitError),
        (error(500), OpenRouterServerError),
        (BREAKS, OpenRouterConnectionError),
        (Answer(200, '{"data": {"total_credits": NaN, "total_usage": 1}}'), OpenRouterResponseError),
    ],
)
def test_a_fault_while_credits_are_read_is_of_its_kind(fault, kind):
    with Server(lambda request: fault) as server, pytest.raises(kind):
        client(server).get_credits()


def test_a_temporary_fault_is_retried():
    faults = [error(503, headers=RETRY_AT_ONCE)]
    with Server(lambda request: faults.pop() if faults else data(PAID)) as server:
        assert client(server, max_retries=1).get_credits() == PAID
    assert len(server.requests) == 2


def test_a_reading_of_credits_can_be_stopped():
    stopped = Event()
    with Server(lambda request: HANGS) as server:
        Timer(0.2, stopped.set).start()
        with pytest.raises(CancelledError):
            client(server).read_credits(stopped=stopped)


@pytest.mark.parametrize(("token", "kind"), [(INFERENCE_TOKEN, "403"), ("sk-or-v1-wrong", "401")])
def test_a_key_that_may_not_read_credits_is_refused(token, kind):
    with Sandbox() as sandbox, pytest.raises(OpenRouterAuthError, match=f"answered {kind}.*management key"):
        OpenRouterClient(token, base_url=sandbox.base_url).get_credits()


def test_the_balance_of_the_sandbox_is_the_one_it_was_given():
    with Sandbox(balance=12.34) as sandbox:
        asking = OpenRouterClient(MANAGEMENT_TOKEN, base_url=sandbox.base_url)
        assert float(asking.read_credits().balance) == 12.34
        sandbox.buy_credits(10)
        assert float(asking.read_credits().balance) == 22.34
