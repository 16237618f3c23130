"""What a request for spend asks, and the days of spend, stacked by group."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from airflow_provider_openrouter.activity import NEGLIGIBLE
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import read_hash
from airflow_provider_openrouter.text import plain, usd

NO_KEY = "(no key accounts for this)"
NOBODY = {"model": "(no name)", "workspace": "(no workspace)", "team": NO_KEY, "key": NO_KEY}
"""What days can be grouped by, and what the spend is called that belongs to no group."""
NO_NAME = "(no name)"
OTHERS = "Others"
MOST_GROUPS = 8
"""How many groups are shown one by one, the largest."""
MOST_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class SpendQuery:
    """
    What a request for spend asks.

    :param by: what the days are grouped by: ``"model"``, ``"workspace"``, ``"team"`` (what the history calls
        ``prefix``) or ``"key"``.
    :param key: the hash of the only key that counts, None for the whole account.
    :param days: how many days are shown.
    """

    by: str = "model"
    key: str | None = None
    days: int = 30

    @classmethod
    def read(cls, *, by: str = "model", key: str | None = None, days: str | int = 30) -> SpendQuery:
        """
        Read the parameters of a request; an empty key is none.

        :raises OpenRouterRequestError: if one of them is not valid.
        """
        if by not in NOBODY:
            raise OpenRouterRequestError(f"by must be one of {', '.join(NOBODY)}, not {plain(repr(by))}.")
        text = str(days)
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_DAYS):
            raise OpenRouterRequestError(
                f"days must be a whole number from 1 to {MOST_DAYS}, not {plain(repr(days))}."
            )
        return cls(by=by, key=read_hash(key) if key else None, days=int(text))

    @property
    def is_about_keys(self) -> bool:
        """Whether it must be known which key spent what."""
        return self.by in ("team", "key") or self.key is not None


class Spent(NamedTuple):
    """
    What a group spent on a day.

    :param day: the UTC day, None if it cannot be read.
    :param group: what identifies the group; None for what belongs to none.
    :param name: what the group is called.
    :param amount: USD.
    """

    day: date | None
    group: str | None
    name: str | None
    amount: Decimal


def stack(
    spent: Iterable[Spent], query: SpendQuery, *, last: date, source: str, notices: Iterable[str | None] = ()
) -> dict[str, Any]:
    """
    Return the days up to the last one, without gaps, and what each group spent on each of them, in USD.

    The largest groups come first, and all but the first eight are one. Groups that spent nothing are left out.
    A group has its newest name; if two have the same, a part of what identifies them follows.

    :param last: the last day.
    :param source: ``"activity"`` or ``"warehouse"``.
    :param notices: what there is to say about it, in sentences.
    """
    days = [last - timedelta(days=ago) for ago in reversed(range(query.days))]
    amounts: dict[str | None, dict[date, Decimal]] = defaultdict(lambda: dict.fromkeys(days, Decimal(0)))
    names: dict[str | None, str | None] = {}
    without_day = Decimal(0)
    for each in sorted(spent, key=lambda each: each.day or date.min):
        if each.day is None:
            without_day += each.amount
        elif days[0] <= each.day <= last:
            amounts[each.group][each.day] += each.amount
            names[each.group] = each.name or names.get(each.group)
    if abs(without_day) >= NEGLIGIBLE:
        notices = (*notices, f"{usd(without_day)} is left out, as its day cannot be read.")
    labels = _labels(names, query.by)
    groups = [(labels[group], of_day) for group, of_day in amounts.items() if any(of_day.values())]
    groups.sort(key=lambda group: (-sum(group[1].values()), group[0]))
    if others := groups[MOST_GROUPS:]:
        summed = {day: sum((of_day[day] for _, of_day in others), Decimal(0)) for day in days}
        groups[MOST_GROUPS:] = [(OTHERS, summed)]
    return {
        "source": source,
        "notice": " ".join(filter(None, notices)) or None,
        "by": query.by,
        "choices": list(NOBODY),
        "days": [day.isoformat() for day in days],
        "groups": [
            {"name": label, "spend": [*map(_micro, of_day.values())], "total": _micro(sum(of_day.values()))}
            for label, of_day in groups
        ],
    }


def _labels(names: Mapping[str | None, str | None], by: str) -> dict[str | None, str]:
    """Return what each group is called: all different, and in one line."""
    labels = {
        group: NOBODY[by] if group is None else plain(name) or plain(group) or NO_NAME
        for group, name in names.items()
    }
    count = Counter(labels.values())
    return {
        group: f"{label} ({plain(group)[:8]})" if group and count[label] > 1 and label != group else label
        for group, label in labels.items()
    }


def _micro(amount: Decimal | int) -> float:
    return round(float(amount), 6)
