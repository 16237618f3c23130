"""Every record of a list of the API: its pages, checked, with the progress in the log."""

from __future__ import annotations

import logging
import time
from sys import intern
from typing import Any

from airflow_provider_openrouter.api.pagination import Page, Record, Walk
from airflow_provider_openrouter.api.transport import Transport
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

SECONDS_BETWEEN_PROGRESS = 10.0
REPEATED = {"workspace_id", "creator_user_id", "limit_reset"}
"""Fields that are the same in many records: each value is stored once, which saves a tenth of the memory."""


class RecordReader:
    """
    Reads the lists that belong to one call.

    :param transport: sends the requests.
    :param window: fetches pages side by side.
    """

    def __init__(self, transport: Transport, window: Window) -> None:
        self._transport = transport
        self._window = window
        self._pages = 0
        self._found = 0
        self._began = self._logged = time.monotonic()

    def every_key(self, query: dict[str, str]) -> list[Key]:
        """Return every key of one workspace, in the API's order."""
        return self._every("/keys", query, identity="hash")

    def every_workspace(self) -> list[Record]:
        """Return all workspaces, in the API's order."""
        return self._every("/workspaces", {"limit": "100"}, identity="id")

    def _every(self, path: str, query: dict[str, str], *, identity: str) -> list[Record]:
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
            log.info("Listing: %s so far, %s", count(self._found, "record"), self._figures())

    def log_end(self, listed: str) -> None:
        """Log what was listed and how many requests it took."""
        log.info("Listed %s: %s", listed, self._figures())

    def _figures(self) -> str:
        figures = (
            count(self._pages, "page"),
            count(self._transport.sent, "request"),
            count(self._transport.retries.count, "retry", "retries"),
            f"{time.monotonic() - self._began:.2f} s",
        )
        return ", ".join(figures)


def _page(data: Any, path: str, identity: str) -> Page:
    if not isinstance(data, list):
        raise OpenRouterResponseError(
            f"{path} answered no list under 'data'. Check that the base URL is the API's.", about="base_url"
        )
    for record in data:
        if not isinstance(record, dict) or not isinstance(record.get(identity), str) or not record[identity]:
            raise OpenRouterResponseError(
                f"{path} answered a record without '{identity}', which identifies it. Nothing was listed, so "
                "that no record is lost. Report it to OpenRouter."
            )
        for name in REPEATED & record.keys():
            if isinstance(record[name], str):
                record[name] = intern(record[name])
    return data
