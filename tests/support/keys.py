"""Keys as the API sends them, listings of them, and what a check of them logs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_openrouter.keys import Key, KeyListing, LimitedKey
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.watch.key_check import LimitCheck
from airflow_provider_openrouter.watch.left import KeyLeft

OBSERVED_AT = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)


def key(hash_: str = "a", remaining: Any = 1.0, **fields: Any) -> Key:
    """Return a key whose name is its hash, unless another is given."""
    return {"hash": hash_, "name": hash_, "limit": 100, "limit_remaining": remaining, "disabled": False} | fields


def listing(
    *keys: Key,
    observed_at: datetime = OBSERVED_AT,
    workspace_id: str | None = None,
    workspace_names: Mapping[str, str] | None = None,
) -> KeyListing:
    return KeyListing(
        keys=keys,
        observed_at=observed_at,
        scope=WorkspaceScope.read(workspace_id),
        workspace_names=workspace_names or {},
    )


def low(check: LimitCheck) -> list[KeyLeft]:
    """Return the keys that are low, without why."""
    return [finding.left for finding in check.low]


def names(keys: Iterable[LimitedKey]) -> list[str]:
    return [limited.key["name"] for limited in keys]


def lines(check: LimitCheck) -> list[str]:
    """Return what a check logs at INFO."""
    said: list[str] = []
    log = logging.Logger("lines")
    log.addHandler(handler := logging.Handler())
    handler.emit = lambda record: said.append(record.getMessage()) if record.levelno == logging.INFO else None
    check.report(log)
    return said
