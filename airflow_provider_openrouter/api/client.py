"""
The client of OpenRouter's key API: every key and workspace of one account.

Of Airflow it knows only the base classes of the errors; nothing above it knows HTTP. What is said of the API
is from OpenRouter's API reference (https://openrouter.ai/docs/api-reference) and its guide to management keys
(https://openrouter.ai/docs/guides/overview/auth/management-api-keys), both of 2026.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from sys import intern
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_openrouter.api.pagination import Page, Record, Walk
from airflow_provider_openrouter.api.transport import BearerAuth, Transport, is_loopback
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError

log = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://openrouter.ai/api/v1"
EVERY_WORKSPACE = "*"
ONE_DAY = 86_400
MOST_RETRIES = 100
MOST_AT_ONCE = 100
"""Requests that may be under way at once: urllib3 makes room for all of them at the start."""
SECONDS_BETWEEN_PROGRESS = 10.0
REPEATED = {"workspace_id", "creator_user_id", "limit_reset"}
"""Fields that are the same in many records: each value is held once, which saves a tenth of the memory."""


class OpenRouterClient:
    """
    Reads the keys and workspaces of one OpenRouter account; between two calls it holds no connection.

    :param management_key: the bearer key, once called a provisioning key; an inference key cannot list keys.
        White space around it is stripped.
    :param base_url: where the API is; plain ``http`` only to loopback, or with ``allow_http``.
    :param timeout: seconds that one request may take, its body included.
    :param max_retries: how often one request is tried again after a transient error.
    :param max_concurrency: how many requests of one listing may be under way at once.
    :param allow_http: whether to send the key unencrypted to a host other than this machine.
    :raises OpenRouterAuthError: if the key is empty or cannot be sent in a header.
    :raises OpenRouterRequestError: if another argument makes no sense.
    """

    def __init__(
        self,
        management_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float = 30.0,
        max_retries: int = 5,
        max_concurrency: int = 8,
        allow_http: bool = False,
    ) -> None:
        if not 0 < timeout <= ONE_DAY:
            raise OpenRouterRequestError(f"timeout must be above 0 and at most {ONE_DAY} seconds, not {timeout}.")
        if not 0 <= max_retries <= MOST_RETRIES:
            raise OpenRouterRequestError(f"max_retries must be from 0 to {MOST_RETRIES}, not {max_retries}.")
        if not 1 <= max_concurrency <= MOST_AT_ONCE:
            raise OpenRouterRequestError(
                f"max_concurrency must be from 1 to {MOST_AT_ONCE}, not {max_concurrency}."
            )
        _check_base_url(base_url, allow_http)
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_concurrency = max_concurrency
        self._auth = BearerAuth(management_key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def list_keys(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
        stopped: Event | None = None,
    ) -> list[Record]:
        """
        List every key once, as the API sent it, newest first (``GET /keys``).

        :param include_disabled: whether to list keys that are disabled.
        :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter
            out, which servers that do not know it need.
        :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all.
        :param stopped: an event of this listing alone: if another thread sets it, the listing ends after the
            requests in flight, and waits wake at once.
        :raises OpenRouterError: of the kind that tells what helps.
        :raises concurrent.futures.CancelledError: if ``stopped`` was set before the end.
        """
        query = {"include_disabled": _flag(include_disabled)}
        if include_expired is not None:
            query["include_expired"] = _flag(include_expired)
        if workspace_id is not None and workspace_id != EVERY_WORKSPACE:
            query["workspace_id"] = workspace_id

        with self._listing(stopped) as listing:
            if workspace_id != EVERY_WORKSPACE:
                keys = listing.every("/keys", query, identity="hash")
                listing.log_end(f"{len(keys):,} keys")
                return keys
            workspaces = listing.every("/workspaces", {"limit": "100"}, identity="id")
            by_hash: dict[str, Record] = {}
            for scope in [{"workspace_id": workspace["id"]} for workspace in workspaces] or [{}]:
                for key in listing.every("/keys", query | scope, identity="hash"):
                    by_hash.setdefault(key["hash"], key)
            listing.log_end(f"{len(by_hash):,} keys in {len(workspaces):,} workspaces")
            return list(by_hash.values())

    def list_workspaces(self) -> list[Record]:
        """
        List every workspace of the account once, as the API sent it (``GET /workspaces``).

        :raises OpenRouterError: of the kind that tells what helps.
        """
        with self._listing() as listing:
            workspaces = listing.every("/workspaces", {"limit": "100"}, identity="id")
            listing.log_end(f"{len(workspaces):,} workspaces")
            return workspaces

    def get_current_key(self) -> Record:
        """
        Answer what the API says of the very key that asks (``GET /key``).

        :raises OpenRouterError: of the kind that tells what helps.
        """
        with self._transport() as transport:
            key: Any = transport.get("/key", {})
        if not isinstance(key, dict):
            raise OpenRouterResponseError(f"{self.base_url}/key answered no object under 'data'.")
        return key

    def _transport(self, stopped: Event | None = None) -> Transport:
        return Transport(
            self.base_url,
            self._auth,
            timeout=self.timeout,
            max_retries=self.max_retries,
            max_connections=self.max_concurrency,
            stopped=stopped,
        )

    @contextmanager
    def _listing(self, stopped: Event | None = None) -> Iterator[_Listing]:
        with Window(self.max_concurrency) as window, self._transport(stopped) as transport:
            transport.retries.on_rate_limit = window.close_by_half
            yield _Listing(transport, window)


class _Listing:
    """One listing of all there is: its pages, its progress in the log, and the line that sums it up."""

    def __init__(self, transport: Transport, window: Window) -> None:
        self._transport = transport
        self._window = window
        self._pages = 0
        self._found = 0
        self._began = self._logged = time.monotonic()

    def every(self, path: str, query: dict[str, str], *, identity: str) -> list[Record]:
        """Answer every record under ``path``, in the API's order."""

        def fetch(offset: int) -> Page:
            page = _page(self._transport.get(path, query | {"offset": str(offset)}), path, identity)
            self._pages += 1
            return page

        self._window.turn_to(fetch)
        records: list[Record] = []
        for new in Walk(self._window.page, identity):
            records += new
            self._found += len(new)
            self._log_progress()
        return records

    def _log_progress(self) -> None:
        now = time.monotonic()
        if now - self._logged >= SECONDS_BETWEEN_PROGRESS:
            self._logged = now
            log.info("Listing: %s records so far, %s", f"{self._found:,}", self._figures())

    def log_end(self, listed: str) -> None:
        """Say in one line what was listed and at what cost."""
        log.info("Listed %s: %s", listed, self._figures())

    def _figures(self) -> str:
        sent, retries = self._transport.sent, self._transport.retries.count
        return (
            f"{self._pages:,} pages, {sent:,} requests, {retries:,} retries, "
            f"{time.monotonic() - self._began:.2f} s"
        )


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _page(data: Any, path: str, identity: str) -> Page:
    if not isinstance(data, list):
        raise OpenRouterResponseError(
            f"{path} answered no list under 'data'. Check that the connection's host is the API."
        )
    for record in data:
        if not isinstance(record, dict) or not isinstance(record.get(identity), str) or not record[identity]:
            raise OpenRouterResponseError(
                f"{path} answered a record without '{identity}', which nothing can be told by. Nothing is "
                "listed, lest it be lost: report it to OpenRouter."
            )
        for name in REPEATED & record.keys():
            if isinstance(record[name], str):
                record[name] = intern(record[name])
    return data


def _check_base_url(base_url: str, allow_http: bool) -> None:
    try:
        url = urlsplit(base_url)
        well_formed = url.scheme in ("http", "https") and (url.port or True)
        (url.hostname or "").encode("idna")
        requests.Request("GET", base_url).prepare()
        well_formed = well_formed and "".join(base_url.split()) == base_url  # older requests take white space
    except ValueError:  # those of requests are of that kind, too
        well_formed = False
    if not well_formed or url.username is not None or url.query or url.fragment:
        raise OpenRouterRequestError(
            "The connection's host is no base URL: it must look like https://host[:port]/path, without user, "
            f"password, query or fragment. OpenRouter's own is {DEFAULT_BASE_URL}."
        )
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
        raise OpenRouterRequestError(
            f"http://{url.hostname} would carry the management key unencrypted. Use https, or set allow_http "
            "in the connection if the network between is your own."
        )
