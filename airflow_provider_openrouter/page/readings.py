"""What the page reads for all who see it: from OpenRouter, or the newest snapshot where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.connection import CREDITS_PAGE, DEFAULT_BASE_URL
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.links import keys_page
from airflow_provider_openrouter.page.account import show_credits
from airflow_provider_openrouter.page.cached import LONGEST
from airflow_provider_openrouter.page.keys import show_keys
from airflow_provider_openrouter.page.problems import Problem, explain
from airflow_provider_openrouter.page.responses import compress
from airflow_provider_openrouter.page.settings import PageSettings
from airflow_provider_openrouter.watch.sources import Stop

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient

ELSEWHERE = {"no_connection", "refused", "unreachable"}
"""The problems of reading from OpenRouter for which the snapshot is shown."""


class Readings:
    """
    Reads what the page shows, as compressed JSON.

    :param settings: the options of the page.
    """

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings

    def keys(self, stop: Stop) -> bytes:
        """Return all keys of all workspaces."""
        settings = self._settings
        notices, source, base_url = [settings.fault], "live", DEFAULT_BASE_URL
        try:
            client = self._client()
            base_url = client.base_url
            listing = client.get_key_listing(
                include_disabled=True, include_expired=True, workspace_id="*", stopped=stop.event()
            )
        except Exception as error:
            problem = explain(error)
            if problem.state not in ELSEWHERE or not settings.has_history:
                raise
            source, listing = "snapshot", self._snapshot(problem)
            notices.append(f"This is the newest snapshot, as the account could not be read. {problem}")
        return compress(
            {
                **show_keys(listing),
                "source": source,
                "notice": " ".join(filter(None, notices)) or None,
                "connection": settings.conn_id,
                "links": {"keys": keys_page(base_url), "credits": CREDITS_PAGE},
            }
        )

    def credits(self, stop: Stop) -> bytes:
        """Return the balance of the account, and how long it lasts."""
        return compress(show_credits(self._client(), stop))

    def _client(self) -> OpenRouterClient:
        """Return the connection's client as one for people who wait: it tries once, and not for long."""
        client = OpenRouterHook(self._settings.conn_id).get_conn()
        client.max_retries = 0
        client.timeout = min(client.timeout, LONGEST)
        return client

    def _snapshot(self, problem: Problem) -> Any:
        raise problem
