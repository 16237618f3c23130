"""What a rule found in a reading: the little that triggers, sensors, events and alert state depend on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.watch.left import L
from airflow_provider_openrouter.watch.threshold import Threshold

R = TypeVar("R")


class Rule(ABC, Generic[R]):
    """
    What is asked of each reading of a source. As text it goes into warnings.

    ``thresholds`` has the steps of the threshold, the largest first.
    """

    thresholds: tuple[Threshold, ...]

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The arguments as JSON; equal rules have equal arguments."""

    @abstractmethod
    def check(self, reading: R) -> Check[Any]:
        """Return what the rule finds in a reading."""

    @property
    def view(self) -> Hashable:
        """What :meth:`prepare` computes, None for nothing; rules of the same view share it."""
        return None

    def prepare(self, reading: R) -> None:
        """Compute what would hold up the event loop in :meth:`check`. This is called in a thread."""


class Criterion(Protocol):
    """Why something is reported: a step of a threshold, or that it expires."""

    @property
    def reason(self) -> str:
        """The reason in a record: ``limit``, ``runway`` or ``expiry``."""

    @property
    def argument(self) -> float | str:
        """What the record has as its threshold."""

    def details(self, left: Any) -> Mapping[str, Any]:
        """Return what else the record says."""


@dataclass(frozen=True, slots=True)
class Finding(Generic[L]):
    """
    Something that is low, and why.

    :param left: what is left of it.
    :param criterion: of several steps, the smallest that it is below.
    """

    left: L
    criterion: Criterion


def find_low(thresholds: tuple[Threshold, ...], watched: Sequence[L]) -> list[Finding[L]]:
    """
    Return what is low, with the smallest step that it is below.

    :param thresholds: the steps, the largest first.
    :param watched: what the largest measures, sorted as it needs it.
    """
    widest, *others = thresholds
    return [
        Finding(left, next((step for step in reversed(others) if step.is_low(left)), widest))
        for left in widest.find_low(watched)
    ]


@dataclass(frozen=True, kw_only=True)
class Check(ABC, Generic[L]):
    """
    What a rule found in a reading.

    :param observed_at: when the reading began, in UTC.
    :param thresholds: the steps of the rule's threshold, the largest first.
    :param watched: what is compared with them, the lowest first.
    :param low: what is low, the lowest first, and after it what is reported for other reasons.
    """

    observed_at: datetime
    thresholds: tuple[Threshold, ...]
    watched: Sequence[L]
    low: Sequence[Finding[L]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """What is low as records, the lowest first."""
        return list(map(self.record, self.low))

    def record(self, finding: Finding[L]) -> dict[str, Any]:
        """Return what the API sent, when that was, and why it is low; all of Airflow can carry it."""
        return fit(self.whole(finding))

    def whole(self, finding: Finding[L]) -> dict[str, Any]:
        """Return the same, whether Airflow can carry it or not."""
        return {
            **self._sent(finding.left),
            "observed_at": self.observed_at.isoformat(),
            "reason": finding.criterion.reason,
            "threshold": finding.criterion.argument,
            **finding.criterion.details(finding.left),
        }

    @property
    def watched_count(self) -> int:
        """How much the rule watches."""
        return len(self.watched)

    @property
    def is_blind(self) -> bool:
        """Whether the rule watches nothing."""
        return not self.watched_count

    @property
    def warning(self) -> str:
        """Why the rule watches nothing, or not all that it names, with the remedy."""
        return ""

    @abstractmethod
    def _sent(self, left: L) -> dict[str, Any]:
        """Return what the API sent, and what else is known of it."""

    @abstractmethod
    def event(self, found: Sequence[Finding[L]]) -> dict[str, Any]:
        """Return the fields of an event that reports some of what is low."""

    @abstractmethod
    def count(self, found: Sequence[Finding[L]]) -> str:
        """Return how much of what is low was found, in words such as ``2 keys``."""

    @abstractmethod
    def report(self, log: Any) -> None:
        """Log what was found, and warn if something cannot be watched."""
