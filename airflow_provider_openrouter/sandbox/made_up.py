"""What the account is made of. Equal numbers and equal times make equal keys, workspaces and members."""

from __future__ import annotations

import hashlib
import math
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_provider_openrouter.sandbox.spend import BEFORE, Spend, nano

Record = dict[str, Any]

HISTORY = timedelta(days=30)
"""How far back spend is known day by day: as far as ``/activity`` and a month's window reach."""

TEAMS = ("billing", "chatbot", "search", "support", "research", "mobile", "marketing")
STAGES = ("prod", "staging", "dev")
RESETS = ("monthly", "weekly", "daily", None)
DAYS = {"monthly": 31, "weekly": 7, "daily": 1}
PEOPLE = (("Ada", "Lovelace"), ("Alan", "Turing"), ("Grace", "Hopper"), ("Hedy", "Lamarr"), ("Margaret", None))


@dataclass
class Key:
    """A key, or what else spends: its own fields, what it spent, and since when it is in which workspace."""

    number: int
    fields: Record
    spend: Spend = field(default_factory=Spend)
    workspaces: list[tuple[date, str]] = field(default_factory=list)

    def workspace_on(self, day: date) -> str:
        """Return the workspace that the spend of a day belongs to."""
        return [id_ for since, id_ in self.workspaces if since <= day][-1]


def new_key(number: int, workspace_id: str, created_at: datetime) -> Key:
    """Return a key that has spent nothing."""
    hash_ = hashlib.sha256(f"key {number}".encode()).hexdigest()
    fields = {
        "hash": hash_,
        "name": f"{TEAMS[number % len(TEAMS)]}-{STAGES[number % len(STAGES)]}-{number}",
        "label": f"sk-or-v1-{hash_[:3]}...{hash_[-3:]}",
        "disabled": False,
        "limit": None if number % 7 == 6 else float(5 * (1 + number % 12)),
        "limit_reset": RESETS[number % len(RESETS)],
        "include_byok_in_limit": number % 12 == 1,
        "created_at": created_at.isoformat(),
        "updated_at": None,
        "expires_at": None,
        "workspace_id": workspace_id,
        "creator_user_id": None if number % 6 == 5 else user_id(number % 6),
        "external_user": None,
    }
    return Key(number, fields, workspaces=[(BEFORE, workspace_id)])


def used_key(number: int, workspace_id: str, created_at: datetime, now: datetime) -> Key:
    """
    Return a key with a past; most are active, some disabled, expired, unlimited or never used.

    Some will expire, and some have not been used for long. Disabled keys have spent more than their limit, and so
    have a few active ones.
    """
    key = new_key(number, workspace_id, created_at)
    age = now - created_at
    ended = now
    if number % 11 == 10:
        ended = now - min(timedelta(days=1 + number % 40), age / 2)
        key.fields |= {"disabled": True, "updated_at": stamp(ended), "limit_reset": None}
    elif number % 9 == 4:
        ended = now - min(timedelta(days=60 + number * 71 % 600), age * 0.9)
    if number % 13 == 12:
        expired = now - min(timedelta(days=30), age / 2)
        key.fields["expires_at"] = stamp(expired)
        ended = min(ended, expired)
    elif number % 13 == 5:
        key.fields["expires_at"] = stamp(now + timedelta(days=3 + number % 60))
    if number % 5:
        _spend(key, created_at, ended, now)
    return key


def spender(number: int, workspace_id: str, now: datetime, *, until: datetime) -> Key:
    """Return what spends and is not listed: the chat, or a key that was deleted."""
    key = new_key(number, workspace_id, now - timedelta(days=400))
    key.fields["limit"] = None
    _spend(key, now - timedelta(days=400), until, now)
    return key


def _spend(key: Key, created_at: datetime, ended: datetime, now: datetime) -> None:
    """Let a key spend from its creation until it ended: less at weekends, and less of a day that is not over."""
    limit, reset, number = key.fields["limit"], key.fields["limit_reset"], key.number
    # A moment earlier, so that a day that has only begun is not the last day of use.
    ended -= timedelta(microseconds=1)
    days = 1 + (ended.date() - created_at.date()).days
    share = 1.04 if number % 11 == 10 or number % 40 == 31 else 0.1 + (number * 37 + 48) % 80 / 100
    in_window = (limit or 40.0) * share
    byok = 0.5 if number % 6 == 1 else 0.0
    counted = 1 + byok if key.fields["include_byok_in_limit"] else 1
    a_day = in_window / counted / (31 if limit is None else DAYS.get(reset, days))
    spent = 0
    oldest = now.date() - HISTORY
    for ago in range(HISTORY.days + 1):
        day = now.date() - timedelta(days=ago)
        if created_at.date() <= day <= ended.date():
            part = _part_of_day(ended) if day == ended.date() else 1.0
            usage = _cents(a_day * part * _mood(number, day))
            key.spend.book(day, usage, round(usage * byok))
            spent += usage
    if reset is None:
        before = nano(in_window / counted) - spent
    else:
        unseen = (min(ended.date() + timedelta(days=1), oldest) - created_at.date()).days
        before = _cents(a_day * max(0, unseen) * 0.7)
    key.spend.book(BEFORE, before, round(before * byok))
    used = datetime.combine(ended.date(), datetime.min.time(), UTC)
    key.spend.last_used_at = used + (ended - used) * (0.5 + number % 50 / 100)


def _mood(number: int, day: date) -> float:
    """Return how much of the usual is spent on a day."""
    return (0.6 + (number * 31 + day.toordinal() * 17) % 41 / 100) * (0.5 if day.weekday() > 4 else 1.0)


def _part_of_day(moment: datetime) -> float:
    return (moment - datetime.combine(moment.date(), datetime.min.time(), UTC)) / timedelta(days=1)


def _cents(usd: float) -> int:
    """Return an amount in whole hundredths of a cent, never less than USD."""
    return nano(math.ceil(usd * 10_000) / 10_000)


def stamp(moment: datetime) -> str:
    """Return a time as the API writes it where it has no fractions of a second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def user_id(number: int) -> str:
    """Return the id of a member."""
    return f"user_{hashlib.sha256(f'user {number}'.encode()).hexdigest()[:27]}"


def make_member(number: int) -> Record:
    """Return a member of the organization; number 0 is its admin."""
    first_name, last_name = PEOPLE[number]
    return {
        "id": user_id(number),
        "email": f"{first_name.lower()}@example.com",
        "first_name": first_name,
        "last_name": last_name,
        "role": "org:member" if number else "org:admin",
    }


def make_workspace(number: int, now: datetime) -> Record:
    """Return a workspace; number 0 is the default one."""
    name = "Default" if number == 0 else f"Workspace {number}"
    return {
        "id": _uuid(str(number)),
        "name": name,
        "slug": name.lower().replace(" ", "-"),
        "description": None if number % 2 == 0 else f"What {TEAMS[number % len(TEAMS)]} uses",
        "created_at": (now - timedelta(days=500)).isoformat(),
        "updated_at": None,
        "created_by": user_id(number % len(PEOPLE)) if number else None,
        "default_guardrail_id": _uuid(f"guardrail {number}"),
        "default_text_model": None,
        "default_image_model": None,
        "default_provider_sort": None,
        "disabled_server_tools": None,
        "include_byok_in_budgets": False,
        "io_logging_api_key_ids": None,
        "io_logging_sampling_rate": 1,
        "is_data_discount_logging_enabled": number % 2 == 0,
        "is_observability_broadcast_enabled": False,
        "is_observability_io_logging_enabled": False,
    }


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"openrouter-sandbox/{name}"))
