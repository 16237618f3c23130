"""What is spent, by UTC day. Everything that shows an amount is derived from it, so that all of it agrees."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

NANO = 10**9
"""Amounts are whole billionths of a dollar: their sums are exact."""

BEFORE = date.min
"""The day that stands for all the days before those that are known one by one."""


class Amounts(NamedTuple):
    """What was spent of the account's credits, and on its own provider keys (BYOK)."""

    usage: int
    byok: int

    def plus(self, usage: int, byok: int) -> Amounts:
        """Return the sums."""
        return Amounts(self.usage + usage, self.byok + byok)


NOTHING = Amounts(0, 0)


class Spend:
    """What a key has spent on each day, and when it was last used."""

    def __init__(self) -> None:
        self.last_used_at: datetime | None = None
        self._days: dict[date, Amounts] = {}
        self._sums: dict[date, Amounts] = {}

    def book(self, day: date, usage: int, byok: int = 0) -> None:
        """Add to what was spent on a day."""
        self._days[day] = self.on(day).plus(usage, byok)
        for first, total in self._sums.items():
            if first <= day:
                self._sums[first] = total.plus(usage, byok)

    def take_back(self, usage: int, first: date, today: date) -> None:
        """Lower what was spent since a day, the newest days first; what is left over is credited today."""
        for day in sorted((day for day in self._days if first <= day), reverse=True):
            lowered = min(usage, max(0, self.on(day).usage))
            self.book(day, -lowered)
            usage -= lowered
        self.book(today, -usage)

    def on(self, day: date) -> Amounts:
        """Return what was spent on a day."""
        return self._days.get(day, NOTHING)

    def since(self, first: date) -> Amounts:
        """Return what was spent from a day on."""
        if first not in self._sums:
            spent = [amounts for day, amounts in self._days.items() if first <= day]
            self._sums[first] = Amounts(sum(each.usage for each in spent), sum(each.byok for each in spent))
        return self._sums[first]


def first_day(window: object, today: date) -> date:
    """Return the first day of the window that a day is in; an unknown window never ends."""
    match window:
        case "daily":
            return today
        case "weekly":
            return today - timedelta(days=today.weekday())
        case "monthly":
            return today.replace(day=1)
    return BEFORE


def is_amount(value: Any) -> bool:
    """Return whether a value is a number that can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e290


def nano(usd: float) -> int:
    """Return USD as an amount."""
    return round(usd * NANO)


def usd(amount: int) -> float:
    """Return an amount as USD."""
    return amount / NANO
