import gzip
import logging
import os
import socket
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event

import pytest
import requests
from support.certificates import certificate
from support.hostile import TLS, Hostile
from support.polling import eventually, listing_threads
from support.servers import HANGS, TOKEN, Account, Answer, Server
from support.transports import GOOD, failure, get, in_turn, transport

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.api.deadline import Deadline, DeadlineAdapter
from airflow_provider_openrouter.exceptions import (
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterResponseError,
    OpenRouterServerError,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
GZIP = HEAD + b"Content-Encoding: gzip\r\n\r\n"
MEMBER = gzip.compress(b"")
BLOCK = b"\0\0\0\xff\xff"
NAMED = b"\x1f\x8b\x08\x08\0\0\0\0\0\3"
HANDSHAKE = b"\x16\3\3\x40\0"
TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"
FAR = "203.0.113.1"  # an address for documentation: only a proxy leads there
SOCKS4 = b"\0\x5a" + bytes(6)
SOCKS5 = [b"\5\0", b"\5\0\0\1" + bytes(6)]

TRICKLES = {
    "nothing": [HEAD, b""],
    "status line": [b"", b"H"],
    "head": [HEAD, b"X"],
    "early hints": [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"],
    "continues": [b"", b"HTTP/1.1 100 Continue\r\n\r\n"],
    "body": [HEAD + b"Content-Length: 1000000000000\r\n\r\n", b" "],
    "body to the end": [HEAD + b'\r\n{"data": []}', b""],
    "error": [b"HTTP/1.1 503 Down\r\n\r\n", b"x"],
    "redirect": [b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"x"],
    "empty blocks": [GZIP + MEMBER[:10], BLOCK],
    "empty members": [GZIP, MEMBER],
    "gzip name": [GZIP + NAMED, b"x"],
    "deflated blocks": [GZIP.replace(b"gzip", b"deflate") + b"\x78\x9c", BLOCK],
    "after deflated": [GZIP.replace(b"gzip", b"deflate") + b"\x78\x9c\3\0\0\0\0\1", b"x"],
    "chunk size": [CHUNKED + b"\r\n", b"0"],
    "chunk extension": [CHUNKED + b"\r\n1;", b"x"],
    "chunk extensions": [CHUNKED + b"Content-Encoding: gzip\r\n\r\na\r\n" + NAMED + b"\r\n", b"1;x=y\r\nx\r\n"],
    "chunks": [CHUNKED + b"\r\n", b"1\r\n \r\n"],
    "trailer": [CHUNKED + b"\r\n0\r\n", b"X"],
    "trailers": [CHUNKED + b"\r\n0\r\n", b"X: y\r\n"],
}
FLOODS = {
    name: TRICKLES[name]
    for name in (
        "early hints",
        "continues",
        "empty members",
        "gzip name",
        "deflated blocks",
        "after deflated",
        "chunk extensions",
        "chunks",
        "trailers",
    )
}


@contextmanager
def nothing_left():
    """Check that no thread and no descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert not listing_threads()
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


def in_time(function, *args, **options):
    """Return what a function returns, or fail if that takes far too long."""
    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(function, *args, **options).result(timeout=20)
    finally:
        threads.shutdown(wait=False)


@pytest.mark.parametrize("script", TRICKLES.values(), ids=TRICKLES)
def test_what_trickles_for_ever_ends_in_time(script):
    with (
        nothing_left(),
        Hostile(*script) as server,
        pytest.raises(OpenRouterConnectionError, match=r"gave no complete answer within 0\.5 s") as caught,
    ):
        in_time(get, f"http://{server.host}", timeout=0.5)
    assert caught.value.transient
    assert caught.value.about == "timeout"


@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS)
def test_what_floods_for_ever_ends_in_time(script):
    with (
        nothing_left(),
        Hostile(*script, pause=0) as server,
        pytest.raises(OpenRouterConnectionError, match=r"within 0\.1 s"),
    ):
        in_time(get, f"http://{server.host}", timeout=0.1)


@pytest.mark.parametrize("name", ["body", "empty blocks", "gzip name", "trailers"])
def test_bytes_are_bounded_whether_or_not_they_are_unpacked(name):
    with (
        nothing_left(),
        Hostile(*TRICKLES[name], pause=0) as server,
        pytest.raises(OpenRouterResponseError, match="more than 100,000,000 bytes"),
    ):
        get(f"http://{server.host}", timeout=60)


ROUTES = {
    "TLS greeting": ("direct", [b"", b""]),
    "TLS greeting trickles": ("direct", [HANDSHAKE, b"\0"]),
    "TLS head": ("direct", [TLS, b"", b"H"]),
    "TLS body": ("direct", [TLS, GZIP + MEMBER[:10], BLOCK]),
    "TLS body to the end": ("direct", [TLS, HEAD + b'\r\n{"data": []}', b""]),
    "proxy's head": ("forwards", [b"", b"H"]),
    "proxy's body": ("forwards", [GZIP, MEMBER]),
    "tunnel": ("http://", [b"", b""]),
    "tunnel trickles": ("http://", [HEAD, b"X: y\r\n"]),
    "tunnelled greeting": ("http://", [TUNNEL, HANDSHAKE, b"\0"]),
    "tunnelled head": ("http://", [TUNNEL, TLS, b"", b"H"]),
    "tunnelled body": ("http://", [TUNNEL, TLS, GZIP, MEMBER]),
    "proxy's greeting": ("https://", [HANDSHAKE, b"\0"]),
    "tunnel in TLS": ("https://", [TLS, b"", b"H"]),
    "greeting in TLS": ("https://", [TLS, TUNNEL, HANDSHAKE, b"\0"]),
    "SOCKS 4": ("socks4://", [b"", b""]),
    "SOCKS 4 with names": ("socks4a://", [b"", b""]),
    "SOCKS 5": ("socks5://", [b"", b""]),
    "SOCKS 5 with names": ("socks5h://", [b"", b""]),
    "SOCKS password": ("socks5://user:password@", [b"\5\2", b"", b""]),
    "SOCKS reply": ("socks5://", [b"\5\0", b"", b""]),
    "SOCKS reply trickles": ("socks5://", [b"\5\0", b"\5\0\0\3\xff", b"x"]),
    "TLS greeting behind SOCKS 4": ("socks4://", [SOCKS4, b"", b""]),
    "TLS greeting behind SOCKS": ("socks5://", [*SOCKS5, HANDSHAKE, b"\0"]),
    "head behind SOCKS": ("socks5://", [*SOCKS5, TLS, b"", b"H"]),
    "body behind SOCKS": ("socks5://", [*SOCKS5, TLS, GZIP, MEMBER]),
}


@pytest.fixture
def route(tmp_path, monkeypatch):
    """Return a function that starts a hostile server, and gives it and the base URL that leads to it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    with ExitStack() as stack:

        def start(name: str) -> tuple[Hostile, str]:
            how, script = ROUTES[name]
            pem = certificate(tmp_path, host="127.0.0.1" if how in ("direct", "https://") else FAR)
            server = stack.enter_context(Hostile(*script, certificate=pem))
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
            if how == "direct":
                return server, f"https://{server.host}"
            monkeypatch.setenv("ALL_PROXY", f"{'http://' if how == 'forwards' else how}{server.host}")
            return server, f"http{'s' * (how != 'forwards')}://{FAR}"

        yield start


@pytest.mark.parametrize("name", ROUTES)
def test_every_way_to_the_server_has_the_deadline(name, route):
    _, base_url = route(name)
    with nothing_left(), pytest.raises(OpenRouterConnectionError, match=r"within 0\.5 s"):
        in_time(get, base_url, timeout=0.5)


@pytest.mark.parametrize("name", ROUTES)
def test_every_way_to_the_server_ends_when_given_up(name, route):
    server, base_url = route(name)
    given_up(base_url, server.busy)


@pytest.mark.parametrize("pause", [0.05, 0], ids=["trickles", "floods"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_listing_that_is_given_up_ends_at_once(name, pause):
    with Hostile(*FLOODS[name], pause=pause) as server:
        given_up(f"http://{server.host}", server.busy)


def given_up(base_url: str, busy: Event) -> None:
    """List keys, give that up once the server is busy, and check that it ends long before the timeout."""
    client = OpenRouterClient(TOKEN, base_url=base_url, timeout=300, allow_http=True)
    stopped = Event()
    with ThreadPoolExecutor(1) as threads:
        listing = threads.submit(client.get_key_listing, stopped=stopped)
        assert busy.wait(20)
        time.sleep(0.1)
        stopped.set()
        assert isinstance(listing.exception(timeout=20), CancelledError)
        assert not listing_threads()


@contextmanager
def black_hole():
    """Give the address of a server with a full queue, which drops whoever else wants to connect."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        time.sleep(0.1)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_connecting_is_part_of_the_deadline():
    with (
        nothing_left(),
        black_hole() as base_url,
        pytest.raises(OpenRouterConnectionError, match=r"within 0\.5 s"),
    ):
        in_time(get, base_url, timeout=0.5)


def test_a_request_waits_for_no_acknowledgement(monkeypatch):
    at_once = []

    class Connecting(socket.socket):
        def connect(self, address):
            at_once.append(self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Connecting)
    with Server(in_turn(GOOD)) as server:
        get(server)
    assert at_once == [1]


def test_connecting_ends_when_given_up():
    now = Event()
    now.set()
    with black_hole() as base_url:
        given_up(base_url, now)


@pytest.fixture
def slow_resolver(monkeypatch):
    """Make looking up a name take until the event is set that is given."""
    asked, answers, look_up = Event(), Event(), socket.getaddrinfo

    def getaddrinfo(*args, **options):
        asked.set()
        answers.wait(60)
        return look_up("127.0.0.1", *args[1:], **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    answers.set()
    assert eventually(lambda: not listing_threads())


def test_looking_up_a_host_is_part_of_the_deadline(slow_resolver):
    with pytest.raises(OpenRouterConnectionError, match=r"within 0\.5 s"):
        in_time(get, "http://openrouter.invalid", timeout=0.5)


def test_looking_up_a_host_is_left_behind_when_given_up(slow_resolver):
    stopped = Event()
    client = OpenRouterClient(TOKEN, base_url="https://openrouter.invalid", timeout=300)
    with ThreadPoolExecutor(1) as threads:
        listing = threads.submit(client.get_key_listing, stopped=stopped)
        assert slow_resolver.wait(20)
        meanwhile = daemons(listing_threads())
        stopped.set()
        assert isinstance(listing.exception(timeout=20), CancelledError)
    assert meanwhile == ["openrouter-deadline", "openrouter-look-up"]
    assert listing_threads() == daemons(listing_threads()) == ["openrouter-look-up"]


def daemons(names):
    """Return the names of those threads that no process waits for at its end."""
    return [thread.name for thread in threading.enumerate() if thread.name in names and thread.daemon]


@pytest.mark.parametrize("status", [102, 103, 199])
def test_what_comes_before_an_answer_is_skipped(status):
    early = b"HTTP/1.1 %d Early\r\nLink: </style.css>; rel=preload\r\nContent-Length: 9\r\n\r\n" % status
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"data": [1]}'
    with Hostile(early * 3 + whole, early + whole, b"") as server, transport(f"http://{server.host}") as opened:
        assert [opened.get("/keys", {}) for _ in range(2)] == [[1], [1]]
    assert server.connections == 1


def test_an_unasked_change_of_protocol_is_an_error():
    assert failure(Answer(101)).status_code == 101


def test_a_connection_is_never_shut_for_the_attempt_before():
    answers = in_turn(GOOD, *[Answer(body=GOOD.body, delay=0.7)] * 3)
    with Server(answers) as server, transport(server.base_url, timeout=1) as opened:
        for _ in range(4):
            assert opened.get("/keys", {}) == [{"hash": "a"}]
    assert server.connections == 1


def test_a_connection_that_was_given_back_is_left_to_others():
    def ask(path: str) -> int:
        with deadline.attempt(server.base_url):
            request = requests.Request("GET", server.base_url + path).prepare()
            with adapter.send(request, timeout=10) as response:
                response.raw.read()
            if path == "/first":
                assert ended.wait(20)
            return response.status_code

    ended = Event()
    with (
        Server(lambda request: Answer(delay=0.7 if request.path == "/second" else 0)) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        adapter, deadline = DeadlineAdapter(), Deadline(1, Event())
        deadline.start()
        first = threads.submit(ask, "/first")
        time.sleep(0.5)
        assert ask("/second") == 200
        ended.set()
        assert first.result() == 200
        deadline.stopped.set()
        deadline.join()
        adapter.close()
    assert server.connections == 1


def test_no_attempt_begins_once_it_is_stopped():
    stopped = Event()
    stopped.set()
    with pytest.raises(CancelledError), Deadline(1, stopped).attempt("https://openrouter.invalid"):
        pytest.fail("begun")


@pytest.mark.parametrize("early", ["", "HTTP/1.1 103 Early Hints\r\n{}\r\n\r\n"])
@pytest.mark.parametrize("odd", ["{}", ": {}", "\r {}", "x\r\n{}", "X: y\r\n {}\r\n{}"])
def test_odd_lines_of_a_head_are_not_logged(odd, early, caplog):
    caplog.set_level(logging.DEBUG)
    line = odd.replace("{}", TOKEN)
    head = f"{early.replace('{}', line)}HTTP/1.1 200 OK\r\nConnection: close\r\n{line}\r\n\r\n"
    answer = Answer(raw=head.encode() + b'{"data": []}')
    with Server(lambda request: answer) as server, suppress(OpenRouterError):
        get(server)
    assert TOKEN not in caplog.text
    assert "Failed to parse" not in caplog.text


def test_a_second_request_on_a_connection_ends_when_given_up():
    with (
        Hostile(HEAD + b'Content-Length: 11\r\n\r\n{"data": 1}', b"", b"") as server,
        transport(f"http://{server.host}", timeout=300) as opened,
        ThreadPoolExecutor(1) as threads,
    ):
        assert opened.get("/keys", {}) == 1
        second = threads.submit(opened.get, "/keys", {})
        assert server.busy.wait(20)
        opened.stopped.set()
        assert isinstance(second.exception(timeout=20), CancelledError)
    assert server.connections == 1


def test_a_late_attempt_does_not_end_one_beside_it():
    def answer(request):
        return HANGS if request.path == "/hangs" else Answer(body=GOOD.body, delay=0.7)

    with (
        Server(answer) as server,
        transport(server.base_url, timeout=1) as opened,
        ThreadPoolExecutor(2) as threads,
    ):
        late = threads.submit(opened.get, "/hangs", {})
        time.sleep(0.5)
        assert threads.submit(opened.get, "/keys", {}).result() == [{"hash": "a"}]
        assert isinstance(late.exception(timeout=20), OpenRouterConnectionError)


@pytest.mark.parametrize(
    "answer",
    [
        HANGS,
        Answer(body=GOOD.body, trickle="body"),
        Answer(body=[1] * 100, trickle="body").chunked,
        Answer(body=GOOD.body, trickle="head"),
        Answer(503, "x" * 100, trickle="body"),
    ],
    ids=["hangs", "body trickles", "chunks trickle", "head trickles", "error trickles"],
)
def test_an_answer_that_takes_too_long_is_no_answer(answer):
    raised = failure(answer, timeout=1)
    assert type(raised) is OpenRouterConnectionError
    assert raised.transient
    assert "within 1 s" in str(raised)
    assert raised.about == "timeout"


def test_a_deadline_leaves_time_for_a_slow_answer():
    with Server(Account(3, latency=0.3)) as server:
        assert len(get(server, timeout=5)) == 3


def test_many_requests_leave_nothing():
    answers = [GOOD, Answer(503), Answer(body=GOOD.body, headers={"Connection": "close"}), Answer(raw=b"")]
    with Server(lambda request: answers[request.number % 4]) as server:

        def ask() -> None:
            for _ in range(25):
                with transport(server.base_url) as opened:
                    for _ in range(4):
                        with suppress(OpenRouterServerError, OpenRouterConnectionError):
                            opened.get("/keys", {})

        ask()
        with nothing_left():
            ask()
    assert len(server.requests) == 200


def test_a_listing_leaves_nothing():
    with Server(Account(1_000)) as server:
        client = OpenRouterClient(TOKEN, base_url=server.base_url)
        with nothing_left():
            for _ in range(3):
                assert len(client.list_keys()) == 1_000
