"""GET requests to the API, each with the key, a deadline and retries."""

from __future__ import annotations

import re
from concurrent.futures import CancelledError
from functools import partial
from threading import Event, Lock
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import requests
import urllib3
from requests.auth import AuthBase
from requests.utils import select_proxy

from airflow_provider_openrouter import __version__
from airflow_provider_openrouter.api.answers import read_body, read_data
from airflow_provider_openrouter.api.base_url import is_loopback
from airflow_provider_openrouter.api.deadline import Deadline, DeadlineAdapter
from airflow_provider_openrouter.api.failures import connection_error, status_error
from airflow_provider_openrouter.api.retries import Retries
from airflow_provider_openrouter.connection import MANAGEMENT_KEYS_PAGE
from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterConnectionError


class BearerAuth(AuthBase):
    """
    The management key, as an ``AuthBase``, because ``~/.netrc`` replaces a header that is set in any other way.

    :param management_key: the key; white space around it is stripped.
    :raises OpenRouterAuthError: if the key is empty or cannot be sent in a header; it is not shown.
    """

    def __init__(self, management_key: str) -> None:
        self._key = management_key.strip()
        if not self._key:
            raise OpenRouterAuthError(
                f"There is no management key. Create one at {MANAGEMENT_KEYS_PAGE}.", about="management_key"
            )
        if not re.fullmatch(r"[\x21-\x7e]+", self._key):
            raise OpenRouterAuthError(
                "The management key has a character that cannot be sent in an HTTP header. Copy the key again, "
                "without white space, line breaks or letters outside ASCII.",
                about="management_key",
            )

        self._echo = re.compile(r"[^\x21-\x7e]*".join(map(re.escape, self._key)), re.IGNORECASE)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the key into the request's header."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def hide(self, text: str) -> str:
        """
        Return ``text`` without the key, in case a server sent it back.

        It is found in any case of its letters, and with white space or invisible characters in between.
        """
        return self._echo.sub("***", text)


class Transport:
    """
    The requests that belong together: they share connections, and how often and how long they are retried.

    :param base_url: where the API is, without a slash at its end.
    :param auth: the bearer key.
    :param timeout: seconds that one attempt may take, from looking up the host to the last byte.
    :param max_retries: how often one request is tried again after a temporary error.
    :param max_connections: how many connections are kept open.
    :param stopped: once it is set, waits and requests in flight end, and no request is begun: ``CancelledError``.
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
        self.retries = Retries(max_retries, self.stopped)
        self.sent = 0
        self._lock = Lock()
        self._base_url = base_url
        self._auth = auth
        self._timeout = timeout
        self._deadline = Deadline(timeout, self.stopped)
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
        # Proxies and certificates as requests reads them from the environment. The adapter sends, because
        # a session would read the body of a redirect and keep cookies.
        with requests.Session() as session:
            self._environment: Any = session.merge_environment_settings(base_url, {}, True, None, None)
        if is_loopback(urlsplit(base_url).hostname or ""):
            self._environment["proxies"] = {}  # no other machine is asked for what is on this one
        self._adapter = DeadlineAdapter(pool_connections=1, pool_maxsize=max_connections)
        self._check_proxy()

    def __enter__(self) -> Self:
        self._deadline.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self._deadline.join()
        self._adapter.close()

    def get(self, path: str, query: dict[str, str]) -> Any:
        """
        Return what stands under ``data`` in the response to ``GET path``.

        :raises OpenRouterError: of the kind that says what to do; a temporary one only after the retries.
        """
        return self.retries.run(partial(self._attempt, "GET", path, query))

    def patch(self, path: str, changes: dict[str, Any]) -> Any:
        """
        Return what stands under ``data`` in the response to ``PATCH path``, which is retried like ``GET``.

        :param changes: the fields to set, and their new values: setting one twice is setting it once.
        :raises OpenRouterError: of the kind that says what to do; a temporary one only after the retries.
        """
        return self.retries.run(partial(self._attempt, "PATCH", path, {}, changes))

    def _check_proxy(self) -> None:
        """Raise what is wrong with the proxy, without its password, which the errors of requests show."""
        proxies, scheme = self._environment["proxies"], urlsplit(self._base_url).scheme
        where = f"{scheme if scheme in proxies else 'all'}_proxy".upper()
        try:
            host = urllib3.util.parse_url(select_proxy(self._base_url, proxies) or "").host or ""
            host.encode("idna")
            if any(map(str.isspace, host)):
                raise ValueError(host)  # urllib3 itself refuses it since 2.8
            self._adapter.get_connection_with_tls_context(self._request, self._environment["verify"], proxies)
        except requests.exceptions.InvalidSchema:
            raise OpenRouterConnectionError(
                f"The SOCKS proxy in {where} needs the package PySocks. Run pip install 'requests[socks]'.",
                transient=False,
            ) from None
        except (TypeError, ValueError):
            raise OpenRouterConnectionError(
                f"The proxy in {where} is malformed or of an unknown kind. Write it as "
                "http://user:password@host:port, with special characters percent-encoded, or with https, socks4, "
                "socks4a, socks5 or socks5h.",
                transient=False,
            ) from None

    def _attempt(self, method: str, path: str, query: dict[str, str], body: Any = None) -> Any:
        with self._lock:
            self.sent += 1
        where = f"{self._base_url}{path}"
        request = self._request.copy()
        request.method = method
        request.url = where + (f"?{urlencode(query)}" if query else "")
        if body is not None:
            request.prepare_body(None, None, json=body)
        try:
            with self._deadline.attempt(where) as attempt:
                # The socket's own timeout is for what the deadline leaves behind.
                response = self._adapter.send(request, timeout=self._timeout, **self._environment)
                with response:
                    content = read_body(where, response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if self.stopped.is_set():
                raise CancelledError from None
            # "from None": the exceptions of requests hold the request, and the request holds the key.
            raise connection_error(
                where, self._timeout, TimeoutError() if attempt.ended else error, self._auth.hide
            ) from None
        if response.status_code != 200:
            raise status_error(where, response, content, self._auth.hide)
        return read_data(where, response, content, self._auth.hide)
