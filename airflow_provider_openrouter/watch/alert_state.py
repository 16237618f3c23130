"""Which keys newly crossed the threshold, and what was told of them: once, until they have recovered."""

from __future__ import annotations

import math
import time
from typing import Any

from airflow_provider_openrouter.watch.rule import LimitCheck, Record, Threshold

VERSION = 1
SETTLING = 5.0
"""
Seconds after which an event can be taken as saved.

The triggerer hands its events on about once a second, but stores state at once: what is stored as told before the
event is saved would be lost by a crash in between.
"""

REFUSALS = 3
"""At how many polls the state store may fail to be read before the watch goes on without it."""


class Crossings:
    """
    Remembers which keys were told as low, in the state store of an asset if there is one.

    :param rearm_margin: how much above the threshold a key must be before it is armed again.
    :param state_key: under which key of the store it is remembered.
    :param state_store: the state store of the asset, or None.
    :param log: where to say what cannot be remembered.
    """

    def __init__(self, rearm_margin: Threshold, state_key: str, state_store: Any, log: Any) -> None:
        self._rearm_margin = rearm_margin
        self._state_key = state_key
        self._state_store = state_store
        self._log = log
        self._recalled = False
        self._refusals = 0
        self._told: dict[str, float] = {}
        self._settled: set[str] = set()
        self._stored: set[str] | None = set()

    async def recall(self) -> None:
        """Read at the first poll what was told before; at each later one, settle what was told some time ago."""
        if self._recalled:
            now = time.monotonic()
            self._settled = {hash_ for hash_, at in self._told.items() if now - at >= SETTLING}
            return
        state = None
        if self._state_store is not None:
            try:
                state = await self._state_store.aget(self._state_key)
            except Exception as error:
                # A plain ValueError is how Airflow says that a trigger serves several assets. From anything
                # else the store may recover, but a key that runs low must not wait for that for ever.
                self._refusals += 1
                if type(error) is not ValueError and self._refusals < REFUSALS:
                    raise
                self._state_store = None
        if self._state_store is None:
            self._log.warning(
                "What is told is remembered in memory only, and may be told again after a restart: Airflow keeps "
                "state from 3.3 on, for a trigger that watches for one asset, if its state store can be read."
            )
        self._told = dict.fromkeys(self._read(state), -math.inf)
        self._settled = set(self._told)
        self._recalled = True

    def find(self, check: LimitCheck) -> list[Record]:
        """Answer the keys that newly crossed the threshold; they count as told from now on."""
        low = {key["hash"]: key for key in check.low}
        still_watched = [key for key in check.watched if key["hash"] in self._told]
        still_told = {
            key["hash"] for key in still_watched if check.threshold.is_above(key, margin=self._rearm_margin)
        }
        crossed = [key for hash_, key in low.items() if hash_ not in still_told]
        self._told = {hash_: at for hash_, at in self._told.items() if hash_ in still_told}
        self._settled = self._settled & still_told
        self._told |= {key["hash"]: time.monotonic() for key in crossed}
        return crossed

    async def store(self) -> None:
        """Store what was told at earlier polls, if that has changed; if it fails, the next poll tries again."""
        if not self._recalled or self._state_store is None or self._settled == self._stored:
            return
        settled = self._settled
        try:
            await self._state_store.aset(self._state_key, {"version": VERSION, "told": sorted(settled)})
        except Exception as error:
            self._log.warning("What was told could not be stored, which will be tried again: %s", error)
        else:
            self._stored = settled

    def _read(self, state: Any) -> list[str]:
        if state is None:
            return []
        told = state.get("told") if isinstance(state, dict) and state.get("version") == VERSION else None
        if isinstance(told, list) and all(isinstance(hash_, str) for hash_ in told):
            self._stored = set(told)
            return told
        self._stored = None
        self._log.warning(
            "What is stored under %s is damaged or of another version. It is replaced, and keys that are low now "
            "are told again.",
            self._state_key,
        )
        return []
