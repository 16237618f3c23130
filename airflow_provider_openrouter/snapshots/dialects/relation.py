"""
The table, partitioned table or view of PostgreSQL that is there, and the rows of a frame into it.

Every value goes as text, and PostgreSQL reads it by the type of its column. So both drivers do the same, whatever
types the user chose.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.csv
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import Table, text
from sqlalchemy.engine import Connection

from airflow_provider_openrouter.snapshots.dialects.base import arrow_rows, kind_of, shown_name
from airflow_provider_openrouter.snapshots.dialects.libpq import copy
from airflow_provider_openrouter.snapshots.partition import BasePartition

ROWS_A_COPY = 20_000
ROWS_A_STATEMENT = 1_000

_TEXTS = {"bpchar", "citext", "text", "varchar"}
_HOLDS = {
    "string": {"json", "jsonb", "uuid"},
    "boolean": {"bool"},
    "integer": {"float8", "int8", "numeric"},
    "number": {"float4", "float8", "numeric"},
    "timestamp": {"date", "timestamp", "timestamptz"},
    "date": {"date", "timestamp"},
}
"""The types that take each kind of values, beside texts: integers would round amounts, small ones overflow."""
_ADVICE = {
    "string": "text",
    "boolean": "boolean",
    "integer": "bigint or numeric",
    "number": "double precision or numeric",
    "timestamp": "timestamp with time zone",
    "date": "date",
}

_CATALOGUE = """
    SELECT attribute.attname,
        format_type(attribute.atttypid, -1),
        CASE WHEN base.typtype = 'e' THEN 'enum' ELSE base.typname END,
        class.relkind IN ('r', 'p') AND NOT class.relhasrules AND NOT row_security_active(class.oid)
    FROM pg_class AS class
    JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
    JOIN pg_type AS declared ON declared.oid = attribute.atttypid
    JOIN pg_type AS base ON base.oid = coalesce(nullif(declared.typbasetype, 0), declared.oid)
    WHERE class.oid = CAST(:name AS regclass) AND attribute.attnum > 0 AND NOT attribute.attisdropped
"""
"""The columns with their types, those below domains, and whether COPY does what INSERT does."""


@dataclass(frozen=True)
class Relation:
    """
    What the catalogue says of a table.

    :param target: its definition.
    :param types: the type of each column, without its length.
    :param base_types: what that is called in the catalogue; of a domain it is the type below it.
    :param takes_copy: whether COPY does the same as INSERT.
    """

    target: Table
    types: dict[str, str]
    base_types: dict[str, str]
    takes_copy: bool

    @classmethod
    def read(cls, connection: Connection, target: Table) -> Relation:
        """Read the catalogue."""
        found = connection.execute(text(_CATALOGUE), {"name": target.info["quoted_name"]}).all()
        return cls(
            target,
            types={name: declared for name, declared, _, _ in found},
            base_types={name: base for name, _, base, _ in found},
            takes_copy=all(takes_copy for *_, takes_copy in found),
        )

    def check(self, partition: BasePartition) -> None:
        """
        Refuse a column that cannot hold its values, or in which two partitions would be one.

        :raises AirflowFailException: if there is one.
        """
        for name, kind in kind_of(self.target).columns.items():
            base = self.base_types[name]
            fits = base in _TEXTS | _HOLDS[kind] or (base == "enum" and kind == "string")
            cuts_hours = name == "snapshot" and base == "date" and partition.columns["granularity"] == "hour"
            if cuts_hours or not fits:
                what = "hours" if cuts_hours else f"every {kind}"
                raise AirflowFailException(
                    f"Column {name} of table {shown_name(self.target)} cannot hold {what}: it is of type "
                    f"{self.types[name]}. Make it {_ADVICE[kind]}. Nothing was changed."
                )

    def replace(self, connection: Connection, partition: BasePartition, frame: pd.DataFrame) -> int:
        """Replace the rows of a partition by those of a frame, and return how many it had."""
        preparer = connection.dialect.identifier_preparer
        table = preparer.format_table(self.target)
        own = " AND ".join(
            f"{preparer.quote(name)} = {self._cast(f'%({name})s', name)}" for name in partition.columns
        )
        values = {name: _texts(pa.array([value]))[0] for name, value in partition.columns.items()}
        replaced = connection.exec_driver_sql(f"DELETE FROM {table} WHERE {own}", values).rowcount  # noqa: S608  # nosec B608

        columns = kind_of(self.target).columns
        names = ", ".join(map(preparer.quote, columns))
        size = ROWS_A_COPY if self.takes_copy else ROWS_A_STATEMENT
        arrays = ", ".join(f"CAST(%({name})s AS text[])" for name in columns)
        read = ", ".join(self._cast(f"sent.{preparer.quote(name)}", name) for name in columns)
        for start in range(0, len(frame), size):
            rows = arrow_rows(self.target, frame.iloc[start : start + size])
            if self.takes_copy:
                statement = (
                    f"COPY {self.target.info['quoted_name']} ({names}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
                )
                copy(connection.connection.driver_connection, statement, _csv(rows))
            else:
                connection.exec_driver_sql(
                    f"INSERT INTO {table} ({names}) SELECT {read} FROM unnest({arrays}) AS sent ({names})",  # noqa: S608  # nosec B608
                    dict(zip(columns, map(_texts, rows.columns), strict=True)),
                )
        return replaced

    def _cast(self, value: str, column: str) -> str:
        # To the type without its length: a cast would cut a text short where an assignment refuses it.
        return f"CAST({value} AS {self.types[column].replace('%', '%%')})"


def _texts(values: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return values as texts; times are in UTC and say so."""
    return values.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]


def _csv(rows: pa.Table) -> bytes:
    """Return rows as CSV: a missing value is nothing, and an empty text is a pair of quotation marks."""
    buffer = io.BytesIO()
    pa.csv.write_csv(rows, buffer, pa.csv.WriteOptions(include_header=False))
    return buffer.getvalue()
