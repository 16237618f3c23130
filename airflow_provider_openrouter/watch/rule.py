"""
Which keys a rule watches, and which of them are low. Pure: no clock, no network, no Airflow but its errors.

What is said of limits and of their resets is from OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/api-keys/list) and its guide to limits
(https://openrouter.ai/docs/api-reference/limits), both of 2026. What remains is taken as the API tells it:
``usage`` is lifetime, so that ``limit - usage`` is not what remains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from fnmatch import fnmatchcase
from itertools import takewhile
from numbers import Real
from typing import Any, TypeAlias

from airflow_provider_openrouter.arguments import read_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.text import plain

Record: TypeAlias = dict[str, Any]

SHOWN = 5
"""How many low keys, or missing hashes, a line names."""

MOST = 1e300
"""USD from which on a number is taken for no amount."""

_EXACT = Context(prec=60)


@dataclass(frozen=True)
class Threshold:
    """
    An amount of USD, or a percentage of each key's own limit. What remains is below it or not, in decimals.

    :param amount: USD, or percent.
    :param of_limit: whether it is a percentage.
    """

    amount: Decimal
    of_limit: bool = False

    @classmethod
    def read(cls, value: Any, *, name: str = "threshold") -> Threshold:
        """
        Read ``5``, ``"5.00"`` or ``"10%"``.

        :param name: what it is called in the error.
        :raises OpenRouterRequestError: if it is neither an amount nor a percentage, both of 0 or more.
        """
        try:
            text = (
                str(value).strip()
                if isinstance(value, str | Real | Decimal) and not isinstance(value, bool)
                else ""
            )
            amount = float(Decimal(text.removesuffix("%").strip()))
        except (ArithmeticError, ValueError):
            amount = math.nan
        of_limit = isinstance(value, str) and value.rstrip().endswith("%")
        if not 0 <= amount < math.inf or (of_limit and amount > 100):
            raise OpenRouterRequestError(
                f"{name} must be an amount of USD of 0 or more, such as 5, or a percentage of the limit, up to "
                f'100, such as "10%", not {value!r}.'
            )
        return cls(Decimal(str(abs(amount))), of_limit)

    @property
    def argument(self) -> float | str:
        """What it was read from, in its plainest form."""
        amount = float(self.amount)
        return f"{amount!r}%".replace(".0%", "%") if self.of_limit else amount

    def measurable(self, limited: list[Record]) -> list[Record]:
        """Answer the keys, of those whose remainder is a number, that can be held against it."""
        if not self.of_limit:
            return limited
        return [key for key in limited if _is_number(key.get("limit")) and key["limit"] > 0]

    def find_low(self, measurable: list[Record]) -> list[Record]:
        """Answer the keys of which less remains, of keys sorted by what remains."""
        if not self.of_limit:
            return list(takewhile(self.is_above, measurable))
        # Floats leave few for decimals to decide, which takes forty times as long.
        generous = float(self.amount) * 1.000001 / 100
        near = (key for key in measurable if key["limit_remaining"] <= key["limit"] * generous)
        return [key for key in near if self.is_above(key)]

    def is_above(self, key: Record, *, margin: Threshold | None = None) -> bool:
        """Answer whether less remains of a key than this, and the margin on top of it if there is one."""
        raised = self._usd(key) if margin is None else _EXACT.add(self._usd(key), margin._usd(key))
        return Decimal(str(key["limit_remaining"])) < raised

    def _usd(self, key: Record) -> Decimal:
        if not self.of_limit:
            return self.amount
        limit = max(0, key["limit"]) if _is_number(key.get("limit")) else 0
        return _EXACT.multiply(Decimal(str(limit)), self.amount).scaleb(-2, _EXACT)

    def __str__(self) -> str:
        return f"{self.argument[:-1]}% of the limit" if self.of_limit else _usd(self.amount)  # type: ignore[index]


class LimitRule:
    """
    Says which keys are watched, and how little may remain of them before they are low.

    Watched are keys in force, that is neither expired nor (unless asked) disabled, which the rule selects and
    whose ``limit_remaining`` is a number; for a percentage their ``limit`` must be above 0. Below is strict. What
    remains may be negative, as requests in flight are charged when they finish: such a key is always low.

    :param threshold: an amount of USD, or a percentage of the key's own limit such as ``"10%"``.
    :param key_hashes: the hashes of the keys to watch, None for every key; text is split at commas and white
        space.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param fail_if_unwatched: whether it is an error, and no mere warning, that no key is watched or a hash is
        not listed.
    :raises OpenRouterRequestError: if one of them makes no sense.
    """

    def __init__(
        self,
        *,
        threshold: Any,
        key_hashes: Any = None,
        name_pattern: Any = None,
        include_disabled: Any = False,
        fail_if_unwatched: Any = False,
    ) -> None:
        self.threshold = Threshold.read(threshold)
        self.key_hashes = _read_hashes(key_hashes)
        self._hashes = None if self.key_hashes is None else frozenset(self.key_hashes)
        self.name_pattern = _read_pattern(name_pattern)
        self.include_disabled = read_flag("include_disabled", include_disabled)
        self.fail_if_unwatched = read_flag("fail_if_unwatched", fail_if_unwatched)

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was made of, as JSON has it, and the same for rules that are the same."""
        return {
            "threshold": self.threshold.argument,
            "key_hashes": self.key_hashes,
            "name_pattern": self.name_pattern,
            "include_disabled": self.include_disabled,
            "fail_if_unwatched": self.fail_if_unwatched,
        }

    def check(self, inventory: Inventory) -> LimitCheck:
        """
        Hold every key of a listing against the rule.

        :param inventory: the keys.
        :raises OpenRouterRequestError: with ``fail_if_unwatched``, if no key is watched or a hash is not listed.
        """
        selected = self._select(inventory.limited)
        watched = self.threshold.measurable(selected)
        check = LimitCheck(
            threshold=self.threshold,
            observed_at=inventory.observed_at,
            watched=watched,
            low=self.threshold.find_low(watched),
            not_measurable=len(selected) - len(watched) + len(self._select(inventory.unlimited)),
            missing=[hash_ for hash_ in self.key_hashes or () if hash_ not in inventory.hashes],
        )
        if self.fail_if_unwatched and check.unwatched:
            raise OpenRouterRequestError(check.unwatched)
        return check

    def _select(self, keys: list[Record]) -> list[Record]:
        if self._hashes is not None:
            keys = [key for key in keys if key["hash"] in self._hashes]
        if self.name_pattern is not None:
            keys = [key for key in keys if fnmatchcase(str(key.get("name") or ""), self.name_pattern)]
        if not self.include_disabled:
            keys = [key for key in keys if key.get("disabled") is not True]
        return keys


class Inventory:
    """
    The keys of one listing, sorted once for all the rules that are held against them.

    :param keys: the keys, as the API sent them.
    :param observed_at: when they were listed, with its time zone.
    """

    def __init__(self, keys: Sequence[Record], *, observed_at: datetime) -> None:
        self.keys = keys
        self.observed_at = observed_at
        self.hashes = {key["hash"] for key in keys}
        in_time = [key for key in keys if not _is_expired(key.get("expires_at"), observed_at)]
        limited = [key for key in in_time if _is_number(key.get("limit_remaining"))]
        self.limited = sorted(limited, key=lambda key: key["limit_remaining"])
        """Those that have not expired and whose remainder is a number, the least left first."""
        self.unlimited = [key for key in in_time if not _is_number(key.get("limit_remaining"))]
        """The others that have not expired."""


@dataclass(frozen=True, kw_only=True)
class LimitCheck:
    """
    What a rule found in one listing. As text it is a line that a person can read.

    :param watched: the watched keys, those with the least left first.
    :param low: those of them that are low, in the same order.
    :param not_measurable: how many keys the rule selects that have no limit to be held against.
    :param missing: the hashes that the rule names and the listing lacks.
    """

    threshold: Threshold
    observed_at: datetime
    watched: list[Record]
    low: list[Record]
    not_measurable: int
    missing: list[str]

    @property
    def records(self) -> list[Record]:
        """The low keys, as the API sent them, with ``observed_at`` beside."""
        return [key | {"observed_at": self.observed_at.isoformat()} for key in self.low]

    @property
    def unwatched(self) -> str:
        """One sentence on what the rule watches in vain, or nothing."""
        if self.missing:
            more = f" and {len(self.missing) - SHOWN} more" if len(self.missing) > SHOWN else ""
            hashes = ", ".join(map(plain, self.missing[:SHOWN]))
            return (
                f"key_hashes names keys that are not listed: {hashes}{more}. Are they deleted, disabled, "
                "expired, or in another workspace?"
            )
        if not self.watched:
            return (
                "No key is watched: none in force with a limit matches the rule. Check key_hashes, name_pattern, "
                "include_disabled and workspace_id."
            )
        return ""

    def report(self, log: Any) -> None:
        """Say in the log what was found, and warn of what is watched in vain."""
        log.info("%s", self)
        if self.unwatched:
            log.warning(self.unwatched)

    def __str__(self) -> str:
        rest = f" ({self.not_measurable} more not measurable)" if self.not_measurable else ""
        counts = f"{len(self.watched)} keys watched{rest}, {len(self.low)} below {self.threshold}"
        if not self.low:
            return counts + (f"; the lowest: {self._describe(self.watched[0])}" if self.watched else "")
        more = f"; and {len(self.low) - SHOWN} more" if len(self.low) > SHOWN else ""
        return f"{counts}: {'; '.join(map(self._describe, self.low[:SHOWN]))}{more}"

    def _describe(self, key: Record) -> str:
        name = plain(key.get("name")) or plain(key.get("label")) or plain(key["hash"])
        limit = f" of {_usd(key['limit'])}" if _is_number(key.get("limit")) else ""
        return f"{name} has {_usd(key['limit_remaining'])}{limit} left, {self._reset(key.get('limit_reset'))}"

    def _reset(self, rhythm: Any) -> str:
        if rhythm is None:
            return "never resets"
        after = next_reset(rhythm, self.observed_at)
        return f"resets {plain(rhythm)}" + (f", next on {after} at 00:00 UTC" if after else "")


def next_reset(rhythm: Any, now: datetime) -> date | None:
    """
    Answer the UTC day on which a limit is next reset: at midnight, on Monday, or on the 1st; None if not known.

    :param rhythm: the key's ``limit_reset``.
    :param now: with its time zone.
    """
    today = now.astimezone(UTC).date()
    if rhythm == "daily":
        return today + timedelta(days=1)
    if rhythm == "weekly":
        return today + timedelta(days=7 - today.weekday())
    if rhythm == "monthly":
        return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return None


def _read_hashes(value: Any) -> list[str] | None:
    if value is None:
        return None
    hashes = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(hashes, Iterable) or isinstance(hashes, dict | Iterator):
        raise OpenRouterRequestError(f"key_hashes must be a list of the keys' hashes, not {value!r}.")
    hashes = list(hashes)
    if not all(isinstance(hash_, str) and hash_ for hash_ in hashes) or set("".join(hashes)) & set("[({'\""):
        raise OpenRouterRequestError(
            f"key_hashes must be a list of the keys' hashes, not {value!r}; a template that makes a list needs "
            "render_template_as_native_obj=True on the DAG."
        )
    return sorted(set(hashes))


def _read_pattern(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OpenRouterRequestError(f"name_pattern must be text such as 'billing-*', not {value!r}.")
    return value or None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST < value < MOST


def _is_expired(expires_at: Any, observed_at: datetime) -> bool:
    if not isinstance(expires_at, str):
        return False
    try:
        moment = datetime.fromisoformat(expires_at)
    except ValueError:
        return False
    return moment.replace(tzinfo=moment.tzinfo or UTC) <= observed_at


def _usd(amount: Any) -> str:
    usd = Decimal(str(amount))
    digits = 2 if usd == 0 or abs(usd) >= Decimal("0.01") else 6
    return f"{'-' if usd < 0 else ''}${abs(usd):,.{digits}f}"
