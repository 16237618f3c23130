"""Arguments of operators, sensors and triggers, which may come from a template."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_provider_openrouter import keys
from airflow_provider_openrouter.exceptions import OpenRouterRequestError

ONE_YEAR = 366 * 86_400

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(hour|day|week)s?")
_HOURS = {"hour": 1, "day": 24, "week": 168}
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)


def is_literal(value: Any) -> bool:
    """Return whether a value is known when the DAG is parsed, being neither a template nor an XComArg."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, list | tuple | set):
        return all(map(is_literal, value))
    return not hasattr(value, "iter_references")  # as an XComArg has; a Path has "resolve", too


def require_flag(name: str, value: Any) -> bool:
    """
    Read a flag that may be a rendered template.

    :raises OpenRouterRequestError: if it is neither true nor false.
    """
    flag = keys.read_flag(str(value).strip())
    if flag is None:
        raise OpenRouterRequestError(f"{name} must be true or false, not {value!r}.")
    return flag


def read_interval(name: str, value: Any) -> float:
    """
    Read a number of seconds.

    :raises OpenRouterRequestError: if it is not above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= ONE_YEAR:
        raise OpenRouterRequestError(
            f"{name} must be a number of seconds above 0, a year at most, not {value!r}."
        )
    return float(value)


def read_span(name: str, value: Any) -> timedelta:
    """
    Read a time such as ``"3 days"``, ``"36 hours"`` or ``"1.5 weeks"``, or a ``timedelta``.

    :raises OpenRouterRequestError: if it is not above 0 and at most 366 days.
    """
    span = find_span(value)
    if span is None:
        raise OpenRouterRequestError(
            f'{name} must be a time such as "3 days", not {value!r}. It is in hours, days or weeks, above 0 and '
            "366 days at most; or it is a timedelta."
        )
    return span


def find_span(value: Any) -> timedelta | None:
    """Return what :func:`read_span` reads, or None where it raises."""
    if isinstance(value, timedelta):
        # Pendulum's subclass cannot be divided by a timedelta, and timedelta.max does not survive a float.
        span = timedelta(seconds=min(value.total_seconds(), 2 * ONE_YEAR))
    elif isinstance(value, str) and (match := _SPAN.fullmatch(value.strip())):
        number, unit = match.groups()
        hours = min(Decimal(number) * _HOURS[unit], Decimal(ONE_YEAR))  # far too many, but not for a timedelta
        span = round(hours * (_HOUR // _MICROSECOND)) * _MICROSECOND
    else:
        return None
    return span if timedelta(0) < span <= timedelta(seconds=ONE_YEAR) else None


def span_text(span: timedelta) -> str:
    """Return a time as :func:`read_span` reads it; equal times give equal text."""
    unit, size = ("hour", _HOUR) if span % timedelta(days=1) else ("day", 24 * _HOUR)
    number = f"{round(Decimal(span // _MICROSECOND) / (size // _MICROSECOND), 10).normalize():f}"
    return f"{number} {unit}{'' if number == '1' else 's'}"


def read_count(name: str, value: Any) -> int | None:
    """
    Read a number of times, or None.

    :raises OpenRouterRequestError: if it is not 1 or more.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise OpenRouterRequestError(f"{name} must be a whole number of 1 or more, or None, not {value!r}.")
    return value


def read_time(name: str, value: Any) -> datetime | None:
    """
    Read a moment, or None.

    :raises OpenRouterRequestError: if it is not ISO 8601 with a time zone.
    """
    try:
        moment = None if value is None else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = datetime.min
    if moment is not None and moment.tzinfo is None:
        raise OpenRouterRequestError(f"{name} must be a time in ISO 8601 with its zone, or None, not {value!r}.")
    return moment
