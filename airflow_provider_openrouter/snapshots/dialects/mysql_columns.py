"""The columns of a table of MySQL or MariaDB, and whether they hold exactly what they are given."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import Table, text
from sqlalchemy.engine import Connection

from airflow_provider_openrouter.snapshots.dialects.base import kind_of, shown_name

OUR_WORDS = {"granularity", "grouped_by"}
"""The columns of few words, none of which any collation takes for another."""
_EXACT = re.compile(r"_(nopad|0900)_bin$")
"""The collations in which no two texts are equal; the others pass over case, or spaces at the end."""


class Column(NamedTuple):
    """A column that a table has, as the server describes it."""

    holds: str
    """The kind of the values that are written to it."""
    in_key: bool
    name: str
    kind: str
    """The type without its arguments."""
    type: str
    characters: int | None
    octets: int | None
    collation: str | None

    @property
    def is_wrong(self) -> bool:
        """Whether two times or two keys may be one for it."""
        if self.holds == "timestamp":  # a timestamp ends in 2038, and depends on who reads it
            return self.kind != "datetime" if self.in_key else self.type != "datetime(6)"
        if self.holds == "date":
            return self.kind not in ("date", "datetime")
        is_exact = self.name in OUR_WORDS or not self.collation or _EXACT.search(self.collation)
        return self.in_key and not is_exact

    @property
    def rounds(self) -> bool:
        """Whether it holds fewer digits of an amount than were sent."""
        return self.holds == "number" and self.kind != "double"

    def check(self, values: Any, target: Table) -> None:
        """Refuse values that it would cut. The server itself cuts spaces at the end of them in any mode."""
        import pyarrow.compute as pc

        if self.kind.endswith("char"):
            longest, lengths, unit = self.characters, pc.utf8_length(values), "characters"
        elif self.kind.endswith(("text", "binary", "blob")):
            longest, lengths, unit = self.octets, pc.binary_length(values), "bytes"
        else:  # the server refuses what does not fit into other types
            return
        found = pc.max(lengths).as_py() or 0
        if longest and found > longest:
            raise AirflowFailException(
                f"Column {self.name} of table {shown_name(target)} takes {longest:,} {unit}, and a "
                f"value has {found:,}. Make the column longer."
            )


def about(target: Table, what: str, view: str) -> Any:
    """Return the statement that asks a view of the server about a table."""
    return text(
        f"SELECT {what} FROM information_schema.{view} "  # noqa: S608  # nosec B608
        "WHERE table_schema = coalesce(:schema, database()) AND table_name = :name"
    ).bindparams(schema=target.schema, name=target.name)


def columns_of(connection: Connection, target: Table) -> list[Column]:
    """Return those of our columns that the table has."""
    what = (
        "column_name, CAST(data_type AS char), CAST(column_type AS char), "
        "character_maximum_length, character_octet_length, collation_name"
    )
    kind = kind_of(target)
    found = connection.execute(about(target, what, "columns"))
    return [
        Column(kind.columns[name], name in kind.key, name, *described)
        for name, *described in found
        if name in kind.columns
    ]
