"""What became of the sensors, compared with the plan."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts import Account
from plan import REASONS, Crossing, Key, Plan, Sensor
from triggerers import Cluster, running_triggers

LOST = 300.0
"""Seconds after the minutes; a sensor that has not been woken by then never will be."""
OUTCOMES = """
    select state, extract(epoch from end_date)::float, value
    from task_instance left join xcom
    on (xcom.dag_id, xcom.task_id, xcom.run_id, xcom.map_index, xcom.key)
    = (task_instance.dag_id, task_instance.task_id, task_instance.run_id, task_instance.map_index, 'return_value')
    where task_instance.dag_id = 'waiting' and task_instance.task_id = :task
    order by task_instance.map_index
"""


@dataclass
class Crossings:
    """Lets keys and the account become low one after another within some seconds, and records when."""

    account: Account
    plan: Plan
    hashes: dict[Key, str]
    seconds: float
    began: float = 0.0
    moments: dict[Crossing, float] = field(default_factory=dict)

    def __call__(self, began: float) -> None:
        self.began = began
        for number, crossing in enumerate(self.plan.crossings):
            moment = began + self.seconds * number / (len(self.plan.crossings) - 1)
            time.sleep(max(0.0, moment - time.time()))
            key = crossing.key
            self.moments[crossing] = (
                self.account.lower_balance(**crossing.changes)
                if key is None
                else self.account.change_key(self.hashes[key], **key.changes(crossing.left))
            )


@dataclass(frozen=True)
class Waking:
    """
    When a sensor was woken.

    :param sensor: the sensor.
    :param crossed: the crossing.
    :param polled: when the poll began that showed it.
    :param ended: when the task ended.
    """

    sensor: Sensor
    crossed: float
    polled: float
    ended: float


def judged(
    cluster: Cluster, sensors: list[Sensor], crossings: Crossings, interval: float
) -> tuple[list[Waking], list[str]]:
    """Return who was woken, and what is not as it must be."""
    woken = [crossings.plan.woken_by(sensor) for sensor in sensors]
    waiting = woken.count(None)
    deadline = time.time() + LOST
    while time.time() < deadline and (running_triggers(cluster) > waiting or _busy(cluster)):
        time.sleep(1)
    time.sleep(interval)  # for those that must not be woken

    wakings, wrong = [], []
    if (running := running_triggers(cluster)) != waiting:
        wrong.append(f"{running} triggers run, not {waiting}.")
    became = {task: iter(cluster.query(OUTCOMES, task=task)) for task in ("keys", "credits")}
    for sensor, crossing in zip(sensors, woken, strict=True):
        state, ended, found = next(became[sensor.task])
        records = [found] if isinstance(found, dict) else found or []
        low = [(record.get("hash"), record["reason"]) for record in records]
        should: tuple[str, list[Any]] = "deferred", []
        if crossing is not None:
            hash_ = crossings.hashes[crossing.key] if crossing.key else None
            should = "success", [(hash_, REASONS[sensor.kind])]
        if (state, low) != should:
            wrong.append(f"{sensor.kind}, {sensor.arguments}: {state}, low {low}, not {should}.")
        elif crossing is not None:
            polled = datetime.fromisoformat(records[0]["observed_at"]).timestamp()
            wakings.append(Waking(sensor, crossings.moments[crossing], polled, ended))
    return wakings, wrong


def _busy(cluster: Cluster) -> bool:
    """Return whether some sensors neither wait nor have ended."""
    return bool(
        cluster.query(
            "select 1 from task_instance where dag_id = 'waiting' and state in ('scheduled', 'queued', 'running')"
        )
    )
