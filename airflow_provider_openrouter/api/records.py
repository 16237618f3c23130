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
from airflow_provider_openrouter.keys import Extent, Key, read_text
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

SECONDS_BETWEEN_PROGRESS = 10.0
WORKSPACES_A_PAGE = 100
"""The most that the API sends."""
REPEATED = ("workspace_id", "creator_user_id", "limit_reset")
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

    def every_key(self, query: dict[str, str], expected: Extent | None = None) -> tuple[list[Key], Extent | None]:
        """
        Return every key of one workspace, in the API's order, and how far the listing went.

        :param expected: how far it went the last time: the pages up to there are asked for at once.
        """
        return self._every("/keys", query, identity="hash", expected=expected)

    def every_workspace(self, *, expected: int | None = None) -> list[Record]:
        """Return all workspaces, in the API's order; ``expected`` is how many there were the last time."""
        extent = None if expected is None else Extent(min(expected, WORKSPACES_A_PAGE), expected)
        query = {"limit": str(WORKSPACES_A_PAGE)}
        return self._every("/workspaces", query, identity="id", expected=extent)[0]

    def workspace_names(self, *, expected: int | None = None) -> dict[str, str]:
        """Return the names of all workspaces by their ids, empty text for one without a name."""
        workspaces = self.every_workspace(expected=expected)
        return {each["id"]: read_text(each.get("name")) or "" for each in workspaces}

    def _every(
        self, path: str, query: dict[str, str], *, identity: str, expected: Extent | None
    ) -> tuple[list[Record], Extent | None]:
        def fetch(offset: int) -> Page:
            page = _page(self._transport.get(path, query | {"offset": str(offset)}), path, identity)
            self._pages += 1
            return page

        self._window.turn_to(fetch)
        walk = Walk(self._window.page, identity, expected)
        records: list[Record] = []
        for new in walk:
            records += new
            self._found += len(new)
            self._log_progress()
        return records, walk.extent

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
        for name in REPEATED:
            value = record.get(name)
            if type(value) is str:
                record[name] = intern(value)
    return data
