"""
Records of the API as the typed columns of a pandas frame.

Whatever the API sends, a known field is one column of one type, in the API's units: USD, and UTC. Text is
``string``, flags are ``boolean``, counts are ``Int64``, money is ``float64``, timestamps are ``datetime64[us,
UTC]``, days are ``datetime64[us]``. A null, an absent field and a value that cannot be read as the kind of its
field are missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_provider_openrouter.keys import AMOUNT_BOUND, READERS, to_json
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

FIRST_MOMENT = np.datetime64("0001-01-01", "us")
LAST_MOMENT = np.datetime64("9999-12-31T23:59:59.999999", "us")
"""The first and the last moment that Python's datetime can hold."""

_ARROW_TYPES = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """Return the types of columns in files and on their way into tables, given the kind of each."""
    return pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in columns.items()])


def known_columns(records: Sequence[dict[str, Any]], fields: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the columns of known fields; one warning in all says which values could not be read.

    :param fields: the known fields, each with the kind of its value.
    """
    columns: dict[str, Any] = {}
    unreadable = {}
    for name, kind in fields.items():
        sent = [record.get(name) for record in records]
        column = _as_promised(sent, kind)
        if column is None:
            values = [READERS[kind](value) for value in sent]
            column = typed(values, kind)
            if missing := values.count(None) - sent.count(None):
                unreadable[name] = missing
        columns[name] = column
    if total := sum(unreadable.values()):
        log.warning(
            "Could not read %s, which %s missing in the frame: %s",
            count(total, "value"),
            "is" if total == 1 else "are",
            ", ".join(f"{name} ({number})" for name, number in unreadable.items()),
        )
    return columns


def unknown_column(values: list[Any]) -> Any:
    """Return the column of an unknown field: of its type if that is one scalar type, else as JSON text."""
    types = {type(value) for value in values if value is not None}
    if types <= {str}:
        return typed(values, "string")
    if types == {bool}:
        return typed(values, "boolean")
    if types == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return typed(values, "integer")
    if types == {float} or (
        types == {int, float} and all(value is None or abs(value) <= 2**53 for value in values)
    ):
        return typed(values, "number")
    return typed([value if value is None else to_json(value) for value in values], "string")


def extra_fields(records: Iterable[dict[str, Any]], known: Iterable[str]) -> Any:
    """Return the column of all unknown fields of each record as one JSON text, missing where there are none."""
    known = frozenset(known)
    extras = [
        None if record.keys() <= known else to_json({name: record[name] for name in record.keys() - known})
        for record in records
    ]
    return typed(extras, "string")


def constant(value: Any, kind: str, rows: int) -> Any:
    """Return the column of a value that is the same in every row."""
    if kind == "timestamp":
        return _times(np.full(rows, np.datetime64(_naive(value))))
    return typed([value] * rows, kind)


def typed(values: list[Any], kind: str) -> Any:
    """Return the column of values of a kind, or None for what is missing."""
    if kind == "string":
        return pd.array(values, dtype=pd.StringDtype())
    if kind == "boolean":
        return pd.array(values, dtype="boolean")
    if kind == "integer":
        return pd.array(values, dtype="Int64")
    if kind == "number":
        return np.array(values, dtype="float64")
    if kind == "date":
        return np.array(values, dtype="datetime64[us]")
    return _times(np.array([value and _naive(value) for value in values], dtype="datetime64[us]"))


def _times(values: Any) -> Any:
    return pd.Series(values).dt.tz_localize("UTC")


def _naive(time: datetime) -> datetime:
    """Return a time in UTC without its time zone, as numpy takes it."""
    return time.astimezone(UTC).replace(tzinfo=None)


def _as_promised(values: list[Any], kind: str) -> Any:
    """
    Return the column, converted at once, if every value has the promised type; otherwise None.

    It must read every value as :data:`READERS` do.
    """
    types = set(map(type, values)) - {type(None)}
    if not types <= _PROMISED[kind]:
        return None
    if kind == "integer" and types:
        try:
            return typed(values, kind)
        except (OverflowError, TypeError):
            return None
    if kind == "number" and types:
        try:
            numbers = np.array(values, dtype="float64")
        except OverflowError:
            return None
        return None if (np.abs(numbers) >= AMOUNT_BOUND).any() else numbers
    if kind == "timestamp" and types:
        try:
            times = pa.array(values).cast(pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid:
            return None
        moments = times.to_numpy(zero_copy_only=False)
        known = np.nanmin(moments) >= FIRST_MOMENT and np.nanmax(moments) <= LAST_MOMENT
        return _times(moments) if known else None
    return typed(values, kind)


_PROMISED: dict[str, set[type]] = {
    "string": {str},
    "boolean": {bool},
    "integer": {int},
    "number": {float, int},
    "timestamp": {str},
    "date": set(),
}
"""The types of the values that each kind promises."""
