"""All workspaces of an account are listed, while some are deleted and created."""

import random
import re
from datetime import UTC, datetime
from threading import Barrier

import pytest
from support.servers import TOKEN, Account, Server, error

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError


def list_all(server: Server, **options):
    client = OpenRouterClient(TOKEN, base_url=server.base_url, max_retries=0)
    return client.get_key_listing(workspace_id="*", **options)


@pytest.mark.parametrize("gone", [400, 404])
@pytest.mark.parametrize("moves_to", [None, 0, 2])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 4, 5])
def test_a_workspace_deleted_meanwhile_costs_no_other_key(before, moves_to, gone):
    account = Account(350, page_size=50, workspaces=3, gone=gone)
    account.between = lambda number: number == before and account.delete_workspace(1, moves_to=moves_to)
    with Server(account) as server:
        listing = list_all(server)
    if before < 5:  # else its last page was under way
        assert listing.hashes == set(account.lasting)
        assert list(listing.workspace_names) == ["workspace-0", "workspace-2"]
    assert len(listing.keys) == len(listing.hashes)
    assert listing.hashes >= set(account.lasting)


def test_a_workspace_created_meanwhile_is_listed_with_those_left():
    account = Account(40, workspaces=3, gone=404)

    def change(number: int) -> None:
        if number == 1:
            account.delete_workspace(2)
            account.workspaces.append({"id": "new", "name": "New"})
            account.keys.append({"hash": "in it", "number": 0, "workspace_id": "new"})

    account.between = change
    with Server(account) as server:
        listing = list_all(server)
    assert "in it" in listing.hashes
    assert listing.workspace_names["new"] == "New"


@pytest.mark.parametrize("status", [400, 404])
def test_a_workspace_that_is_still_there_leaves_its_error(status):
    account = Account(9, workspaces=3, gone=404)

    def answer(request):
        return error(status) if request.query.get("workspace_id") == "workspace-1" else account(request)

    with Server(answer) as server, pytest.raises(OpenRouterRequestError, match=f"answered {status}"):
        list_all(server)


@pytest.mark.parametrize("status", [402, 409, 422])
def test_another_error_is_no_sign_of_a_deleted_workspace(status):
    account = Account(9, workspaces=3, gone=404)

    def answer(request):
        if request.query.get("workspace_id") == "workspace-1":
            del account.workspaces[1:2]
            return error(status)
        return account(request)

    with Server(answer) as server, pytest.raises(OpenRouterRequestError, match=f"answered {status}"):
        list_all(server)


def test_one_workspace_that_is_deleted_is_an_error():
    account = Account(9, workspaces=3, gone=404)
    account.between = lambda number: number or account.delete_workspace(1)
    with Server(account) as server:
        client = OpenRouterClient(TOKEN, base_url=server.base_url, max_retries=0)
        with pytest.raises(OpenRouterRequestError, match="answered 404"):
            client.get_key_listing(workspace_id="Workspace 1")


def test_workspaces_deleted_without_end_are_a_temporary_error():
    account = Account(0, workspaces=100, gone=404)
    account.between = lambda number: number % 2 and account.delete_workspace(-1)
    with Server(account) as server, pytest.raises(OpenRouterResponseError) as caught:
        list_all(server)
    assert re.fullmatch(
        r"Workspaces are deleted faster than they can be listed: \d+ listings met one that was gone\. "
        r"Run it again when fewer are being deleted\.",
        str(caught.value),
    )
    assert caught.value.transient
    assert len(server.requests) < 300


def test_the_time_is_that_of_the_listing_that_was_kept():
    account, deleted = Account(9, workspaces=3, gone=404), []

    def change(number: int) -> None:
        if number == 2:
            deleted.append(datetime.now(UTC))
            account.delete_workspace(2)

    account.between = change
    with Server(account) as server:
        assert list_all(server).observed_at >= deleted[0]


def test_known_workspaces_are_asked_for_at_the_same_time():
    account, both = Account(3, workspaces=5), Barrier(2, timeout=20)

    def answer(request):
        if request.path == "/workspaces" and request.number > first:
            both.wait()
        return account(request)

    first = 100
    with Server(answer) as server:
        last = list_all(server)
        offsets = [request.query["offset"] for request in server.requests if request.path == "/workspaces"]
        first = len(server.requests) - 1
        again = list_all(server, previous=last)
    assert offsets == ["0", "4"]
    assert server.requests[-1].query["include_disabled"] == "false"
    assert (again.keys, again.workspace_names) == (last.keys, last.workspace_names)


@pytest.mark.parametrize("seed", range(25))
def test_workspaces_and_keys_that_come_and_go_hide_no_other(seed):
    chance = random.Random(seed)
    account = Account(
        chance.randrange(400), page_size=50, workspaces=4, latency=0.002, gone=chance.choice([400, 404])
    )
    with Server(account) as server:
        last = list_all(server)
        was = set(account.hashes)

        def change(number: int) -> None:
            kind = chance.random()
            if number > 30 or kind < 0.7:
                return
            if kind < 0.8:
                account.workspaces.append({"id": f"new {number}", "name": ""})
            elif kind < 0.85 and len(account.workspaces) > 1:
                account.delete_workspace(-1)
            elif kind < 0.95:
                account.create(chance.choice([1, 30]))
            else:
                account.delete(chance.randrange(len(account.keys) + 1), chance.choice([1, 30]))

        account.asked = 0
        account.between = change
        listing = list_all(server, previous=chance.choice([last, None]))
    assert len(listing.keys) == len(listing.hashes)
    assert listing.hashes >= was & set(account.hashes)
