"""
The client of OpenRouter's key API: every key and workspace of one account.

It knows Airflow only by the base classes of its errors, and nothing above it knows HTTP. The facts about the API
are from OpenRouter's API reference (https://openrouter.ai/docs/api-reference) and its guide to management keys
(https://openrouter.ai/docs/guides/overview/auth/management-api-keys), both of 2026.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_openrouter.api.pagination import Record
from airflow_provider_openrouter.api.records import RecordReader
from airflow_provider_openrouter.api.transport import BearerAuth, Transport, is_loopback
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.changes import UNCHANGED, read_changes, read_hash
from airflow_provider_openrouter.connection import (
    ALLOW_HTTP,
    ALLOW_UPDATES,
    DEFAULT_BASE_URL,
    MAX_CONCURRENCY,
    MAX_RETRIES,
    TIMEOUT,
)
from airflow_provider_openrouter.exceptions import (
    OpenRouterError,
    OpenRouterRequestError,
    OpenRouterResponseError,
)
from airflow_provider_openrouter.keys import Extent, Key, KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

MOST_LISTINGS = 5
"""How often the workspaces are listed, if each time one of them is deleted meanwhile."""


class OpenRouterClient:
    """
    Reads the keys and workspaces of one OpenRouter account. Between two calls it keeps no connection open.

    :param management_key: the bearer key, once called a provisioning key; an inference key cannot list keys.
        White space around it is stripped.
    :param base_url: where the API is; plain ``http`` only to loopback, or with ``allow_http``.
    :param timeout: seconds that one request may take, its body included.
    :param max_retries: how often one request is tried again after a temporary error.
    :param max_concurrency: how many requests of one listing may be under way at once.
    :param allow_http: whether to send the key unencrypted to a host other than this machine.
    :param allow_updates: whether :meth:`update_key` may change keys.
    :param advice: for each of these arguments, a sentence to add to errors about it.
    :raises OpenRouterAuthError: if the key is empty or cannot be sent in a header.
    :raises OpenRouterRequestError: if another argument makes no sense.
    """

    def __init__(
        self,
        management_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float = TIMEOUT.default,
        max_retries: int = MAX_RETRIES.default,
        max_concurrency: int = MAX_CONCURRENCY.default,
        allow_http: bool = ALLOW_HTTP.default,
        allow_updates: bool = ALLOW_UPDATES.default,
        advice: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        given = {
            TIMEOUT: timeout,
            MAX_RETRIES: max_retries,
            MAX_CONCURRENCY: max_concurrency,
            ALLOW_HTTP: allow_http,
            ALLOW_UPDATES: allow_updates,
        }
        for extra, value in given.items():
            if not extra.allows(value):
                raise OpenRouterRequestError(
                    f"{extra.name} must be {extra.rule}, not {value!r}.", about=extra.name
                )
        _check_base_url(base_url, allow_http)
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_concurrency = max_concurrency
        self.allow_updates = allow_updates
        self._auth = BearerAuth(management_key)
        self._advice = advice

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def list_keys(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
    ) -> list[Key]:
        """
        List every key once, as the API sent it, newest first (``GET /keys``).

        :param include_disabled: whether to list keys that are disabled.
        :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter
            out, which servers that do not know it need.
        :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        listing = self.get_key_listing(
            include_disabled=include_disabled, include_expired=include_expired, workspace_id=workspace_id
        )
        return list(listing.keys)

    def get_key_listing(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool | None = None,
        workspace_id: str | WorkspaceScope | None = None,
        previous: KeyListing | None = None,
        stopped: Event | None = None,
    ) -> KeyListing:
        """
        Return a complete listing of the keys, with its time and workspaces.

        The first three parameters are those of :meth:`list_keys`. If a workspace is deleted while all are listed,
        all that are left are listed again: its keys may have moved to any of them.

        :param previous: the last listing with the same parameters, if there is one. As many pages as it had are
            asked for at once, and the name of a workspace is not looked up again. It decides only how long the
            listing takes: whatever has changed since is seen, workspaces included.
        :param stopped: an event of this listing alone: set it from another thread to end the listing at once,
            requests in flight and waits included.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        :raises concurrent.futures.CancelledError: if ``stopped`` was set before the end.
        """
        scope = WorkspaceScope.read(workspace_id)
        query = {"include_disabled": _flag(include_disabled)}
        if include_expired is not None:
            query["include_expired"] = _flag(include_expired)
        if previous is not None and previous.scope != scope:
            previous = None

        observed_at = datetime.now(UTC)
        with self._records(stopped) as records:
            names: Mapping[str, str] = previous.workspace_names if previous else {}
            if scope.is_all or (scope.needs_workspaces and previous is None):
                names = records.workspace_names(expected=len(names) if previous else None)
            for _ in range(MOST_LISTINGS):
                try:
                    listing = _list(records, query, scope, names, observed_at, previous)
                except OpenRouterRequestError as error:
                    if not scope.is_all or error.status_code not in (400, 404):
                        raise
                    before, observed_at = names.keys(), datetime.now(UTC)
                    names = records.workspace_names()
                    if before <= names.keys():
                        raise
                    log.info("A workspace was deleted meanwhile: listing again those that are left.")
                    continue
                every = f"in {count(len(names), 'workspace')}"
                where = every if scope.is_all else f"(workspace: {listing.workspace})"
                records.log_end(f"{count(len(listing.keys), 'key')} {where}")
                return listing
        raise OpenRouterResponseError(
            f"Workspaces are deleted faster than they can be listed: {MOST_LISTINGS} listings met one that was "
            "gone. Run it again when fewer are being deleted.",
            transient=True,
        )

    def list_workspaces(self) -> list[Record]:
        """
        List all workspaces of the account once, as the API sent it (``GET /workspaces``).

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._records() as records:
            workspaces = records.every_workspace()
            records.log_end(count(len(workspaces), "workspace"))
            return workspaces

    def get_current_key(self) -> Record:
        """
        Return what the API says about the management key itself (``GET /key``).

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._transport() as transport:
            key: Any = transport.get("/key", {})
            if not isinstance(key, dict):
                raise OpenRouterResponseError(
                    "/key answered no object under 'data'. Check that the base URL is the API's.",
                    about="base_url",
                )
            return key

    def get_key(self, hash: str) -> Key:
        """
        Return one key, as the API sent it (``GET /keys/{hash}``).

        :param hash: the hash of the key.
        :raises OpenRouterRequestError: if no key has this hash, or it cannot be one.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        path = f"/keys/{read_hash(hash)}"
        with self._transport() as transport:
            return _read_key(transport.get(path, {}), path)

    def update_key(
        self,
        hash: str,
        *,
        limit: float | str | None = UNCHANGED,
        limit_reset: str | None = UNCHANGED,
        disabled: bool | None = None,
        name: str | None = None,
    ) -> Key:
        """
        Change one key, and return it as the API then sent it (``PATCH /keys/{hash}``).

        It is retried like reading: setting a value twice is setting it once. What is left out stays as it is.

        :param hash: the hash of the key.
        :param limit: the new limit in USD; None for no limit.
        :param limit_reset: ``"daily"``, ``"weekly"`` or ``"monthly"``; None for never.
        :param disabled: whether the key is disabled.
        :param name: the new name.
        :raises OpenRouterRequestError: if ``allow_updates`` is not set, or an argument makes no sense, before any
            request; or if the server refuses the change.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help. After a
            temporary error the key may have been changed: the response can be lost on its way.
        """
        self.require_updates()
        path = f"/keys/{read_hash(hash)}"
        changes = read_changes(limit=limit, limit_reset=limit_reset, disabled=disabled, name=name)
        if not changes:
            raise OpenRouterRequestError("There is nothing to change: give limit, limit_reset, disabled or name.")
        with self._transport() as transport:
            return _read_key(transport.patch(path, changes), path)

    def require_updates(self) -> None:
        """
        Check that keys may be changed.

        :raises OpenRouterRequestError: if ``allow_updates`` is not set.
        """
        if not self.allow_updates:
            error = OpenRouterRequestError(
                "Keys may not be changed: allow_updates is not set.", about=ALLOW_UPDATES.name
            )
            error.advise(self._advice)
            raise error

    @contextmanager
    def _transport(self, stopped: Event | None = None) -> Iterator[Transport]:
        """Open the connections that requests share, and add the advice to what they raise."""
        try:
            with Transport(
                self.base_url,
                self._auth,
                timeout=self.timeout,
                max_retries=self.max_retries,
                max_connections=self.max_concurrency,
                stopped=stopped,
            ) as transport:
                yield transport
        except OpenRouterError as error:
            error.advise(self._advice)
            raise

    @contextmanager
    def _records(self, stopped: Event | None = None) -> Iterator[RecordReader]:
        with Window(self.max_concurrency) as window, self._transport(stopped) as transport:
            transport.retries.on_rate_limit = window.close_by_half
            yield RecordReader(transport, window)


def _list(
    records: RecordReader,
    query: dict[str, str],
    scope: WorkspaceScope,
    names: Mapping[str, str],
    observed_at: datetime,
    previous: KeyListing | None,
) -> KeyListing:
    by_hash: dict[str, Key] = {}
    extents: dict[str | None, Extent] = {}
    workspace_ids = scope.resolve(names)
    for id_ in workspace_ids:
        keys, extent = records.every_key(
            query if id_ is None else query | {"workspace_id": id_},
            expected=previous.extents.get(id_) if previous else None,
        )
        if extent:
            extents[id_] = extent
        by_hash |= {key["hash"]: key for key in keys if key["hash"] not in by_hash}
    return KeyListing(
        keys=list(by_hash.values()),
        observed_at=observed_at,
        scope=scope,
        workspace_names={id_: names[id_] for id_ in workspace_ids if id_ is not None and id_ in names},
        extents=extents,
    )


def _read_key(key: Any, path: str) -> Key:
    if not isinstance(key, dict) or not isinstance(key.get("hash"), str):
        raise OpenRouterResponseError(
            f"{path} answered no key under 'data'. Check that the base URL is the API's.", about="base_url"
        )
    return key


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _check_base_url(base_url: str, allow_http: bool) -> None:
    try:
        url = urlsplit(base_url)
        _ = url.port  # which raises if it is not a number, or too large
        (url.hostname or "").encode("idna")
        requests.Request("GET", base_url).prepare()
        without_spaces = base_url.split() == [base_url]  # older versions of requests accept white space
        well_formed = url.scheme in ("http", "https") and without_spaces
    except ValueError:  # requests raises subclasses of it
        well_formed = False
    if "sk-or-" in base_url.lower():
        raise OpenRouterRequestError(
            "The base URL contains a key, which is not shown here. Enter the key as the management key instead.",
            about="base_url",
        )
    if not well_formed or url.username is not None or url.query or url.fragment:
        raise OpenRouterRequestError(
            "The base URL must look like https://host[:port]/path. It must have no user, password, query or "
            f"fragment. OpenRouter's own is {DEFAULT_BASE_URL}.",
            about="base_url",
        )
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
        raise OpenRouterRequestError(
            f"http://{url.hostname} would carry the management key unencrypted. Use https, or set allow_http if "
            "the network between is your own.",
            about="allow_http",
        )
