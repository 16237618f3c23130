"""
The client of OpenRouter's management API: the keys, workspaces and credits of one account.

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

from airflow_provider_openrouter.api.base_url import check_base_url
from airflow_provider_openrouter.api.pagination import Record
from airflow_provider_openrouter.api.records import RecordReader
from airflow_provider_openrouter.api.transport import BearerAuth, Transport
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.connection import (
    ALLOW_HTTP,
    DEFAULT_BASE_URL,
    MANAGEMENT_KEYS_PAGE,
    MAX_CONCURRENCY,
    MAX_RETRIES,
    TIMEOUT,
)
from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterError,
    OpenRouterRequestError,
    OpenRouterResponseError,
)
from airflow_provider_openrouter.keys import Extent, Key, KeyListing, is_management_key
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

MOST_LISTINGS = 5
"""How often the workspaces are listed, if each time one of them is deleted meanwhile."""


class OpenRouterClient:
    """
    Reads the keys, workspaces and credits of one OpenRouter account. No connection stays open between two calls.

    :param management_key: the bearer key, once called a provisioning key; an inference key cannot list keys.
        White space around it is stripped.
    :param base_url: where the API is; plain ``http`` only to loopback, or with ``allow_http``.
    :param timeout: seconds that one request may take, its body included.
    :param max_retries: how often one request is tried again after a temporary error.
    :param max_concurrency: how many requests of one listing may be under way at once.
    :param allow_http: whether to send the key unencrypted to a host other than this machine.
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
        advice: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        given = {
            TIMEOUT: timeout,
            MAX_RETRIES: max_retries,
            MAX_CONCURRENCY: max_concurrency,
            ALLOW_HTTP: allow_http,
        }
        for extra, value in given.items():
            if not extra.allows(value):
                raise OpenRouterRequestError(
                    f"{extra.name} must be {extra.rule}, not {value!r}.", about=extra.name
                )
        check_base_url(base_url, allow_http=allow_http)
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_concurrency = max_concurrency
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
            return _get_object(transport, "/key")

    def get_credits(self) -> Record:
        """
        Return the credits of the account as the API sent them: ``total_credits`` and ``total_usage``, in USD.

        :raises OpenRouterResponseError: if a total is missing, or is no amount.
        :raises OpenRouterAuthError: if the key is an inference key: the API may show it credits of 0.
        :raises OpenRouterError: if reading fails; ``transient`` says whether trying again may help.
        """
        return dict(self.read_credits().record)

    def read_credits(self, *, stopped: Event | None = None) -> Credits:
        """
        Return a reading of the account's credits (``GET /credits``), with its time; errors as above.

        If both totals are 0, the key is asked what kind it is (``GET /key``).

        :param stopped: see :meth:`get_key_listing`.
        """
        observed_at = datetime.now(UTC)
        with self._transport(stopped) as transport:
            credits_ = Credits.read(_get_object(transport, "/credits"), observed_at=observed_at)
            shows_nothing = not credits_.total_credits and not credits_.total_usage
            if shows_nothing and is_management_key(_get_object(transport, "/key")) is False:
                raise OpenRouterAuthError(
                    "The key is an inference key, to which the API shows credits of 0. Create a management "
                    f"key at {MANAGEMENT_KEYS_PAGE}.",
                    about="management_key",
                )
            return credits_

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


def _get_object(transport: Transport, path: str) -> Record:
    record: Any = transport.get(path, {})
    if not isinstance(record, dict):
        raise OpenRouterResponseError(
            f"{path} answered no object under 'data'. Check that the base URL is the API's.", about="base_url"
        )
    return record


def _flag(value: bool) -> str:
    return "true" if value else "false"
