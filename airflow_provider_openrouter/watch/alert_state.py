"""Which keys newly crossed the threshold, and which were reported: once, until they have recovered."""

from __future__ import annotations

import math
import time
from typing import Any

from airflow_provider_openrouter.text import sentence
from airflow_provider_openrouter.watch.check import Check
from airflow_provider_openrouter.watch.threshold import L, Threshold

VERSION = 1
SETTLING = 5.0
"""
Seconds after which an event can be taken as saved.

The triggerer hands its events on about once a second, but stores state at once: if a key was stored as reported
before its event is saved, a crash in between would lose the alert.
"""

FAILED_READS = 3
"""After how many failed reads of the state store a watch goes on without it."""


class AlertState:
    """
    Remembers which keys were reported as low, in the state store of an asset if there is one.

    :param rearm_margin: how much above the threshold a key must be before it is re-armed.
    :param state_key: the key under which the store keeps it.
    :param state_store: the state store of the asset, or None.
    :param watched: what is watched, in words.
    :param log: the trigger's logger.
    """

    def __init__(self, rearm_margin: Threshold, state_key: str, state_store: Any, watched: str, log: Any) -> None:
        self._rearm_margin = rearm_margin
        self._state_key = state_key
        self._state_store = state_store
        self._watched = watched
        self._log = log
        self._loaded = False
        self._failed_reads = 0
        self._reported: dict[str, float] = {}
        self._settled: set[str] = set()
        self._stored: set[str] | None = set()

    async def load(self) -> None:
        """
        Read at the first poll what was reported before.

        At later polls, mark as settled what was reported ``SETTLING`` seconds ago or earlier.
        """
        if self._loaded:
            now = time.monotonic()
            self._settled = {hash_ for hash_, at in self._reported.items() if now - at >= SETTLING}
            return
        state = None
        if self._state_store is not None:
            try:
                state = await self._state_store.aget(self._state_key)
            except Exception as error:
                # A plain ValueError is how Airflow says that a trigger serves several assets. From anything
                # else the store may recover, but a key that runs low must not wait for that for ever.
                self._failed_reads += 1
                if type(error) is not ValueError and self._failed_reads < FAILED_READS:
                    raise
                self._state_store = None
        if self._state_store is None:
            self._log.warning(
                "Alert state is kept in memory only. After a restart the watch of %s reports keys that are still "
                "low once more. To keep it, use Airflow 3.3 or newer, and one asset for each trigger.",
                self._watched,
            )
        self._reported = dict.fromkeys(self._read(state), -math.inf)
        self._settled = set(self._reported)
        self._loaded = True

    def find_crossed(self, check: Check[L]) -> list[L]:
        """Return the low keys that were not reported since they crossed the threshold, the lowest first."""
        still_reported = self._still_reported(check)
        return [left for left in check.low if left.id not in still_reported]

    def update(self, check: Check[Any]) -> None:
        """Take the low keys as reported, and re-arm those that have recovered or are no longer watched."""
        now = time.monotonic()
        still_reported = self._still_reported(check)
        self._reported = {left.id: self._reported.get(left.id, now) for left in check.low} | still_reported
        self._settled &= still_reported.keys()

    async def store(self) -> None:
        """Store what was reported at earlier polls, if that has changed. The next poll retries a failure."""
        if not self._loaded or self._state_store is None or self._settled == self._stored:
            return
        settled = set(self._settled)
        try:
            await self._state_store.aset(self._state_key, {"version": VERSION, "told": sorted(settled)})
        except Exception as error:
            self._log.warning(
                "Could not store the alert state: %s The watch of %s tries again at its next poll.",
                sentence(error),
                self._watched,
            )
        else:
            self._stored = settled

    def _still_reported(self, check: Check[Any]) -> dict[str, float]:
        return {
            left.id: self._reported[left.id]
            for left in check.watched
            if left.id in self._reported and check.threshold.is_low(left, margin=self._rearm_margin)
        }

    def _read(self, state: Any) -> list[str]:
        if state is None:
            return []
        reported = state.get("told") if isinstance(state, dict) and state.get("version") == VERSION else None
        if isinstance(reported, list) and all(isinstance(hash_, str) for hash_ in reported):
            self._stored = set(reported)
            return reported
        self._stored = None
        self._log.warning(
            "The alert state is damaged or of another version: %s. The watch of %s reports keys that are low now "
            "once more.",
            self._state_key,
            self._watched,
        )
        return []
