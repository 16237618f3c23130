"""A day's activity in a few lines for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any

from airflow_provider_openrouter.activity import AMOUNTS, Activity, Row, total
from airflow_provider_openrouter.keys import read_text
from airflow_provider_openrouter.text import count, plain, usd

HIGHEST = 5
"""How many of the most expensive models and keys are listed."""


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
