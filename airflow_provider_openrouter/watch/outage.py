"""When a watch fails for so long that people should know: reported once, and once more when it is over."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from airflow_provider_openrouter.watch.events import failing_event, recovered_event

VERSION = 1


class Outage:
    """
    Counts the polls in a row that failed, or in which nothing was watched.

    What was reported is kept in the state store of the asset, if there is one, beside the alert state: a watch
    that starts again does not report it again, and still reports the recovery.

    :param after: how many polls in a row are reported, None for never.
    :param state_key: the key under which the store keeps it.
    :param state_store: the state store of the asset, or None.
    :param watched: the fields of an event that say what is watched.
    """

    def __init__(self, after: int | None, state_key: str, state_store: Any, watched: dict[str, Any]) -> None:
        self._after = after
        self._state_key = state_key
        self._state_store = state_store if after else None
        self._watched = watched
        self._loaded = False
        self._failures = 0
        self._since: str | None = None
        self._reported: str | None = None  # since when it fails, if that was reported
        self._stored: str | None = None

    async def keep(self) -> None:
        """Read at first what was reported before, and store from then on what was reported since."""
        if self._state_store is None:
            return
        with suppress(Exception):  # the alert state warns of a store that fails
            if not self._loaded:
                state = await self._state_store.aget(self._state_key)
                self._loaded = True
                self._stored = state["failing_since"] if state else None
                self._reported = self._reported or self._stored  # the store may have failed at the first polls
            elif self._reported != self._stored:
                state = {"version": VERSION, "failing_since": self._reported}
                await self._state_store.aset(self._state_key, state)
                self._stored = self._reported

    def failed(self, error: Exception) -> dict[str, Any] | None:
        """Return the event to send after a poll that failed, or found nothing to watch, if there is one."""
        self._failures += 1
        self._since = self._since or self._reported or datetime.now(UTC).isoformat()
        if self._failures != self._after or self._reported:
            return None
        self._reported = self._since
        return failing_event(error, failing_since=self._since, failures=self._failures, watched=self._watched)

    def ended(self) -> dict[str, Any] | None:
        """Return the event to send after a poll that succeeded, if there is one."""
        reported, self._reported = self._reported, None
        self._failures, self._since = 0, None
        return recovered_event(failing_since=reported, watched=self._watched) if reported else None
