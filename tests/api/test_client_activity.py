"""Activity and members are read: what is refused, what is asked for, and what is returned."""

import logging
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event, Lock

import pytest
from support.servers import RETRY_AT_ONCE, TOKEN, Account, Answer, Server, data, error

from airflow_provider_openrouter.activity import Activity
from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
UUID = "4d9a7c1e-0000-4000-8000-000000000000"


def client(server: Server, **options) -> OpenRouterClient:
    return OpenRouterClient(TOKEN, **{"base_url": server.base_url, "timeout": 10, "max_retries": 0} | options)


def row(model: str = "a/b", usage: float = 1.0, **fields):
    return {"date": str(YESTERDAY), "model": model, "endpoint_id": "e", "usage": usage, "requests": 1} | fields


# -- what is asked for


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {}),
        ({"date": str(YESTERDAY)}, {"date": str(YESTERDAY)}),
        ({"date": TODAY - timedelta(days=30)}, {"date": str(TODAY - timedelta(days=30))}),
        ({"group_by": "workspace"}, {"group_by": "workspace"}),
        ({"api_key_hash": "0e6f", "user_id": "user_1"}, {"api_key_hash": "0e6f", "user_id": "user_1"}),
        ({"workspace_id": "Workspace 1"}, {"workspace_id": "workspace-1"}),
        ({"workspace_id": UUID}, {"workspace_id": UUID}),
        ({"workspace_id": "*"}, {}),
    ],
)
def test_arguments_become_the_query(arguments, query):
    account = Account(workspaces=2)
    with Server(lambda request: data([]) if request.path == "/activity" else account(request)) as server:
        assert client(server).list_activity(**arguments) == []
    assert server.requests[-1].path == "/activity"
    assert server.requests[-1].query == query
    assert (server.requests[0].path == "/workspaces") is (arguments.get("workspace_id") == "Workspace 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"date": TODAY}, f"last 30 completed UTC days, .* to {YESTERDAY}, not {TODAY}"),
        ({"date": str(TODAY + timedelta(days=1))}, "last 30 completed"),
        ({"date": str(TODAY - timedelta(days=31))}, "last 30 completed"),
        *(
            ({"date": value}, "must be a day such as 2026-11-03")
            for value in ("", "yesterday", "2026-02-30", "20261103", datetime.now(UTC), 20261103)
        ),
        *(({"api_key_hash": value}, "No key has the hash") for value in ("", "a b", "../keys", 7)),
        ({"api_key_hash": TOKEN}, "A key was given in place of its hash"),
        ({"user_id": " "}, "user_id must be"),
        ({"group_by": "key"}, "group_by must be"),
        ({"workspace_id": 7}, "workspace_id must be"),
    ],
)
def test_nonsense_is_refused_before_the_first_request(arguments, message):
    with Server(lambda request: data([])) as server:
        with pytest.raises(OpenRouterRequestError, match=message) as caught:
            client(server).list_activity(**arguments)
        assert server.requests == []
    assert TOKEN not in str(caught.value)


# -- what is returned


def test_rows_are_returned_as_they_were_sent():
    rows = [row(), row(date=f"{YESTERDAY} 00:00:00", usage="0.5", new=[1]), {"usage": None}, {}]
    with Server(lambda request: data(rows)) as server:
        assert client(server).list_activity(date=YESTERDAY) == rows


@pytest.mark.parametrize("answer", [{}, None, "rows", [1], [row(), None]])
def test_what_is_no_list_of_rows_is_an_error(answer):
    with Server(lambda request: data(answer)) as server, pytest.raises(OpenRouterResponseError) as caught:
        client(server).list_activity()
    assert str(caught.value) == (
        "/activity answered no list of objects under 'data'. Check that the base URL is the API's."
    )
    assert caught.value.about == "base_url"


def test_rows_of_another_day_are_an_error():
    before = YESTERDAY - timedelta(days=1)
    rows = [row(), row(date=f"{before} 00:00:00")]
    with Server(lambda request: data(rows)) as server, pytest.raises(OpenRouterResponseError) as caught:
        client(server).list_activity(date=YESTERDAY)
    assert str(caught.value) == (
        f"/activity answered rows of {before}, although those of {YESTERDAY} were asked for. Set the base URL to "
        "OpenRouter's own API, which knows 'date'."
    )
    assert caught.value.about == "base_url"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            error(400, "Invalid user_id"),
            OpenRouterRequestError,
            r"\(Invalid user_id\)\. Check date",
        ),
        (error(404), OpenRouterRequestError, "Check date, api_key_hash and user_id"),
        (error(401), OpenRouterAuthError, "answered 401"),
        (error(403), OpenRouterAuthError, "answered 403"),
        (error(429), OpenRouterRateLimitError, "answered 429"),
        (error(500), OpenRouterServerError, "answered 500"),
        (Answer(body={"rows": []}), OpenRouterResponseError, "no 'data'"),
    ],
)
def test_errors_are_those_of_other_lists(answer, kind, message):
    with Server(lambda request: answer) as server, pytest.raises(OpenRouterError, match=message) as caught:
        client(server).list_activity()
    assert type(caught.value) is kind


@pytest.mark.usefixtures("retries_at_once")
def test_temporary_errors_are_retried():
    answers = iter([error(500), error(429, headers=RETRY_AT_ONCE), data([row()])])
    with Server(lambda request: next(answers)) as server:
        assert client(server, max_retries=2).list_activity() == [row()]


@pytest.mark.parametrize(
    ("options", "grouped_by", "query", "names"),
    [
        ({}, "workspace", {"group_by": "workspace"}, {f"workspace-{at}": f"Workspace {at}" for at in range(2)}),
        ({"by_workspace": False}, "account", {}, {}),
    ],
)
def test_the_activity_of_a_day_may_be_by_workspace(options, grouped_by, query, names):
    account, arrived = Account(workspaces=2), []

    def answer(request):
        arrived.append(datetime.now(UTC))
        return data([row()]) if request.path == "/activity" else account(request)

    with Server(answer) as server:
        activity = client(server).get_activity(YESTERDAY, **options)
        with pytest.raises(OpenRouterRequestError, match="last 30 completed"):
            client(server).get_activity(TODAY)
    assert activity == Activity(
        day=YESTERDAY,
        grouped_by=grouped_by,
        observed_at=activity.observed_at,
        rows_of={None: [row()]},
        workspace_names=names,
    )
    assert activity.observed_at.utcoffset() == timedelta(0)
    assert activity.observed_at <= arrived[0]
    assert server.requests[-1].query == {"date": str(YESTERDAY)} | query


@pytest.mark.parametrize(
    "ask",
    [
        lambda asking, stopped: asking.get_key_listing(stopped=stopped),
        lambda asking, stopped: asking.list_workspaces(stopped=stopped),
        lambda asking, stopped: asking.list_activity(stopped=stopped),
        lambda asking, stopped: asking.list_activity_of_keys(["a"], stopped=stopped),
    ],
)
def test_what_is_stopped_before_it_begins_sends_nothing(ask):
    stopped = Event()
    stopped.set()
    with Server(lambda request: data([])) as server, pytest.raises(CancelledError):
        ask(client(server), stopped)
    assert server.requests == []


# -- members


@pytest.mark.parametrize("count", [0, 1, 100, 230])
def test_every_member_is_listed_once(count):
    members = [{"id": f"user_{number}", "email": f"{number}@example.com"} for number in range(count)]

    def answer(request):
        page = members[request.offset : request.offset + int(request.query["limit"])]
        return data(page) if request.path == "/organization/members" else error(404)

    with Server(answer) as server:
        assert client(server).list_members() == members
    assert {request.query["limit"] for request in server.requests} == {"100"}


def test_an_account_without_members_may_be_no_organization():
    expected = "may not be an organization"
    with Server(lambda _: error(404)) as server, pytest.raises(OpenRouterRequestError, match=expected):
        client(server).list_members()


# -- by key


class Spenders(Account):
    """An account whose keys were used yesterday, and what they spent."""

    def __init__(self, keys: int, **options) -> None:
        super().__init__(keys, **options)
        self.underway = self.most = 0
        self.lock = Lock()
        for key in self.keys:
            key |= {"name": f"Key {key['number']}", "last_used_at": f"{YESTERDAY}T12:00:00Z", "usage": 2}

    def __call__(self, request):
        if request.path != "/activity":
            return super().__call__(request)
        hash_ = request.query.get("api_key_hash")
        if hash_ is None:
            return data([row(usage=float(len(self.lasting)), requests=len(self.lasting))])
        return data([row()]) if hash_ in self.hashes else error(404, "Not found")


def by_key(server: Server, **options):
    asker = client(server, **options)
    listing = asker.get_key_listing(workspace_id="*", include_disabled=True, include_expired=True)
    return asker.get_activity_by_key(YESTERDAY, listing)


def test_each_key_is_asked_for_once_and_side_by_side():
    account = Spenders(300)
    with Server(account) as server:
        activity = by_key(server, max_concurrency=4)
    asked = [request.query for request in server.requests if request.path == "/activity"]
    query = {"date": str(YESTERDAY), "group_by": "workspace"}
    assert asked[0] == query
    assert sorted(asked[1:], key=str) == sorted(
        (query | {"api_key_hash": each} for each in account.hashes), key=str
    )
    assert activity == Activity(
        day=YESTERDAY,
        grouped_by="key",
        observed_at=activity.observed_at,
        rows_of={None: []} | {hash_: [row()] for hash_ in account.hashes},
        key_names={key["hash"]: key["name"] for key in account.keys},
        workspace_names={"workspace-0": "Workspace 0"},
    )
    assert activity.observed_at.utcoffset() == timedelta(0)
    assert 2 <= server.connections <= 8


def test_what_a_key_deleted_meanwhile_spent_is_left_over(monkeypatch, caplog):
    monkeypatch.setattr("airflow_provider_openrouter.api.records.SECONDS_BETWEEN_PROGRESS", 0.0)
    caplog.set_level(logging.INFO)
    account = Spenders(5)
    with Server(account) as server:
        asker = client(server)
        listing = asker.get_key_listing(workspace_id="*")
        del account.keys[1]
        activity = asker.get_activity_by_key(YESTERDAY, listing)
    [left] = activity.rows_of[None]
    assert (left["usage"], left["requests"], left["model"]) == (1.0, 1, "a/b")
    assert activity.key_names.keys() | {None} == activity.rows_of.keys()
    assert len(activity.rows_of) == 5
    assert "Deleted meanwhile: 1 key, whose activity no key accounts for." in caplog.text
    assert "Listing: 5 records so far, 5 pages" in caplog.text
    assert f"Listed 1 row of activity of {YESTERDAY}, spent by 4 keys: 5 pages, 6 requests, " in caplog.text


def test_the_next_key_is_asked_for_at_the_same_time():
    both = Barrier(2, timeout=20)

    def answer(request):
        both.wait()
        return data([row()])

    with Server(answer) as server:
        rows_of = client(server, max_concurrency=2).list_activity_of_keys(["a", "b"])
    assert rows_of == {"a": [row()], "b": [row()]}


def test_the_rows_of_keys_are_those_of_all_days():
    account = Spenders(3)
    with Server(account) as server:
        assert client(server).list_activity_of_keys(["hash-0", "gone", "hash-2"]) == {
            "hash-0": [row()],
            "gone": [],
            "hash-2": [row()],
        }
        with pytest.raises(OpenRouterRequestError, match="No key has the hash"):
            client(server).list_activity_of_keys(["hash-1", "../keys"])
    assert [request.query.keys() for request in server.requests] == [{"api_key_hash"}] * 3


def test_keys_that_spent_more_than_the_account_are_warned_of(caplog):
    account = Spenders(7)
    account.lasting = account.lasting[:3]
    with Server(account) as server:
        [left] = by_key(server).rows_of[None]
    assert (left["usage"], left["requests"]) == (-4.0, -4)
    assert f"What no key accounts for on {YESTERDAY} is below zero in 1 row: a/b -$4.00" in caplog.text


def test_a_day_without_activity_asks_for_no_key():
    account = Spenders(50)
    with Server(lambda request: data([]) if request.path == "/activity" else account(request)) as server:
        assert len(by_key(server)) == 0
    assert [request.path for request in server.requests].count("/activity") == 1


def test_a_limited_server_is_asked_as_slowly_as_it_takes(monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.api.retries.LONGEST_WAIT_IN_ALL", 1.0)
    account, window, arrived = Spenders(300), 0.05, []

    def answer(request):
        if "api_key_hash" in request.query:
            recent = [moment for moment in arrived if moment > request.arrived - window]
            if len(recent) >= 10:
                return error(429, headers={"Retry-After": f"{window}"})
            arrived.append(request.arrived)
        return account(request)

    with Server(answer) as server:
        activity = by_key(server, max_retries=5)
    assert len(activity.rows_of) == 301
    assert len(server.requests) < 2 * 300


def test_the_waits_for_two_keys_add_up(monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.api.retries.LONGEST_WAIT_IN_ALL", 0.005)
    refused = []

    def answer(request):
        if request.query in refused:
            return data([row()])
        refused.append(request.query)
        return error(429, headers={"Retry-After": "0.003"})

    with Server(answer) as server, pytest.raises(OpenRouterRateLimitError):
        client(server, max_retries=5, max_concurrency=1).list_activity_of_keys(["a", "b"])
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 500])
def test_another_error_of_one_key_is_one_of_all(status):
    account = Spenders(20)

    def answer(request):
        return error(status) if request.query.get("api_key_hash") == "hash-3" else account(request)

    with Server(answer) as server, pytest.raises(OpenRouterError, match=f"answered {status}"):
        by_key(server)


def test_keys_that_cannot_have_been_used_are_not_asked_for():
    account = Spenders(0)
    long_ago, later = f"{YESTERDAY - timedelta(days=1)}T23:59:59Z", f"{TODAY}T00:00:00Z"
    keys = {
        "used-that-day": {"last_used_at": f"{YESTERDAY}T00:00:00Z"},
        "used-later": {"last_used_at": later},
        "used-before": {"last_used_at": long_ago},
        "created-later": {"created_at": later},
        "never-used": {"last_used_at": None, "usage": 0, "byok_usage": 0},
        "used-they-say-not-when": {"last_used_at": None, "usage": 3, "byok_usage": 0},
        "from-an-older-server": {"usage": 0},
        "odd": {"last_used_at": "once", "usage": 0, "created_at": 7},
    }
    account.keys = [{"hash": hash_, "workspace_id": "workspace-0"} | key for hash_, key in keys.items()]
    account.lasting = ["one"]
    with Server(account) as server:
        by_key(server)
    asked = {request.query["api_key_hash"] for request in server.requests if "api_key_hash" in request.query}
    assert asked == {
        "used-that-day",
        "used-later",
        "used-they-say-not-when",
        "from-an-older-server",
        "odd",
    }
