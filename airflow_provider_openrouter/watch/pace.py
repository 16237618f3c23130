"""
How fast a key spends, and when it runs dry at that pace. Pure: no clock, no network, no Airflow.

It takes one listing, and no history. That limits reset at midnight UTC, on Mondays or on the 1st, and that usage
is that of the current UTC day, week from Monday, and month, is from OpenRouter's guide to limits
(https://openrouter.ai/docs/api-reference/limits) and its API reference
(https://openrouter.ai/docs/api-reference/api-keys/list) of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from airflow_provider_openrouter.keys import Key, LimitedKey, read_amount, read_flag, read_time

LEAST_DAYS = 0.25
"""Days over which spend counts at least, so that the first request of a day does not look like a runaway."""

SETTLED_DAYS = 1.0
"""From what age a window says how fast a key usually spends. A longer one is asked until then."""

LAG = timedelta(hours=1)
"""How long after midnight the API may still send the usage of before."""

_DAY = timedelta(days=1)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Forecast(NamedTuple):
    """
    When a key runs dry, as far as one listing can tell.

    :param pace: what it spends in USD a day, 0 or more.
    :param next_reset_at: when its limit resets next, in UTC; None if never, or if ``limit_reset`` is not known.
    :param runs_dry_at: when nothing will be left at this pace if the key is neither reset nor topped up; the time
        of the observation if nothing is left. None if nothing is spent, or was since the last reset, or if it is
        beyond the year 9999.
    """

    pace: float
    next_reset_at: datetime | None
    runs_dry_at: datetime | None

    def runs_dry_within(self, within: timedelta, at: datetime) -> bool:
        """
        Return whether nothing is left, or the key runs dry within a time and before its next reset.

        :param within: the time.
        :param at: when the key was observed.
        """
        dry, reset = self.runs_dry_at, self.next_reset_at
        if dry is None:
            return False
        return dry - at <= within and (reset is None or dry < reset)


def forecast(key: LimitedKey, at: datetime) -> Forecast:
    """
    Return when a key runs dry.

    Its pace is the larger of today's, over at least six hours, and of the week's. While the week is younger than
    a day the month counts in its place, and while the month is, too, all that the key ever spent.

    :param key: the key.
    :param at: when it was observed, with its time zone.
    """
    calendar = _calendar(at)
    shown = _shown(key.key, calendar) if at - calendar.day < LAG else calendar
    pace = _pace(key.key, shown)
    limit_reset = key.key.get("limit_reset")
    next_reset_at = calendar.next_reset(limit_reset)
    if key.remaining <= 0:
        return Forecast(pace, next_reset_at, at)
    is_full = key.limit is not None and key.remaining >= key.limit
    was_reset = next_reset_at is not None and (is_full or shown.next_reset(limit_reset) != next_reset_at)
    return Forecast(pace, next_reset_at, None if was_reset else runs_dry_at(key.remaining, pace, at))


def runs_dry_at(remaining: float, pace: float, at: datetime) -> datetime | None:
    """
    Return when nothing will be left at a pace: now if nothing is left, and None if nothing is spent.

    :param remaining: what is left, in USD.
    :param pace: what is spent, in USD a day.
    :param at: now, with its time zone. None is also what is returned beyond the year 9999.
    """
    if remaining <= 0:
        return at
    try:
        return at + timedelta(days=remaining / pace)
    except (ZeroDivisionError, OverflowError):
        return None


def next_reset(limit_reset: Any, at: datetime) -> datetime | None:
    """
    Return when a limit resets next: at midnight UTC of a day, of a Monday, or of the 1st; None if not known.

    :param limit_reset: the key's ``limit_reset``.
    :param at: with its time zone.
    """
    return _calendar(at).next_reset(limit_reset)


@dataclass(frozen=True, slots=True)
class _Calendar:
    """
    When the windows of usage began, and when limits reset next.

    :param at: when it was looked at.
    :param day: when the day began.
    :param ages: how old the day, the week and the month are, in days.
    :param resets: when limits reset next, by ``limit_reset``.
    """

    at: datetime
    day: datetime
    ages: tuple[float, float, float]
    resets: dict[str, datetime]

    def next_reset(self, limit_reset: Any) -> datetime | None:
        return self.resets.get(limit_reset) if isinstance(limit_reset, str) else None

    def ages_since(self, created_at: datetime | None) -> tuple[float, float, float]:
        """Return the ages of a key's windows: none is older than the key."""
        if created_at is None:
            return self.ages
        age = (self.at - created_at) / _DAY
        day, week, month = self.ages
        return min(day, age), min(week, age), min(month, age)


@lru_cache(maxsize=16)
def _calendar(at: datetime, days_ago: int = 0) -> _Calendar:
    """Return the calendar of a day, today's or an earlier one, whose windows go on until now."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - days_ago * _DAY
    week = day - day.weekday() * _DAY
    month = day.replace(day=1)
    next_month = (month + 32 * _DAY).replace(day=1)
    return _Calendar(
        at=at,
        day=day,
        ages=((at - day) / _DAY, (at - week) / _DAY, (at - month) / _DAY),
        resets={"daily": day + _DAY, "weekly": week + 7 * _DAY, "monthly": next_month},
    )


def _shown(key: Key, calendar: _Calendar) -> _Calendar:
    """Return the calendar of the amounts: yesterday's, if there is usage today, but the last use was before."""
    last_used_at = read_time(key.get("last_used_at"))
    if last_used_at is None or last_used_at >= calendar.day or not _spent(key, "usage_daily", counts_byok=True):
        return calendar
    return _calendar(calendar.at, days_ago=1)


def _pace(key: Key, calendar: _Calendar) -> float:
    created_at = read_time(key.get("created_at"))
    day, week, month = calendar.ages_since(created_at)
    counts_byok = read_flag(key.get("include_byok_in_limit")) is True
    today = (_spent(key, "usage_daily", counts_byok) or 0.0) / max(day, LEAST_DAYS)
    if week >= SETTLED_DAYS and (spent := _spent(key, "usage_weekly", counts_byok)) is not None:
        return max(today, spent / week)
    if month >= SETTLED_DAYS and (spent := _spent(key, "usage_monthly", counts_byok)) is not None:
        return max(today, spent / month)
    if created_at is None:
        return today
    age = (calendar.at - created_at) / _DAY
    return max(today, (_spent(key, "usage", counts_byok) or 0.0) / max(age, LEAST_DAYS))


def _spent(key: Key, usage: str, counts_byok: bool) -> float | None:
    """Return what was spent in a window, None if that is not known; with BYOK, one of both amounts is enough."""
    spent = read_amount(key.get(usage))
    byok = read_amount(key.get(f"byok_{usage}")) if counts_byok else None
    if byok is not None:
        return max(0.0, byok) + max(0.0, spent or 0.0)
    return None if spent is None else max(0.0, spent)
