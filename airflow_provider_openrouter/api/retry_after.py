"""How long a server asks to wait, in any of the headers in which it may say so."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC

import requests

LONGEST = 366 * 86_400.0
"""Seconds; who asks for more, or for ever, is taken to ask for this, so that it can be added to a time."""
MILLISECONDS = 1e11
"""An epoch above this is in milliseconds: in seconds it would be the year 5138."""


def retry_after(response: requests.Response, *, rate_limited: bool) -> float | None:
    """
    Return the seconds that a response asks to wait, or None if it does not say, or says nonsense.

    ``Retry-After`` comes first. ``X-RateLimit-Reset`` names the end of a rate limit, not of other errors. Dates
    are measured against the ``Date`` of the same response, because our clock may be wrong.

    :param rate_limited: whether the error is a rate limit.
    """
    now = _date(response.headers.get("Date", "")) or time.time()
    asked = _after(response.headers.get("Retry-After", ""), now)
    if not asked and rate_limited:
        asked = _until_reset(response.headers.get("X-RateLimit-Reset", ""), now) or asked
    return None if asked is None else min(asked, LONGEST)


def _after(value: str, now: float) -> float | None:
    """Return the seconds of a ``Retry-After``, which is a number or an HTTP date."""
    seconds = _number(value)
    if seconds is not None:
        return seconds if seconds >= 0 else None  # NaN is not
    date = _date(value)
    return None if date is None else max(0.0, date - now)


def _until_reset(value: str, now: float) -> float | None:
    """Return the seconds until an epoch, which is in seconds or milliseconds; 0 if it is over."""
    epoch = _number(value)
    if epoch is None:
        return None
    return max(0.0, (epoch / 1000 if epoch > MILLISECONDS else epoch) - now)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _date(value: str) -> float | None:
    try:
        date = email.utils.parsedate_to_datetime(value)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
