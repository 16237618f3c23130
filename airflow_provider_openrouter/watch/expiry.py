"""Keys that expire soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Any

from airflow_provider_openrouter.arguments import span_text
from airflow_provider_openrouter.watch.left import KeyLeft


@dataclass(frozen=True)
class Expiry:
    """
    The time within which keys expire that are reported.

    :param span: the time.
    """

    span: timedelta
    reason = "expiry"

    @property
    def argument(self) -> str:
        """The time as text."""
        return span_text(self.span)

    def is_near(self, left: KeyLeft) -> bool:
        """Return whether a key expires within the time."""
        return left.expires_at is not None and left.expires_at - left.observed_at <= self.span

    def find_near(self, lefts: Sequence[KeyLeft]) -> list[KeyLeft]:
        """Return the keys that expire within the time, of keys that are sorted by when they do."""
        return list(takewhile(self.is_near, lefts))

    def details(self, left: KeyLeft) -> dict[str, Any]:
        """Return what a record says besides the reason and the time: nothing."""
        return {}
