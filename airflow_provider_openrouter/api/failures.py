"""
What went wrong with a request, and what to do about it.

The statuses and the form of an error's body are from OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/errors). The rest was seen at other servers and proxies.
"""

from __future__ import annotations

import email.utils
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
import urllib3

from airflow_provider_openrouter.connection import MANAGEMENT_KEYS_PAGE
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.text import plain


def status_error(
    where: str, response: requests.Response, body: bytes, hide: Callable[[str], str]
) -> OpenRouterError:
    """
    Return the error for a status other than 200.

    :param where: the URL, as errors show it.
    :param hide: takes the key out of a text, in case the server sends it back.
    """
    status = response.status_code
    said = plain(hide(_message(body.decode("utf-8", "replace"))), longest=200)
    said = f" ({said})" if said else ""
    answer = f"{where} answered {status}"
    if status in (401, 403):
        return OpenRouterAuthError(
            f"{answer}{said}. The key must be an active management key; an inference key cannot list keys. "
            f"Create one at {MANAGEMENT_KEYS_PAGE}.",
            status_code=status,
            about="management_key",
        )
    if status == 429:
        return OpenRouterRateLimitError(
            f"{answer}, too many requests{said}. Ask less often, or lower max_concurrency.",
            retry_after=_retry_after(response),
            about="max_concurrency",
        )
    if 400 <= status < 500:
        return OpenRouterRequestError(
            f"{answer}{said}. Check workspace_id and the base URL.", status_code=status, about="base_url"
        )
    if status >= 500:
        return OpenRouterServerError(
            f"{answer}{said}. The fault is the server's; try again later.",
            status_code=status,
            retry_after=_retry_after(response),
        )
    if 300 <= status < 400:
        host = plain(_host(hide(response.headers.get("Location", ""))) or "itself", longest=200)
        return OpenRouterResponseError(
            f"{answer}, a redirect to {host}{said}. It is not followed, because the key would go there too. Set "
            "the base URL to the API's own address.",
            status_code=status,
            about="base_url",
        )
    return unexpected_response(f"{answer}, not 200{said}.", status_code=status)


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
        words = reason.verify_message.rstrip(".")
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
    return OpenRouterConnectionError(
        f"{_cause(where, error, reason, hide)}. Check the network, the proxy and the base URL.",
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


def _message(text: str) -> str:
    """Return what the body of an error says in any of the forms seen, or nothing if it is a page of HTML."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = "" if "<" in text else text
    for name in ("error", "message"):
        if isinstance(said, dict):
            said = said.get(name, "")
    return said if isinstance(said, str) else ""


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds of ``Retry-After``, a number or an HTTP date, or None if it holds neither."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return seconds if seconds > 0 else 0.0


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
