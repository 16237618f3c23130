"""Made-up keys and workspaces, with the fields that the API sends. Equal numbers make equal records."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]

TEAMS = ("billing", "chatbot", "search", "support", "research", "mobile", "marketing")
STAGES = ("prod", "staging", "dev")
RESETS = ("monthly", "weekly", "daily", None)


def make_key(number: int, workspace_id: str) -> Record:
    """Return a key; most are active, some disabled, expired, unlimited or never used."""
    hash_ = hashlib.sha256(f"key {number}".encode()).hexdigest()
    limit = None if number % 7 == 6 else float(5 * (1 + number % 12))
    usage = round(number * 7919 % 4001 / 100, 2) if number % 5 else 0.0
    created_at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    return {
        "hash": hash_,
        "name": f"{TEAMS[number % len(TEAMS)]}-{STAGES[number % len(STAGES)]}-{number}",
        "label": f"sk-or-v1-{hash_[:3]}...{hash_[-3:]}",
        "disabled": number % 11 == 10,
        "limit": limit,
        "limit_remaining": None if limit is None else round(limit * (0.15 + number * 37 % 80 / 100), 2),
        "limit_reset": RESETS[number % len(RESETS)],
        "include_byok_in_limit": False,
        "usage": usage,
        "usage_daily": round(usage / 50, 2),
        "usage_weekly": round(usage / 10, 2),
        "usage_monthly": round(usage / 3, 2),
        "byok_usage": 0,
        "byok_usage_daily": 0,
        "byok_usage_weekly": 0,
        "byok_usage_monthly": 0,
        "created_at": created_at.isoformat(),
        "updated_at": None if number % 3 else created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expires_at": "2026-01-01T00:00:00Z" if number % 13 == 12 else None,
        "workspace_id": workspace_id,
        "creator_user_id": "user_sandbox",
        "external_user": None,
        "last_used_at": created_at.isoformat() if usage else None,
    }


def make_workspace(number: int) -> Record:
    """Return a workspace; number 0 is the default one."""
    name = "Default" if number == 0 else f"Workspace {number}"
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"openrouter-sandbox/{number}")),
        "name": name,
        "slug": name.lower().replace(" ", "-"),
    }
