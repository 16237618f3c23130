"""
Keys as a typed pandas frame, and as the columns of a file.

Whatever the API sends, a known field is one column of one type, in the API's units: USD, and UTC. An unknown
field becomes a column of its own in a frame; in a file it is part of the JSON in ``extra_fields``, so that a year
of files reads as one table.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_provider_openrouter.keys import AMOUNT_BOUND, FIELDS, READERS, KeyListing, to_json
from airflow_provider_openrouter.snapshots.partition import PARTITION_COLUMNS, Partition
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

FIRST_MOMENT = np.datetime64("0001-01-01", "us")
LAST_MOMENT = np.datetime64("9999-12-31T23:59:59.999999", "us")
"""The first and the last moment that Python's datetime can hold."""

FILE_COLUMNS = {
    **PARTITION_COLUMNS,
    **FIELDS,
    "workspace_name": "string",
    "observed_at": "timestamp",
    "extra_fields": "string",
}
"""The columns of a file and of a table, in their order, and the kind of each."""


def keys_frame(listing: KeyListing) -> pd.DataFrame:
    """
    Return a typed frame: the known fields, ``workspace_name``, ``observed_at``, and the unknown fields by name.

    Text is ``string``, flags are ``boolean``, money is ``float64`` (USD), timestamps are ``datetime64[us, UTC]``.
    A null, an absent field and a value that cannot be read as the kind of its field are missing values, the last
    with one warning in all. An unknown field of one scalar type keeps that type, any other becomes JSON text.

    :param listing: the keys.
    """
    columns = _known_columns(listing)
    unknown = {name for key in listing.keys for name in key} - FIELDS.keys()
    for name in sorted(unknown):
        column = name
        while column in columns or column in unknown - {name}:  # should the API send an observed_at of its own
            column = f"api_{column}"
        columns[column] = _unknown([key.get(name) for key in listing.keys])
    return pd.DataFrame(columns, copy=False)


def keys_file_frame(listing: KeyListing, partition: Partition) -> pd.DataFrame:
    """
    Return a frame with the columns of a file or a table, which are the same whatever the API sends.

    First come the columns of the partition. The known fields, ``workspace_name`` and ``observed_at`` are as in
    :func:`keys_frame`; ``extra_fields`` holds the unknown fields of each key as one JSON text, and is missing
    where there are none.

    :param listing: the keys.
    :param partition: the partition that they belong to.
    """
    rows = len(listing.keys)
    columns = {
        name: _same_time(value, rows) if kind == "timestamp" else _column([value] * rows, kind)
        for (name, kind), value in zip(PARTITION_COLUMNS.items(), partition.columns.values(), strict=True)
    }
    columns |= _known_columns(listing)
    known = FIELDS.keys()
    extras = [
        None if key.keys() <= known else to_json({name: key[name] for name in key.keys() - known})
        for key in listing.keys
    ]
    columns["extra_fields"] = _column(extras, "string")
    return pd.DataFrame(columns, copy=False)


def _known_columns(listing: KeyListing) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    unreadable = {}
    for name, kind in FIELDS.items():
        sent = [key.get(name) for key in listing.keys]
        column = _as_promised(sent, kind)
        if column is None:
            values = [READERS[kind](value) for value in sent]
            column = _column(values, kind)
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
    rows = len(listing.keys)
    names = map(listing.workspace_name, listing.keys) if listing.workspace_names else [None] * rows
    columns["workspace_name"] = _column(list(names), "string")
    columns["observed_at"] = _same_time(listing.observed_at, rows)
    return columns


def _unknown(values: list[Any]) -> Any:
    """Return the column of an unknown field."""
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
    return _column([value if value is None else to_json(value) for value in values], "string")


def _column(values: list[Any], kind: str) -> Any:
    if kind == "string":
        return pd.array(values, dtype=pd.StringDtype())
    if kind == "boolean":
        return pd.array(values, dtype="boolean")
    if kind == "number":
        return np.array(values, dtype="float64")
    return _times(np.array([value and _naive(value) for value in values], dtype="datetime64[us]"))


def _times(values: Any) -> Any:
    return pd.Series(values).dt.tz_localize("UTC")


def _same_time(time: datetime, rows: int) -> Any:
    """Return the column of a time that is the same in every row."""
    return _times(np.full(rows, np.datetime64(_naive(time), "us")))


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
    if kind == "number" and types:
        try:
            numbers = np.array(values, dtype="float64")
        except OverflowError:
            return None
        return None if (np.abs(numbers) >= AMOUNT_BOUND).any() else numbers
    if kind == "timestamp" and types:
        try:
            times = pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid:
            return None
        moments = times.to_numpy(zero_copy_only=False)
        known = np.nanmin(moments) >= FIRST_MOMENT and np.nanmax(moments) <= LAST_MOMENT
        return _times(moments) if known else None
    return _column(values, kind)


_PROMISED: dict[str, set[type]] = {
    "string": {str},
    "boolean": {bool},
    "number": {float, int},
    "timestamp": {str},
}
"""The types of the values that each kind promises."""
