"""What is left of what is watched: of keys, sorted once for all rules, or of anything else that is ``Left``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import inf
from typing import Protocol, TypeVar

from airflow_provider_openrouter.keys import KeyListing, LimitedKey, read_time
from airflow_provider_openrouter.watch.pace import Forecast, forecast

_NEVER = datetime.max.replace(tzinfo=UTC)


class Amounts(Protocol):
    """What remains of something, and of what."""

    @property
    def remaining(self) -> float:
        """What is left of it, in USD. It can be negative."""

    @property
    def limit(self) -> float | None:
        """Its limit in USD, or None."""


class Left(Amounts, Protocol):
    """What is left of something."""

    @property
    def id(self) -> str:
        """The id under which the alert state remembers it: unique among what one rule watches."""

    @property
    def forecast(self) -> Forecast:
        """When it runs dry."""

    @property
    def observed_at(self) -> datetime:
        """When that was read, in UTC."""


L = TypeVar("L", bound=Left)


@dataclass(frozen=True, slots=True)
class KeyLeft(LimitedKey):
    """
    What is left of a key.

    :param observed_at: when it was read, in UTC.
    """

    observed_at: datetime

    @property
    def forecast(self) -> Forecast:
        """When it runs dry, computed each time: kept for thousands of keys, it would cost more."""
        return forecast(self, self.observed_at)

    @property
    def expires_at(self) -> datetime | None:
        """When it expires, in UTC, or None."""
        return read_time(self.key.get("expires_at"))


class KeysLeft:
    """
    What is left of the keys of a listing that have not expired.

    :param listing: the keys.
    :param include_disabled: whether disabled keys are among them.
    """

    def __init__(self, listing: KeyListing, *, include_disabled: bool) -> None:
        limited, others = listing.group(include_disabled=include_disabled)
        at = listing.observed_at
        self.by_remaining = [KeyLeft(each.key, each.remaining, each.limit, at) for each in limited]
        """Those whose ``limit_remaining`` is known, the lowest first."""
        self.unlimited = [KeyLeft(key, inf, None, at) for key in others]
        """The others."""

    @classmethod
    def of(cls, listing: KeyListing, *, include_disabled: bool) -> KeysLeft:
        """Return what is left of the keys of a listing, computed once for all who share the listing."""
        known = listing.derived.get((cls, include_disabled))
        if known is None:
            known = listing.derived[cls, include_disabled] = cls(listing, include_disabled=include_disabled)
        return known

    @cached_property
    def by_runway(self) -> list[KeyLeft]:
        """The same, but those first that run dry before their next reset, the soonest first."""
        return sorted(self.by_remaining, key=_runway)

    @cached_property
    def by_expiry(self) -> list[KeyLeft]:
        """Those that expire, with a limit or without, the soonest first."""
        expiring = [each for each in (*self.by_remaining, *self.unlimited) if each.expires_at is not None]
        return sorted(expiring, key=lambda each: each.expires_at or _NEVER)


def _runway(left: Left) -> tuple[bool, datetime]:
    _, reset, dry = left.forecast
    is_reset_first = dry is not None and reset is not None and dry >= reset
    return (is_reset_first, dry or _NEVER)
