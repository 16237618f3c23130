"""
Keys as a typed pandas frame, and as the columns of a file.

Whatever the API sends, a known field is one column of one type, in the API's units: USD, and UTC. What is known
is from the schema of ``GET /keys`` in OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/api-keys/list) of 2026. A field that is not known becomes a column of
its own in a frame; in a file it goes into the JSON of ``extra_fields``, so that a year of files reads as one
table.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.snapshots.partition import Slice

log = logging.getLogger(__name__)

FIRST_MOMENT = np.datetime64("0001-01-01", "us")
LAST_MOMENT = np.datetime64("9999-12-31T23:59:59.999999", "us")
"""The first and the last that Python's own datetime knows."""

FIELDS = {
    "hash": "string",
    "name": "string",
    "label": "string",
    "disabled": "boolean",
    "limit": "number",
    "limit_remaining": "number",
    "limit_reset": "string",
    "include_byok_in_limit": "boolean",
    "usage": "number",
    "usage_daily": "number",
    "usage_weekly": "number",
    "usage_monthly": "number",
    "byok_usage": "number",
    "byok_usage_daily": "number",
    "byok_usage_weekly": "number",
    "byok_usage_monthly": "number",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "expires_at": "timestamp",
    # Newer than the others, and not sent by older servers:
    "workspace_id": "string",
    "creator_user_id": "string",
    "external_user": "string",
    "last_used_at": "timestamp",
}
"""The known fields of a key, in the order of their columns, and what each promises to be."""

FILE_COLUMNS = {
    "snapshot": "timestamp",
    "source": "string",
    "workspace_scope": "string",
    **FIELDS,
    "observed_at": "timestamp",
    "extra_fields": "string",
}
"""The columns of a file and of a table, in their order, and what each is."""


def keys_frame(keys: Sequence[dict[str, Any]], *, observed_at: datetime) -> pd.DataFrame:
    """
    Make a typed frame of keys: the known fields in their order, ``observed_at``, the unknown ones by name.

    Text is ``string``, flags are ``boolean``, money is ``float64``, timestamps are ``datetime64[us, UTC]``. A
    null, an absent field and a value that cannot be read as what its field promises are missing values, the
    last with one warning. An unknown field of one scalar type keeps it, any other becomes JSON text.

    :param keys: the keys as the API sent them.
    :param observed_at: when they were listed; an aware time.
    """
    columns = _known_columns(keys, observed_at)
    unknown = {name for key in keys for name in key} - FIELDS.keys()
    for name in sorted(unknown):
        column = name
        while column in columns or column in unknown - {name}:  # should the API send an observed_at of its own
            column = f"api_{column}"
        columns[column] = _unknown([key.get(name) for key in keys])
    return pd.DataFrame(columns, copy=False)


def keys_file_frame(keys: Sequence[dict[str, Any]], *, observed_at: datetime, part: Slice) -> pd.DataFrame:
    """
    Make a frame of keys with the columns of a file or a table, which are the same whatever the API sends.

    First come the columns of the slice. The known fields and ``observed_at`` are as in :func:`keys_frame`;
    ``extra_fields`` holds the unknown ones of each key as one JSON text, and is missing where there are none.

    :param keys: the keys as the API sent them.
    :param observed_at: when they were listed; an aware time.
    :param part: the slice of the history that they are.
    """
    columns = {
        "snapshot": _moment(part.snapshot, len(keys)),
        "source": _column([part.source] * len(keys), "string"),
        "workspace_scope": _column([part.workspace_scope] * len(keys), "string"),
        **_known_columns(keys, observed_at),
    }
    known = FIELDS.keys()
    extras = [
        None if key.keys() <= known else _json({name: key[name] for name in key.keys() - known}) for key in keys
    ]
    columns["extra_fields"] = _column(extras, "string")
    return pd.DataFrame(columns, copy=False)


def _known_columns(keys: Sequence[dict[str, Any]], observed_at: datetime) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    unreadable = {}
    for name, kind in FIELDS.items():
        sent = [key.get(name) for key in keys]
        column = _as_promised(sent, kind)
        if column is None:
            values = _read_all(sent, kind)
            column = _column(values, kind)
            if count := values.count(None) - sent.count(None):
                unreadable[name] = count
        columns[name] = column
    if unreadable:
        log.warning(
            "%s values could not be read as what their fields promise, and are missing: %s.",
            sum(unreadable.values()),
            ", ".join(f"{name} ({count})" for name, count in unreadable.items()),
        )
    columns["observed_at"] = _moment(observed_at, len(keys))
    return columns


def _unknown(values: list[Any]) -> Any:
    """Answer the column of a field of which nothing is promised."""
    types = {type(value) for value in values if value is not None}
    if types <= {str}:
        return _column(values, "string")
    if types == {bool}:
        return _column(values, "boolean")
    if types == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    if types == {float} or (
        types == {int, float} and all(value is None or abs(value) <= 2**53 for value in values)
    ):
        return _column(values, "number")
    return _column([None if value is None else _json(value) for value in values], "string")


def _column(values: list[Any], kind: str) -> Any:
    if kind == "string":
        return pd.array(values, dtype=pd.StringDtype())
    if kind == "boolean":
        return pd.array(values, dtype="boolean")
    if kind == "number":
        return np.array(values, dtype="float64")
    return _times(np.array(values, dtype="datetime64[us]"))


def _times(values: Any) -> Any:
    return pd.Series(values).dt.tz_localize("UTC")


def _moment(moment: datetime, count: int) -> Any:
    """Answer the column of a moment that is the same in every row."""
    return _times(np.full(count, np.datetime64(_naive_utc(moment), "us")))


def _as_promised(values: list[Any], kind: str) -> Any:
    """Answer the column of values that all are as their field promises, made at one go; None if any is not."""
    types = set(map(type, values)) - {type(None)}
    if not types <= _PROMISED[kind]:
        return None
    if kind == "number" and types:
        try:
            numbers = np.array(values, dtype="float64")
        except OverflowError:
            return None
        return None if np.isinf(numbers).any() else numbers
    if kind == "timestamp" and types:
        try:
            times = pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid:
            return None
        moments = times.to_numpy(zero_copy_only=False)
        known = np.nanmin(moments) >= FIRST_MOMENT and np.nanmax(moments) <= LAST_MOMENT
        return _times(moments) if known else None
    return _column(values, kind)


def _read_all(values: list[Any], kind: str) -> list[Any]:
    """Read each value as ``kind``, or as None where it cannot be."""
    read = _READERS[kind]

    def read_one(value: Any) -> Any:
        try:
            return None if value is None else read(value)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None

    return [read_one(value) for value in values]


def _read_string(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _read_boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[value.lower()]


def _read_number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def _naive_utc(time: datetime) -> datetime:
    """Answer the time in UTC and without saying so, which is how numpy takes it; without a zone it is UTC."""
    return (time if time.tzinfo is None else time.astimezone(UTC)).replace(tzinfo=None)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:  # what could just be read cannot always be written
        raise OpenRouterResponseError(
            "A key has a field that is nested too deeply to be written as JSON: report it to OpenRouter."
        ) from None


_PROMISED: dict[str, set[type]] = {
    "string": {str},
    "boolean": {bool},
    "number": {float, int},
    "timestamp": {str},
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _read_string,
    "boolean": _read_boolean,
    "number": _read_number,
    "timestamp": lambda value: _naive_utc(datetime.fromisoformat(value)),
}
"""How a value is read as each kind that is not sent as promised."""
