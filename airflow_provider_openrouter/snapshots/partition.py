"""
What one run may replace: its own partition of the history, and no other.

The API shows only the present of keys. Their partition is therefore dated by when the keys were listed, not by
the run's logical date: a run that is cleared a week later writes the keys of that later day, and leaves what it
wrote before. For activity, of which the API remembers 30 days, the partition is the day that was asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.snapshots.kinds import ACTIVITY, KEYS, Kind

GRANULARITIES: dict[str, tuple[dict[str, Any], str]] = {
    "day": ({"hour": 0, "minute": 0, "second": 0, "microsecond": 0}, "%Y-%m-%d"),
    "hour": ({"minute": 0, "second": 0, "microsecond": 0}, "%Y-%m-%dT%H"),
}
"""For each granularity: the fields of a time set to zero, and its format in a path."""


class BasePartition:
    """The rows that one run replaces."""

    kind: ClassVar[Kind]

    @property
    def columns(self) -> dict[str, Any]:
        """The values of its columns, in the order of the kind's."""
        raise NotImplementedError

    @property
    def described(self) -> dict[str, str]:
        """The values of its columns, as JSON can hold them."""
        return {
            name: value.isoformat() if isinstance(value, date) else value for name, value in self.columns.items()
        }

    @property
    def path_parts(self) -> dict[str, str]:
        """The values of its columns, as they stand in a path."""
        return self.described

    def fill_in(self, path: str) -> str:
        """
        Return a path with the values in place of its placeholders, such as ``{source}``.

        Characters that would change the folder, or mean something in a URL, are percent-encoded: ``a/b`` becomes
        ``a%2Fb``. So no two values share a path, and none leaves its folder.
        """
        values = self.path_parts
        return re.sub("{(" + "|".join(values) + ")}", lambda found: _encode(values[found[1]]), path)


@dataclass(frozen=True)
class Partition(BasePartition):
    """
    The rows of one day or hour, one account and one choice of workspaces.

    :param snapshot: the UTC day or hour.
    :param granularity: ``"day"`` or ``"hour"``.
    :param source: what distinguishes the account from others.
    :param scope: which workspaces were listed.
    """

    kind: ClassVar[Kind] = KEYS
    snapshot: datetime
    granularity: str
    source: str
    scope: WorkspaceScope

    @property
    def columns(self) -> dict[str, Any]:
        """The values of its columns."""
        return {
            "snapshot": self.snapshot,
            "granularity": self.granularity,
            "source": self.source,
            "workspace_scope": self.scope.column,
        }

    @property
    def path_parts(self) -> dict[str, str]:
        """The values of its columns, as they stand in a path."""
        _, form = GRANULARITIES[self.granularity]
        return self.described | {
            "snapshot": self.snapshot.strftime(form),
            "workspace_scope": self.scope.path_part,
        }


@dataclass(frozen=True)
class ActivityPartition(BasePartition):
    """
    The rows of one day's activity of one account, grouped in one way.

    :param day: the UTC day.
    :param source: what distinguishes the account from others.
    :param grouped_by: one of :data:`~airflow_provider_openrouter.activity.GROUPINGS`.
    """

    kind: ClassVar[Kind] = ACTIVITY
    day: date
    source: str
    grouped_by: str

    @property
    def columns(self) -> dict[str, Any]:
        """The values of its columns."""
        return {"date": self.day, "source": self.source, "grouped_by": self.grouped_by}


def _encode(value: str) -> str:
    if set(value) == {"."}:  # "." and ".." are folders
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
        return cls(
            granularity=read_granularity(granularity),
            source=read_source(source),
            snapshot=read_moment(snapshot) if snapshot else None,
        )

    def partition(self, listing: KeyListing) -> Partition:
        """Return the partition that a listing belongs to."""
        cut, _ = GRANULARITIES[self.granularity]
        snapshot = (self.snapshot or listing.observed_at).astimezone(UTC).replace(**cut)
        return Partition(snapshot, self.granularity, self.source, listing.scope)


def read_source(value: Any) -> str:
    """
    Read what distinguishes an account from others.

    :raises OpenRouterRequestError: if it is not text.
    """
    if not isinstance(value, str):
        raise OpenRouterRequestError(f"source must be text, not {value!r}.")
    return value


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
