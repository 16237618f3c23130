"""A listing for people: in a few lines, and what is lowest as a table."""

from __future__ import annotations

import math
from typing import Any

from airflow_provider_openrouter.keys import (
    KeyListing,
    LimitedKey,
    is_disabled,
    is_expired,
    read_amount,
    read_text,
    read_time,
)
from airflow_provider_openrouter.text import count, plain, table, usd

LOWEST = 5
"""How many of the active keys with the least left are listed."""

REPORTED = 100
"""How many of them a report has."""

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


def report_lowest(listing: KeyListing) -> str:
    """
    Return the active keys with the least left as a table in Markdown, and how many more there are.

    :param listing: the keys.
    """
    limited = listing.active.limited
    if not limited:
        return "No active key has a limit."
    lowest = table(
        ("Key", "Label", "Workspace", "Left", "Limit", "Resets"),
        (
            (
                read_text(each.key.get("name")) or "",
                read_text(each.key.get("label")) or "",
                listing.workspace_name(each.key) or "",
                usd(each.remaining),
                "" if each.limit is None else usd(each.limit),
                read_text(each.key.get("limit_reset")) or "never",
            )
            for each in limited[:REPORTED]
        ),
    )
    more = len(limited) - REPORTED
    return f"{lowest}\n\nand {more:,} more" if more > 0 else lowest


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
