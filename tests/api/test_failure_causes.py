"""What the error of a status or of a missing response says, word by word: its cause first, then the remedy."""

import re
import socket
import ssl
from http.client import IncompleteRead, RemoteDisconnected

import pytest
import requests
from urllib3.exceptions import DecodeError, LocationParseError, MaxRetryError, ProtocolError

from airflow_provider_openrouter.api.failures import connection_error, status_error
from airflow_provider_openrouter.exceptions import OpenRouterError


def expired() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_message = "certificate has expired."
    return error


def unreadable() -> ssl.SSLError:
    error = ssl.SSLError()
    error.library = "X509"
    return error


KEYS = "https://openrouter.ai/api/v1/keys"
SAID = f" ({'x' * 200})"
KEY_ADVICE = (
    "key must be an active management key; an inference key is not enough. Create one at "
    "https://openrouter.ai/settings/management-keys. An outage can look the same: see "
    "https://status.openrouter.ai."
)
LATER = f"{SAID}. The fault is the server's; try again later."
NETWORK = " Check the network, the proxy and the base URL."
PROXY = (
    " The proxy says so, not OpenRouter. Put what it asks for into HTTPS_PROXY, as in http://user:secret@host."
)
BUNDLE = " If your own proxy signs it, set REQUESTS_CA_BUNDLE to the proxy's certificate."


def status(code: int) -> OpenRouterError:
    response = requests.Response()
    response.status_code = code
    response.headers["Location"] = "https://elsewhere.example/keys"
    return status_error(KEYS, response, b'{"error": "' + b"x" * 300 + b'"}', lambda text: text)


def unreachable(error: BaseException) -> OpenRouterError:
    return connection_error(KEYS, 30.0, error, str)


def wrapped(reason: BaseException) -> OpenRouterError:
    return unreachable(requests.ConnectionError(reason))


REFUSED = ConnectionRefusedError(111, "Connection refused")
TUNNEL = OSError("Tunnel connection failed: 407 Who are you?")

CAUSES = [
    (status, 401, f"{KEYS} answered 401", f"{SAID}. The {KEY_ADVICE}", "management_key"),
    (
        status,
        403,
        f"{KEYS} answered 403",
        f"{SAID}. A limit, a budget or a data region may forbid it. If not, the {KEY_ADVICE}",
        "management_key",
    ),
    (
        status,
        429,
        f"{KEYS} answered 429, too many requests",
        f"{SAID}. Ask less often, or lower max_concurrency.",
        "max_concurrency",
    ),
    (
        status,
        402,
        f"{KEYS} answered 402",
        f"{SAID}. Credits are missing, or too few. Add some at https://openrouter.ai/settings/credits.",
        None,
    ),
    (status, 404, f"{KEYS} answered 404", f"{SAID}. Check the base URL.", "base_url"),
    (status, 407, f"{KEYS} answered 407", f"{SAID}.{PROXY}", None),
    (status, 408, f"{KEYS} answered 408", LATER, None),
    (
        status,
        409,
        f"{KEYS} answered 409",
        f"{SAID}. It is in conflict with another change. Look at what is there now, and start again.",
        None,
    ),
    *((status, code, f"{KEYS} answered {code}", LATER, None) for code in (500, 503)),
    *(
        (
            status,
            code,
            f"{KEYS} answered {code}, a redirect to elsewhere.example",
            f"{SAID}. It is not followed, because the key would go there too. Set the base URL to the API's own "
            "address.",
            "base_url",
        )
        for code in (300, 302)
    ),
    (status, 204, f"{KEYS} answered 204, not 200", f"{SAID}. Check that the base URL is the API's.", "base_url"),
    (
        unreachable,
        OSError("Could not find a bundle"),
        "Could not find a bundle. Check REQUESTS_CA_BUNDLE",
        " and CURL_CA_BUNDLE.",
        None,
    ),
    (
        unreachable,
        TimeoutError(),
        f"{KEYS} gave no complete answer within 30 s.",
        " Check the network, or raise the timeout.",
        "timeout",
    ),
    (
        unreachable,
        expired(),
        "Could not verify the certificate of openrouter.ai: certificate has expired.",
        BUNDLE,
        None,
    ),
    (
        unreachable,
        requests.exceptions.ProxyError(expired()),
        "Could not verify the certificate of the proxy: certificate has expired.",
        BUNDLE,
        None,
    ),
    (
        wrapped,
        unreadable(),
        "The file of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE holds no certificates.",
        " Name a file in PEM.",
        None,
    ),
    *(
        (wrapped, reason, f"Could not reach {KEYS}: {words}.", NETWORK, "base_url")
        for reason, words in (
            (REFUSED, "connection refused"),
            (MaxRetryError(None, "/", REFUSED), "connection refused"),
            (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
            (OSError("[SSL] odd"), "[SSL] odd"),
            (OSError("IoT is odd"), "ioT is odd"),
            (OSError(), "OSError"),
        )
    ),
    (wrapped, OSError("x" * 300), f"Could not reach {KEYS}: ", f"{'x' * 200}.{NETWORK}", "base_url"),
    (wrapped, TUNNEL, f"Could not reach {KEYS}: tunnel", f" connection failed: 407 Who are you?.{PROXY}", None),
    (
        unreachable,
        LocationParseError("x"),
        f"Could not reach {KEYS}: LocationParseError.",
        NETWORK,
        "base_url",
    ),
    *(
        (wrapped, reason, f"{KEYS} broke off the connection: ", f"{words}.{NETWORK}", "base_url")
        for reason, words in (
            (ConnectionResetError(104, "reset by peer"), "reset by peer"),
            (BrokenPipeError(), "brokenPipeError"),
            (RemoteDisconnected("closed"), "closed"),
        )
    ),
    (
        unreachable,
        ProtocolError("broken", IncompleteRead(b"")),
        f"{KEYS} sent a broken answer: IncompleteRead.",
        NETWORK,
        "base_url",
    ),
    (
        unreachable,
        DecodeError("gzip"),
        f"{KEYS} sent a body that cannot be unpacked.",
        NETWORK,
        "base_url",
    ),
]


@pytest.mark.parametrize(("make", "of", "cause", "advice", "about"), CAUSES)
def test_an_error_starts_with_its_cause(make, of, cause, advice, about):
    error = make(of)
    assert str(error) == f"{cause}{advice}"
    assert len(cause) <= 80
    assert error.about == about
    assert not re.search("(?i)airflow|the connection's|in the connection|password", str(error))


CHECK = "Check the base URL."
EXPIRED = '{"error": "include_expired"}'


@pytest.mark.parametrize(
    ("code", "path", "body", "remedy", "about"),
    [
        (400, "keys", EXPIRED, "Set include_expired to None: this server does not know it.", "include_expired"),
        (404, "keys?workspace_id=a", EXPIRED, "Check workspace_id and the base URL.", "base_url"),
        (404, "activity?date=a", "", "Check date, api_key_hash and user_id, and the base URL.", "base_url"),
        (
            404,
            "organization/members?offset=0",
            "",
            f"{CHECK} If it is right, the account may not be an organization.",
            "base_url",
        ),
        (
            404,
            "keys/f01d",
            "",
            "No key has this hash, or it was deleted. Check key_hash and the base URL.",
            "base_url",
        ),
        (400, "keys/f01d", "", "Check the values that were sent.", None),
        (
            404,
            "keys?offset=0",
            "",
            f"{CHECK} If it is right, the account's default workspace may have been deleted: set workspace_id.",
            "base_url",
        ),
        (400, "keys", "", CHECK, "base_url"),
        (400, "organization/members", "", CHECK, "base_url"),
        (404, "workspaces", "", CHECK, "base_url"),
    ],
)
def test_a_refused_request_says_what_to_check(code, path, body, remedy, about):
    response = requests.Response()
    response.status_code = code
    response.url = f"https://openrouter.ai/api/v1/{path}"
    error = status_error("It", response, body.encode(), str)
    assert str(error) == f"It answered {code}{' (include_expired)' if body else ''}. {remedy}"
    assert (error.about, error.status_code) == (about, code)


PAGE = (
    "with a page of HTML, not with the API's JSON{}. It comes from a proxy, a login page or the edge in front "
    "of the API, and says nothing about the key. Try again later; if it lasts, check the proxy and the base URL."
)


@pytest.mark.parametrize(
    ("headers", "code", "said", "about"),
    [
        ({}, 403, PAGE.format(""), "base_url"),
        ({"X-RateLimit-Reset": "9999999999"}, 403, PAGE.format(""), "base_url"),
        ({"Retry-After": "7"}, 404, PAGE.format(". It asks to wait 7 s"), "base_url"),
        ({}, 407, f"with a page of HTML, not with the API's JSON.{PROXY}", None),
    ],
)
def test_a_page_says_whose_it_may_be(headers, code, said, about):
    response = requests.Response()
    response.status_code = code
    response.headers.update(headers)
    error = status_error("It", response, b" <html>\xff", str)
    assert str(error) == f"It answered {code} {said}"
    assert (error.about, error.status_code) == (about, code)


@pytest.mark.parametrize(
    ("asked", "said"),
    [("0", ""), ("0.04", ""), ("0.05", ". It asks to wait 0.1 s"), ("7", ". It asks to wait 7 s")],
)
def test_a_wait_is_named_if_it_does_not_read_as_0(asked, said):
    for code, rest in (
        (429, ", too many requests{}. Ask less often, or lower max_concurrency."),
        (503, "{}. The fault is the server's; try again later."),
    ):
        response = requests.Response()
        response.status_code = code
        response.headers["Retry-After"] = asked
        error = status_error("It", response, b"<p>Down", str)
        assert str(error) == f"It answered {code}{rest.format(said)}"
        assert error.retry_after == float(asked)


@pytest.mark.parametrize("reason", [expired(), unreadable(), TUNNEL])
def test_what_must_be_set_on_this_machine_is_permanent(reason):
    assert wrapped(reason).transient is False


def test_a_url_that_makes_no_sense_is_permanent():
    assert not unreachable(LocationParseError("x")).transient
    assert unreachable(REFUSED).transient
