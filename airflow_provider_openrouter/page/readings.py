"""What the page reads for all who see it: from OpenRouter, or the newest snapshot where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openrouter.connection import CREDITS_PAGE, KEYS_PAGE
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.links import keys_page
from airflow_provider_openrouter.page.account import show_credits
from airflow_provider_openrouter.page.cached import LONGEST, STOPPED_AFTER
from airflow_provider_openrouter.page.keys import show_keys
from airflow_provider_openrouter.page.listing import list_every_key
from airflow_provider_openrouter.page.memory import release_memory
from airflow_provider_openrouter.page.problems import Problem, explain
from airflow_provider_openrouter.page.responses import compress
from airflow_provider_openrouter.page.settings import PageSettings
from airflow_provider_openrouter.page.snapshot import newest_listing
from airflow_provider_openrouter.page.spend import show_spend
from airflow_provider_openrouter.page.spend_days import SpendQuery
from airflow_provider_openrouter.text import sentence
from airflow_provider_openrouter.watch.sources import Stop

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient
    from airflow_provider_openrouter.keys import KeyListing

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
        try:
            return self._keys(stop)
        finally:
            release_memory()

    def credits(self, stop: Stop) -> bytes:
        """Return the balance of the account, and how long it lasts."""
        return compress(show_credits(self._connect(), stop))

    def spend(self, query: SpendQuery, stop: Stop) -> bytes:
        """Return what was spent on each day."""
        return compress(
            show_spend(
                query,
                openrouter_conn_id=self._settings.conn_id,
                connect=self._connect,
                stop=stop,
                sql_conn_id=self._settings.sql_conn_id,
            )
        )

    def _keys(self, stop: Stop) -> bytes:
        notices, source, page = [self._settings.fault], "live", KEYS_PAGE
        try:
            client = self._connect()
            page = keys_page(client.base_url)
            listing = list_every_key(client, stop)
        except Exception as error:
            problem = explain(error)
            if problem.state not in ELSEWHERE or not self._settings.table or not self._settings.sql_conn_id:
                raise
            listing, source = self._newest_listing(problem), "snapshot"
            notices.append(f"This is the newest snapshot: the account could not be read. {problem}")
        return compress(
            {
                **show_keys(listing),
                "source": source,
                "notice": " ".join(filter(None, notices)) or None,
                "connection": self._settings.conn_id,
                "links": {"keys": page, "credits": CREDITS_PAGE},
            }
        )

    def _connect(self) -> OpenRouterClient:
        """Return the connection's client as one for people who wait: it tries once, and not for long."""
        client = OpenRouterHook(self._settings.conn_id).get_conn()
        client.max_retries = 0
        client.timeout = min(client.timeout, STOPPED_AFTER * LONGEST)
        return client

    def _newest_listing(self, problem: Problem) -> KeyListing:
        """Return the newest snapshot, because of a problem; it stays one if there is none."""
        settings = self._settings
        try:
            return newest_listing(settings.sql_conn_id, settings.table, settings.conn_id)
        except AirflowException as error:
            raise Problem(
                f"{problem} There is no snapshot to show instead. {sentence(error)}",
                state=problem.state,
                status=problem.status,
            ) from None
