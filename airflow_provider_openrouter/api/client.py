"""
The client of OpenRouter's management API: the keys, workspaces and credits of one account.

It knows Airflow only by the base classes of its errors, and nothing above it knows HTTP. The facts about the API
are from OpenRouter's API reference (https://openrouter.ai/docs/api-reference) and its guide to management keys
(https://openrouter.ai/docs/guides/overview/auth/management-api-keys), both of 2026.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from threading import Event
from typing import Any

from airflow_provider_openrouter.activity import Activity, remembered_day
from airflow_provider_openrouter.api.account import get_credits, get_object
from airflow_provider_openrouter.api.activity import activity_by_key, activity_of_account, activity_query
from airflow_provider_openrouter.api.base_client import BaseClient
from airflow_provider_openrouter.api.listing import complete_listing
from airflow_provider_openrouter.api.pagination import Record
from airflow_provider_openrouter.changes import UNCHANGED, read_changes
from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError
from airflow_provider_openrouter.keys import Key, KeyListing, read_hash
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count


class OpenRouterClient(BaseClient):
    """
    Reads one OpenRouter account and, if allowed, changes its keys. Between two calls it keeps no connection open.

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

    def list_workspaces(self, *, stopped: Event | None = None) -> list[Record]:
        """
        List all workspaces of the account once, as the API sent it (``GET /workspaces``).

        :param stopped: see :meth:`get_key_listing`.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._records(stopped) as records:
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
        stopped: Event | None = None,
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
        :param stopped: see :meth:`get_key_listing`.
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
        with self._records(stopped) as records:
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

        Spend that no key accounts for (deleted keys, and the chat) is under None.

        :param day: one of the last 30 completed UTC days.
        :param listing: all keys of the account, of all workspaces, disabled and expired ones too.
        :raises OpenRouterRequestError: if the day is none of them, before the first request.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        day = remembered_day(day)
        with self._records() as records:
            return activity_by_key(records, day, listing)

    def list_activity_of_keys(
        self, hashes: Sequence[str], *, stopped: Event | None = None
    ) -> dict[str, list[Record]]:
        """
        List what each of some keys spent on the last 30 completed UTC days, by its hash (``GET /activity``).

        The keys are asked for side by side. A key that does not exist any more has no rows.

        :param stopped: see :meth:`get_key_listing`.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._records(stopped) as records:
            rows_of = dict(records.activity_of_keys([read_hash(hash_) for hash_ in hashes], {}))
            records.log_end(f"the activity of {count(len(rows_of), 'key')}")
            return rows_of

    def get_current_key(self) -> Record:
        """
        Return what the API says about the management key itself (``GET /key``).

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        with self._transport() as transport:
            return get_object(transport, "/key")

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
        Return a reading of the account's credits, with its time (``GET /credits``; ``GET /key`` if both are 0).

        :param stopped: see :meth:`get_key_listing`.
        :raises OpenRouterError: as :meth:`get_credits` does.
        """
        with self._transport(stopped) as transport:
            return get_credits(transport)

    def get_key(self, hash: str) -> Key:
        """
        Return one key, as the API sent it (``GET /keys/{hash}``).

        :param hash: the hash of the key.
        :raises OpenRouterRequestError: if no key has this hash, or it cannot be one.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        path = _path_of(hash)
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
        path = _path_of(hash)
        changes = read_changes(limit=limit, limit_reset=limit_reset, disabled=disabled, name=name)
        if not changes:
            raise OpenRouterRequestError("There is nothing to change: give limit, limit_reset, disabled or name.")
        with self._transport() as transport:
            return _read_key(transport.patch(path, changes), path)


def _path_of(hash_: str) -> str:
    return f"/keys/{read_hash(hash_)}"


def _read_key(key: Any, path: str) -> Key:
    if not isinstance(key, dict) or f"/keys/{key.get('hash')}" != path:
        raise OpenRouterResponseError(
            f"{path} did not answer with this key under 'data'. Check that the base URL is the API's.",
            about="base_url",
        )
    return key


def _flag(value: bool) -> str:
    return "true" if value else "false"
