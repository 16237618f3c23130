"""What a rule found in a reading: the little that triggers, sensors, events and alert state depend on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.watch.threshold import L, Threshold

R_contra = TypeVar("R_contra", contravariant=True)


class Rule(Protocol[R_contra]):
    """What is asked of each reading of a source. As text it goes into warnings."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as JSON; equal rules have equal arguments."""

    def check(self, reading: R_contra, /) -> Check[Any]:
        """Return what the rule finds in a reading."""


@dataclass(frozen=True, kw_only=True)
class Check(ABC, Generic[L]):
    """
    What a rule found in a reading.

    :param observed_at: when the reading began, in UTC.
    :param threshold: the rule's threshold.
    :param watched: what is watched, the lowest first.
    :param low: what of it is low, in the same order.
    """

    observed_at: datetime
    threshold: Threshold
    watched: Sequence[L]
    low: Sequence[L]

    @property
    def records(self) -> list[dict[str, Any]]:
        """What is low as records, the lowest first."""
        return list(map(self.record, self.low))

    def record(self, left: L) -> dict[str, Any]:
        """Return what the API sent, as far as Airflow can carry it, when that was, and what it is below."""
        why = {"observed_at": self.observed_at.isoformat(), "threshold": self.threshold.argument}
        return fit(self._sent(left) | why)

    @abstractmethod
    def _sent(self, left: L) -> dict[str, Any]:
        """Return what the API sent, and what else is known of it."""

    @abstractmethod
    def event(self, found: Sequence[L]) -> dict[str, Any]:
        """Return the fields of an event that reports some of what is low."""

    @abstractmethod
    def count(self, found: Sequence[L]) -> str:
        """Return how much of what is low was found, in words such as ``2 keys``."""

    @abstractmethod
    def report(self, log: Any) -> None:
        """Log what was found, and warn if something cannot be watched."""
