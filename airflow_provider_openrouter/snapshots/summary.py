"""A listing, or a day's activity, in a few lines for people."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any

from airflow_provider_openrouter.activity import AMOUNTS, Activity, Row, total
from airflow_provider_openrouter.keys import (
    KeyListing,
    LimitedKey,
    is_disabled,
    is_expired,
    read_amount,
    read_text,
    read_time,
)
from airflow_provider_openrouter.text import count, plain, usd

LOWEST = 5
"""How many of the active keys with the least left are listed."""

HIGHEST = 5
"""How many of the most expensive models and keys are listed."""

SPEND = ("usage", "usage_daily", "usage_weekly", "usage_monthly")


def summarize(listing: KeyListing) -> dict[str, Any]:
    """
    Count the keys, add up their spend (USD, in the API's calendar windows of UTC), and name the lowest.

    A key was never used if it has neither spend nor a ``last_used_at``. Among the lowest are only active keys
    (neither disabled nor expired) whose ``limit_remaining`` is a known amount.

    :param listing: the keys.
    """
    keys = listing.keys
    return {
        "observed_at": listing.observed_at.isoformat(),
        "workspace": listing.workspace,
        "keys": len(keys),
        "disabled": sum(map(is_disabled, keys)),
        "expired": sum(is_expired(key, listing.observed_at) for key in keys),
        "unlimited": sum(read_amount(key.get("limit")) is None for key in keys),
        "never_used": sum(
            not read_amount(key.get("usage"))
            and not read_amount(key.get("byok_usage"))
            and read_time(key.get("last_used_at")) is None
            for key in keys
        ),
        **{name: round(math.fsum(read_amount(key.get(name)) or 0 for key in keys), 6) for name in SPEND},
        "lowest": [_describe(limited, listing) for limited in listing.active.limited[:LOWEST]],
    }


def _describe(limited: LimitedKey, listing: KeyListing) -> dict[str, Any]:
    name = listing.workspace_name(limited.key)
    return {
        "name": read_text(limited.key.get("name")),
        "label": read_text(limited.key.get("label")),
        "limit_remaining": limited.remaining,
        "limit": limited.limit,
        **({} if name is None else {"workspace_id": limited.key["workspace_id"], "workspace_name": name}),
    }


def log_summary(summary: dict[str, Any], log: Any) -> None:
    """Log a summary, each of the lowest keys in a line of its own."""
    log.info(
        "%s (workspace: %s): %s disabled, %s expired, %s without limit, %s never used",
        count(summary["keys"], "key"),
        summary["workspace"],
        *(f"{summary[name]:,}" for name in ("disabled", "expired", "unlimited", "never_used")),
    )
    log.info(
        "Spend (UTC): %s today, %s this week, %s this month, %s in all",
        *(usd(summary[name]) for name in ("usage_daily", "usage_weekly", "usage_monthly", "usage")),
    )
    for key in summary["lowest"]:
        limit = "" if key["limit"] is None else f" of {usd(key['limit'])}"
        details = ", ".join(filter(None, (plain(key["label"]), plain(key.get("workspace_name")))))
        more = f" ({details})" if details else ""
        log.info("%s%s left: %s%s", usd(key["limit_remaining"]), limit, plain(key["name"]), more)


def summarize_activity(activity: Activity) -> dict[str, Any]:
    """
    Add up what a day cost (USD), and name the most expensive models and keys.

    ``keys`` and ``without_key``, what no key accounts for, are known only if the rows are grouped by key.

    :param activity: a day's activity.
    """
    is_by_key = activity.grouped_by == "key"
    by_model: dict[str | None, list[Row]] = defaultdict(list)
    for _, row in activity:
        by_model[read_text(row.get("model"))].append(row)
    spenders = {hash_: rows for hash_, rows in activity.rows_of.items() if hash_ is not None}
    return {
        "observed_at": activity.observed_at.isoformat(),
        "date": activity.day.isoformat(),
        "grouped_by": activity.grouped_by,
        "rows": len(activity),
        **_sums(row for _, row in activity),
        "models": [{"model": model, **_sums(rows)} for model, rows in _most_expensive(by_model)],
        "keys": [
            {"key_hash": hash_, "key_name": activity.key_names.get(hash_), **_sums(rows)}
            for hash_, rows in _most_expensive(spenders)
        ],
        "without_key": _sums(activity.rows_of[None]) if is_by_key else None,
    }


def _sums(rows: Iterable[Row]) -> dict[str, float]:
    rows = list(rows)
    amounts = {name: round(float(total(rows, name)), 6) for name in AMOUNTS}
    return {**amounts, "requests": int(total(rows, "requests"))}


def _most_expensive(rows_of: Mapping[Any, Sequence[Row]]) -> list[tuple[Any, Sequence[Row]]]:
    return nlargest(HIGHEST, rows_of.items(), key=lambda each: total(each[1], "usage"))


def log_activity(summary: dict[str, Any], log: Any) -> None:
    """Log the summary of a day's activity, each model and key in a line of its own."""
    log.info("Spend on %s (UTC): %s", summary["date"], _cost(summary))
    for model in summary["models"]:
        log.info("Model %s: %s", plain(model["model"]) or "unknown", _cost(model))
    for key in summary["keys"]:
        log.info("Key %s: %s", plain(key["key_name"]) or plain(key["key_hash"]), _cost(key))
    if summary["without_key"]:
        log.info("No key accounts for: %s", _cost(summary["without_key"]))


def _cost(sums: dict[str, Any]) -> str:
    byok = sums["byok_usage_inference"]
    own = f", {usd(byok)} on own provider keys" if byok else ""
    return f"{usd(sums['usage'])}{own}, {count(sums['requests'], 'request')}"
