"""
What one run may replace: its slice of the history, and nobody else's.

The API shows only the present. A slice is therefore dated by when the keys were observed and not by the run's
logical date: a run that is cleared a week later writes that later day's truth, beside what it wrote before.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError

GRANULARITIES: dict[str, tuple[dict[str, Any], str]] = {
    "day": ({"hour": 0, "minute": 0, "second": 0, "microsecond": 0}, "%Y-%m-%d"),
    "hour": ({"minute": 0, "second": 0, "microsecond": 0}, "%Y-%m-%dT%H"),
}
"""Of each granularity, what is cut off a time, and how what is left is written in a path."""


@dataclass(frozen=True)
class Slice:
    """
    The rows of one snapshot of one account and one choice of workspaces.

    :param snapshot: the UTC day or hour.
    :param source: the account, as the connection's id or as it was named.
    :param workspace_scope: ``default``, ``*``, or the id of a workspace.
    :param granularity: ``"day"`` or ``"hour"``.
    """

    snapshot: datetime
    source: str
    workspace_scope: str
    granularity: str = "day"

    @classmethod
    def of(cls, moment: datetime, *, granularity: str, source: str, workspace_id: str | None) -> Slice:
        """
        Answer the slice to which a moment belongs.

        :param moment: with its time zone.
        :raises OpenRouterRequestError: if the granularity is none.
        """
        check_granularity(granularity)
        if not isinstance(source, str):
            raise OpenRouterRequestError(f"source must be text, not {source!r}.")
        cut, _ = GRANULARITIES[granularity]
        return cls(moment.astimezone(UTC).replace(**cut), source, workspace_id or "default", granularity)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that tell its rows from others."""
        return {name: value for name, value in asdict(self).items() if name != "granularity"}

    def fill_in(self, path: str) -> str:
        """Replace ``{snapshot}``, ``{source}`` and ``{workspace_scope}`` in a path; ``*`` is written ``all``."""
        _, form = GRANULARITIES[self.granularity]
        scope = "all" if self.workspace_scope == "*" else self.workspace_scope
        values = {"snapshot": self.snapshot.strftime(form), "source": self.source, "workspace_scope": scope}
        return re.sub("{(snapshot|source|workspace_scope)}", lambda found: values[found[1]], path)


def check_granularity(granularity: Any) -> None:
    """
    Refuse what is no granularity.

    :raises OpenRouterRequestError: if it is neither ``"day"`` nor ``"hour"``.
    """
    if not isinstance(granularity, str) or granularity not in GRANULARITIES:
        raise OpenRouterRequestError(f"granularity must be 'day' or 'hour', not {granularity!r}.")


def read_moment(value: datetime | str) -> datetime:
    """
    Read a moment, as such or in ISO 8601; without a time zone it is UTC.

    :raises OpenRouterRequestError: if it is none.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise OpenRouterRequestError(
            f"snapshot must be a time such as 2026-11-03T00:00:00+00:00, not {value!r}."
        ) from None
