"""
What each listing and each poll shows, as metrics of Airflow's own ``Stats``. Their names are in docs/metrics.md.

Each has the tags ``connection`` and ``scope``: ``default``, ``all`` or what was typed as the workspace, and
``account`` for the credits. Plain StatsD has no tags: there the tags' values follow the name, as in
``openrouter.polls.openrouter_default.all``. No metric names a key, as there may be thousands.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from airflow.providers.common.compat.sdk import Stats, conf

from airflow_provider_openrouter.keys import KeyListing, read_amount
from airflow_provider_openrouter.scope import WorkspaceScope

LONGEST = 80
"""Characters of a tag's value; Airflow drops a metric whose name has more than 250."""


def record_keys(openrouter_conn_id: str, listing: KeyListing) -> None:
    """Set the gauges of a listing's active keys; disabled keys do not count, whether they were listed or not."""
    tags = _tags(openrouter_conn_id, listing.scope)
    active = [*(limited.key for limited in listing.active.limited), *listing.active.not_measurable]
    spend = math.fsum(read_amount(key.get("usage_daily")) or 0 for key in active)
    _gauge("openrouter.keys.active", len(active), tags)
    _gauge("openrouter.keys.spend_today", round(spend, 6), tags)


def record_credits(openrouter_conn_id: str, *, balance: float, days_left: float | None = None) -> None:
    """
    Set the gauges of an account's credits.

    :param balance: USD.
    :param days_left: None if it is not known, or nothing is spent.
    """
    tags = _tags(openrouter_conn_id)
    _gauge("openrouter.credits.balance", round(balance, 6), tags)
    if days_left is not None:
        _gauge("openrouter.credits.days_left", round(days_left, 3), tags)


@contextmanager
def counted_poll(openrouter_conn_id: str, scope: WorkspaceScope | None = None) -> Iterator[None]:
    """Count a poll, of the credits if there is no scope, and whether it fails; one that is given up is none."""
    tags = _tags(openrouter_conn_id, scope)
    try:
        yield
    except Exception:
        _count("openrouter.poll_failures", 1, tags)
        _count("openrouter.polls", 1, tags)
        raise
    _count("openrouter.polls", 1, tags)


def count_reports(
    openrouter_conn_id: str, scope: WorkspaceScope | None = None, *, reasons: Iterable[str]
) -> None:
    """Count what is reported, of the credits if there is no scope, by its reason."""
    for reason, number in Counter(reasons).items():
        _count("openrouter.reports", number, {**_tags(openrouter_conn_id, scope), "reason": reason})


def _tags(openrouter_conn_id: str, scope: WorkspaceScope | None = None) -> dict[str, str]:
    return {"connection": openrouter_conn_id, "scope": scope.path_part if scope else "account"}


def _gauge(name: str, value: float, tags: dict[str, str]) -> None:
    name, tags = _place(name, tags)
    Stats.gauge(name, value, tags=tags)


def _count(name: str, number: int, tags: dict[str, str]) -> None:
    name, tags = _place(name, tags)
    Stats.incr(name, number, tags=tags)


def _place(name: str, tags: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return the name and the tags that Airflow's backend needs; in values it takes few characters."""
    values = {tag: re.sub("[^a-zA-Z0-9_-]", "_", value)[:LONGEST] for tag, value in tags.items()}
    return (name, values) if _has_tags() else (".".join([name, *values.values()]), {})


@cache
def _has_tags() -> bool:
    """Return whether Airflow's backend has tags. Airflow chooses it in the same order."""
    if conf.getboolean("metrics", "statsd_datadog_enabled", fallback=False):
        return bool(conf.getboolean("metrics", "statsd_datadog_metrics_tags", fallback=True))
    if conf.getboolean("metrics", "statsd_on", fallback=False):
        return bool(conf.getboolean("metrics", "statsd_influxdb_enabled", fallback=False))
    return True
