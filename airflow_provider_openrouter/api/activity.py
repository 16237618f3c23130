"""What an account spent: the rows of ``GET /activity``, of the whole account or of each of its keys."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from typing import Any

from airflow_provider_openrouter.activity import Activity, Row, is_negative, may_have_spent, remainder, total
from airflow_provider_openrouter.api.records import RecordReader
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import KeyListing, read_hash, read_text
from airflow_provider_openrouter.text import count, plain, usd

log = logging.getLogger(__name__)

SHOWN = 5
"""How many rows a warning names."""


def activity_query(
    *,
    day: dt.date | None,
    api_key_hash: Any = None,
    user_id: Any = None,
    group_by: Any = None,
) -> dict[str, str]:
    """
    Return the parameters of a request.

    :raises OpenRouterRequestError: if one of them makes no sense.
    """
    if group_by not in (None, "workspace"):
        raise OpenRouterRequestError(f"group_by must be 'workspace' or None, not {group_by!r}.")
    if user_id is not None and (not isinstance(user_id, str) or not user_id.strip()):
        raise OpenRouterRequestError(f"user_id must be the id of a member or None, not {user_id!r}.")
    given = {
        "date": None if day is None else day.isoformat(),
        "api_key_hash": None if api_key_hash is None else read_hash(api_key_hash),
        "user_id": user_id,
        "group_by": group_by,
    }
    return {name: value for name, value in given.items() if value is not None}


def activity_of_account(records: RecordReader, day: dt.date, *, by_workspace: bool) -> Activity:
    """Return what the account spent on a day, by workspace if asked for."""
    observed_at = dt.datetime.now(dt.UTC)
    names = records.workspace_names() if by_workspace else {}
    rows = records.activity(activity_query(day=day, group_by="workspace" if by_workspace else None))
    records.log_end(_listed(rows, day))
    return Activity(
        day=day,
        grouped_by="workspace" if by_workspace else "account",
        observed_at=observed_at,
        rows_of={None: rows},
        workspace_names=names,
    )


def activity_by_key(records: RecordReader, day: dt.date, listing: KeyListing) -> Activity:
    """
    Return what each key spent on a day, and what is left of the account's activity.

    The keys that may have been used on that day are asked for side by side. A key that is deleted meanwhile no
    longer has rows of its own; its spend is left over.

    :param listing: all keys of the account.
    """
    observed_at = dt.datetime.now(dt.UTC)
    query = activity_query(day=day, group_by="workspace")
    account = records.activity(query)
    # Without rows of the account no key can have any.
    hashes = [key["hash"] for key in listing.keys if may_have_spent(key, day, day)] if account else []
    rows_of: dict[str | None, list[Row]] = {
        hash_: rows for hash_, rows in records.activity_of_keys(hashes, query) if rows
    }
    rows_of[None] = remainder(account, (row for rows in rows_of.values() for row in rows))
    records.log_end(f"{_listed(account, day)}, spent by {count(len(rows_of) - 1, 'key')}")
    _warn_of_negative(rows_of[None], day)
    return Activity(
        day=day,
        grouped_by="key",
        observed_at=observed_at,
        rows_of=rows_of,
        key_names={key["hash"]: read_text(key.get("name")) for key in listing.keys if key["hash"] in rows_of},
        workspace_names=listing.workspace_names,
    )


def _listed(rows: list[Row], day: dt.date) -> str:
    return f"{count(len(rows), 'row')} of activity of {day}"


def _warn_of_negative(rows: Iterable[Row], day: dt.date) -> None:
    negative = [row for row in rows if is_negative(row)]
    if negative:
        shown = [f"{plain(row.get('model'))} {usd(total([row], 'usage'))}" for row in negative[:SHOWN]]
        log.warning(
            "What no key accounts for on %s is below zero in %s: %s",
            day,
            count(len(negative), "row"),
            ", ".join([*shown, *(["…"] if len(negative) > SHOWN else [])]),
        )
