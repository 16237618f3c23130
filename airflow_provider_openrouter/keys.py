"""
The fields of a key, and the functions that read them.

The fields are those of ``GET /keys`` in OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/api-keys/list) of 2026. The API adds fields and kinds of values without
notice. A key therefore stays the dict that was sent. Read its fields only with these functions: they accept any
value, and return None if it cannot be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import plain

Key: TypeAlias = dict[str, Any]
"""A key as the API sent it. Only its ``hash``, a string, is certain to be there."""

FIELDS = {
    "hash": "string",
    "name": "string",
    "label": "string",
    "disabled": "boolean",
    "limit": "number",
    "limit_remaining": "number",
    "limit_reset": "string",
    "include_byok_in_limit": "boolean",
    "usage": "number",
    "usage_daily": "number",
    "usage_weekly": "number",
    "usage_monthly": "number",
    "byok_usage": "number",
    "byok_usage_daily": "number",
    "byok_usage_weekly": "number",
    "byok_usage_monthly": "number",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "expires_at": "timestamp",
    # Newer than the others, and not sent by older servers:
    "workspace_id": "string",
    "creator_user_id": "string",
    "external_user": "string",
    "last_used_at": "timestamp",
}
"""The known fields of a key, each with the kind of its value (see :data:`READERS`)."""

AMOUNT_BOUND = 1e300
"""Numbers this large are not taken as amounts, so that sums stay finite."""

_HASH = re.compile(r"[\w-]{1,128}", re.ASCII)


def refuse_key(value: Any) -> None:
    """
    Refuse a key, or the label of one, where its hash belongs.

    :raises OpenRouterRequestError: if it is one; it is not shown.
    """
    if isinstance(value, str) and "sk-or-" in value.lower():
        raise OpenRouterRequestError("A key was given in place of its hash. Give the hash that the list shows.")


def read_hash(value: Any) -> str:
    """
    Return the hash of a key, if it can be one.

    :raises OpenRouterRequestError: if it cannot; a key in its place is not shown.
    """
    refuse_key(value)
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise OpenRouterRequestError(
            f"No key has the hash {plain(repr(value))}. Give the hash that the list shows."
        )
    return value


def to_json(value: Any) -> str:
    """
    Return a value as JSON text; equal values give equal text.

    :raises OpenRouterResponseError: if it is nested too deeply.
    """
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:  # json reads deeper nesting than it can write
        raise OpenRouterResponseError(
            "A key has a field that is nested too deeply to be written as JSON. Report it to OpenRouter."
        ) from None


def read_text(value: Any) -> str | None:
    """
    Return text unchanged, and anything else as JSON.

    :raises OpenRouterResponseError: if it is nested too deeply to be written as JSON.
    """
    return value if value is None or isinstance(value, str) else to_json(value)


def read_flag(value: Any) -> bool | None:
    """Return a flag, or None; the texts ``"true"`` and ``"false"`` count."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def read_amount(value: Any) -> float | None:
    """Return an amount in USD, or None; text such as ``"0.5"`` counts."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if abs(amount) < AMOUNT_BOUND else None


def read_time(value: Any) -> datetime | None:
    """Return a time (ISO 8601) in UTC, or None; without a time zone it is taken as UTC."""
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def read_count(value: Any) -> int | None:
    """Return a whole number of 64 bits, or None; text such as ``"12"`` and numbers such as 12.0 count."""
    if not isinstance(value, int) or isinstance(value, bool):
        amount = read_amount(value)
        value = None if amount is None or not amount.is_integer() else int(amount)
    return value if value is not None and -(2**63) <= value < 2**63 else None


def read_date(value: Any) -> date | None:
    """Return the UTC day of a date or a time (ISO 8601), or None."""
    time = read_time(value)
    return None if time is None else time.date()


READERS = {
    "string": read_text,
    "boolean": read_flag,
    "integer": read_count,
    "number": read_amount,
    "timestamp": read_time,
    "date": read_date,
}
"""How a value of each kind is read."""


def team(name: Any) -> str:
    """Return a key's team: its name up to the first ``-``, as ``prefix`` in the SQL of the history."""
    return (read_text(name) or "").partition("-")[0]


def is_disabled(key: Key) -> bool:
    """Return whether a key says that it is disabled."""
    return read_flag(key.get("disabled")) is True


def is_expired(key: Key, at: datetime) -> bool:
    """Return whether a key's ``expires_at`` has been reached."""
    expires_at = read_time(key.get("expires_at"))
    return expires_at is not None and expires_at <= at


def is_active(key: Key, at: datetime) -> bool:
    """Return whether a key is neither disabled nor expired."""
    return not is_disabled(key) and not is_expired(key, at)


def is_management_key(key: Key) -> bool | None:
    """Return whether ``GET /key`` sent a management key, in older words a provisioning key; None if not known."""
    return read_flag(key.get("is_management_key", key.get("is_provisioning_key")))


@dataclass(frozen=True, slots=True)
class LimitedKey:
    """
    A key whose ``limit_remaining`` is a known amount.

    :param key: the key as the API sent it.
    :param remaining: its ``limit_remaining``, in USD; negative if requests in flight have cost more.
    :param limit: its ``limit``, in USD, or None if that is no amount.
    """

    key: Key
    remaining: float
    limit: float | None

    @property
    def hash(self) -> str:
        """The identity of the key."""
        return self.key["hash"]  # type: ignore[no-any-return]

    id = hash


class KeyGroup(NamedTuple):
    """
    Keys, split once by whether what remains is known.

    :param limited: those whose ``limit_remaining`` is a known amount, the lowest first.
    :param not_measurable: the others.
    """

    limited: list[LimitedKey]
    not_measurable: list[Key]

    @classmethod
    def split(cls, keys: Iterable[Key]) -> KeyGroup:
        """Split keys."""
        limited, not_measurable = [], []
        for key in keys:
            remaining = read_amount(key.get("limit_remaining"))
            if remaining is None:
                not_measurable.append(key)
            else:
                limited.append(LimitedKey(key, remaining, read_amount(key.get("limit"))))
        limited.sort(key=attrgetter("remaining"))
        return cls(limited, not_measurable)


class Extent(NamedTuple):
    """
    How far a listing of one workspace went.

    :param page_size: how many records its fullest page had.
    :param end: the offset behind its last record.
    """

    page_size: int
    end: int


@dataclass(frozen=True, kw_only=True)
class KeyListing:
    """
    One complete read of the keys.

    :param keys: the keys as the API sent them, newest first.
    :param observed_at: when the listing began, in UTC.
    :param scope: which workspaces were listed.
    :param workspace_names: the names of the listed workspaces by their ids, as far as they were read; empty text
        for one without a name.
    :param extents: how far the listing of each workspace went, by its id, None for the default one.
    """

    keys: Sequence[Key]
    observed_at: datetime
    scope: WorkspaceScope
    workspace_names: Mapping[str, str] = field(default_factory=dict)
    extents: Mapping[str | None, Extent] = field(default_factory=dict)

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """What was computed from the listing, kept for all who share it."""
        return {}

    @cached_property
    def hashes(self) -> frozenset[str]:
        """The hashes of the keys."""
        return frozenset(key["hash"] for key in self.keys)

    @cached_property
    def active(self) -> KeyGroup:
        """The keys that are neither disabled nor expired."""
        return KeyGroup.split(key for key in self.keys if is_active(key, self.observed_at))

    @cached_property
    def unexpired(self) -> KeyGroup:
        """The keys that have not expired, disabled ones included."""
        return KeyGroup.split(key for key in self.keys if not is_expired(key, self.observed_at))

    def group(self, *, include_disabled: bool) -> KeyGroup:
        """Return the active keys, or with disabled ones all that have not expired."""
        return self.unexpired if include_disabled else self.active

    @property
    def workspace(self) -> str:
        """The listed workspaces in words; for one whose name is known, its name and id."""
        if self.scope.is_one and self.workspace_names:
            [(workspace_id, name)] = self.workspace_names.items()
            return f"{plain(name)} ({plain(workspace_id)})" if name else plain(workspace_id)
        return str(self.scope)

    def workspace_name(self, key: Key) -> str | None:
        """Return the name of a key's workspace, or None if it has none or was not read."""
        workspace_id = key.get("workspace_id")
        return self.workspace_names.get(workspace_id) or None if isinstance(workspace_id, str) else None
