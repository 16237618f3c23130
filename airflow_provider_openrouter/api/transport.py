"""
One request after another to OpenRouter: bearer key, deadline, retries, and an error that says what helps.

The statuses and the form of an error's body are from OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/errors); the rest of what is defended against was seen by others.
"""

from __future__ import annotations

import email.utils
import json
import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPResponse
from ipaddress import ip_address
from threading import Event, Lock, Timer
from typing import Any, NoReturn, Self
from urllib.parse import urlencode, urlsplit

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_openrouter import __version__
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

log = logging.getLogger(__name__)

MANAGEMENT_KEYS_PAGE = "https://openrouter.ai/settings/management-keys"
MAX_RETRY_AFTER = 60.0
MAX_WAIT = 300.0
CHUNK = 1 << 16
LARGEST_ANSWER = 100_000_000
"""Bytes, unpacked: a page of 100 keys has a thousandth of that, and a small packed one could fill a worker."""
UNPACKED_IN_PIECES = {"", "identity", "gzip", "x-gzip", "deflate"}
"""Encodings of which no chunk becomes more than can be counted: what is packed twice, or by zstd, could."""


class BearerAuth(AuthBase):
    """
    The management key, as an ``AuthBase``, since ``~/.netrc`` replaces a header that is set in any other way.

    :param management_key: the key; white space around it is stripped.
    :raises OpenRouterAuthError: if the key is empty or cannot be sent in a header; it is not shown.
    """

    def __init__(self, management_key: str) -> None:
        self._key = management_key.strip()
        if not self._key:
            raise OpenRouterAuthError(f"There is no management key. Create one at {MANAGEMENT_KEYS_PAGE}.")
        if not re.fullmatch(r"[\x21-\x7e]+", self._key):
            raise OpenRouterAuthError(
                "The management key has a character that cannot be sent in an HTTP header (white space, a "
                "line break, or one outside ASCII). Copy it anew, the key alone."
            )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the key into the request's header."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def hide(self, text: str) -> str:
        """Answer ``text`` without the key, should a server have echoed it."""
        return text.replace(self._key, "***")


class _Response(HTTPResponse):
    """An answer of whose head is dropped what is no header: urllib3 would log it, and it may hold the key."""

    def begin(self) -> None:
        super().begin()
        self.msg.set_payload("")
        self.msg.defects.clear()


class _AnswersInTime:
    """A connection that gives up in time on a proxy's word and on the head of an answer, however they trickle."""

    sock: Any
    timeout: float
    response_class = _Response

    def connect(self) -> None:
        with self._in_time():
            super().connect()  # type: ignore[misc]  # of the connection that this is mixed into

    def getresponse(self) -> Any:
        with self._in_time():
            return super().getresponse()  # type: ignore[misc]

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        watchdog = Timer(self.timeout, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _give_up(self) -> None:
        tcp = getattr(self.sock, "socket", self.sock)  # TLS within TLS, through a proxy, wraps the socket
        if tcp is not None:
            with suppress(OSError):
                socket.socket.shutdown(tcp, socket.SHUT_RDWR)


class _HTTPConnection(_AnswersInTime, urllib3.connection.HTTPConnection):  # type: ignore[misc]
    pass


class _HTTPSConnection(_AnswersInTime, urllib3.connection.HTTPSConnection):  # type: ignore[misc]
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = _HTTPSConnection


class _Adapter(HTTPAdapter):
    """The adapter of requests, with connections that answer in time."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager

    def close(self) -> None:
        """Close the connections now: requests and urllib3 leave that to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                manager.pools[key].close()
        super().close()


class Transport:
    """
    The requests that belong together: they share connections, a pause, and a budget of waiting.

    :param base_url: where the API is, without a slash at its end.
    :param auth: the bearer key.
    :param timeout: seconds that one request may take, its body included.
    :param max_retries: how often one request is tried again after a transient error.
    :param max_connections: how many connections are kept open.
    :param stopped: once it is set, waits end and no request is begun any more: ``CancelledError``.
    """

    def __init__(
        self,
        base_url: str,
        auth: BearerAuth,
        *,
        timeout: float,
        max_retries: int,
        max_connections: int,
        stopped: Event | None = None,
    ) -> None:
        self.stopped = stopped or Event()
        self.sent = 0
        self.retried = 0
        self.on_rate_limit: Callable[[], None] = lambda: None
        self._base_url = base_url
        self._auth = auth
        self._timeout = timeout
        self._max_retries = max_retries
        self._request = requests.Request(
            "GET",
            base_url,
            auth=auth,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": f"airflow-provider-openrouter/{__version__}",
            },
        ).prepare()
        # Proxies and certificates as requests reads them from the environment. The adapter sends, for
        # a session would read the body of a redirect and keep cookies.
        with requests.Session() as session:
            self._environment: Any = session.merge_environment_settings(base_url, {}, True, None, None)
        if is_loopback(urlsplit(base_url).hostname or ""):
            self._environment["proxies"] = {}  # what is on this machine is not asked of another
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=max_connections)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, OpenRouterError) and error.transient
            ),
            wait=self._wait,
            stop=self._gives_up,
            before_sleep=self._before_sleep,
            sleep=tenacity.sleep_using_event(self.stopped),
            reraise=True,
        )
        self._lock = Lock()
        self._paused_until = 0.0
        self._waiting_until = 0.0
        self._waited = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self._adapter.close()

    def get(self, path: str, query: dict[str, str]) -> Any:
        """
        Answer what stands under ``data`` in the answer to ``GET path``.

        :raises OpenRouterError: of the kind that tells what helps; a transient one only after the retries.
        """
        return self._retrying(self._attempt, path, query)

    # -- one attempt

    def _attempt(self, path: str, query: dict[str, str]) -> Any:
        if self.stopped.wait(max(0.0, self._paused_until - time.monotonic())):
            raise CancelledError
        with self._lock:
            self.sent += 1
        request = self._request.copy()
        request.url = f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        where = f"{self._base_url}{path}"
        deadline = time.monotonic() + self._timeout
        try:
            timeout: Any = urllib3.Timeout(total=self._timeout)
            response = self._adapter.send(request, timeout=timeout, **self._environment)
            with response:
                body = self._read(where, response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            late = time.monotonic() > deadline
            # "from None": the exceptions of requests hold the request, and the request holds the key.
            raise _connection_error(where, self._timeout, TimeoutError() if late else error) from None
        if response.status_code != 200:
            self._raise_for(where, response, body)
        return _data(where, body)

    def _read(self, where: str, response: requests.Response, deadline: float) -> bytes:
        """Read the body piece by piece: a socket's own timeout starts anew with every byte that comes in."""
        if response.headers.get("Content-Encoding", "").strip().lower() not in UNPACKED_IN_PIECES:
            raise OpenRouterResponseError(
                f"{where} answered with something packed in a way that was not asked for. Check that the "
                "connection's host is the API."
            )
        chunks: list[bytes] = []
        size = 0
        while time.monotonic() <= deadline:
            chunk = response.raw.read1(CHUNK, decode_content=True)
            if not chunk:
                return b"".join(chunks)
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise OpenRouterResponseError(
                    f"{where} answered with more than {LARGEST_ANSWER:,} bytes. Check that the connection's host "
                    "is the API."
                )
            chunks.append(chunk)
        raise TimeoutError

    def _raise_for(self, where: str, response: requests.Response, body: bytes) -> NoReturn:
        status = response.status_code
        said = plain(self._auth.hide(_message(body.decode("utf-8", "replace"))), longest=200)
        answer = f"{where} answered {status}" + (f" ({said})" if said else "")
        if status in (401, 403):
            raise OpenRouterAuthError(
                f"{answer}. The connection's password must be a management key in force; an inference key "
                f"cannot list keys. Create one at {MANAGEMENT_KEYS_PAGE}.",
                status_code=status,
            )
        if status == 429:
            raise OpenRouterRateLimitError(
                f"{answer}: too many requests. Ask less often, or lower max_concurrency in the connection.",
                retry_after=_retry_after(response),
            )
        if 400 <= status < 500:
            raise OpenRouterRequestError(
                f"{answer}. Check workspace_id and the connection's host.", status_code=status
            )
        if status >= 500:
            raise OpenRouterServerError(
                f"{answer}. The trouble is on the server's side: try again later.",
                status_code=status,
                retry_after=_retry_after(response),
            )
        if 300 <= status < 400:
            host = plain(_host(self._auth.hide(response.headers.get("Location", ""))) or "itself", longest=200)
            raise OpenRouterResponseError(
                f"{answer}, a redirect to {host}, which is not followed, for it would take the "
                "key there. Set the connection's host to the API's own address.",
                status_code=status,
            )
        raise OpenRouterResponseError(
            f"{answer}, not 200. Check that the connection's host is the API.", status_code=status
        )

    # -- between the attempts

    def _wait(self, state: tenacity.RetryCallState) -> float:
        asked = getattr(_error(state), "retry_after", None)
        return _backoff(state) if asked is None else min(asked, MAX_RETRY_AFTER)

    def _gives_up(self, state: tenacity.RetryCallState) -> bool:
        return (
            state.attempt_number > self._max_retries
            or self._waited + self._longer(state.upcoming_sleep) > MAX_WAIT
            or self.stopped.is_set()
        )

    def _longer(self, wait: float) -> float:
        """Answer by how much a wait is longer than those under way: what is waited side by side counts once."""
        now = time.monotonic()
        return max(0.0, now + wait - max(now, self._waiting_until))

    def _before_sleep(self, state: tenacity.RetryCallState) -> None:
        error = _error(state)
        wait = state.upcoming_sleep
        now = time.monotonic()
        with self._lock:
            self.retried += 1
            self._waited += self._longer(wait)
            self._waiting_until = max(self._waiting_until, now + wait)
            if isinstance(error, OpenRouterRateLimitError):
                if self._paused_until <= now:
                    self.on_rate_limit()
                self._paused_until = max(self._paused_until, now + wait)
        log.info("%s Trying again in %.1f s (attempt %s).", error, wait, state.attempt_number + 1)


_backoff = tenacity.wait_exponential_jitter(max=MAX_RETRY_AFTER)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _retry_after(response: requests.Response) -> float | None:
    """Answer the seconds of ``Retry-After``, a number or an HTTP date, or None if it holds neither."""
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


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(numeral: str) -> float | str:
    """Answer a number; 1e999, which Python reads as infinity and no JSON can hold, stays text."""
    number = float(numeral)
    return number if math.isfinite(number) else numeral


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _data(where: str, body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    if "\\u0000" in text:  # legal JSON that PostgreSQL holds neither as text nor as JSON
        text = _NUL.sub(r"\1\\ufffd", text)
    try:
        answer = _decoder.decode(text)
        if _SURROGATE.search(text):  # half a surrogate pair is legal JSON that no UTF-8 can hold
            answer = json.loads(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise OpenRouterResponseError(
            f"{where} answered 200 with something that is not JSON. Check that the connection's host is "
            "the API, and that no proxy or login page answers in its place."
        ) from None
    if not isinstance(answer, dict) or "data" not in answer:
        raise OpenRouterResponseError(
            f"{where} answered 200 with JSON that has no 'data'. Check that the connection's host is the API."
        )
    return answer["data"]


def _message(text: str) -> str:
    """Answer what the body of an error says in any of the forms seen, or nothing if it is a page of HTML."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = "" if "<" in text else text
    for name in ("error", "message"):
        if isinstance(said, dict):
            said = said.get(name, "")
    return said if isinstance(said, str) else ""


def _connection_error(where: str, timeout: float, error: BaseException) -> OpenRouterConnectionError:
    reason = _root(error)
    if isinstance(reason, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout):
        return OpenRouterConnectionError(
            f"{where} gave no whole answer within {timeout:g} s. Check the network, or raise the "
            "connection's timeout."
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return OpenRouterConnectionError(
            f"The certificate of {where} cannot be verified: {reason.verify_message}. If a proxy of yours "
            "signs it, name its certificate in REQUESTS_CA_BUNDLE.",
            transient=False,
        )
    # Of a broken answer only the kind of break is told: its text may hold anything, even the key.
    if isinstance(error, urllib3.exceptions.DecodeError):
        what = "its body cannot be unpacked"
    else:
        what = str(reason) if isinstance(reason, OSError) else type(reason).__name__
    return OpenRouterConnectionError(
        f"No whole answer from {where}: {what}. Check the network, the proxy and the connection's host.",
        # What requests was given in vain is a ValueError, or a bare OSError: a missing file of certificates.
        transient=not isinstance(error, ValueError) and type(error) is not OSError,
    )


def _root(error: BaseException) -> BaseException:
    """Answer the innermost cause, of which urllib3 and requests wrap several layers around."""
    inner = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    cause = next((each for each in inner if isinstance(each, BaseException)), None)
    return error if cause is None else _root(cause)


def is_loopback(host: str) -> bool:
    """Answer whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
