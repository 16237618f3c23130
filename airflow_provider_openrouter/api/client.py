"""
The client of OpenRouter's key API: every key and workspace of one account.

It knows Airflow only by the base classes of its errors, and nothing above it knows HTTP. The facts about the API
are from OpenRouter's API reference (https://openrouter.ai/docs/api-reference) and its guide to management keys
(https://openrouter.ai/docs/guides/overview/auth/management-api-keys), both of 2026.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from types import MappingProxyType
from typing import Any

from airflow_provider_openrouter.activity import Activity, remembered_day
from airflow_provider_openrouter.api.activity import activity_by_key, activity_of_account, activity_query
from airflow_provider_openrouter.api.base_url import check_base_url
from airflow_provider_openrouter.api.listing import complete_listing
from airflow_provider_openrouter.api.pagination import Record
from airflow_provider_openrouter.api.records import RecordReader
from airflow_provider_openrouter.api.transport import BearerAuth, Transport
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.connection import (
    ALLOW_HTTP,
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
from airflow_provider_openrouter.keys import Key, KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count


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

        The first three parameters are those of :meth:`list_keys`.

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

        with self._records(stopped) as records:
            return complete_listing(records, query, scope, previous)

    def list_workspaces(self) -> list[Record]:
        """
        List all workspaces of the account once, as the API sent it (``GET /workspaces``).

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._records() as records:
            workspaces = records.every_workspace()
            records.log_end(count(len(workspaces), "workspace"))
            return workspaces

    def list_members(self) -> list[Record]:
        """
        List all members of the organization once, as the API sent it (``GET /organization/members``).

        A member's ``id`` is the ``creator_user_id`` of the keys that it created. Members are personal data.

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._records() as records:
            members = records.every_member()
            records.log_end(count(len(members), "member"))
            return members

    def list_activity(
        self,
        *,
        date: str | dt.date | None = None,
        api_key_hash: str | None = None,
        workspace_id: str | None = None,
        user_id: str | None = None,
        group_by: str | None = None,
    ) -> list[Record]:
        """
        List what was spent on the last 30 completed UTC days, by model and endpoint (``GET /activity``).

        A row has ``date``, ``model``, ``model_permaslug``, ``provider_name``, ``endpoint_id``, ``usage`` and
        ``byok_usage_inference`` (USD), ``requests``, and tokens: ``prompt_tokens``, ``completion_tokens``,
        ``reasoning_tokens``, ``cached_tokens``. The rows are as the API sent them.

        :param date: one day, such as ``"2026-11-03"``; None for all of them.
        :param api_key_hash: the hash of the key that spent it; None for the whole account, deleted keys included.
        :param workspace_id: the id or the name of the workspace that it was spent in; None or ``"*"`` for all.
        :param user_id: the id of the member of the organization that spent it; None for all.
        :param group_by: ``"workspace"`` for rows by workspace too, which have a ``workspace_id``.
        :raises OpenRouterRequestError: if an argument makes no sense, before the first request.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        query = activity_query(
            day=None if date is None else remembered_day(date),
            api_key_hash=api_key_hash,
            user_id=user_id,
            group_by=group_by,
        )
        scope = WorkspaceScope.read(workspace_id)
        with self._records() as records:
            if scope.is_one:
                [id_] = scope.resolve(records.workspace_names() if scope.needs_workspaces else {})
                query["workspace_id"] = str(id_)
            rows = records.activity(query)
            records.log_end(f"{count(len(rows), 'row')} of activity")
            return rows

    def get_activity(self, day: dt.date, *, by_workspace: bool = True) -> Activity:
        """
        Return everything that the account spent on one day.

        :param day: one of the last 30 completed UTC days.
        :param by_workspace: whether there are rows for each workspace.
        :raises OpenRouterRequestError: if the day is none of them, before the first request.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        day = remembered_day(day)
        with self._records() as records:
            return activity_of_account(records, day, by_workspace=by_workspace)

    def get_activity_by_key(self, day: dt.date, listing: KeyListing) -> Activity:
        """
        Return everything that the account spent on one day, by key and workspace.

        What none of the keys accounts for is under None: that of deleted keys and of the chat.

        :param day: one of the last 30 completed UTC days.
        :param listing: all keys of the account, of all workspaces, disabled and expired ones too.
        :raises OpenRouterRequestError: if the day is none of them, before the first request.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        day = remembered_day(day)
        with self._records() as records:
            return activity_by_key(records, day, listing)

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


def _flag(value: bool) -> str:
    return "true" if value else "false"
