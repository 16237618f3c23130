"""The made-up account: its workspaces, its keys, and what they spend as time goes by."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from airflow_provider_openrouter.sandbox.records import Record, make_key, make_workspace

TOKEN = "sk-or-v1-sandbox-management-key"  # noqa: S105  # nosec B105  # it opens nothing
INFERENCE_TOKEN = "sk-or-v1-sandbox-inference-key"  # noqa: S105  # nosec B105

USAGES = ("usage", "usage_daily", "usage_weekly", "usage_monthly")


class Account:
    """
    An account of made-up keys, the same at every start.

    :param keys: how many keys there are, over all workspaces.
    :param workspaces: how many workspaces there are; the first is the default one.
    :param drain: USD that each active key spends a minute, until nothing is left of its limit.
    :param token: the management key.
    """

    def __init__(self, *, keys: int, workspaces: int, drain: float, token: str) -> None:
        if keys < 0 or workspaces < 1 or drain < 0:
            raise ValueError("There must be 0 keys or more, 1 workspace or more, and a drain of 0 or more.")
        self.token = token
        self.drain = drain
        self.workspaces = [make_workspace(number) for number in range(workspaces)]
        self._lock = Lock()
        self._numbers = itertools.count()
        # A record is replaced, never changed, so that it can be sent without a lock.
        self._keys: dict[str, Record] = {}
        self._spending_since: float | None = None
        for number in range(keys):
            self.create_key(workspace_id=self.workspaces[number % workspaces]["id"])

    def create_key(self, **fields: Any) -> str:
        """Create the newest key, with the given fields, and return its hash."""
        with self._lock:
            key = make_key(next(self._numbers), self.workspaces[0]["id"]) | fields
            self._keys[key["hash"]] = key
        return str(key["hash"])

    def update_key(self, hash_: str, **fields: Any) -> None:
        """Change fields of a key."""
        with self._lock:
            self._keys[hash_] = self._keys[hash_] | fields

    def delete_key(self, hash_: str) -> None:
        """Delete a key."""
        with self._lock:
            del self._keys[hash_]

    def get_key(self, hash_: str) -> Record | None:
        """Return a key as it is now, or None if no key has this hash."""
        key = self._keys.get(hash_)
        return key and self._as_of_now(key)

    def list_keys(
        self, workspace_id: str, *, include_disabled: bool, include_expired: bool, offset: int, limit: int
    ) -> list[Record]:
        """Return a page of the keys of a workspace as they are now, newest first."""
        with self._lock:
            keys = list(reversed(self._keys.values()))
        listed = [
            key
            for key in keys
            if key["workspace_id"] == workspace_id
            and (include_disabled or not key["disabled"])
            and (include_expired or not _is_expired(key))
        ]
        return [self._as_of_now(key) for key in listed[offset : offset + limit]]

    def start_spending(self) -> None:
        """Let the active keys spend from now on, unless they already do."""
        with self._lock:
            if self._spending_since is None:
                self._spending_since = time.monotonic()

    def _as_of_now(self, key: Record) -> Record:
        if self._spending_since is None or key["disabled"] or _is_expired(key):
            return key
        spent = self.drain * (time.monotonic() - self._spending_since) / 60
        remaining = key["limit_remaining"]
        if remaining is not None:
            spent = min(spent, max(0.0, remaining))
            remaining -= spent
        return key | {"limit_remaining": remaining} | {usage: (key[usage] or 0) + spent for usage in USAGES}


def _is_expired(key: Record) -> bool:
    return key["expires_at"] is not None and datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
