"""
What people read of a key: as a line of the log or of a message, and as a row of a report; and of an account.

Both are given as their records: the API's own fields, and those that a watch has added. Records of earlier
releases, which have fewer of these, work as well.
"""

from __future__ import annotations

from functools import lru_cache

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import Key, LimitedKey, read_amount, read_text, read_time
from airflow_provider_openrouter.text import moment, plain, usd
from airflow_provider_openrouter.watch.threshold import Threshold


def describe(record: Key, *, in_full: bool = False) -> str:
    """
    Return a key in a line: what is left of it, when it runs dry, expires and resets.

    :param record: the key.
    :param in_full: whether to add its label and, for a key below its threshold, the threshold.
    """
    why = why_low(record) if in_full or record.get("reason") != "limit" else ""
    has = ", ".join(filter(None, (f"has {left(record)}", why, reset(record))))
    return f"{name(record, with_label=in_full)} {has}"


def name(record: Key, *, with_label: bool = False) -> str:
    """Return the name of a key, and in brackets the name of its workspace; without a name, its label or hash."""
    names = [text_of(record, field) for field in ("name", "label", "hash")]
    shown = next(filter(None, names), "A key without a name")
    label = names[1] if with_label and names[1] != shown else ""
    details = ", ".join(filter(None, (label, text_of(record, "workspace_name"))))
    return f"{shown} ({details})" if details else shown


def text_of(record: Key, field: str) -> str:
    """Return a field of a record as part of a line; nothing if it is null or absent."""
    return plain(read_text(record.get(field)))


def left(record: Key) -> str:
    """Return what is left of a key, and of which limit."""
    remaining, limit = amounts(record)
    if not remaining:
        return "no limit"
    return f"{remaining} of {limit} left" if limit else f"{remaining} left"


def amounts(record: Key) -> tuple[str, str]:
    """Return what is left of a key and its limit; nothing for one that is not known."""
    remaining, limit = read_amount(record.get("limit_remaining")), read_amount(record.get("limit"))
    if remaining is None:
        return "", ""
    digits = _digits(record, remaining, limit)
    return usd(remaining, digits=digits), "" if limit is None else usd(limit, digits=digits)


def balance(record: Key) -> str:
    """Return what is left of an account's credits; nothing if that is not known."""
    left = read_amount(record.get("balance"))
    return "" if left is None else usd(left, digits=_digits(record, left, None))


def _digits(record: Key, remaining: float, limit: float | None) -> int:
    threshold, left = _threshold(record), LimitedKey(record, remaining, limit)
    return threshold.digits_of(left) if threshold and threshold.measures(left) else 2


def _threshold(record: Key) -> Threshold | None:
    value = record.get("threshold")
    return _read_threshold(value) if isinstance(value, str | float | int) else None


@lru_cache(maxsize=64)
def _read_threshold(value: float | str) -> Threshold | None:
    try:
        return Threshold.read(value)
    except OpenRouterRequestError:
        return None


def why_low(record: Key) -> str:
    """Return why a key is reported; nothing if its record does not say so."""
    match record.get("reason"):
        case "expiry":
            return f"expires on {_moment(record, 'expires_at')}"
        case "runway":
            return forecast(record)
    threshold = _threshold(record)
    return f"below {threshold}" if threshold else ""


def forecast(record: Key) -> str:
    """Return until when something lasts at its pace; nothing if that is not known, or nothing is left."""
    runs_dry_at, observed_at = read_time(record.get("runs_dry_at")), read_time(record.get("observed_at"))
    pace = read_amount(record.get("pace_usd_per_day"))
    if runs_dry_at is None or pace is None or (observed_at and runs_dry_at <= observed_at):
        return ""
    return f"runs dry on {moment(runs_dry_at)} at {usd(pace)} a day"


def reset(record: Key) -> str:
    """Return when the limit of a key resets; nothing if it has none."""
    if read_amount(record.get("limit_remaining")) is None:
        return ""
    if record.get("limit_reset") is None:
        return "never resets"
    after = read_time(record.get("next_reset_at"))
    return f"resets {text_of(record, 'limit_reset')}" + (f", next on {moment(after)}" if after else "")


def _moment(record: Key, field: str) -> str:
    at = read_time(record.get(field))
    return moment(at) if at else text_of(record, field)
