"""The status of a watch, in the state store of its asset, for people who look at the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from textwrap import shorten
from typing import Any

from airflow_provider_openrouter.keys import read_time
from airflow_provider_openrouter.text import plain, sentence
from airflow_provider_openrouter.watch.check import Check
from airflow_provider_openrouter.watch.events import text_of
from airflow_provider_openrouter.watch.messages import format_line

VERSION = 1
MAX_AGE = 300.0
"""Seconds after which the status is stored again, though nothing has changed."""

NEWS = ("watched", "low", "failing_since", "reported")
"""The fields that are stored at once if they change; the others go with them."""

LONGEST = 300
"""How many characters of an error, or of a report, are kept."""

_TYPES = {
    "looked_at": str,
    "watched": int | None,
    "low": int | None,
    "failures": int,
    "failing_since": str | None,
    "error": str | None,
    "reported": dict | None,
}


class Status:
    """
    How a watch is, as JSON in the state store of the asset, if there is one; no alert depends on it.

    - ``looked_at``: when it polled last before this was stored (ISO 8601, UTC).
    - ``watched`` and ``low``: how many keys it watches, and how many are low; an account counts as one.
    - ``failures``, ``failing_since`` and ``error``: how many polls in a row failed, or found nothing to watch,
      since when, and why the last one did.
    - ``reported``: ``at``, ``text`` and ``total`` of the last event: when, what, and of how many keys.

    It is stored when a field of :data:`NEWS` changes, and every five minutes otherwise.

    :param state_key: the key under which the store keeps it.
    :param state_store: the state store of the asset, or None.
    """

    def __init__(self, state_key: str, state_store: Any) -> None:
        self._state_key = state_key
        self._state_store = state_store
        self._is_loaded = False
        self._stored: dict[str, Any] = {}
        self._now: dict[str, Any] = dict.fromkeys(_TYPES) | {"version": VERSION, "failures": 0}

    async def store(
        self, check: Check[Any] | None, error: Exception | None, events: Sequence[Mapping[str, Any]]
    ) -> None:
        """
        Take in how a poll went, and store that if it is time to.

        :param check: what was found, None if the poll failed.
        :param error: why the poll failed, or that nothing is watched.
        :param events: what was reported.
        """
        if self._state_store is None:
            return
        with suppress(Exception):  # the alert state warns of a store that fails
            self._take_in(check, error, events)
            if not self._is_loaded:
                stored = read_status(await self._state_store.aget(self._state_key))
                self._is_loaded = True
                self._continue(stored or {})
            if self._is_due:
                state = dict(self._now)
                await self._state_store.aset(self._state_key, state)
                self._stored = state

    def _take_in(
        self, check: Check[Any] | None, error: Exception | None, events: Sequence[Mapping[str, Any]]
    ) -> None:
        now = self._now
        now["looked_at"] = at = datetime.now(UTC).isoformat()
        if check:
            now |= {"watched": check.watched_count, "low": len({finding.left.id for finding in check.low})}
        if error:
            now["failures"] += 1
            now["failing_since"] = now["failing_since"] or at
            now["error"] = _short(sentence(text_of(error)))
        else:
            now |= {"failures": 0, "failing_since": None, "error": None}
        for event in events:
            now["reported"] = {"at": at, "text": _short(format_line(event)), "total": event.get("total")}

    def _continue(self, stored: dict[str, Any]) -> None:
        """Go on from what was stored before a restart."""
        self._stored = stored
        now = self._now
        for field in ("watched", "low", "reported"):
            now[field] = stored.get(field) if now[field] is None else now[field]
        if now["failing_since"] and stored.get("failing_since"):
            now["failing_since"] = stored["failing_since"]
            now["failures"] += stored["failures"]

    @property
    def _is_due(self) -> bool:
        if any(self._now[field] != self._stored.get(field) for field in NEWS):
            return True
        at, stored_at = (read_time(state.get("looked_at")) for state in (self._now, self._stored))
        return not (at and stored_at and 0 <= (at - stored_at).total_seconds() < MAX_AGE)


def _short(text: str) -> str:
    """Return a text in one line, and no longer than is kept."""
    return shorten(plain(text, longest=LONGEST * 10), LONGEST, placeholder=" …")


def read_status(state: Any) -> dict[str, Any] | None:
    """Return a stored status; None if there is none, or it is damaged or of another version."""
    if not isinstance(state, dict) or state.get("version") != VERSION or not read_time(state.get("looked_at")):
        return None
    is_sound = all(isinstance(state.get(field), kind) for field, kind in _TYPES.items())
    return state if is_sound else None
