"""Which sensors wait for what, what becomes low, and which sensors must wake; without the package."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

ONE = "openrouter_one"
SENSORS_OF_EACH = 4
KEYS_OF_A_TEAM = 3
MOST_CROSSINGS = 80

KEYS = {"USD": "limit", "percent": "limit", "time": "runway", "expiry": "expiry"}
CREDITS = {"credits, USD": "limit", "credits, time": "runway"}
REASONS = KEYS | CREDITS
"""The kinds of rules, with the reason that they give."""

LOW, LOWEST = 5.0, 2.0
"""What is left after a crossing, and after the last one of each kind: USD, percent, days or millions of USD."""
ANY, LAST, NEVER = 8.0, 3.0, 1.0
"""Thresholds that any crossing gets below, only the last one, or none; each sensor's is up to a tenth higher."""

LIMITS = {"USD": 20.0, "percent": 500.0, "time": 100.0, "expiry": 100.0}
"""By kind, so that a key that is low by one kind of rule is not low by any other."""
MILLION = 1_000_000.0
BALANCE = 50 * MILLION
"""So much that what keys spend does not count."""
LONG_AGO = "2023-01-01T00:00:00+00:00"

Group: TypeAlias = tuple[bool, str]
"""Whether sensors wait on the one connection, and whether for keys or credits."""


@dataclass(frozen=True)
class Key:
    team: int
    number: int

    @property
    def name(self) -> str:
        return f"team-{self.team:03}-{self.number}"

    @property
    def kind(self) -> str:
        """The kind of rules by which it can become low."""
        return list(KEYS)[self.team % len(KEYS)]

    @property
    def fields(self) -> dict[str, Any]:
        """What it is at first: nothing is spent of it."""
        # What an old key spent once is no pace. That of a new key is counted over six hours.
        created = {} if self.kind == "time" else {"created_at": LONG_AGO}
        return {"name": self.name, "limit": LIMITS[self.kind], "limit_reset": None, **created}

    def changes(self, left: float) -> dict[str, Any]:
        """Return the fields with which so much is left of it."""
        limit = LIMITS[self.kind]
        match self.kind:
            case "USD":
                return {"usage": limit - left}
            case "percent":
                return {"usage": limit - limit * left / 100}
            case "time":
                return {"limit_remaining": limit - _spent_in_six_hours(limit, left)}
        return {"expires_at": (datetime.now(UTC) + timedelta(days=left)).isoformat()}


@dataclass(frozen=True)
class Crossing:
    """
    A key, or the account, becomes low.

    :param kind: by which kind of rules.
    :param key: the key, None for the account.
    :param left: what is left then.
    """

    kind: str
    key: Key | None
    left: float

    @property
    def changes(self) -> dict[str, float]:
        """What happens to the account: a refund is no pace, unlike what is spent."""
        if self.kind == "credits, USD":
            return {"refunded": BALANCE - self.left * MILLION}
        return {"spent": _spent_in_six_hours(LOW * MILLION, self.left)}


@dataclass(frozen=True)
class Sensor:
    """
    A sensor that waits.

    :param connection: its connection.
    :param kind: the kind of its rule.
    :param below: its threshold.
    :param rule: its arguments, besides the connection.
    :param watched: the keys that its rule should select, None for every key, or for the account.
    """

    connection: str
    kind: str
    below: float
    rule: dict[str, Any]
    watched: tuple[Key, ...] | None

    @property
    def task(self) -> str:
        return "credits" if self.kind in CREDITS else "keys"

    @property
    def group(self) -> Group:
        return self.connection == ONE, self.task

    @property
    def source(self) -> tuple[Group, str, str]:
        """What it polls: sensors of equal sources share their polls."""
        return self.group, self.connection, self.kind if self.kind in CREDITS else "keys"

    @property
    def arguments(self) -> dict[str, Any]:
        return {"openrouter_conn_id": self.connection, **self.rule}

    def wakes(self, crossing: Crossing) -> bool:
        is_watched = self.watched is None or crossing.key in self.watched
        return crossing.kind == self.kind and is_watched and crossing.left < self.below


class Plan:
    """
    Who waits, and what happens; the same each time.

    Each team's keys can become low by one kind of rules. Sensors of all kinds watch a team, by name or by hash,
    or every key; others watch the account's credits.

    :param sensors: how many sensors wait on one connection.
    :param connections: how many other connections there are, each with a few sensors.
    """

    def __init__(self, *, sensors: int, connections: int) -> None:
        self.teams = max(len(KEYS), sensors // 10)
        self.keys = [Key(team, number) for team in range(self.teams) for number in range(KEYS_OF_A_TEAM)]
        low = [Key(team, team % KEYS_OF_A_TEAM) for team in range(min(MOST_CROSSINGS, self.teams))]
        crossings = [Crossing(key.kind, key, LOW) for key in low[: -len(KEYS)]]
        crossings.insert(len(crossings) // 2, Crossing("credits, USD", None, LOW))
        crossings.append(Crossing("credits, time", None, LOW))
        self.crossings = crossings + [Crossing(key.kind, key, LOWEST) for key in low[-len(KEYS) :]]
        self.many = [f"openrouter_many_{number}" for number in range(connections)]
        self._connections = [ONE] * sensors + [name for name in self.many for _ in range(SENSORS_OF_EACH)]

    def sensors(self, hashes: dict[Key, str]) -> Iterator[Sensor]:
        """Make the sensors, once the keys have hashes."""
        chance = random.Random(0)
        for connection in self._connections:
            kind = chance.choice([*KEYS, *KEYS, *CREDITS])
            team = chance.randrange(self.teams)
            watched: tuple[Key, ...] | None = None
            rule: dict[str, Any] = {}
            thresholds: tuple[float, ...] = ANY, NEVER
            match chance.choice(("name", "hash") * 4 + ("every",)):
                case _ if kind in CREDITS:
                    thresholds = ANY, LAST, NEVER
                case "every":
                    thresholds = LAST, NEVER
                case "name":
                    watched = tuple(key for key in self.keys if key.team == team)
                    rule = {"name_pattern": f"team-{team:03}-*"}
                case "hash":
                    watched = Key(team, 0), Key(team, 1)
                    rule = {"key_hashes": [hashes[key] for key in watched]}
            below = round(chance.choice(thresholds) * chance.uniform(1, 1.1), 5)
            yield Sensor(connection, kind, below, rule | _threshold(kind, below), watched)

    def woken_by(self, sensor: Sensor) -> Crossing | None:
        """Return the crossing that should wake a sensor."""
        return next(filter(sensor.wakes, self.crossings), None)


def _threshold(kind: str, below: float) -> dict[str, Any]:
    match kind:
        case "percent":
            return {"threshold": f"{below}%"}
        case "time" | "credits, time":
            return {"threshold": f"{below} days"}
        case "expiry":
            return {"threshold": 0, "expires_within": f"{below} days"}
        case "credits, USD":
            return {"threshold": below * MILLION}
    return {"threshold": below}


def _spent_in_six_hours(amount: float, days: float) -> float:
    """Return what must be spent of an amount in six hours, so that the rest lasts for some days at that pace."""
    return amount / (1 + 4 * days)
