"""Every record of a list of the API: its pages, checked, with the progress in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from sys import intern
from threading import Lock
from typing import Any

from airflow_provider_openrouter.api.pagination import Page, Record, Walk
from airflow_provider_openrouter.api.transport import Transport
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError
from airflow_provider_openrouter.keys import Extent, Key, read_text, read_time
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

SECONDS_BETWEEN_PROGRESS = 10.0
MOST_A_PAGE = 100
"""The most workspaces or members that the API sends."""
MOST_AHEAD = 100
"""How many keys are named ahead: more than can be asked for at once."""
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
        self._lock = Lock()
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
        extent = None if expected is None else Extent(min(expected, MOST_A_PAGE), expected)
        query = {"limit": str(MOST_A_PAGE)}
        return self._every("/workspaces", query, identity="id", expected=extent)[0]

    def workspace_names(self, *, expected: int | None = None) -> dict[str, str]:
        """Return the names of all workspaces by their ids, empty text for one without a name."""
        workspaces = self.every_workspace(expected=expected)
        return {each["id"]: read_text(each.get("name")) or "" for each in workspaces}

    def every_member(self) -> list[Record]:
        """Return all members of the organization, in the API's order."""
        return self._every("/organization/members", {"limit": str(MOST_A_PAGE)}, identity="id")[0]

    def activity(self, query: dict[str, str]) -> list[Record]:
        """
        Return the rows of activity that a query asks for; they come on one page.

        :raises OpenRouterResponseError: if that is no list of objects, or has rows of another day.
        """
        rows = _rows(self._transport.get("/activity", query), query.get("date"))
        with self._lock:
            self._pages += 1
            self._found += len(rows)
        return rows

    def activity_of_keys(
        self, hashes: Sequence[str], query: dict[str, str]
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield the rows of each key after its hash, none for a key that does not exist any more."""
        gone = []

        def fetch(hash_: str) -> list[Record]:
            try:
                return self.activity(query | {"api_key_hash": hash_})
            except OpenRouterRequestError as error:
                if error.status_code != 404:
                    raise
                gone.append(hash_)
                return []

        self._window.turn_to(fetch)
        for number, hash_ in enumerate(hashes, 1):
            yield hash_, self._window.page(hash_, hashes[number : number + MOST_AHEAD])
            self._log_progress()
            if number % MOST_AHEAD == 0:  # thousands of keys under a limit may wait for longer than one listing
                self._transport.retries.waited = 0.0
        if gone:
            log.info("Deleted meanwhile: %s, whose activity no key accounts for.", count(len(gone), "key"))

    def _every(
        self, path: str, query: dict[str, str], *, identity: str, expected: Extent | None = None
    ) -> tuple[list[Record], Extent | None]:
        def fetch(offset: int) -> Page:
            page = _page(self._transport.get(path, query | {"offset": str(offset)}), path, identity)
            with self._lock:
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


def _rows(data: Any, day: str | None) -> list[Record]:
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise OpenRouterResponseError(
            "/activity answered no list of objects under 'data'. Check that the base URL is the API's.",
            about="base_url",
        )
    for row in data if day else ():
        read = read_time(row.get("date"))  # the API has sent a day and a time of 00:00
        if read is not None and read.date().isoformat() != day:
            raise OpenRouterResponseError(
                f"/activity answered rows of {read.date()}, although those of {day} were asked for. Set the base "
                "URL to OpenRouter's own API, which knows 'date'.",
                about="base_url",
            )
    return data
