import logging
import random
import re
import threading
import time
import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import BREAKS, HANGS, RETRY_AT_ONCE, TOKEN, Account, Answer, Server, data, error

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.api.transport import BearerAuth
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def client(server: Server, **options) -> OpenRouterClient:
    return OpenRouterClient(TOKEN, **{"base_url": server.base_url, "timeout": 10, "max_retries": 0} | options)


def hashes(keys: list[dict]) -> list[str]:
    return [key["hash"] for key in keys]


def assert_each_once(account: Account, keys: list[dict]) -> None:
    assert len(keys) == len(set(hashes(keys)))
    assert set(account.lasting) <= set(hashes(keys))


def page_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("openrouter-page")]


def faulty(account: Account, fault: Answer, *numbers: int):
    """Respond as the account does, but with the fault to the requests of these numbers."""
    return lambda request: fault if request.number in numbers else account(request)


# -- every key once


@pytest.mark.parametrize("page_size", [1, 2, 20, 100, 250])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_every_key_is_listed_once_and_in_order(page_size, concurrency):
    for count in {0, 1, 2, *(pages * page_size + by for pages in (1, 4) for by in (-1, 0, 1))}:
        account = Account(count, page_size=page_size)
        with Server(account) as server:
            assert hashes(client(server, max_concurrency=concurrency).list_keys()) == account.hashes


def test_a_large_account_is_listed_side_by_side_and_whole():
    account = Account(5_000, latency=0.02)
    with Server(account) as server:
        assert hashes(client(server).list_keys()) == account.hashes
    assert 2 <= server.connections <= 8
    assert len(server.requests) < 75


def test_no_more_requests_are_under_way_than_allowed():
    account = Account(3_000, latency=0.01)
    with Server(account) as server:
        client(server, max_concurrency=3).list_keys()
    assert server.connections <= 3


@pytest.mark.parametrize("count", [0, 1, 25, 99])
def test_a_small_account_costs_two_requests_on_one_connection(count):
    with Server(Account(count)) as server:
        assert len(client(server).list_keys()) == count
    assert len(server.requests) == 2
    assert server.connections == 1


@pytest.mark.parametrize("latency", [0.0, 0.02])
@pytest.mark.parametrize("page_size", [100, 250])
@pytest.mark.parametrize("count", [100, 200, 300, 500, 1_234])
def test_a_listing_costs_few_more_requests_than_its_pages(count, page_size, latency):
    account = Account(count, page_size=page_size, latency=latency)
    with Server(account) as server:
        client(server).list_keys()
    assert len(server.requests) <= 1.15 * -(-count // page_size) + 8


@pytest.mark.parametrize(("count", "requests"), [(25, 2), (640, 8)])
@pytest.mark.parametrize("workspace_id", [None, "workspace-0"])
def test_a_known_account_of_seven_pages_is_one_round_trip(workspace_id, count, requests):
    account = Account(count)
    all_are_here = threading.Barrier(requests, timeout=20)
    with Server(account) as server:
        last = client(server).get_key_listing(workspace_id=workspace_id)
        server.answer = lambda request: all_are_here.wait() >= 0 and account(request)
        listing = client(server).get_key_listing(workspace_id=workspace_id, previous=last)
    assert listing.keys == last.keys


@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize("action", ["create", "delete"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 9])
def test_keys_that_come_or_go_between_pages_hide_no_other(size, action, number):
    account = Account(1_201, latency=0.005)

    def change(asked: int) -> None:
        if asked == number:
            account.create(size) if action == "create" else account.delete(100 * number - size // 2, size)

    account.between = change
    with Server(account) as server:
        assert_each_once(account, client(server).list_keys())


@pytest.mark.parametrize("seed", range(30))
def test_keys_that_come_and_go_side_by_side_hide_no_other(seed):
    chance = random.Random(seed)
    page_size = chance.choice([5, 10, 40, 100])
    account = Account(page_size * 12 + chance.randint(-1, 1), page_size=page_size, latency=0.003)

    def change(asked: int) -> None:
        if asked < 25 and chance.random() < 0.5:
            size = chance.choice([1, 1, 30])
            if chance.random() < 0.5:
                account.create(size)
            else:
                account.delete(chance.randrange(len(account.keys)), size)

    account.between = change
    with Server(account) as server:
        assert_each_once(account, client(server).list_keys())


@pytest.mark.parametrize("count", [1, 100, 700])
def test_a_server_that_ignores_offset_is_an_error(count):
    with (
        Server(Account(count, ignores_offset=True)) as server,
        pytest.raises(OpenRouterResponseError, match="ignores 'offset'"),
    ):
        client(server).list_keys()
    assert len(server.requests) <= 20


def test_a_server_that_filters_after_slicing_loses_nothing():
    account = Account(
        1_500, latency=0.003, hides=lambda key: key["number"] % 3 == 0 or 700 <= key["number"] < 820
    )
    with Server(account) as server:
        listed = client(server).list_keys()
    assert hashes(listed) == [key["hash"] for key in account.keys if not account.hides(key)]


# -- faults in the middle of a listing


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 524, 529])
def test_a_fault_that_passes_costs_no_key(status):
    account = Account(1_200, latency=0.003)
    fault = error(status, headers=RETRY_AT_ONCE)
    with Server(faulty(account, fault, 0, 1, 4, 5, 9)) as server:
        assert hashes(client(server, max_retries=5).list_keys()) == account.hashes


@pytest.mark.parametrize(
    "fault",
    [BREAKS, Answer(body={"data": [{"hash": "false"}]}, cut=20), Answer(body=[1] * 90, cut=30).chunked],
    ids=["before the head", "in the body", "in a chunk"],
)
def test_a_connection_that_breaks_once_costs_no_key(fault):
    account = Account(700, latency=0.003)
    with Server(faulty(account, fault, 4)) as server:
        assert hashes(client(server, max_retries=1).list_keys()) == account.hashes


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        *((error(status), OpenRouterAuthError) for status in (401, 403)),
        *((error(status), OpenRouterRequestError) for status in (400, 404)),
        (error(429, headers=RETRY_AT_ONCE), OpenRouterRateLimitError),
        *((error(status, headers=RETRY_AT_ONCE), OpenRouterServerError) for status in (500, 524)),
        (Answer(302, headers={"Location": "https://example.com"}), OpenRouterResponseError),
        (Answer(200, "<html>"), OpenRouterResponseError),
        (Answer(200, {"keys": []}), OpenRouterResponseError),
        (BREAKS, OpenRouterConnectionError),
        (HANGS, OpenRouterConnectionError),
        (Answer(body=[1] * 90, trickle="body"), OpenRouterConnectionError),
    ],
)
@pytest.mark.parametrize("first", [0, 5])
def test_a_fault_that_stays_is_raised_and_leaves_no_thread(fault, kind, first, caplog):
    caplog.set_level(logging.DEBUG)
    account = Account(2_000, latency=0.003)
    max_retries = int("Retry-After" in fault.headers)
    timeout = 0.8 if fault.delay or fault.trickle else 10
    with Server(lambda request: fault if request.number >= first else account(request)) as server:
        with pytest.raises(OpenRouterError) as caught:
            client(server, timeout=timeout, max_retries=max_retries).list_keys()
        assert not page_threads()
    assert type(caught.value) is kind
    assert len(server.requests) < 40
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert TOKEN not in shown


def test_a_429_pauses_the_whole_window(caplog):
    caplog.set_level(logging.INFO)
    account = Account(6_000, latency=0.02)
    first, last = 2_940, 3_626  # of the eight pages that are under way together, 98 keys apart
    limited = threading.Event()

    def answer(request):
        if request.offset == last and not limited.is_set():
            limited.set()
            return error(429, headers={"Retry-After": "2"})
        if first <= request.offset < last:
            while "Trying again" not in caplog.text and not server.stopped.wait(0.01):
                pass
        return account(request)

    with Server(answer) as server:
        assert hashes(client(server, max_concurrency=8, max_retries=1).list_keys()) == account.hashes
    refused, *later = [request.arrived for request in server.requests if request.offset >= last]
    assert min(later) - refused > 1.9


# -- what is asked


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {"include_disabled": "false"}),
        ({"include_disabled": True}, {"include_disabled": "true"}),
        ({"include_expired": True}, {"include_disabled": "false", "include_expired": "true"}),
        ({"include_expired": False}, {"include_disabled": "false", "include_expired": "false"}),
        ({"workspace_id": ID}, {"include_disabled": "false", "workspace_id": ID}),
    ],
)
def test_what_is_asked_goes_on_the_wire(options, sent):
    with Server(lambda request: data([])) as server:
        assert client(server).list_keys(**options) == []
    for request in server.requests:
        assert request.path == "/keys"
        offset = request.query.pop("offset")
        assert offset.isdecimal()
        assert request.query == sent


@pytest.mark.parametrize("workspaces", [1, 3, 101])
def test_every_workspace_is_listed_and_each_key_once(workspaces):
    account = Account(workspaces * 3 + 1, workspaces=workspaces)
    with Server(account) as server:
        listed = client(server).list_keys(workspace_id="*", include_disabled=True)
    assert sorted(hashes(listed)) == sorted(account.hashes)
    asked = [request for request in server.requests if request.path == "/keys"]
    assert {request.query["workspace_id"] for request in asked} == {each["id"] for each in account.workspaces}
    assert {request.query["include_disabled"] for request in asked} == {"true"}


def test_a_key_shown_in_two_workspaces_comes_once():
    account = Account(0, workspaces=2)

    def answer(request):
        return account(request) if request.path == "/workspaces" else data([{"hash": "same"}][request.offset :])

    with Server(answer) as server:
        assert client(server).list_keys(workspace_id="*") == [{"hash": "same"}]


def test_without_a_workspace_the_default_one_is_listed():
    account = Account(10, workspaces=2)
    with Server(account) as server:
        assert len(client(server).list_keys()) == 5
        assert len(client(server).list_keys(workspace_id="workspace-1")) == 5


# -- workspaces by name


def paths(server: Server) -> list[str]:
    return [request.path for request in server.requests]


@pytest.mark.parametrize("typed", ["Workspace 1", " Workspace 1 ", "workspace-1"])
def test_a_workspace_goes_by_its_name_or_any_id(typed):
    account = Account(10, workspaces=3)
    with Server(account) as server:
        listing = client(server).get_key_listing(workspace_id=typed)
    assert {key["workspace_id"] for key in listing.keys} == {"workspace-1"}
    assert listing.scope.typed == typed.strip()
    assert listing.workspace_names == {"workspace-1": "Workspace 1"}
    assert listing.workspace == "Workspace 1 (workspace-1)"


@pytest.mark.parametrize("workspace_id", [None, "", ID, ID.upper()])
def test_without_a_name_no_workspaces_are_read(workspace_id):
    with Server(lambda request: data([])) as server:
        listing = client(server).get_key_listing(workspace_id=workspace_id)
    assert set(paths(server)) == {"/keys"}
    assert listing.workspace_names == {}
    assert listing.workspace == (workspace_id or "default only")


@pytest.mark.parametrize(
    ("names", "typed", "said"),
    [
        (["A", "B"], "a", "No workspace is called 'a'. There are: 'A', 'B'."),
        (["A", "A", "B"], "A", "2 workspaces are called 'A'. Use the id of one: 'workspace-0', 'workspace-1'."),
        (["A", None, " \r\nB\x1b[2J"], "C", "No workspace is called 'C'. There are: 'A', 'B [2J'."),
        ([], "A", "No workspace is called 'A'. No workspace has a name; use an id."),
    ],
)
def test_another_name_is_refused_with_what_there_is(names, typed, said):
    account = Account(workspaces=len(names))
    for workspace, name in zip(account.workspaces, names, strict=True):
        workspace["name"] = name
    with Server(account) as server, pytest.raises(OpenRouterRequestError) as caught:
        client(server).list_keys(workspace_id=typed)
    assert str(caught.value) == said
    assert "/keys" not in paths(server)


def test_of_many_names_the_first_are_shown():
    with (
        Server(Account(workspaces=1_025)) as server,
        pytest.raises(OpenRouterRequestError, match=r"'Workspace 19' and 1,005 more\.$"),
    ):
        client(server).list_keys(workspace_id="elsewhere")


def test_a_name_is_looked_up_at_each_listing():
    account = Account(10, workspaces=2)
    with Server(account) as server:
        asking = client(server)
        before = asking.get_key_listing(workspace_id="Workspace 1")
        account.workspaces[0]["name"], account.workspaces[1]["name"] = "Workspace 1", "Workspace 0"
        after = asking.get_key_listing(workspace_id="Workspace 1")
    assert (*before.workspace_names, *after.workspace_names) == ("workspace-1", "workspace-0")
    assert not before.hashes & after.hashes


def test_a_name_known_from_the_last_listing_saves_its_request():
    account = Account(10, workspaces=2)
    with Server(account) as server:
        last = client(server).get_key_listing(workspace_id="Workspace 1")
        server.requests.clear()
        listing = client(server).get_key_listing(workspace_id="Workspace 1", previous=last)
    assert set(paths(server)) == {"/keys"}
    assert listing.workspace == "Workspace 1 (workspace-1)"
    assert listing.hashes == last.hashes


def test_a_listing_of_another_workspace_is_no_last_listing():
    account = Account(10, workspaces=2)
    with Server(account) as server:
        last = client(server).get_key_listing(workspace_id="Workspace 0")
        listing = client(server).get_key_listing(workspace_id="Workspace 1", previous=last)
    assert listing.workspace_names == {"workspace-1": "Workspace 1"}


def test_the_last_listing_hides_no_new_workspace():
    account = Account(10, workspaces=1)
    with Server(account) as server:
        last = client(server).get_key_listing(workspace_id="*")
        account.workspaces.append({"id": "workspace-1", "name": "Workspace 1"})
        account.create(5)
        listing = client(server).get_key_listing(workspace_id="*", previous=last)
    assert listing.hashes == set(account.hashes)
    assert listing.workspace_names == {"workspace-0": "Workspace 0", "workspace-1": "Workspace 1"}


@pytest.mark.parametrize("name", [None, "", 7, ["A"]])
def test_a_workspace_without_a_name_is_listed(name):
    account = Account(4, workspaces=2)
    account.workspaces[1]["name"] = name
    with Server(account) as server:
        assert client(server).get_key_listing(workspace_id="*").hashes == set(account.hashes)
        listing = client(server).get_key_listing(workspace_id="workspace-1")
        again = client(server).get_key_listing(workspace_id="workspace-1", previous=listing)
    assert {key["workspace_id"] for key in listing.keys} == {"workspace-1"}
    assert again.hashes == listing.hashes
    assert bool(listing.workspace_names["workspace-1"]) is bool(name)


@settings(deadline=None, database=None, max_examples=15)
@given(st.lists(st.none() | st.text(max_size=30) | st.integers(), min_size=1, max_size=4), st.data())
def test_whatever_workspaces_are_called_each_goes_by_its_id(names, chosen):
    account = Account(len(names), workspaces=len(names))
    for workspace, name in zip(account.workspaces, names, strict=True):
        workspace["name"] = name
    with Server(account) as server:
        id_ = chosen.draw(st.sampled_from([each["id"] for each in account.workspaces]))
        listing = client(server).get_key_listing(workspace_id=id_)
    assert {key["workspace_id"] for key in listing.keys} == {id_}
    assert listing.workspace.isprintable()


# -- when it was observed


def test_a_listing_is_stamped_before_its_first_request():
    seen = []

    def answer(request):
        seen.append(datetime.now(UTC))
        return Account(1)(request)

    with Server(answer) as server:
        before = datetime.now(UTC)
        observed_at = client(server).get_key_listing(workspace_id="*").observed_at
    assert before <= observed_at <= seen[0]
    assert observed_at.tzinfo is UTC


# -- what it costs to hold


def test_a_value_that_many_keys_repeat_is_held_once():
    repeated = {"workspace_id": "w" * 30, "creator_user_id": "user w", "limit_reset": "every moon"}
    records = [{"hash": f"hash-{number}", **repeated} for number in range(250)]
    with Server(lambda request: data(records[request.offset : request.offset + 100])) as server:
        keys = client(server).list_keys()
    assert len(keys) == 250
    for name in repeated:
        assert len({id(key[name]) for key in keys}) == 1


@pytest.mark.parametrize("count", [1, 99, 100, 101, 450])
def test_workspaces_are_listed_page_by_page(count):
    account = Account(workspaces=count)
    with Server(account) as server:
        assert client(server).list_workspaces() == account.workspaces
    assert {request.query["limit"] for request in server.requests} == {"100"}


# -- what arrives


def test_what_arrives_is_kept():
    records = [
        {"hash": "a", "limit": None, "limit_reset": "hourly", "brand_new": {"deep": [1, None]}},
        {"hash": "b", "limit_remaining": -0.25, "workspace_id": None, "name": "é 😀"},
    ]
    with Server(lambda request: data(records[request.offset :])) as server:
        assert client(server).list_keys() == records


@pytest.mark.parametrize(
    "record", [{}, {"hash": None}, {"hash": ""}, {"hash": 7}, {"name": "a"}, None, "hash", []]
)
def test_a_record_without_a_hash_is_an_error(record):
    with (
        Server(lambda request: data([{"hash": "a"}, record])) as server,
        pytest.raises(OpenRouterResponseError) as caught,
    ):
        client(server).list_keys()
    assert str(caught.value) == (
        "/keys answered a record without 'hash', which identifies it. Nothing was listed, so that no record is "
        "lost. Report it to OpenRouter."
    )


@pytest.mark.parametrize("value", [None, {}, "keys", 0])
def test_data_that_is_no_list_is_an_error(value):
    said = r"^/keys answered no list under 'data'\. Check that the base URL is the API's\.$"
    with (
        Server(lambda request: data(value)) as server,
        pytest.raises(OpenRouterResponseError, match=said) as caught,
    ):
        client(server).list_keys()
    assert caught.value.about == "base_url"


def test_the_current_key_is_returned_as_it_is():
    with Server(lambda request: data({"is_management_key": True})) as server:
        assert client(server).get_current_key() == {"is_management_key": True}
    assert [request.path for request in server.requests] == ["/key"]


@pytest.mark.parametrize("value", [None, [], "key"])
def test_a_current_key_that_is_no_object_is_an_error(value):
    said = r"^/key answered no object under 'data'\. Check that the base URL is the API's\.$"
    with Server(lambda request: data(value)) as server, pytest.raises(OpenRouterResponseError, match=said):
        client(server).get_current_key()


@pytest.mark.parametrize(
    ("count", "listed"),
    [
        (0, r"Listed 0 keys \(workspace: default only\): 2 pages, 3 requests, 1 retry, \d\.\d\d s"),
        (
            1_234,
            r"Listed 1,234 keys \(workspace: default only\): \d+ pages, \d+ requests, 0 retries, \d\.\d\d s",
        ),
    ],
)
def test_one_line_sums_a_listing_up(count, listed, caplog):
    caplog.set_level(logging.INFO, logger="airflow_provider_openrouter")
    answer = Account(count) if count else faulty(Account(), error(503, headers=RETRY_AT_ONCE), 0)
    with Server(answer) as server:
        client(server, max_retries=1).list_keys()
    *retries, line = caplog.messages
    assert len(retries) == int(not count)
    assert re.fullmatch(listed, line)
    assert f" {len(server.requests)} requests, " in line


def test_the_summary_of_every_workspace_counts_them(caplog):
    caplog.set_level(logging.INFO, logger="airflow_provider_openrouter")
    with Server(Account(9, workspaces=3)) as server:
        client(server).list_keys(workspace_id="*")
    [line] = caplog.messages
    assert line.startswith("Listed 9 keys in 3 workspaces: ")


def test_no_thread_and_no_connection_is_left_after_a_listing():
    with Server(Account(2_000, latency=0.003)) as server:
        client(server).list_keys()
        assert not page_threads()
        deadline = time.monotonic() + 5
        while server.open and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.open


def test_the_key_is_in_no_log_and_no_repr(caplog):
    caplog.set_level(logging.DEBUG)
    with Server(Account(300)) as server:
        asking = client(server)
        asking.list_keys()
        asking.list_keys(workspace_id="*")
    assert caplog.records
    assert TOKEN not in caplog.text
    assert all(TOKEN not in repr(record.args) for record in caplog.records)
    assert TOKEN not in f"{asking!r} {asking} {BearerAuth(TOKEN)!r}"
    assert repr(asking) == f"<OpenRouterClient {server.base_url}>"


# -- what makes no sense


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *(({"timeout": value}, r"^timeout must be .*, not ") for value in (0, -1, float("inf"), float("nan"))),
        ({"max_retries": -1}, "max_retries"),
        *(({"timeout": value}, "timeout") for value in (0.09, 86_401, "30", None, True)),
        *(({"max_retries": value}, "max_retries") for value in (101, 2.5, "5", None, True)),
        *(({"max_concurrency": value}, "max_concurrency") for value in (0, -1, 101, 1.5, "8", None, True)),
        *(({"allow_http": value}, "allow_http") for value in ("false", 0, None)),
        *(
            ({"base_url": value}, "base URL")
            for value in (
                "",
                "openrouter.ai",
                "//openrouter.ai",
                "ftp://openrouter.ai",
                "https://",
                "https:///api",
                "https://openrouter.ai:port",
                "https://openrouter.ai:99999",
                "https://[",
                "https://open router.ai",
                "https://openrouter.ai/api v1",
                "https://openrouter.ai ",
                "https://*.openrouter.ai",
                "https://openrouter..ai",
                "https://openrouter.ai/api?a=b",
                "https://openrouter.ai/api#a",
            )
        ),
    ],
)
def test_nonsense_is_refused(options, named):
    with pytest.raises(OpenRouterRequestError, match=named) as caught:
        OpenRouterClient(TOKEN, **options)
    assert not caught.value.transient
    assert [caught.value.about] == [*options]


def test_a_base_url_with_a_password_is_refused_unshown():
    with pytest.raises(OpenRouterRequestError) as caught:
        OpenRouterClient(TOKEN, base_url="https://user:hidden@openrouter.ai")
    assert str(caught.value) == (
        "The base URL must look like https://host[:port]/path. It must have no user, password, query or "
        "fragment. OpenRouter's own is https://openrouter.ai/api/v1."
    )
    assert caught.value.about == "base_url"
    with pytest.raises(OpenRouterRequestError) as caught:
        OpenRouterClient(TOKEN, base_url=f"https://openrouter.ai/{TOKEN.upper()}")
    assert str(caught.value) == (
        "The base URL contains a key, which is not shown here. Enter the key as the management key instead."
    )
    assert caught.value.about == "base_url"


@pytest.mark.parametrize(
    "host", ["openrouter.ai", "127.0.0.1.example.com", "10.0.0.1", "localhost.example.com", "[::2]", "0.0.0.0"]
)
def test_http_is_refused_but_to_this_machine(host):
    with pytest.raises(OpenRouterRequestError) as caught:
        OpenRouterClient(TOKEN, base_url=f"http://{host}/api/v1")
    assert str(caught.value) == (
        f"http://{host.strip('[]')} would carry the management key unencrypted. Use https, or set allow_http if "
        "the network between is your own."
    )
    assert caught.value.about == "allow_http"
    OpenRouterClient(TOKEN, base_url=f"http://{host}/api/v1", allow_http=True)
    OpenRouterClient(TOKEN, base_url=f"https://{host}/api/v1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "LOCALHOST:80"])
def test_http_to_this_machine_needs_no_leave(host):
    OpenRouterClient(TOKEN, base_url=f"http://{host}/api/v1")


def test_a_slash_at_the_end_of_the_base_url_does_no_harm():
    with Server(Account(3)) as server:
        assert len(client(server, base_url=server.base_url + "/").list_keys()) == 3
    assert server.requests[0].path == "/keys"
    assert OpenRouterClient(TOKEN, base_url="https://openrouter.ai/X//").base_url == "https://openrouter.ai/X"


# -- advice

ADVICE = {"base_url": "It is set in the file x.", "management_key": "It is in the safe."}


@pytest.mark.parametrize(("advice", "said"), [(ADVICE, " It is set in the file x."), ({}, "")])
@pytest.mark.parametrize("method", ["list_keys", "list_workspaces", "get_current_key"])
def test_advice_ends_the_errors_it_is_about(method, advice, said):
    with Server(lambda request: data("nothing")) as server:
        asking = client(server, advice=advice)
        with pytest.raises(OpenRouterResponseError) as caught:
            getattr(asking, method)()
    assert str(caught.value).endswith(f"Check that the base URL is the API's.{said}")


@pytest.mark.parametrize(
    "answer",
    [
        *map(error, (400, 401, 403, 404, 429, 500)),
        Answer(302, headers={"Location": "https://example.com"}),
        Answer(200, "<html>"),
        Answer(200, {"keys": []}),
        data("nothing"),
        BREAKS,
    ],
)
def test_without_a_hook_no_error_mentions_airflow(answer):
    with Server(lambda request: answer) as server, pytest.raises(OpenRouterError) as caught:
        client(server).list_keys()
    assert not re.search("connection's|of connection|Airflow", str(caught.value))


@pytest.mark.parametrize("options", [{"base_url": "x"}, {"timeout": 0}, {"base_url": "http://x"}])
def test_without_a_hook_no_refusal_mentions_airflow(options):
    with pytest.raises(OpenRouterRequestError) as caught:
        OpenRouterClient(TOKEN, **options)
    assert not re.search("connection|Airflow", str(caught.value))


def test_a_client_lists_again_each_time_and_from_several_threads():
    account = Account(500, latency=0.002)
    with Server(account) as server:
        asking = client(server)
        results: list[list[str]] = []
        threads = [threading.Thread(target=lambda: results.append(hashes(asking.list_keys()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [account.hashes] * 4
        account.create()
        assert hashes(asking.list_keys()) == account.hashes


def test_a_long_listing_says_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr("airflow_provider_openrouter.api.records.SECONDS_BETWEEN_PROGRESS", 0.0)
    caplog.set_level(logging.INFO)
    with Server(Account(500)) as server:
        OpenRouterClient(TOKEN, base_url=server.base_url).list_keys()
    assert "Listing: 100 records so far" in caplog.text
    assert "Listing: 500 records so far" in caplog.text
