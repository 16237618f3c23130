"""
What one run may replace: its own partition of the history, and no other.

The API shows only the present. A partition is therefore dated by when the keys were listed, not by the run's
logical date: a run that is cleared a week later writes the keys of that later day, beside what it wrote before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope

GRANULARITIES: dict[str, tuple[dict[str, Any], str]] = {
    "day": ({"hour": 0, "minute": 0, "second": 0, "microsecond": 0}, "%Y-%m-%d"),
    "hour": ({"minute": 0, "second": 0, "microsecond": 0}, "%Y-%m-%dT%H"),
}
"""For each granularity: the fields of a time set to zero, and its format in a path."""

PARTITION_COLUMNS = {
    "snapshot": "timestamp",
    "granularity": "string",
    "source": "string",
    "workspace_scope": "string",
}
"""The columns that identify a partition, and the kind of each."""
IDENTITY = (*PARTITION_COLUMNS, "hash")
"""The columns that identify a row."""
OLD_IDENTITY = tuple(name for name in IDENTITY if name != "granularity")
"""The primary key of tables that were created before the column granularity existed."""


@dataclass(frozen=True)
class Partition:
    """
    The rows of one day or hour, one account and one choice of workspaces.

    :param snapshot: the UTC day or hour.
    :param granularity: ``"day"`` or ``"hour"``.
    :param source: what distinguishes the account from others.
    :param scope: which workspaces were listed.
    """

    snapshot: datetime
    granularity: str
    source: str
    scope: WorkspaceScope

    @property
    def columns(self) -> dict[str, Any]:
        """The values of :data:`PARTITION_COLUMNS`."""
        return {
            "snapshot": self.snapshot,
            "granularity": self.granularity,
            "source": self.source,
            "workspace_scope": self.scope.column,
        }

    def fill_in(self, path: str) -> str:
        """
        Return a path with the values in place of its placeholders, such as ``{snapshot}``.

        Characters that would change the folder, or mean something in a URL, are percent-encoded: ``a/b`` becomes
        ``a%2Fb``. So no two values share a path, and none leaves its folder.
        """
        _, form = GRANULARITIES[self.granularity]
        values = {
            "snapshot": self.snapshot.strftime(form),
            "granularity": self.granularity,
            "source": _encode(self.source),
            "workspace_scope": _encode(self.scope.path_part),
        }
        return re.sub("{(" + "|".join(PARTITION_COLUMNS) + ")}", lambda found: values[found[1]], path)


def _encode(value: str) -> str:
    if not value.strip("."):  # "." and ".." are folders
        return value.replace(".", "%2E")
    return re.sub(r"[%/\\?#\x00-\x1f\x7f]", lambda found: f"%{ord(found[0]):02X}", value)


@dataclass(frozen=True, kw_only=True)
class Partitioning:
    """
    The arguments that decide to which partition a listing belongs.

    :param granularity: ``"day"`` or ``"hour"``.
    :param source: what distinguishes the account from others.
    :param snapshot: a moment of the day or hour, with its time zone; None for when the keys were listed.
    """

    granularity: str
    source: str
    snapshot: datetime | None = None

    @classmethod
    def read(cls, *, granularity: Any, source: Any, snapshot: Any) -> Partitioning:
        """
        Read the arguments of an operator.

        :raises OpenRouterRequestError: if one of them makes no sense.
        """
        if not isinstance(source, str):
            raise OpenRouterRequestError(f"source must be text, not {source!r}.")
        return cls(
            granularity=read_granularity(granularity),
            source=source,
            snapshot=read_moment(snapshot) if snapshot else None,
        )

    def partition(self, listing: KeyListing) -> Partition:
        """Return the partition that a listing belongs to."""
        cut, _ = GRANULARITIES[self.granularity]
        snapshot = (self.snapshot or listing.observed_at).astimezone(UTC).replace(**cut)
        return Partition(snapshot, self.granularity, self.source, listing.scope)


def read_granularity(value: Any) -> str:
    """
    Read a granularity.

    :raises OpenRouterRequestError: if it is neither ``"day"`` nor ``"hour"``.
    """
    if not isinstance(value, str) or value not in GRANULARITIES:
        raise OpenRouterRequestError(f"granularity must be 'day' or 'hour', not {value!r}.")
    return value


def read_moment(value: datetime | str) -> datetime:
    """
    Read a moment, as such or in ISO 8601; without a time zone it is UTC.

    :raises OpenRouterRequestError: if it cannot be read.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise OpenRouterRequestError(
            f"snapshot must be a time such as 2026-11-03T00:00:00+00:00, not {value!r}."
        ) from None
