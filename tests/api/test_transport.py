import gzip
import logging
import socket
import threading
import time
import traceback
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.servers import BREAKS, HANGS, RETRY_AT_ONCE, TOKEN, Account, Answer, Server, data, error

from airflow_provider_openrouter import __version__
from airflow_provider_openrouter.api.transport import MAX_WAIT, BearerAuth, Transport
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)

GOOD = data([{"hash": "a"}])


def transport(base_url: str, *, token: str = TOKEN, timeout: float = 10, max_retries: int = 0) -> Transport:
    return Transport(base_url, BearerAuth(token), timeout=timeout, max_retries=max_retries, max_connections=2)


def get(server: Server | str, **options) -> object:
    with transport(server if isinstance(server, str) else server.base_url, **options) as opened:
        return opened.get("/keys", {"offset": "0"})


def failure(answer: Answer, **options) -> OpenRouterError:
    with Server(lambda request: answer) as server, pytest.raises(OpenRouterError) as caught:
        get(server, **options)
    return caught.value


def in_turn(*answers: Answer):
    """Give each answer once, and the last one from then on."""
    return lambda request: answers[min(request.number, len(answers) - 1)]


# -- what is asked


def test_the_request_carries_the_key_and_names_its_sender():
    with Server(lambda request: GOOD) as server:
        assert get(server) == [{"hash": "a"}]
    [request] = server.requests
    assert request.path == "/keys"
    assert request.query == {"offset": "0"}
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["User-Agent"] == f"airflow-provider-openrouter/{__version__}"
    assert "gzip" in request.headers["Accept-Encoding"]


def test_requests_share_a_connection_and_keep_no_cookie():
    answer = Answer(body={"data": []}, headers={"Set-Cookie": "a=b"})
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        for _ in range(5):
            opened.get("/keys", {})
    assert server.connections == 1
    assert len(server.requests) == 5
    assert not any("Cookie" in request.headers for request in server.requests)


def test_netrc_does_not_replace_the_key(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\ndefault login any password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(lambda request: GOOD) as server:
        get(server)
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


ELSEWHERE = "http://openrouter.invalid"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_from_the_environment_is_used(name, monkeypatch):
    with Server(lambda request: data(["by proxy"])) as proxy:
        monkeypatch.setenv(name, f"http://{proxy.host}")
        assert get(ELSEWHERE) == ["by proxy"]
    assert proxy.requests[0].path.endswith("/keys")


def test_no_proxy_exempts_a_host(monkeypatch):
    with Server(lambda request: GOOD) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        monkeypatch.setenv("NO_PROXY", "openrouter.invalid")
        with pytest.raises(OpenRouterConnectionError):
            get(ELSEWHERE)
    assert not proxy.requests


def test_this_machine_is_never_asked_through_a_proxy(monkeypatch):
    with Server(lambda request: GOOD) as target, Server(lambda request: BREAKS) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        assert get(target) == [{"hash": "a"}]
    assert not proxy.requests


@contextmanager
def trickling(head: bytes = b""):
    """Answer one client with a head, and then byte by byte for as long as it stays."""

    def trickle() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(head)
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            thread.join()


def test_a_proxy_that_trickles_for_ever_does_not_hang(monkeypatch):
    with trickling() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(OpenRouterConnectionError, match="within 1 s"):
            get("https://openrouter.invalid", timeout=1)


def test_a_missing_file_of_certificates_cannot_heal(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/certificates.pem")
    with pytest.raises(OpenRouterConnectionError, match=r"certificates\.pem") as caught:
        get("https://openrouter.invalid")
    assert not caught.value.transient


@pytest.mark.parametrize("blank", ["", " ", "\n", "\r\n", "\t \n"])
def test_the_key_is_stripped_of_white_space(blank):
    with Server(lambda request: GOOD) as server:
        get(server, token=f"{blank}{TOKEN}{blank}")
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("key", ["", "   ", "\n"])
def test_no_key_is_refused(key):
    with pytest.raises(OpenRouterAuthError, match="Create one at https://"):
        BearerAuth(key)


@pytest.mark.parametrize(
    "odd", ["\n", "\r\nX-Evil: yes", "\0", " ", "\t", "é", "\x7f", "\u2028", "\N{NO-BREAK SPACE}", "😀"]
)
def test_a_key_that_cannot_be_a_header_is_refused_unshown(odd):
    with pytest.raises(OpenRouterAuthError) as caught:
        BearerAuth(f"secret-before{odd}secret-after")
    assert "secret" not in str(caught.value)
    assert not caught.value.transient


# -- statuses


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, OpenRouterRequestError, False),
        (401, OpenRouterAuthError, False),
        (403, OpenRouterAuthError, False),
        (404, OpenRouterRequestError, False),
        (402, OpenRouterRequestError, False),
        (418, OpenRouterRequestError, False),
        (429, OpenRouterRateLimitError, True),
        *((status, OpenRouterServerError, True) for status in (500, 502, 503, 504, *range(520, 525), 529)),
        (201, OpenRouterResponseError, False),
        (204, OpenRouterResponseError, False),
    ],
)
def test_each_status_has_its_error(status, kind, transient):
    raised = failure(Answer(204) if status == 204 else error(status))
    assert type(raised) is kind
    assert raised.status_code == status
    assert raised.transient is transient
    assert f"answered {status}" in str(raised)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"code": 400, "message": "Invalid offset", "metadata": {"a": 1}}}, "(Invalid offset)"),
        ({"error": "Invalid offset"}, "(Invalid offset)"),
        ({"error": {"message": "Invalid\n offset"}}, "(Invalid offset)"),
        ({"error": "\x1b[2JInvalid\u2028\x85offset"}, "([2JInvalid offset)"),
        ("Invalid offset", "(Invalid offset)"),
        (b"\xff offset", "(\N{REPLACEMENT CHARACTER} offset)"),
        ("x" * 100_000, f"({'x' * 200})"),
        *(
            (body, "answered 400.")
            for body in ("", {}, [], None, 7, {"error": None}, {"error": {"message": ["a"]}}, "<html>Oops</html>")
        ),
    ],
)
def test_each_form_of_an_errors_body_is_understood(body, said):
    raised = failure(Answer(400, body))
    assert type(raised) is OpenRouterRequestError
    assert said in str(raised)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_its_target_named(status):
    with Server(lambda request: GOOD) as target:
        raised = failure(
            Answer(status, headers={"Location": f"http://localhost:{target.host.split(':')[1]}/api/v1/keys"})
        )
        assert not target.connections
    assert type(raised) is OpenRouterResponseError
    assert raised.status_code == status
    assert "redirect to localhost" in str(raised)


@pytest.mark.parametrize("location", ["/elsewhere", "", "http://[", "https:///x"])
def test_a_redirect_without_a_host_is_an_error_too(location):
    assert "redirect to itself" in str(failure(Answer(302, headers={"Location": location})))


def test_a_redirect_moves_no_cursor_in_the_log():
    assert "redirect to cexample.com," in str(failure(Answer(302, headers={"Location": "//\x1bcexample.com"})))


# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>Log in</html>",
        "{",
        '{"data": NaN}',
        '{"data": [-Infinity]}',
        '{"data": []} more',
        "[" * 200_000,
        b"\x1f\x8b",
        "9" * 5_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_an_answer_that_is_not_json_is_an_error(body):
    raised = failure(Answer(200, body), max_retries=3)
    assert type(raised) is OpenRouterResponseError
    assert "not JSON" in str(raised)
    assert not raised.transient


@pytest.mark.parametrize("body", [{}, [], None, "null", {"error": "no"}, {"Data": []}, 1])
def test_json_without_data_is_an_error(body):
    raised = failure(Answer(200, body))
    assert type(raised) is OpenRouterResponseError
    assert "no 'data'" in str(raised)


@pytest.mark.parametrize("form", ["gzipped", "chunked", "both"])
@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_a_body_is_read_in_every_encoding(form, count):
    records = [{"hash": f"hash-{number}"} for number in range(count)]
    plain = data(records)
    answer = plain.gzipped.chunked if form == "both" else getattr(plain, form)
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        assert opened.get("/keys", {}) == records
        assert opened.get("/keys", {}) == records
    assert server.connections == 1


def test_a_body_that_is_not_the_gzip_it_says_is_an_error():
    raised = failure(Answer(200, b"plain" * 99, {"Content-Encoding": "gzip"}))
    assert isinstance(raised, OpenRouterConnectionError | OpenRouterResponseError)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"half \ud83d a pair", "half ? a pair"),
        (r"\udc00", "?"),
        (r"\uD83D\uDE00", "😀"),
        ("😀 é", "😀 é"),
        (r"\\ud83d", r"\ud83d"),
    ],
)
def test_half_a_surrogate_pair_becomes_valid_utf8(text, read):
    with Server(lambda request: Answer(body='{"data": ["' + text + '", 0.1]}')) as server:
        answer = get(server)
    assert answer == [read, 0.1]
    assert str(answer).encode()


# -- no whole answer


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


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"], ids=["head", "body"]
)
def test_an_answer_that_trickles_for_ever_does_not_hang(head):
    with trickling(head) as base_url, pytest.raises(OpenRouterConnectionError, match="within 1 s"):
        get(base_url, timeout=1)


def test_a_head_that_breaks_off_is_an_error():
    raised = failure(Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Le"))
    assert isinstance(raised, OpenRouterConnectionError | OpenRouterResponseError)


@pytest.mark.parametrize(
    "answer",
    [
        BREAKS,
        Answer(body=GOOD.body, cut=0),
        Answer(body=GOOD.body, cut=7),
        Answer(body=["x" * 99] * 5_000, cut=200_000),
        Answer(body=[1] * 50, cut=40).chunked,
        Answer(body=[1] * 5_000, cut=20).gzipped,
        Answer(raw=b"SSH-2.0-OpenSSH\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    ],
    ids=lambda answer: f"{answer.raw or answer.cut}",
)
def test_an_answer_that_breaks_off_is_no_answer(answer):
    raised = failure(answer)
    assert type(raised) is OpenRouterConnectionError
    assert raised.transient
    assert raised.status_code is None


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress", "nonsense"])
def test_an_answer_that_is_packed_in_a_way_that_was_not_asked_for_is_not_unpacked(encoding):
    packed = gzip.compress(gzip.compress(b'{"data": []}'))
    raised = failure(Answer(body=packed, headers={"Content-Encoding": encoding}))
    assert type(raised) is OpenRouterResponseError
    assert "not asked for" in str(raised)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " gzip"])
def test_a_packed_answer_is_unpacked(encoding):
    packed = gzip.compress(b'{"data": ["whole"]}')
    with Server(lambda request: Answer(body=packed, headers={"Content-Encoding": encoding})) as server:
        assert get(server) == ["whole"]


def test_a_broken_connection_is_tried_again():
    with Server(in_turn(BREAKS, GOOD)) as server:
        assert get(server, max_retries=1) == [{"hash": "a"}]
    assert len(server.requests) == 2


# -- retries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 524, 529])
def test_what_is_transient_is_tried_again_and_that_is_no_warning(status, caplog):
    caplog.set_level(logging.INFO)
    again = error(status, headers=RETRY_AT_ONCE)
    with Server(in_turn(again, again, GOOD)) as server, transport(server.base_url, max_retries=2) as opened:
        assert opened.get("/keys", {}) == [{"hash": "a"}]
        assert (opened.sent, opened.retried) == (3, 2)
    assert [record.levelname for record in caplog.records if "Trying again" in record.message] == ["INFO"] * 2


@pytest.mark.parametrize(("status", "kind"), [(429, OpenRouterRateLimitError), (503, OpenRouterServerError)])
@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_retries_are_bounded_in_number(status, kind, max_retries):
    with Server(lambda request: error(status, headers=RETRY_AT_ONCE)) as server, pytest.raises(kind) as caught:
        get(server, max_retries=max_retries)
    assert len(server.requests) == max_retries + 1
    assert caught.value.status_code == status
    assert caught.value.retry_after == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_cannot_heal_is_not_tried_again(status):
    with Server(lambda request: error(status, headers=RETRY_AT_ONCE)) as server, pytest.raises(OpenRouterError):
        get(server, max_retries=5)
    assert len(server.requests) == 1


def test_waits_side_by_side_count_once():
    answers = in_turn(*[error(503, headers={"Retry-After": "1"})] * 4, GOOD)
    with Server(answers) as server, transport(server.base_url, max_retries=4) as opened:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: opened.get("/keys", {}), range(4)))
        assert 0.9 < opened._waited < time.monotonic() - began


def test_retries_are_bounded_in_time():
    again = error(503, headers={"Retry-After": "1"})
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=9) as opened:
        opened._waited = MAX_WAIT
        with pytest.raises(OpenRouterServerError):
            opened.get("/keys", {})
    assert len(server.requests) == 1


@pytest.fixture
def on_waiting(caplog):
    """Call what it is told to when the transport says that it waits."""
    logger = logging.getLogger("airflow_provider_openrouter.api.transport")
    handlers = []
    caplog.set_level(logging.INFO)

    def on_waiting(do) -> None:
        handler = logging.Handler()
        handler.emit = lambda record: do() if "Trying again" in record.getMessage() else None
        logger.addHandler(handler)
        handlers.append(handler)

    yield on_waiting
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 1.5 ", 1.5),
        ("-3", 0),
        ("nan", 0),
        ("inf", float("inf")),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("soon", None),
        ("", None),
        ("12 monkeys", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_understood(status, value, seconds):
    assert failure(error(status, headers={"Retry-After": value})).retry_after == seconds


def test_retry_after_is_understood_as_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3_500 < failure(error(429, headers={"Retry-After": date})).retry_after <= 3_600


def test_no_retry_after_is_none():
    assert failure(error(429)).retry_after is None


@pytest.mark.parametrize(
    ("value", "waited"),
    [("7", "7.0"), ("3600", "60.0"), ("Fri, 31 Dec 9999 23:59:59 GMT", "60.0"), ("inf", "60.0")],
)
def test_retry_after_is_honoured_up_to_a_minute_and_a_wait_wakes_when_stopped(value, waited, on_waiting, caplog):
    again = error(429, headers={"Retry-After": value})
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=3) as opened:
        on_waiting(opened.stopped.set)
        with pytest.raises(CancelledError):
            opened.get("/keys", {})
    assert f"Trying again in {waited} s" in caplog.text
    assert len(server.requests) == 1


def test_a_429_pauses_every_request_of_the_transport(on_waiting):
    others = []
    with (
        Server(in_turn(error(429, headers={"Retry-After": "2"}), GOOD)) as server,
        transport(server.base_url, max_retries=1) as opened,
        ThreadPoolExecutor(4) as threads,
    ):
        on_waiting(lambda: others.extend(threads.submit(opened.get, "/keys", {}) for _ in range(3)))
        assert opened.get("/keys", {}) == [{"hash": "a"}]
        assert [other.result(timeout=30) for other in others] == [[{"hash": "a"}]] * 3
    first, *later = [request.arrived for request in server.requests]
    assert len(later) == 4
    assert min(later) - first > 1.9


# -- the key stays where it is


ECHOES = {
    "json": lambda said: error(400, said),
    "json text": lambda said: Answer(401, {"error": said}),
    "text": lambda said: Answer(404, said),
    "html": lambda said: Answer(403, f"<p>{said}</p>"),
    "rate limit": lambda said: error(429, said),
    "server error": lambda said: error(503, said),
    "a long text": lambda said: error(400, "x" * 160 + said),
    "no json": lambda said: Answer(200, said),
    "redirect": lambda said: Answer(302, said, headers={"Location": f"https://example.com/{said}"}),
    "redirect to it": lambda said: Answer(302, headers={"Location": f"https://{said.split()[1]}.example.com/"}),
    "status line": lambda said: Answer(raw=f"{said}\r\n\r\n".encode()),
    "length": lambda said: Answer(raw=f"HTTP/1.1 200 OK\r\nContent-Length: {said}\r\n\r\n{{}}".encode()),
    "chunk": lambda said: Answer(raw=f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n".encode()),
}


@pytest.mark.parametrize("token", [TOKEN, TOKEN.upper(), TOKEN + '"/\\'], ids=["plain", "capitals", "quoted"])
@pytest.mark.parametrize("form", ECHOES)
def test_a_key_that_the_server_echoes_is_not_shown(form, token, caplog):
    caplog.set_level(logging.DEBUG)
    with (
        Server(lambda request: ECHOES[form](request.headers["Authorization"])) as server,
        pytest.raises(OpenRouterError) as caught,
    ):
        get(server, token=token)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert TOKEN[:30] not in shown.lower()


def test_an_error_holds_no_request_that_holds_the_key():
    raised = failure(BREAKS)
    assert raised.__cause__ is None
    assert raised.__suppress_context__
    assert TOKEN not in "".join(traceback.TracebackException.from_exception(raised).format())


def test_the_auth_shows_no_key():
    assert TOKEN not in f"{BearerAuth(TOKEN)!r} {BearerAuth(TOKEN)}"


def test_a_deadline_leaves_time_for_a_slow_answer():
    with Server(Account(3, latency=0.3)) as server:
        assert len(get(server, timeout=5)) == 3


@pytest.mark.parametrize(
    ("sent", "read"), [(rb"a\u0000b", "a\ufffdb"), (rb"a\\u0000b", r"a\u0000b"), (rb"a\\\u0000b", "a\\\ufffdb")]
)
def test_a_nul_that_no_database_holds_is_replaced_and_what_only_looks_like_one_is_not(sent, read):
    answer = Answer(body=b'{"data": ["%s"]}' % sent)
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        assert opened.get("/keys", {}) == [read]
