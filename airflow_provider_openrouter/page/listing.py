"""The listing of everything that the page shows."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from airflow_provider_openrouter.scope import ALL_WORKSPACES

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient
    from airflow_provider_openrouter.keys import KeyListing
    from airflow_provider_openrouter.watch.sources import Stop

_one_at_a_time = Lock()


def list_every_key(client: OpenRouterClient, stop: Stop) -> KeyListing:
    """
    Return all keys of all workspaces, disabled and expired ones too. Only one such listing runs at a time.

    :param client: reads the account.
    :param stop: ends the read.
    :raises OpenRouterError: if that fails.
    :raises concurrent.futures.CancelledError: if it was stopped before the end.
    """
    with _one_at_a_time:
        return client.get_key_listing(
            include_disabled=True, include_expired=True, workspace_id=ALL_WORKSPACES, stopped=stop.event()
        )
