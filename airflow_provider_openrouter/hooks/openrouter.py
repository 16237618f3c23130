"""The hook: from an Airflow connection to OpenRouter's keys and credits."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_openrouter import connection
from airflow_provider_openrouter.changes import UNCHANGED
from airflow_provider_openrouter.exceptions import OpenRouterError
from airflow_provider_openrouter.hooks import fields
from airflow_provider_openrouter.keys import Key, is_management_key

if TYPE_CHECKING:
    import datetime

    import pandas as pd

    from airflow_provider_openrouter.api import OpenRouterClient


class OpenRouterHook(BaseHook):
    """
    Reads the API keys and the credits of an OpenRouter account and, if the connection allows it, changes keys.

    It uses these fields of the connection: ``password``, the management key; ``host``, the base URL (without a
    scheme ``https``, without a path ``/api/v1``; without a host OpenRouter's own), with ``port`` and ``schema``
    (the path) where it comes from a URI; and the extras ``timeout``, ``max_retries``, ``max_concurrency``,
    ``allow_http`` and ``allow_updates``. Their meanings, defaults and bounds are in
    :mod:`airflow_provider_openrouter.connection`.

    :param openrouter_conn_id: the connection to OpenRouter.
    """

    conn_name_attr = "openrouter_conn_id"
    default_conn_name = connection.DEFAULT_CONN_ID
    conn_type = connection.CONN_TYPE
    hook_name = "OpenRouter"

    def __init__(self, openrouter_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.openrouter_conn_id = openrouter_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Label the connection form on Airflow 3.0 and 3.1; later ones read the provider's metadata."""
        extras = json.dumps({name: extra.default for name, extra in connection.EXTRAS.items()})
        return {
            "hidden_fields": connection.FORM["hidden-fields"],
            "relabeling": connection.FORM["relabeling"],
            "placeholders": connection.FORM["placeholders"] | {"extra": extras},
        }

    def get_conn(self) -> OpenRouterClient:
        """
        Return the client that the connection describes.

        :raises OpenRouterAuthError: if the connection has no usable management key, or a key in another field.
        :raises OpenRouterRequestError: if its host, or an extra or its name, makes no sense.
        """
        return self._client

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the key works and is a management key, and say so; it tries once (``GET /key``)."""
        try:
            client = self._connect()
            client.max_retries = 0
            key = client.get_current_key()
        except OpenRouterError as error:
            return False, str(error)
        if is_management_key(key) is None:
            return True, "The key works, but the server does not say whether it is a management key."
        if not is_management_key(key):
            return False, (
                "The key works, but it is an inference key, which cannot list keys. Create a management key "
                f"at {connection.MANAGEMENT_KEYS_PAGE}."
            )
        updates = "may change keys" if client.allow_updates else "only reads: allow_updates is not set"
        return True, f"The key works and is a management key. This connection {updates}."

    def list_keys(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
    ) -> list[Key]:
        """
        List every key once, as the API sent it, newest first. The defaults are the API's.

        :param include_disabled: whether to list keys that are disabled.
        :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter
            out, which servers that do not know it need.
        :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().list_keys(
            include_disabled=include_disabled, include_expired=include_expired, workspace_id=workspace_id
        )

    def get_keys_df(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
    ) -> pd.DataFrame:
        """
        List every key once, as a typed frame (see :mod:`airflow_provider_openrouter.snapshots.frame`).

        :param include_disabled: whether to list keys that are disabled.
        :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter
            out, which servers that do not know it need.
        :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        from airflow_provider_openrouter.snapshots.frame import keys_frame

        return keys_frame(
            self.get_conn().get_key_listing(
                include_disabled=include_disabled, include_expired=include_expired, workspace_id=workspace_id
            )
        )

    def list_workspaces(self) -> list[dict[str, Any]]:
        """
        List every workspace of the account once, as the API sent it.

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().list_workspaces()

    def get_key(self, hash: str) -> Key:
        """
        Return one key, as the API sent it.

        :param hash: the hash of the key.
        :raises OpenRouterRequestError: if no key has this hash, or it cannot be one.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().get_key(hash)

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
        Change one key, and return it as the API then sent it. What is left out stays as it is.

        :param hash: the hash of the key.
        :param limit: the new limit in USD; None for no limit.
        :param limit_reset: ``"daily"``, ``"weekly"`` or ``"monthly"``; None for never.
        :param disabled: whether the key is disabled.
        :param name: the new name.
        :raises OpenRouterRequestError: before any request, if the connection's extra ``allow_updates`` is not set
            or an argument makes no sense; or if the server refuses the change.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().update_key(
            hash, limit=limit, limit_reset=limit_reset, disabled=disabled, name=name
        )

    def list_members(self) -> list[dict[str, Any]]:
        """
        List every member of the organization once, as the API sent it: personal data.

        A member's ``id`` is the ``creator_user_id`` of the keys that it created.

        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().list_members()

    def list_activity(
        self,
        *,
        date: str | datetime.date | None = None,
        api_key_hash: str | None = None,
        workspace_id: str | None = None,
        user_id: str | None = None,
        group_by: str | None = None,
    ) -> list[dict[str, Any]]:
        """
        List what was spent on the last 30 completed UTC days, by model and endpoint, as the API sent it.

        :param date: one day, such as ``"2026-11-03"``; None for all of them.
        :param api_key_hash: the hash of the key that spent it; None for the whole account, deleted keys included.
        :param workspace_id: the id or the name of the workspace that it was spent in; None or ``"*"`` for all.
        :param user_id: the id of the member of the organization that spent it; None for all.
        :param group_by: ``"workspace"`` for rows by workspace too, which have a ``workspace_id``.
        :raises OpenRouterRequestError: if an argument makes no sense, before the first request.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().list_activity(
            date=date, api_key_hash=api_key_hash, workspace_id=workspace_id, user_id=user_id, group_by=group_by
        )

    def get_credits(self) -> dict[str, Any]:
        """
        Return the credits of the account as the API sent them: ``total_credits`` and ``total_usage``, in USD.

        What is left is their difference; :class:`~airflow_provider_openrouter.credits.Credits` reads it exactly.

        :raises OpenRouterResponseError: if a total is missing, or is no amount.
        :raises OpenRouterAuthError: if the key is an inference key: the API may show it credits of 0.
        :raises OpenRouterError: if reading fails; ``transient`` says whether trying again may help.
        """
        return self.get_conn().get_credits()

    @cached_property
    def _client(self) -> OpenRouterClient:
        return self._connect()

    def _connect(self) -> OpenRouterClient:
        from airflow_provider_openrouter.api import OpenRouterClient

        conn = self.get_connection(self.openrouter_conn_id)
        advice = {
            argument: f"{setting} of connection {self.openrouter_conn_id!r}."
            for argument, setting in connection.PLACES.items()
        }
        try:
            settings = fields.extras(conn)
            key = fields.management_key(conn)
            return OpenRouterClient(key, base_url=fields.base_url(conn), advice=advice, **settings)
        except OpenRouterError as error:
            error.advise(advice)
            raise
