import logging
import re
import traceback
from dataclasses import replace

import pytest
from support.servers import BREAKS, RETRY_AT_ONCE, TOKEN, Answer, Server, error
from support.transports import GOOD, failure, get, in_turn, transport

from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, OpenRouterRequestError, False),
        (401, OpenRouterAuthError, False),
        (403, OpenRouterAuthError, False),
        (404, OpenRouterRequestError, False),
        (402, OpenRouterRequestError, False),
        (407, OpenRouterRequestError, False),
        (408, OpenRouterServerError, True),
        (409, OpenRouterRequestError, False),
        (425, OpenRouterServerError, True),
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
            for body in ("", {}, [], None, 7, {"error": None}, {"error": {"message": ["a"]}})
        ),
    ],
)
def test_each_form_of_an_errors_body_is_understood(body, said):
    raised = failure(Answer(400, body))
    assert type(raised) is OpenRouterRequestError
    assert said in str(raised)


PAGES = {
    "html": Answer(body="<!DOCTYPE html><title>Just a moment...</title>", headers={"Content-Type": "text/html"}),
    "html that is called json": Answer(body="\r\n <html>Oops</html>"),
    "nothing, as html": Answer(headers={"Content-Type": "text/html; charset=UTF-8"}),
    "xml": Answer(body='<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
    "a challenge": Answer(body="Just a moment", headers={"cf-mitigated": "challenge"}),
    "plain text of Cloudflare": Answer(body="error code: 1020\n", headers={"Content-Type": "text/plain"}),
}


@pytest.mark.parametrize("status", [202, 400, 401, 402, 403, 404, 407, 409, 418])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_html_is_temporary_and_blames_no_key(page, status):
    with Server(
        in_turn(replace(PAGES[page], status=status, headers=PAGES[page].headers | RETRY_AT_ONCE), GOOD)
    ) as server:
        assert get(server, max_retries=1) == [{"hash": "a"}]
    raised = failure(replace(PAGES[page], status=status, headers=PAGES[page].headers | {"Retry-After": "7"}))
    assert type(raised) is OpenRouterServerError
    assert raised.status_code == status
    assert raised.transient
    assert raised.retry_after == 7
    assert "It asks to wait 7 s." in str(raised)
    assert f"answered {status} with a page of HTML, not with the API's JSON" in str(raised)
    assert not re.search("management key|inference|workspace_id", str(raised))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_html_leaves_temporary_what_is_so_anyway(page):
    for status, kind in ((429, OpenRouterRateLimitError), (500, OpenRouterServerError)):
        raised = failure(replace(PAGES[page], status=status))
        assert type(raised) is kind
        assert "HTML" not in str(raised)


def test_json_that_is_called_html_is_json():
    assert type(failure(error(403, headers={"Content-Type": "text/html"}))) is OpenRouterAuthError


@pytest.mark.parametrize(
    ("status", "query", "says"),
    [
        (401, {}, r"\(said the server\)\. The key must be .* An outage can look the same: see https://status"),
        (403, {}, r"\(said the server\)\. A limit, a budget or a data region may forbid it\. .* An outage"),
        (402, {}, r"\(said the server\)\. Credits are missing.* https://openrouter\.ai/settings/credits\.$"),
        (407, {}, r"\. The proxy says so, not OpenRouter\. .* HTTPS_PROXY"),
        (409, {}, r"in conflict with another change"),
        (404, {}, r"\. Check the base URL\. .* default workspace may have been deleted: set workspace_id\.$"),
        (404, {"workspace_id": "1f"}, r"\. Check workspace_id and the base URL\.$"),
        (400, {}, r"\. Check the base URL\.$"),
        (400, {"workspace_id": "1f"}, r"\. Check workspace_id and the base URL\.$"),
        (422, {}, r"\. Check the base URL\.$"),
    ],
)
@pytest.mark.parametrize("in_200", [False, True], ids=["status", "in a 200"])
def test_an_error_says_whose_fault_it_is(status, query, says, in_200):
    answer = Answer(200, error(status).body) if in_200 else error(status)
    with (
        Server(lambda request: answer) as server,
        transport(server.base_url) as opened,
        pytest.raises(OpenRouterError, match=says) as caught,
    ):
        opened.get("/keys", query | {"offset": "0"})
    assert caught.value.status_code == status


def test_only_missing_keys_are_blamed_on_the_default_workspace():
    with (
        Server(lambda request: error(404)) as server,
        transport(server.base_url) as opened,
        pytest.raises(OpenRouterRequestError, match=r"\. Check the base URL\.$"),
    ):
        opened.get("/key", {})


@pytest.mark.parametrize(
    ("status", "said", "about"),
    [
        (400, "Unrecognized key: include_expired", "include_expired"),
        (400, "x" * 300 + "include_expired", "include_expired"),
        (400, "Invalid offset", "base_url"),
        (404, "no include_expired", "base_url"),
    ],
)
def test_an_error_about_include_expired_says_so(status, said, about):
    raised = failure(error(status, said))
    assert raised.about == about
    assert ("Set include_expired to None" in str(raised)) is (about == "include_expired")


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


def test_a_redirect_fills_no_log_and_moves_no_cursor_in_it():
    assert f"redirect to {'a' * 200}." in str(failure(Answer(302, headers={"Location": f"//{'a' * 300}"})))
    assert "redirect to cexample.com." in str(failure(Answer(302, headers={"Location": "//\x1bcexample.com"})))


def test_a_missing_file_of_certificates_is_permanent(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/certificates.pem")
    with pytest.raises(OpenRouterConnectionError, match=r"certificates\.pem") as caught:
        get("https://openrouter.invalid")
    assert not caught.value.transient


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
    ids=lambda answer: answer.raw.decode()[:8] if answer.raw else str(answer.cut),
)
def test_an_answer_that_breaks_off_is_no_answer(answer):
    raised = failure(answer)
    assert type(raised) is OpenRouterConnectionError
    assert raised.transient
    assert raised.status_code is None


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
    "error in a 200": lambda said: Answer(200, {"error": {"code": 429, "message": said}}),
    "odd error in a 200": lambda said: Answer(200, {"error": {"code": said, "message": said}}),
    "html of the edge": lambda said: Answer(403, f"<html>{said}", headers={"cf-mitigated": said}),
    "headers": lambda said: error(
        429, headers={"Retry-After": said, "X-RateLimit-Reset": said, "Date": said, "Content-Type": said}
    ),
    "a conflict": lambda said: error(409, said),
    "include_expired": lambda said: error(400, f"include_expired {said}"),
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


@pytest.mark.parametrize(("status", "asked"), [(429, 40), (503, None)])
def test_a_reset_is_the_end_of_a_rate_limit_alone(status, asked):
    headers = {"X-RateLimit-Reset": "1772000040", "Date": "Wed, 25 Feb 2026 06:13:20 GMT"}
    assert failure(error(status, headers=headers)).retry_after == asked
