"""What is stored: the kinds of files and tables, each with its columns and its partition."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openrouter import activity, keys


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    One kind of files and tables, whose columns are the same whatever the API sends.

    The kinds of values are those of :data:`airflow_provider_openrouter.keys.READERS`.

    :param endpoint: the endpoint of the API that it comes from.
    :param fields: the known fields that the endpoint sends, each with the kind of its value.
    :param partition: the columns that identify a partition, which is what one run replaces.
    :param columns: all columns in their order. ``extra_fields`` holds the unknown fields as one JSON text.
    :param identity: the columns that identify a row: the primary key. Without any the partition is indexed.
    :param old_identity: the primary key of tables from before the last of its columns existed.
    """

    endpoint: str
    fields: dict[str, str]
    partition: dict[str, str]
    columns: dict[str, str]
    identity: tuple[str, ...] = ()
    old_identity: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that are always filled: those of the primary key or of the index."""
        return self.identity or tuple(self.partition)


_KEYS_PARTITION = {
    "snapshot": "timestamp",
    "granularity": "string",
    "source": "string",
    "workspace_scope": "string",
}
KEYS = Kind(
    endpoint="keys",
    fields=keys.FIELDS,
    partition=_KEYS_PARTITION,
    columns={
        **_KEYS_PARTITION,
        **keys.FIELDS,
        "workspace_name": "string",
        "observed_at": "timestamp",
        "extra_fields": "string",
    },
    identity=(*_KEYS_PARTITION, "hash"),
    old_identity=tuple(name for name in (*_KEYS_PARTITION, "hash") if name != "granularity"),
)
"""One row for each key and snapshot."""

_ACTIVITY_PARTITION = {"date": "date", "source": "string", "grouped_by": "string"}
ACTIVITY = Kind(
    endpoint="activity",
    fields={"date": "date", **activity.FIELDS},
    partition=_ACTIVITY_PARTITION,
    columns={
        **_ACTIVITY_PARTITION,
        "key_hash": "string",
        "key_name": "string",
        "workspace_id": "string",
        "workspace_name": "string",
        **{name: kind for name, kind in activity.FIELDS.items() if name != "workspace_id"},
        "observed_at": "timestamp",
        "extra_fields": "string",
    },
)
"""
One row for each row of a day's activity.

Nothing identifies a row: any of its names may be missing, and two rows may be equal.
"""
