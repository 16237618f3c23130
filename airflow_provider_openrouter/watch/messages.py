"""
What is sent to people: a message of a few lines for chat and email, and a report of all keys as a table.

Both are made from events or records, which may be of an earlier release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_openrouter.connection import CREDITS_PAGE, KEYS_PAGE, STATUS_PAGE
from airflow_provider_openrouter.keys import Key, read_time
from airflow_provider_openrouter.text import count, duration, moment, plain, sentence, table
from airflow_provider_openrouter.watch import words

SHOWN = 20
"""How many keys a message has."""

ANGLES = str.maketrans("<>", "\u2039\u203a")
"""What begins markup in Slack and in HTML, and what is shown in its place."""


def format_message(event: Mapping[str, Any] | Sequence[Key]) -> str:
    """
    Return what an event says, as plain text of a few lines that can be sent as it is.

    Nothing in it becomes a mention in Slack or an element of HTML, whatever the names of keys contain. The first
    line is a fit subject of an email. A message names twenty keys, the lowest first, and how many more there are.

    :param event: an event of a trigger, or the low keys that a sensor returns. With a field ``connection``, that
        is named.
    """
    if not isinstance(event, Mapping):
        event = {"keys": event}
    match event.get("status"):
        case "error":
            lines = _error(event)
        case "recovered":
            lines = _recovered(event)
        case _:
            lines = _keys(event) if "keys" in event else _credits(event)
    return "\n".join(lines).translate(ANGLES)


def format_line(event: Mapping[str, Any]) -> str:
    """
    Return what an event says in a line: of low keys the lowest, and how many more there are.

    :param event: an event of a trigger.
    """
    keys = event.get("keys")
    if not keys:
        return format_message(event).partition("\n")[0]
    more = event.get("total", len(keys)) - 1
    return (words.describe(keys[0]) + (f", and {more:,} more" if more else "")).translate(ANGLES)


def format_report(records: Sequence[Key]) -> str:
    """
    Return low keys as a table in Markdown, all of them, in the order given.

    :param records: the keys.
    """
    columns = ("Key", "Label", "Workspace", "Left", "Limit", "Resets", "Why")
    return table(
        columns,
        (
            (
                words.text_of(record, "name"),
                words.text_of(record, "label"),
                words.text_of(record, "workspace_name"),
                *words.amounts(record),
                words.reset(record),
                words.why_low(record),
            )
            for record in records
        ),
    )


def _keys(event: Mapping[str, Any]) -> list[str]:
    keys = event["keys"]
    total = event.get("total", len(keys))
    low_count = event.get("low_count", total)
    reasons = {key.get("reason") for key in keys}
    hashes = [key["hash"] for key in keys if "hash" in key]
    number = total - len(hashes) + len(set(hashes))  # a key that is low and expires is there twice
    low, expiring = ("is low", "expires soon") if number == 1 else ("are low", "expire soon")
    what = " or ".join([low] * (reasons != {"expiry"}) + [expiring] * ("expiry" in reasons))
    in_all = f" ({low_count:,} in all)" if low_count > total else ""
    lines = [f"- {words.describe(key, in_full=True)}" for key in keys[:SHOWN]]
    more = [f"and {total - len(lines):,} more"] if total > len(lines) else []
    return [f"{count(number, 'OpenRouter key')} {what}{in_all}", *lines, *more, _page("Keys", KEYS_PAGE, event)]


def _credits(event: Mapping[str, Any]) -> list[str]:
    record = dict(event)
    why = words.why_low(record)
    subject = "It" if record.get("reason") == "runway" else "That is"
    return [
        f"The OpenRouter account has {words.balance(record)} of credits left",
        *([f"{subject} {why}."] if why else []),
        "Without credits, every key of the account stops working.",
        _page("Credits", CREDITS_PAGE, event),
    ]


def _page(what: str, url: str, event: Mapping[str, Any]) -> str:
    connection = plain(event.get("connection"))
    return f"{what}: {url}" + (f" (connection {connection})" if connection else "")


def _error(event: Mapping[str, Any]) -> list[str]:
    since, failures = read_time(event.get("failing_since")), event.get("failures")
    failed = f": {count(failures, 'poll')} in a row failed" if isinstance(failures, int) else ""
    return [
        f"OpenRouter is not watched{failed}{f' since {moment(since)}' if since else ''}",
        sentence(plain(event.get("cause", event.get("message")), longest=500)),
        *_watched(event),
        f"Nothing is reported until this is over. OpenRouter's status: {STATUS_PAGE}",
    ]


def _recovered(event: Mapping[str, Any]) -> list[str]:
    since, at = read_time(event.get("failing_since")), read_time(event.get("observed_at"))
    after = f", after {duration((at - since).total_seconds())}" if since and at else ""
    return [f"OpenRouter is watched again{after}", *_watched(event)]


def _watched(event: Mapping[str, Any]) -> list[str]:
    watched = ", ".join(filter(None, (plain(event.get(field), longest=200) for field in ("connection", "rule"))))
    return [f"Watched: {watched}"] if watched else []
