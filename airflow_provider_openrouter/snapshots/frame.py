"""
Keys and activity as typed pandas frames, and as the columns of files and tables.

The types are those of :mod:`airflow_provider_openrouter.snapshots.columns`. An unknown field becomes a column of
its own in the frame of keys; elsewhere it is part of the JSON in ``extra_fields``, so that a year of files reads
as one table.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from airflow_provider_openrouter.activity import Activity
from airflow_provider_openrouter.keys import FIELDS, KeyListing
from airflow_provider_openrouter.snapshots.columns import (
    constant,
    extra_fields,
    known_columns,
    typed,
    unknown_column,
)
from airflow_provider_openrouter.snapshots.kinds import ACTIVITY
from airflow_provider_openrouter.snapshots.partition import ActivityPartition, BasePartition, Partition


def keys_frame(listing: KeyListing) -> pd.DataFrame:
    """
    Return a typed frame: the known fields, ``workspace_name``, ``observed_at``, and the unknown fields by name.

    An unknown field of one scalar type keeps that type, any other becomes JSON text.

    :param listing: the keys.
    """
    columns = _known_columns(listing)
    unknown = {name for key in listing.keys for name in key} - FIELDS.keys()
    for name in sorted(unknown):
        column = name
        while column in columns or column in unknown - {name}:  # should the API send an observed_at of its own
            column = f"api_{column}"
        columns[column] = unknown_column([key.get(name) for key in listing.keys])
    return pd.DataFrame(columns, copy=False)


def keys_file_frame(listing: KeyListing, partition: Partition) -> pd.DataFrame:
    """
    Return a frame with the columns of a file or a table of keys, which are the same whatever the API sends.

    First come the columns of the partition. The known fields, ``workspace_name`` and ``observed_at`` are as in
    :func:`keys_frame`; ``extra_fields`` holds the unknown fields of each key as one JSON text, and is missing
    where there are none.

    :param listing: the keys.
    :param partition: the partition that they belong to.
    """
    columns = _partition_columns(partition, len(listing.keys))
    columns |= _known_columns(listing)
    columns["extra_fields"] = extra_fields(listing.keys, FIELDS)
    return pd.DataFrame(columns, copy=False)


def activity_frame(activity: Activity, partition: ActivityPartition) -> pd.DataFrame:
    """
    Return a frame with the columns of activity, which are the same whatever the API sends.

    Every row is of the partition's ``date``. ``key_hash`` and ``key_name`` are missing where no key accounts for
    a row; ``extra_fields`` holds the unknown fields of each row as one JSON text, and is missing where there are
    none.

    :param activity: a day's activity.
    :param partition: the partition that it belongs to.
    """
    rows = [row for _, row in activity]
    hashes = [hash_ for hash_, _ in activity]
    columns = _partition_columns(partition, len(rows))
    columns |= known_columns(rows, {name: kind for name, kind in ACTIVITY.fields.items() if name != "date"})
    columns["key_hash"] = typed(hashes, "string")
    columns["key_name"] = typed([hash_ and activity.key_names.get(hash_) for hash_ in hashes], "string")
    columns["workspace_name"] = typed(list(map(activity.workspace_name, rows)), "string")
    columns["observed_at"] = constant(activity.observed_at, "timestamp", len(rows))
    columns["extra_fields"] = extra_fields(rows, ACTIVITY.fields)
    return pd.DataFrame({name: columns[name] for name in ACTIVITY.columns}, copy=False)


def _partition_columns(partition: BasePartition, rows: int) -> dict[str, Any]:
    kinds = partition.kind.partition
    return {name: constant(value, kinds[name], rows) for name, value in partition.columns.items()}


def _known_columns(listing: KeyListing) -> dict[str, Any]:
    columns = known_columns(listing.keys, FIELDS)
    columns["workspace_name"] = typed(list(map(listing.workspace_name, listing.keys)), "string")
    columns["observed_at"] = constant(listing.observed_at, "timestamp", len(listing.keys))
    return columns
