"""A day of activity, as the API sends it and as it is stored."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from airflow_provider_openrouter.activity import Activity, Row
from airflow_provider_openrouter.snapshots.frame import activity_frame
from airflow_provider_openrouter.snapshots.partition import ActivityPartition

DAY = date(2026, 11, 3)
OBSERVED_AT = datetime(2026, 11, 4, 2, 0, 7, 123456, tzinfo=UTC)


def row(model: str | None = "vendor/model", **fields: Any) -> Row:
    return {"date": "2026-11-03", "model": model, "endpoint_id": "e", "usage": 1.5, "requests": 3} | fields


def day_of(*rows: Row, of_key: dict[str, list[Row]] | None = None, **fields: Any) -> Activity:
    """Return a day of rows that no key accounts for, and with ``of_key`` those of keys."""
    grouped_by = "workspace" if of_key is None else "key"
    defaults = {"day": DAY, "grouped_by": grouped_by, "observed_at": OBSERVED_AT}
    return Activity(**{**defaults, "rows_of": {None: list(rows), **(of_key or {})}, **fields})


def frame_of(activity: Activity, source: str = "team"):
    return activity_frame(activity, ActivityPartition(activity.day, source, activity.grouped_by))


def shown_amounts(spend: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return what each group of the page's spend cost on each day, without zeros."""
    return {
        (group["name"], day): amount
        for group in spend["groups"]
        for day, amount in zip(spend["days"], group["spend"], strict=True)
        if amount
    }
