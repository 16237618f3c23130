"""
What went wrong with a request, and what to do about it.

The statuses and the form of an error's body are from OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/errors). The rest was seen at other servers and proxies.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
import urllib3

from airflow_provider_openrouter.api.retry_after import retry_after
from airflow_provider_openrouter.connection import CREDITS_PAGE, MANAGEMENT_KEYS_PAGE, STATUS_PAGE
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.text import duration, plain

PAGE_ADVICE = (
    "It comes from a proxy, a login page or the edge in front of the API, and says nothing about the key. Try "
    "again later; if it lasts, check the proxy and the base URL."
)
PROXY_ADVICE = (
    "The proxy says so, not OpenRouter. Put what it asks for into HTTPS_PROXY, as in http://user:secret@host."
)
_PAGE = re.compile(r"\s*(<|error code: \d+\s*$)")
"""How a page begins, or all of what Cloudflare says to a client that wants no HTML."""


def status_error(
    where: str, response: requests.Response, body: bytes, hide: Callable[[str], str]
) -> OpenRouterError:
    """
    Return the error for a status other than 200.

    :param where: the URL, as errors show it.
    :param hide: takes the key out of a text, in case the server sends it back.
    """
    status = response.status_code
    text = body.decode("utf-8", "replace")
    answer = f"{where} answered {status}"
    if 300 <= status < 400:
        said = _said(text, hide)
        host = plain(_host(hide(response.headers.get("Location", ""))) or "itself", longest=200)
        return OpenRouterResponseError(
            f"{answer}, a redirect to {host}{said}. It is not followed, because the key would go there too. Set "
            "the base URL to the API's own address.",
            status_code=status,
            about="base_url",
        )
    if status < 500 and status != 429 and _is_page(response, text):
        asked = retry_after(response, rate_limited=False)
        return OpenRouterServerError(
            f"{answer} with a page of HTML, not with the API's JSON{_asks(asked)}. "
            f"{PROXY_ADVICE if status == 407 else PAGE_ADVICE}",
            status_code=status,
            retry_after=asked,
            about=None if status == 407 else "base_url",
        )
    return _api_error(answer, status, response, text, hide)


def error_in_200(
    where: str, response: requests.Response, body: bytes, hide: Callable[[str], str]
) -> OpenRouterError:
    """
    Return the error for a 200 whose JSON has an ``error``: that of the status which is its ``code``.

    :param where: the URL, as errors show it.
    :param hide: takes the key out of a text, in case the server sends it back.
    """
    text = body.decode("utf-8", "replace")
    code = _code(text)
    if code is not None:
        return _api_error(f"{where} answered {code} in a 200", code, response, text, hide)
    return OpenRouterResponseError(
        f"{where} answered 200 with an error{_said(text, hide)}. Try again later; if it lasts, check that the "
        "base URL is the API's.",
        transient=True,
        about="base_url",
    )


def _api_error(
    answer: str, status: int, response: requests.Response, text: str, hide: Callable[[str], str]
) -> OpenRouterError:
    """
    Return the error for what the API itself says.

    :param answer: the beginning of the message.
    :param text: the body.
    """
    said = _said(text, hide)
    if status in (401, 403):
        may_be = "A limit, a budget or a data region may forbid it. If not, the" if status == 403 else "The"
        return OpenRouterAuthError(
            f"{answer}{said}. {may_be} key must be an active management key; an inference key is not enough. "
            f"Create one at {MANAGEMENT_KEYS_PAGE}. An outage can look the same: see {STATUS_PAGE}.",
            status_code=status,
            about="management_key",
        )
    if status == 429:
        asked = retry_after(response, rate_limited=True)
        return OpenRouterRateLimitError(
            f"{answer}, too many requests{said}{_asks(asked)}. Ask less often, or lower max_concurrency.",
            retry_after=asked,
            about="max_concurrency",
        )
    if status >= 500 or status in (408, 425):
        asked = retry_after(response, rate_limited=False)
        return OpenRouterServerError(
            f"{answer}{said}{_asks(asked)}. The fault is the server's; try again later.",
            status_code=status,
            retry_after=asked,
        )
    if status >= 400:
        remedy, about = _remedy(status, response.url or "", text)
        return OpenRouterRequestError(f"{answer}{said}. {remedy}", status_code=status, about=about)
    return unexpected_response(f"{answer}, not 200{said}.", status_code=status)


def _remedy(status: int, url: str, text: str) -> tuple[str, str | None]:
    """Return what to do about a request that is refused, and the argument that this is about."""
    if status == 402:
        return f"Credits are missing, or too few. Add some at {CREDITS_PAGE}.", None
    if status == 407:
        return PROXY_ADVICE, None
    if status == 409:
        return "It is in conflict with another change. Look at what is there now, and start again.", None
    if status == 400 and "include_expired" in text:
        return "Set include_expired to None: this server does not know it.", "include_expired"
    if "workspace_id=" in url:
        return "Check workspace_id and the base URL.", "base_url"
    path = urlsplit(url).path
    if path.endswith("/activity"):
        return "Check date, api_key_hash and user_id, and the base URL.", "base_url"
    if status == 404 and path.endswith("/members"):
        return "Check the base URL. If it is right, the account may not be an organization.", "base_url"
    if "/keys/" in path:
        if status == 404:
            return "No key has this hash, or it was deleted. Check key_hash and the base URL.", "base_url"
        return "Check the values that were sent.", None
    if status == 404 and path.endswith("/keys"):
        return (
            "Check the base URL. If it is right, the account's default workspace may have been deleted: set "
            "workspace_id.",
            "base_url",
        )
    return "Check the base URL.", "base_url"


def connection_error(
    where: str, timeout: float, error: BaseException, hide: Callable[[str], str]
) -> OpenRouterConnectionError:
    """
    Return the error for a request without a complete response.

    :param where: the URL, as errors show it.
    :param timeout: the seconds that the attempt was given.
    :param error: what requests, urllib3 or the socket raised.
    :param hide: takes the key out of a text, in case a server or a proxy sends it back.
    """
    reason = _root(error)
    if isinstance(reason, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout):
        return OpenRouterConnectionError(
            f"{where} gave no complete answer within {timeout:g} s. Check the network, or raise the timeout.",
            about="timeout",
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        whose = "the proxy" if isinstance(error, requests.exceptions.ProxyError) else _host(where)
        words = reason.verify_message.removesuffix(".")
        return OpenRouterConnectionError(
            f"Could not verify the certificate of {whose}: {words}. If your own proxy "
            "signs it, set REQUESTS_CA_BUNDLE to the proxy's certificate.",
            transient=False,
        )
    if isinstance(reason, ssl.SSLError) and reason.library == "X509":  # so it was read, and not sent
        return OpenRouterConnectionError(
            "The file of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE holds no certificates. Name a file in PEM.",
            transient=False,
        )
    if type(error) is OSError:  # what requests raises itself
        return OpenRouterConnectionError(
            f"{error}. Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.", transient=False
        )
    cause = _cause(where, error, reason, hide)
    if "tunnel connection failed: 407" in cause:
        return OpenRouterConnectionError(f"{cause}. {PROXY_ADVICE}", transient=False)
    return OpenRouterConnectionError(
        f"{cause}. Check the network, the proxy and the base URL.",
        transient=not isinstance(error, ValueError),  # such as a URL or a proxy that makes no sense
        about="base_url",
    )


def unexpected_response(cause: str, *, status_code: int | None = None) -> OpenRouterResponseError:
    """Return the error for a response that OpenRouter's API would not give."""
    return OpenRouterResponseError(
        f"{cause} Check that the base URL is the API's.", status_code=status_code, about="base_url"
    )


def _cause(where: str, error: BaseException, reason: BaseException, hide: Callable[[str], str]) -> str:
    """Return why there is no response; the text of a broken one is left out, because it may hold the key."""
    if isinstance(error, urllib3.exceptions.DecodeError):
        return f"{where} sent a body that cannot be unpacked"
    if isinstance(reason, OSError):
        words = plain(hide(reason.strerror or str(reason) or type(reason).__name__), longest=200)
        if words[1:2].islower():
            words = words[0].lower() + words[1:]
        if isinstance(reason, ConnectionResetError | BrokenPipeError):
            return f"{where} broke off the connection: {words}"
        return f"Could not reach {where}: {words}"
    kind = type(reason).__name__
    if isinstance(error, ValueError):
        return f"Could not reach {where}: {kind}"
    return f"{where} sent a broken answer: {kind}"


def _root(error: BaseException) -> BaseException:
    """Return the innermost cause, which urllib3 and requests wrap in several layers."""
    inner = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    cause = next((each for each in inner if isinstance(each, BaseException)), None)
    return error if cause is None else _root(cause)


def _said(text: str, hide: Callable[[str], str]) -> str:
    """Return in brackets what the body of an error says in any of the forms seen, or nothing if it is HTML."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = "" if "<" in text else text
    for name in ("error", "message"):
        if isinstance(said, dict):
            said = said.get(name)
    words = plain(hide(said), longest=200) if isinstance(said, str) else ""
    return f" ({words})" if words else ""


def _code(text: str) -> int | None:
    """Return the ``code`` of an ``error`` if it is the status of one, as a number or in digits."""
    error = json.loads(text)["error"]
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else None


def _is_page(response: requests.Response, text: str) -> bool:
    """Return whether a body is a page for people, which is not the API's."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        kind = response.headers.get("Content-Type", "").lower()
        return "html" in kind or "cf-mitigated" in response.headers or bool(_PAGE.match(text))
    return False


def _asks(asked: float | None) -> str:
    return f". It asks to wait {duration(asked)}" if asked and asked >= 0.05 else ""  # less reads as 0 s


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
