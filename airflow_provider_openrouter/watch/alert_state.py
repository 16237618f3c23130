"""What newly crossed the threshold, and what was reported: once, until it has recovered."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, Context
from typing import Any, TypeAlias

from airflow_provider_openrouter.text import sentence
from airflow_provider_openrouter.watch.check import Check, Finding
from airflow_provider_openrouter.watch.expiry import Expiry
from airflow_provider_openrouter.watch.left import L
from airflow_provider_openrouter.watch.threshold import Threshold, TimeThreshold

VERSION = 1
SETTLING = 5.0
"""
Seconds after which an event can be taken as saved.

The triggerer hands its events on about once a second, but stores state at once: if a key was stored as reported
before its event is saved, a crash in between would lose the alert.
"""

FAILED_READS = 3
"""After how many failed reads of the state store a watch goes on without it."""


Id: TypeAlias = str | tuple[str, str]
"""Of something that is low its id; of a key that expires its id, and when."""

_COARSE = Context(prec=2, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True)
class Mark:
    """
    That something was reported.

    :param step: the smallest step that it was reported at, as an index; the larger ones count as reported, too.
    :param lowest: the least that was left of it since, in USD; infinite if that is not known.
    :param at: when it was reported, on the monotonic clock.
    """

    step: int = 0
    lowest: float = math.inf
    at: float = -math.inf


Marks: TypeAlias = dict[Id, Mark]


class AlertState:
    """
    Remembers what was reported, in the state store of an asset if there is one.

    :param thresholds: the steps of the threshold, the largest first.
    :param rearm_margin: how much above the threshold something must be before it is re-armed.
    :param state_key: the key under which the store keeps it.
    :param state_store: the state store of the asset, or None.
    :param watched: what is watched, in words.
    :param log: the trigger's logger.
    """

    def __init__(
        self,
        thresholds: tuple[Threshold, ...],
        rearm_margin: Threshold,
        state_key: str,
        state_store: Any,
        watched: str,
        log: Any,
    ) -> None:
        self._thresholds = thresholds
        self._rearm_margin = rearm_margin
        self._state_key = state_key
        self._state_store = state_store
        self._watched = watched
        self._log = log
        self._loaded = False
        self._failed_reads = 0
        self._reported: Marks = {}
        self._settled: Marks = {}
        self._stored: dict[str, Any] | None = self._state({})

    async def load(self) -> None:
        """
        Read at the first poll what was reported before.

        At later polls, mark as settled what was reported ``SETTLING`` seconds ago or earlier.
        """
        if self._loaded:
            now = time.monotonic()
            self._settled |= {id_: mark for id_, mark in self._reported.items() if now - mark.at >= SETTLING}
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
                "Alert state is kept in memory only. After a restart the watch of %s reports what is still "
                "low once more. To keep it, use Airflow 3.3 or newer, and one asset for each trigger.",
                self._watched,
            )
        self._reported = self._read(state)
        self._settled = dict(self._reported)
        self._loaded = True

    def find_crossed(self, check: Check[L]) -> list[Finding[L]]:
        """Return what is low and was not reported since it crossed the threshold, the lowest first."""
        marks = self._rearm(self._reported, check)
        return [finding for finding in check.low if self._is_new(finding, marks)]

    def update(self, check: Check[L], crossed: Sequence[Finding[L]]) -> None:
        """Take what crossed as reported, and re-arm what has recovered or is no longer watched."""
        now = time.monotonic()
        self._settled = self._rearm(self._settled, check)
        self._reported = self._rearm(self._reported, check) | {
            _id(finding): Mark(self._step(finding), finding.left.remaining, now) for finding in crossed
        }

    async def store(self) -> None:
        """Store what was reported at earlier polls, if that has changed. The next poll retries a failure."""
        if not self._loaded or self._state_store is None:
            return
        state = self._state(self._settled)
        if state == self._stored:
            return
        try:
            await self._state_store.aset(self._state_key, state)
        except Exception as error:
            self._log.warning(
                "Could not store the alert state: %s The watch of %s tries again at its next poll.",
                sentence(error),
                self._watched,
            )
        else:
            self._stored = state

    def _rearm(self, marks: Marks, check: Check[Any]) -> Marks:
        """Return the marks that still hold; those of several steps may hold at larger ones only."""
        held: Marks = {}
        for left in check.watched if marks else ():
            if left.id in marks:
                mark = marks[left.id]
                for step in reversed(range(mark.step + 1)):
                    threshold = self._thresholds[step]
                    if not threshold.is_armed(left, margin=self._rearm_margin, lowest=mark.lowest):
                        held[left.id] = replace(mark, step=step, lowest=min(mark.lowest, left.remaining))
                        break
        return held | {
            id_: mark
            for id_, mark in marks.items()
            if isinstance(id_, tuple) and datetime.fromisoformat(id_[1]) > check.observed_at
        }

    def _is_new(self, finding: Finding[Any], marks: Marks) -> bool:
        mark = marks.get(_id(finding))
        return mark is None or mark.step < self._step(finding)

    def _step(self, finding: Finding[Any]) -> int:
        return 0 if isinstance(finding.criterion, Expiry) else self._thresholds.index(finding.criterion)

    def _state(self, marks: Marks) -> dict[str, Any]:
        """Return marks as JSON: plain lists of what was reported, and beside them only what is needed."""
        low = {id_: mark for id_, mark in marks.items() if isinstance(id_, str)}
        expiries = sorted(id_ for id_ in marks if isinstance(id_, tuple))
        state: dict[str, Any] = {"version": VERSION, "told": sorted(low)}
        if len(self._thresholds) > 1:
            state["steps"] = {id_: self._thresholds[mark.step].argument for id_, mark in low.items()}
        if isinstance(self._thresholds[0], TimeThreshold):
            # Rounded up, so that a key that goes on to spend changes it now and then only.
            state["lowest"] = {
                id_: float(_COARSE.create_decimal(str(mark.lowest)))
                for id_, mark in low.items()
                if mark.lowest < math.inf
            }
        return state | ({"expiries": list(map(list, expiries))} if expiries else {})

    def _read(self, state: Any) -> Marks:
        if state is None:
            return {}
        try:
            marks = self._marks(state)
        except (AttributeError, KeyError, TypeError, ValueError):
            self._stored = None
            self._log.warning(
                "The alert state is damaged or of another version: %s. The watch of %s reports what is low now "
                "once more.",
                self._state_key,
                self._watched,
            )
            return {}
        self._stored = state
        return marks

    def _marks(self, state: Any) -> Marks:
        """Return the marks of a stored state; earlier releases stored nothing but the ids of what was low."""
        told, expiries = state["told"], state.get("expiries", [])
        if state["version"] != VERSION or not (isinstance(told, list) and isinstance(expiries, list)):
            raise ValueError
        steps, lowest = state.get("steps", {}), state.get("lowest", {})
        arguments = [threshold.argument for threshold in self._thresholds]
        marks: Marks = {
            _text(id_): Mark(arguments.index(steps.get(id_, arguments[0])), float(lowest.get(id_, math.inf)))
            for id_ in told
        }
        return marks | {(_text(id_), _moment(expires_at)): Mark() for id_, expires_at in expiries}


def _id(finding: Finding[Any]) -> Id:
    left = finding.left
    return (left.id, left.expires_at.isoformat()) if isinstance(finding.criterion, Expiry) else left.id


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _moment(value: Any) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError
    return _text(value)
