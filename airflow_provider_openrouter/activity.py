"""
The rows of an account's activity: what was spent on a day, on which model, and by which key.

The fields are those of ``GET /activity`` in OpenRouter's API reference (https://openrouter.ai/docs/api-reference)
of 2026. It responds for the last 30 completed UTC days, by model, provider and endpoint. A row names no key: the
rows of one key are those of a request with its hash.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import Key, read_amount, read_text, read_time

Row: TypeAlias = dict[str, Any]
"""A row as the API sent it. Any of its fields may be missing."""

FIELDS = {
    "workspace_id": "string",
    "model": "string",
    "model_permaslug": "string",
    "provider_name": "string",
    "endpoint_id": "string",
    "requests": "integer",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "reasoning_tokens": "integer",
    "cached_tokens": "integer",
    "usage": "number",
    "byok_usage_inference": "number",
}
"""The known fields of a row besides its ``date``, each with the kind of its value."""

AMOUNTS = ("usage", "byok_usage_inference")
MEASURES = (*AMOUNTS, *(name for name, kind in FIELDS.items() if kind == "integer"))
"""The fields that are added up: USD, requests and tokens."""

GROUPINGS = ("workspace", "key", "account")
"""What the rows of a day can be grouped by, besides model, provider and endpoint."""

DAYS = 30
"""How many completed UTC days the API remembers."""

NEGLIGIBLE = Decimal("0.000001")
"""USD: less than this, without requests, is a difference of rounding."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def read_day(value: Any) -> dt.date:
    """
    Read a day, as a date or as text such as ``2026-11-03``.

    :raises OpenRouterRequestError: if it is no day.
    """
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        with suppress(ValueError):  # such as the 31st of a shorter month
            return dt.date.fromisoformat(value)
    raise OpenRouterRequestError(f"date must be a day such as 2026-11-03, not {value!r}.")


def remembered_day(value: Any) -> dt.date:
    """
    Read a day that the API remembers.

    :raises OpenRouterRequestError: if it is no day, or none of the last 30 completed UTC days.
    """
    day = read_day(value)
    first, last = remembered_days()
    if not first <= day <= last:
        raise OpenRouterRequestError(
            f"date must be one of the last {DAYS} completed UTC days, {first} to {last}, not {day}."
        )
    return day


def remembered_days() -> tuple[dt.date, dt.date]:
    """Return the first and the last day that the API remembers now."""
    today = dt.datetime.now(dt.UTC).date()
    return today - dt.timedelta(days=DAYS), today - dt.timedelta(days=1)


def read_grouping(value: Any) -> str:
    """
    Read what rows are grouped by.

    :raises OpenRouterRequestError: if it is none of :data:`GROUPINGS`.
    """
    if not isinstance(value, str) or value not in GROUPINGS:
        raise OpenRouterRequestError(f"by must be 'workspace', 'key' or 'account', not {value!r}.")
    return value


def may_have_spent(key: Key, first: dt.date, last: dt.date) -> bool:
    """
    Return whether a key may have been used on the days from the first to the last, as far as its record says.

    A ``last_used_at`` of null means that no use was recorded since the end of 2025. It counts only for a key that
    has spent nothing at all. Older servers do not send the field.
    """
    created_at, last_used_at = (read_time(key.get(name)) for name in ("created_at", "last_used_at"))
    if created_at is not None and created_at.date() > last:
        return False
    if last_used_at is not None:
        return last_used_at.date() >= first
    says_never = "last_used_at" in key and key["last_used_at"] is None
    return not says_never or any(read_amount(key.get(name)) != 0 for name in ("usage", "byok_usage"))


@dataclass(frozen=True, kw_only=True)
class Activity:
    """
    Everything that an account spent on one day.

    :param day: the UTC day.
    :param grouped_by: one of :data:`GROUPINGS`.
    :param observed_at: when it was asked for, in UTC.
    :param rows_of: the rows by the hash of the key that spent them; under None those that no key accounts for, or
        all if they are not grouped by key.
    :param key_names: the names of the keys by their hashes.
    :param workspace_names: the names of the workspaces by their ids, as far as they were read.
    """

    day: dt.date
    grouped_by: str
    observed_at: dt.datetime
    rows_of: Mapping[str | None, Sequence[Row]]
    key_names: Mapping[str, str | None] = field(default_factory=dict)
    workspace_names: Mapping[str, str] = field(default_factory=dict)

    def workspace_name(self, row: Row) -> str | None:
        """Return the name of a row's workspace, or None if it has none or was not read."""
        workspace_id = row.get("workspace_id")
        return self.workspace_names.get(workspace_id) or None if isinstance(workspace_id, str) else None

    def __len__(self) -> int:
        return sum(map(len, self.rows_of.values()))

    def __iter__(self) -> Iterator[tuple[str | None, Row]]:
        """Yield every row, after the hash of its key."""
        for hash_, rows in self.rows_of.items():
            for row in rows:
                yield hash_, row


def remainder(account: Iterable[Row], keys: Iterable[Row]) -> list[Row]:
    """
    Return what is left of the account's rows after those of its keys, by workspace, model and endpoint.

    Rows of which no key has a part are returned as they are. Of the others the amounts and counts are what is
    left, in decimals, and unknown fields are left out. What is :data:`NEGLIGIBLE` is left out, too. What is left
    is negative if the keys have more than the account.

    :param account: the rows of the whole account.
    :param keys: the rows of all its keys.
    """
    parts: dict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row in keys:
        parts[_group(row)].append(row)
    wholes: dict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row in account:
        wholes[_group(row)].append(row)
    left = []
    for group in wholes | parts:
        whole, part = wholes.get(group, []), parts.get(group, [])
        if part:
            row = _subtract(whole, part)
            if not is_negligible(row):
                left.append(row)
        else:
            left += whole
    return left


def is_negligible(row: Row) -> bool:
    """Return whether a row has less than a millionth of a dollar, and no requests."""
    return not read_amount(row["requests"]) and all(abs(total([row], name)) < NEGLIGIBLE for name in AMOUNTS)


def is_negative(row: Row) -> bool:
    """Return whether a row takes something back."""
    return (read_amount(row.get("requests")) or 0) < 0 or any(
        total([row], name) <= -NEGLIGIBLE for name in AMOUNTS
    )


def total(rows: Iterable[Row], name: str) -> Decimal:
    """Return the sum of a field, in decimals; what cannot be read is not counted."""
    amounts = (read_amount(row.get(name)) for row in rows)
    return sum((Decimal(str(amount)) for amount in amounts if amount is not None), Decimal(0))


def _group(row: Row) -> tuple[str | None, ...]:
    return tuple(read_text(row.get(name)) for name in ("workspace_id", "model", "endpoint_id"))


def _subtract(whole: list[Row], part: list[Row]) -> Row:
    row = {name: (whole or part)[0].get(name) for name in FIELDS}
    for name in MEASURES:
        is_known = not whole or any(read_amount(each.get(name)) is not None for each in whole)
        left = total(whole, name) - total(part, name)
        row[name] = (float(left) if name in AMOUNTS else int(left)) if is_known else None
    return row
