"""The keys of a listing as the page shows them: totals, and rows sorted by what stops first."""

from __future__ import annotations

from datetime import datetime
from math import fsum
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import (
    Key,
    KeyListing,
    is_active,
    is_disabled,
    is_expired,
    read_amount,
    read_text,
    read_time,
    team,
)
from airflow_provider_openrouter.text import plain
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.stops import KeyStop, find_stops

LOW_WITHIN_DAYS = 3
EXPIRES_WITHIN_DAYS = 7
LONGEST = 200
"""How many characters of a text are shown."""

_RULE = LimitRule(threshold=f"{LOW_WITHIN_DAYS} days", expires_within=f"{EXPIRES_WITHIN_DAYS} days")
_SPEND = ("usage_daily", "usage_weekly", "usage_monthly")
_AMOUNTS = ("usage", *_SPEND, "byok_usage", *(f"byok_{name}" for name in _SPEND))
_TIMES = ("created_at", "expires_at", "last_used_at")


def show_keys(listing: KeyListing) -> dict[str, Any]:
    """
    Return totals and a row for each key, the first to stop first. Amounts are USD, times ISO 8601 in UTC.

    The rows are an iterator: ten thousand of them at once would cost the API server much memory.

    Whatever the records hold, it can be written as JSON: what cannot be read is null, and texts are cut. Low and
    expiring are the keys that a watcher reports with the threshold ``"3 days"`` and ``expires_within="7 days"``.
    A key that is disabled and expired counts as both.

    :param listing: the keys, disabled and expired ones too.
    """
    check = _RULE.check(listing)
    low = {finding.left.hash for finding in check.low if finding.criterion is not check.expiry}
    expiring = {finding.left.hash for finding in check.low if finding.criterion is check.expiry}
    return {
        "observed_at": _iso(listing.observed_at),
        "low_within_days": LOW_WITHIN_DAYS,
        "expires_within_days": EXPIRES_WITHIN_DAYS,
        "totals": {
            "keys": len(listing.keys),
            "active": sum(is_active(key, listing.observed_at) for key in listing.keys),
            "low": len(low),
            "expiring": len(expiring),
            "disabled": sum(map(is_disabled, listing.keys)),
            "expired": sum(is_expired(key, listing.observed_at) for key in listing.keys),
            **{name: round(fsum(read_amount(key.get(name)) or 0 for key in listing.keys), 6) for name in _SPEND},
        },
        "keys": (
            {
                **_who(stop.left.key, listing),
                "state": _state(stop),
                "is_low": stop.left.hash in low,
                "is_expiring": stop.left.hash in expiring,
                **_when(stop),
            }
            for stop in find_stops(listing)
        ),
    }


def _state(stop: KeyStop) -> str:
    return stop.kind if stop.kind in ("disabled", "expired") else "active"


def _who(key: Key, listing: KeyListing) -> dict[str, Any]:
    """Return what a key is called, and whose it is."""
    name = _text(key.get("name"))
    return {
        "hash": plain(key["hash"], longest=LONGEST),
        "name": _shown(name) or "",
        "label": _shown(_text(key.get("label"))),
        "team": _shown(team(name)),
        "workspace": _shown(listing.workspace_name(key) or _text(key.get("workspace_id"))),
        "creator": _shown(_text(key.get("creator_user_id"))),
        "external_user": _shown(_text(key.get("external_user"))),
    }


def _when(stop: KeyStop) -> dict[str, Any]:
    """Return when a key stops, and the amounts and times that it depends on."""
    key, forecast = stop.left.key, stop.forecast
    return {
        "stops": {"kind": stop.kind, "at": _iso(stop.at), "text": stop.text},
        "limit": read_amount(key.get("limit")),
        "limit_remaining": read_amount(key.get("limit_remaining")),
        "limit_reset": _shown(_text(key.get("limit_reset"))),
        "next_reset_at": _iso(forecast.next_reset_at),
        "runs_dry_at": _iso(forecast.runs_dry_at) if _state(stop) == "active" else None,
        "pace": round(forecast.pace, 6),
        **{name: read_amount(key.get(name)) for name in _AMOUNTS},
        **{name: _iso(read_time(key.get(name))) for name in _TIMES},
    }


def _text(value: Any) -> str | None:
    try:
        return read_text(value)
    except OpenRouterResponseError:  # nested too deeply
        return None


def _shown(text: str | None) -> str | None:
    """Return text as part of a line, None if nothing is left of it."""
    return plain(text, longest=LONGEST) or None


def _iso(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None
