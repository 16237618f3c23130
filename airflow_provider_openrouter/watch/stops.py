"""When and why each key stops working next. Pure: no clock, no network, no Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Literal, TypeAlias

from airflow_provider_openrouter.keys import Key, KeyListing, is_disabled, read_amount
from airflow_provider_openrouter.text import count
from airflow_provider_openrouter.watch.left import KeyLeft
from airflow_provider_openrouter.watch.pace import Forecast

Kind: TypeAlias = Literal["empty", "dry", "expiry", "reset", "never", "disabled", "expired"]

_ORDER: dict[Kind, int] = {
    "empty": 0,
    "dry": 1,
    "expiry": 1,
    "reset": 2,
    "never": 3,
    "disabled": 4,
    "expired": 5,
}
"""What comes first: what has stopped although it is active, what will stop, what is fine, what is over."""

_YEAR = 365
"""Days."""


@dataclass(frozen=True, slots=True)
class KeyStop:
    """
    When and why a key stops working next, seen from when it was read.

    :param left: what is left of the key.
    :param forecast: when it runs dry.
    :param kind: ``empty``: nothing is left of its limit. ``dry``: it runs dry before it is reset or expires.
        ``expiry``: it expires first. ``reset``: it is reset before it runs dry. ``never``: nothing stops it.
        ``disabled`` and ``expired``: it is over; a key that is both is ``expired``.
    :param at: when that is, in UTC; None for ``empty``, ``never`` and ``disabled``.
    :param text: the same in words. Days are those of UTC.
    """

    left: KeyLeft
    forecast: Forecast
    kind: Kind
    at: datetime | None
    text: str


def find_stops(listing: KeyListing) -> list[KeyStop]:
    """
    List when each key of a listing stops, the first to stop first, and keys that are over last.

    :param listing: the keys, disabled and expired ones too.
    """
    return sorted((_stop(key, listing.observed_at) for key in listing.keys), key=_place)


def _place(stop: KeyStop) -> tuple[int, datetime]:
    return (_ORDER[stop.kind], stop.at or stop.left.observed_at)


def _stop(key: Key, seen: datetime) -> KeyStop:
    remaining = read_amount(key.get("limit_remaining"))
    left = KeyLeft(key, inf if remaining is None else remaining, read_amount(key.get("limit")), seen)
    forecast = left.forecast
    return KeyStop(left, forecast, *_why(left, forecast))


def _why(left: KeyLeft, forecast: Forecast) -> tuple[Kind, datetime | None, str]:
    seen, expires_at = left.observed_at, left.expires_at
    pace, reset, dry = forecast
    if expires_at is not None and expires_at <= seen:
        return "expired", expires_at, f"expired {_on_day(expires_at, seen)}"
    if is_disabled(left.key):
        return "disabled", None, "disabled"
    if left.remaining <= 0:
        is_reset = reset is not None and (expires_at is None or reset < expires_at)
        until = f" until it resets {_on_day(reset, seen)}" if reset and is_reset else ""
        return "empty", None, f"nothing left{until}"
    is_reset_first = dry is not None and reset is not None and reset <= dry
    if dry is not None and not is_reset_first and (expires_at is None or dry < expires_at):
        return "dry", dry, f"dry in {time_left(dry, seen)}"
    if expires_at is not None:
        return "expiry", expires_at, f"expires {_on_day(expires_at, seen)}"
    if reset is not None and is_reset_first:
        return "reset", reset, f"resets {_on_day(reset, seen)} before it runs dry"
    if left.remaining == inf:
        return "never", None, "no limit"
    return "never", None, "not running dry" if pace else "spends nothing"


def time_left(at: datetime, seen: datetime) -> str:
    """Return how long it is until a time, rounded down, such as ``under an hour``, ``31 h`` or ``2 days``."""
    hours = (at - seen) // timedelta(hours=1)
    if hours < 48:
        return f"{hours} h" if hours else "under an hour"
    days = hours // 24
    return count(days, "day") if days < 2 * _YEAR else count(days // _YEAR, "year")


def _on_day(at: datetime, seen: datetime) -> str:
    """Return a UTC day: ``today``, ``tomorrow``, ``on Monday`` up to six days ahead, else ``on 3 Dec``."""
    days = (at.date() - seen.date()).days
    if 0 <= days < 2:
        return "tomorrow" if days else "today"
    if 2 <= days < 7:
        return f"on {at:%A}"
    return f"on {at.day} {at:%b}" + (f" {at.year}" if at.year != seen.year else "")
