"""The made-up account: its keys, its credits, and what is spent of them as time goes by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from threading import RLock
from typing import Any

from airflow_provider_openrouter.sandbox import made_up, records
from airflow_provider_openrouter.sandbox.made_up import Key, Record
from airflow_provider_openrouter.sandbox.spend import BEFORE, first_day, is_amount, nano, usd

TOKEN = "sk-or-v1-sandbox-management-key"  # noqa: S105  # nosec B105  # it opens nothing
INFERENCE_TOKEN = "sk-or-v1-sandbox-inference-key"  # noqa: S105  # nosec B105

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


class Account:
    """
    An account of made-up keys, the same at every start at the same time.

    :param keys: how many keys there are, over all workspaces.
    :param workspaces: how many workspaces there are; the first is the default one.
    :param drain: USD that each active key spends a minute, until nothing is left of its limit or of the balance.
    :param balance: USD that are left of the credits at the start; by default there is plenty.
    :param token: the management key.
    :param now: returns the time, in UTC.
    """

    def __init__(
        self,
        *,
        keys: int,
        workspaces: int,
        drain: float,
        balance: float | None,
        token: str,
        now: Callable[[], datetime],
    ) -> None:
        if keys < 0 or workspaces < 1 or drain < 0:
            raise ValueError("There must be 0 keys or more, 1 workspace or more, and a drain of 0 or more.")
        self.token = token
        self.drain = drain
        self.now = now
        started = now()
        self.workspaces = [made_up.make_workspace(number, started) for number in range(workspaces)]
        self.members = [made_up.make_member(number) for number in range(len(made_up.PEOPLE))]
        self._lock = RLock()
        self._numbers = itertools.count()
        self._keys: dict[str, Key] = {}
        default = self.workspaces[0]["id"]
        # The chat spends too, and so did keys that were deleted.
        self._unlisted = [
            made_up.spender(4, default, started, until=started),
            made_up.spender(8, default, started, until=started - 12 * DAY),
        ]
        self._made_up_keys = keys
        self._started = started
        self._spent_until: datetime | None = None
        for number in range(keys):
            self.create_key(workspace_id=self.workspaces[number % workspaces]["id"])
        used = self._total_usage()
        plenty = 1000 * math.ceil(usd(used) / 1000 + keys / 10 + 1)
        self._credits = nano(plenty) if balance is None else used + nano(balance)

    def create_key(self, **fields: Any) -> str:
        """Create the newest key, with the given fields, and return its hash."""
        with self._lock:
            self._catch_up()
            number = next(self._numbers)
            workspace_id = str(fields.get("workspace_id", self.workspaces[0]["id"]))
            if number < self._made_up_keys:
                created_at = self._started - 490 * DAY * (1 - number / self._made_up_keys)
                key = made_up.used_key(number, workspace_id, created_at, self._started)
            else:
                key = made_up.new_key(number, workspace_id, self.now())
            self._set(key, fields)
            self._keys[key.fields["hash"]] = key
            return str(key.fields["hash"])

    def update_key(self, hash_: str, **fields: Any) -> None:
        """
        Change fields of a key.

        ``limit_remaining`` is set by spending today, or by taking spend back.
        """
        with self._lock:
            self._catch_up()
            self._set(self._keys[hash_], fields)

    def delete_key(self, hash_: str) -> None:
        """Delete a key; what it spent stays spent."""
        with self._lock:
            self._catch_up()
            self._unlisted.append(self._keys.pop(hash_))

    def get_key(self, hash_: str) -> Record | None:
        """Return a key as it is now, or None if no key has this hash."""
        with self._lock:
            today = self._catch_up()
            key = self._keys.get(hash_)
            return None if key is None else records.show_key(key, today)

    def list_keys(
        self, workspace_id: str, *, include_disabled: bool, include_expired: bool, offset: int, limit: int
    ) -> list[Record]:
        """Return a page of the keys of a workspace as they are now, newest first."""
        with self._lock:
            today = self._catch_up()
            now = self.now()
            listed = [
                key
                for key in reversed(self._keys.values())
                if key.fields["workspace_id"] == workspace_id
                and (include_disabled or not key.fields["disabled"])
                and (include_expired or not (ends := _expiry(key)) or now < ends)
            ]
            return [records.show_key(key, today) for key in listed[offset : offset + limit]]

    def list_activity(
        self,
        *,
        days: list[date],
        key_hash: str | None = None,
        user_id: str | None = None,
        workspace_id: str | None = None,
        by_workspace: bool = False,
    ) -> list[Record]:
        """Return what was spent on each of these days, by model, provider and endpoint, and by workspace."""
        with self._lock:
            self._catch_up()
            spenders = [
                key
                for key in [*self._keys.values(), *(self._unlisted if key_hash is None else ())]
                if key_hash in (None, key.fields["hash"]) and user_id in (None, key.fields["creator_user_id"])
            ]
            return records.show_activity(spenders, days, workspace_id=workspace_id, by_workspace=by_workspace)

    def get_credits(self) -> Record:
        """Return what was bought, and what was spent of it."""
        with self._lock:
            self._catch_up()
            return {"total_credits": usd(self._credits), "total_usage": usd(self._total_usage())}

    def buy_credits(self, amount: float) -> None:
        """Buy credits for so many USD."""
        with self._lock:
            self._catch_up()
            self._credits += nano(amount)

    def start_spending(self) -> None:
        """Let the active keys spend from now on, unless they already do."""
        with self._lock:
            if self._spent_until is None:
                self._spent_until = self.now()

    def _set(self, key: Key, fields: Record) -> None:
        """Set fields of a key; amounts are set through what it spent, so that all of them agree."""
        today = self.now().date()
        fields = dict(fields)
        key.fields |= {name: value for name, value in fields.items() if name not in ("limit_remaining", "usage")}
        if "workspace_id" in fields and fields["workspace_id"] != key.workspace_on(today):
            key.workspaces.append((today, fields["workspace_id"]))
        if "limit_remaining" in fields:
            wanted, left = fields["limit_remaining"], records.remaining(key, today)
            key.fields.pop("limit_remaining", None)
            if left is not None and is_amount(wanted):
                self._leave(key, left - nano(wanted), today)
            elif left is not None or wanted is not None:
                key.fields["limit_remaining"] = wanted
        if "usage" in fields:
            key.fields.pop("usage", None)
            if is_amount(fields["usage"]):
                key.spend.book(BEFORE, nano(fields["usage"]) - key.spend.since(BEFORE).usage)
            else:
                key.fields["usage"] = fields["usage"]

    def _leave(self, key: Key, spent: int, today: date) -> None:
        if spent > 0:
            key.spend.book(today, spent)
            key.spend.last_used_at = self.now()
        elif spent:
            key.spend.take_back(-spent, first_day(key.fields["limit_reset"], today), today)

    def _total_usage(self) -> int:
        return sum(key.spend.since(BEFORE).usage for key in [*self._keys.values(), *self._unlisted])

    def _catch_up(self) -> date:
        """Spend until now, day by day, and return today."""
        now = self.now()
        # In quarters of a second, so that thousands of keys can drain while their pages are read.
        until = now - timedelta(microseconds=now.microsecond % 250_000)
        while self.drain and self._spent_until is not None and self._spent_until < until:
            midnight = datetime.combine(self._spent_until.date() + DAY, datetime.min.time(), UTC)
            self._drain(self._spent_until, min(until, midnight))
            self._spent_until = min(until, midnight)
        return now.date()

    def _drain(self, begin: datetime, end: datetime) -> None:
        """Let the active keys spend within a day, until nothing is left of their limits or of the balance."""
        spends = [(key, amount) for key in self._keys.values() if (amount := self._drained(key, begin, end)) > 0]
        wanted = sum(amount for _, amount in spends)
        balance = max(0, self._credits - self._total_usage()) if wanted else 0
        for key, amount in spends:
            spent = amount if wanted <= balance else amount * balance // wanted
            if spent:
                key.spend.book(begin.date(), spent)
                key.spend.last_used_at = begin + usd(spent) / self.drain * MINUTE

    def _drained(self, key: Key, begin: datetime, end: datetime) -> int:
        if key.fields["disabled"]:
            return 0
        if expiry := _expiry(key):
            end = min(end, expiry)
        # Counted from the same moment on, it adds up to the same however often it is looked at.
        midnight = datetime.combine(begin.date(), datetime.min.time(), UTC)
        amount = nano(self.drain * ((end - midnight) / MINUTE)) - nano(self.drain * ((begin - midnight) / MINUTE))
        left = records.remaining(key, begin.date())
        return amount if left is None else min(amount, left)


def _expiry(key: Key) -> datetime | None:
    expires_at = key.fields["expires_at"]
    return None if expires_at is None else datetime.fromisoformat(expires_at)
