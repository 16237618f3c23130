"""Which sensors wait for which keys, which keys run low, and which sensors must wake; without the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ONE = "openrouter_one"
SENSORS_OF_EACH = 4
KEYS_OF_A_TEAM = 3
MOST_CROSSINGS = 24
LOW, DRY = 5.0, 0.5
"""What is left of a key that crosses, of 100 USD; the last one that crosses runs dry."""


@dataclass(frozen=True)
class Key:
    team: int
    number: int

    @property
    def name(self) -> str:
        return f"team-{self.team:03}-{self.number}"


@dataclass(frozen=True)
class Sensor:
    """
    A sensor that waits.

    :param connection: its connection.
    :param rule: its other arguments.
    :param watched: the keys that its rule should select, None for every key.
    :param usd: its threshold in USD, as every limit is 100 USD.
    """

    connection: str
    rule: dict[str, Any]
    watched: tuple[Key, ...] | None
    usd: float

    @property
    def arguments(self) -> dict[str, Any]:
        return {"openrouter_conn_id": self.connection, **self.rule}

    def wakes(self, key: Key, remaining: float) -> bool:
        return (self.watched is None or key in self.watched) and remaining < self.usd


class Plan:
    """
    Who waits, and what happens.

    One sensor of five watches every key, with a threshold that only the last crossing gets below, or no crossing.
    The others watch the keys of a team, by name or by hash; half of them have a threshold that each crossing gets
    below.

    :param sensors: how many sensors wait on one connection.
    :param connections: how many other connections there are, each with a few sensors.
    """

    def __init__(self, *, sensors: int, connections: int) -> None:
        self.on_one = sensors
        self.teams = max(1, sensors // 10)
        self.keys = [Key(team, number) for team in range(self.teams) for number in range(KEYS_OF_A_TEAM)]
        crossing = range(min(MOST_CROSSINGS, self.teams))
        self.crossings = [(Key(team, team % KEYS_OF_A_TEAM), LOW) for team in crossing]
        self.crossings[-1] = self.crossings[-1][0], DRY
        self.many = [f"openrouter_many_{number}" for number in range(connections)]
        self._connections = [ONE] * sensors + [name for name in self.many for _ in range(SENSORS_OF_EACH)]

    def sensors(self, hashes: dict[Key, str]) -> Iterator[Sensor]:
        """Make the sensors, once the keys have hashes."""
        for number, connection in enumerate(self._connections):
            group, kind = divmod(number, 5)
            usd = {0: 0.6 if group % 10 == 0 else 0.1, 1: 8, 2: 8, 3: 1, 4: 1}[kind] + number % 100 / 1000
            rule: dict[str, Any] = {"threshold": usd if group % 2 else f"{usd:g}%"}
            watched: tuple[Key, ...] | None = None
            team = group % self.teams
            if kind in (1, 3):
                watched = tuple(key for key in self.keys if key.team == team)
                rule["name_pattern"] = f"team-{team:03}-*"
            elif kind in (2, 4):
                watched = Key(team, 0), Key(team, 1)
                rule["key_hashes"] = [hashes[key] for key in watched]
            yield Sensor(connection, rule, watched, usd)

    def woken_by(self, sensor: Sensor) -> Key | None:
        """Return the key whose crossing should wake a sensor."""
        return next((key for key, remaining in self.crossings if sensor.wakes(key, remaining)), None)
