"""The client that reads and changes one key."""

import pytest
from support.servers import BREAKS, TOKEN, Answer, Server, data, error
from support.updates import KeyServer

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import (
    OpenRouterError,
    OpenRouterRequestError,
    OpenRouterResponseError,
)

pytestmark = pytest.mark.usefixtures("retries_at_once")


def client_of(server, **arguments):
    return OpenRouterClient(TOKEN, base_url=server.base_url, **{"allow_updates": True} | arguments)


def test_one_key_is_what_the_listing_has():
    with KeyServer() as server:
        key = client_of(server, allow_updates=False).get_key(server.hashes["billing"])
    assert key == server.key()
    assert [request.path for request in server.requests] == [f"/keys/{key['hash']}"]


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"limit": 50}, {"limit": 50}),
        ({"limit": None}, {"limit": None}),
        ({"limit": 50, "limit_reset": None}, {"limit": 50, "limit_reset": None}),
        ({"disabled": True, "name": "paused"}, {"disabled": True, "name": "paused"}),
    ],
)
def test_only_what_is_given_is_sent(changes, body):
    with KeyServer() as server:
        updated = client_of(server).update_key(server.hashes["billing"], **changes)
    assert server.sent == [body]
    assert server.requests[0].headers["Content-Type"] == "application/json"
    assert updated == server.key()
    assert changes.items() <= updated.items()


LOST = {"500": error(500), "cut": BREAKS, "429": error(429), "page": Answer(502, "<html>")}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_change_whose_response_is_lost_is_sent_again(fault):
    with KeyServer(faults=(fault,)) as server:
        updated = client_of(server).update_key(server.hashes["billing"], limit=50)
    assert server.sent == [{"limit": 50}] * 2
    assert updated["limit"] == 50


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(404), "No key has this hash, or it was deleted"),
        (error(409), "in conflict with another change"),
        (error(400), "Check the values that were sent"),
        (error(403), "must be an active management key"),
        (data({"name": "no hash"}), "did not answer with this key"),
        (data({"hash": "another"}), "did not answer with this key"),
        (data([]), "did not answer with this key"),
    ],
    ids=["404", "409", "400", "403", "no hash", "another", "list"],
)
def test_a_refused_change_is_sent_once(answer, words):
    with Server(lambda request: answer) as server, pytest.raises(OpenRouterError, match=words):
        client_of(server).update_key("hash", limit=50)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hash": "../workspaces", "limit": 5}, "^No key has the hash"),
        ({"hash": "a"}, "^There is nothing to change"),
        ({"hash": "a", "limit": -5}, "^limit must be USD of 0 or more"),
        ({"hash": "a", "limit_reset": "yearly"}, "^limit_reset must be daily, weekly, monthly"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_request(arguments, words):
    with Server(lambda request: error(500)) as server, pytest.raises(OpenRouterRequestError, match=words):
        client_of(server).update_key(**arguments)
    assert not server.requests


@pytest.mark.parametrize("given", [{}, {"allow_updates": False}])
def test_without_allow_updates_nothing_is_sent(given):
    with Server(lambda request: error(500)) as server:
        client = OpenRouterClient(TOKEN, base_url=server.base_url, **given)
        with pytest.raises(OpenRouterRequestError, match=r"^Keys may not be changed") as caught:
            client.update_key("hash", limit=50)
    assert caught.value.about == "allow_updates"
    assert not server.requests


def test_a_key_that_is_no_key_is_an_error_of_the_server():
    with Server(lambda request: data("a")) as server, pytest.raises(OpenRouterResponseError) as caught:
        client_of(server).get_key("hash")
    assert str(caught.value) == (
        "/keys/hash did not answer with this key under 'data'. Check that the base URL is the API's."
    )
    assert caught.value.about == "base_url"
