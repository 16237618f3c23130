"""The way from an Airflow connection to OpenRouter's keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_openrouter.exceptions import OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.get_provider_info import CONNECTION_FORM

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_openrouter.api.client import OpenRouterClient


class OpenRouterHook(BaseHook):
    """
    Reads the API keys of an OpenRouter account.

    Of the connection it takes ``password``, the management key; ``host``, the base URL (default
    ``https://openrouter.ai/api/v1``; without a scheme ``https``, without a path ``/api/v1``), with ``port``
    and ``schema`` (the path) where it comes from a URI; and of the extras ``timeout`` (seconds for one
    request, its body included, default 30), ``max_retries`` (default 5), ``max_concurrency`` (requests side
    by side, default 8) and ``allow_http`` (default false).

    :param openrouter_conn_id: the connection to OpenRouter.
    """

    conn_name_attr = "openrouter_conn_id"
    default_conn_name = "openrouter_default"
    conn_type = "openrouter"
    hook_name = "OpenRouter"

    def __init__(self, openrouter_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.openrouter_conn_id = openrouter_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Label the connection form on Airflow 3.0 and 3.1; later ones read the provider's metadata."""
        return {
            "hidden_fields": CONNECTION_FORM["hidden-fields"],
            "relabeling": CONNECTION_FORM["relabeling"],
            "placeholders": CONNECTION_FORM["placeholders"]
            | {"extra": '{"timeout": 30, "max_retries": 5, "max_concurrency": 8, "allow_http": false}'},
        }

    def get_conn(self) -> OpenRouterClient:
        """
        Answer the client that the connection describes.

        :raises OpenRouterAuthError: if the connection has no usable management key.
        :raises OpenRouterRequestError: if its host or one of its extras makes no sense.
        """
        return self._client

    def test_connection(self) -> tuple[bool, str]:
        """Say in one sentence whether the key works and is a management key, trying once (``GET /key``)."""
        try:
            key = self._connect(max_retries=0).get_current_key()
        except OpenRouterError as error:
            return False, str(error)
        # Servers from before the renaming call a management key a provisioning key.
        is_management_key = key.get("is_management_key", key.get("is_provisioning_key"))
        if is_management_key is None:
            return True, "The key works, but the server does not say whether it is a management key."
        if not is_management_key:
            return False, (
                "The key works, but it is an inference key, which cannot list keys. Create a management key "
                "at https://openrouter.ai/settings/management-keys."
            )
        return True, "The key works and is a management key."

    def list_keys(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
    ) -> list[dict[str, Any]]:
        """
        List every key once, as the API sent it, newest first. The defaults are the API's.

        :param include_disabled: whether to list keys that are disabled.
        :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter
            out, which servers that do not know it need.
        :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all.
        :raises OpenRouterError: of the kind that tells what helps.
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
        List every key once into a typed frame (see :mod:`airflow_provider_openrouter.snapshots.frame`).

        :param include_disabled: whether to list keys that are disabled.
        :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter
            out, which servers that do not know it need.
        :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all.
        :raises OpenRouterError: of the kind that tells what helps.
        """
        from airflow_provider_openrouter.snapshots.frame import keys_frame

        observed_at = datetime.now(UTC)
        keys = self.list_keys(
            include_disabled=include_disabled, include_expired=include_expired, workspace_id=workspace_id
        )
        return keys_frame(keys, observed_at=observed_at)

    def list_workspaces(self) -> list[dict[str, Any]]:
        """
        List every workspace of the account once, as the API sent it.

        :raises OpenRouterError: of the kind that tells what helps.
        """
        return self.get_conn().list_workspaces()

    @cached_property
    def _client(self) -> OpenRouterClient:
        return self._connect()

    def _connect(self, **instead: Any) -> OpenRouterClient:
        from airflow_provider_openrouter.api.client import OpenRouterClient

        conn = self.get_connection(self.openrouter_conn_id)
        try:
            return OpenRouterClient(
                conn.password or "", **{"base_url": _base_url(conn), **_extras(conn), **instead}
            )
        except OpenRouterError as error:
            raise type(error)(f"Connection {self.openrouter_conn_id!r}: {error}") from None


def _base_url(conn: Connection) -> str:
    """Put together what a form leaves in ``host`` and a URI spreads over ``host``, ``port`` and ``schema``."""
    host = (conn.host or "").strip() or "openrouter.ai"
    if "://" not in host:
        host = f"https://[{host}]" if host.count(":") > 1 and "[" not in host else f"https://{host}"
    try:
        url = urlsplit(host)
        if conn.port and not url.port:
            url = url._replace(netloc=f"{url.netloc.rstrip(':')}:{conn.port}")
    except ValueError:
        return host
    path = url.path.strip("/") or (conn.schema or "").strip("/") or "api/v1"
    return url._replace(path=f"/{path}").geturl()


def _extras(conn: Connection) -> dict[str, Any]:
    """Answer the extras that are set, typed: a form leaves numbers and booleans, a URI leaves strings."""
    readers: dict[str, tuple[Callable[[str], Any], str]] = {
        "timeout": (float, "a number of seconds"),
        "max_retries": (int, "a whole number"),
        "max_concurrency": (int, "a whole number"),
        "allow_http": (lambda text: {"true": True, "false": False}[text.lower()], "true or false"),
    }
    sent = conn.extra_dejson
    if not isinstance(sent, dict):
        raise OpenRouterRequestError('the extras must be a JSON object, such as {"timeout": 30}.')
    extras = {}
    for name, (read, kind) in readers.items():
        value = sent.get(name)
        if value in (None, ""):
            continue
        try:
            extras[name] = read(str(value).strip())
        except (ValueError, KeyError):
            # What it is instead is not shown: it might be the key, in the wrong field of the form.
            raise OpenRouterRequestError(f"the extra {name} must be {kind}.") from None
    return extras
