"""Listings as the client makes them, and the partitions they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_openrouter.keys import Key, KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.snapshots.partition import Partition, Partitioning

OBSERVED_AT = datetime(2026, 11, 3, 6, 30, 15, 123456, tzinfo=UTC)


def listing_of(
    keys: Sequence[Key],
    observed_at: datetime = OBSERVED_AT,
    workspace_id: Any = None,
    workspace_names: Mapping[str, str] | None = None,
) -> KeyListing:
    return KeyListing(
        keys=keys,
        observed_at=observed_at,
        scope=WorkspaceScope.read(workspace_id),
        workspace_names=workspace_names or {},
    )


def partition_of(
    listing: KeyListing, moment: datetime | None = None, granularity: str = "day", source: str = "team"
) -> Partition:
    return Partitioning(granularity=granularity, source=source, snapshot=moment).partition(listing)
