"""Sensors in each of their modes, run to their end as Airflow runs them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import aclosing
from datetime import UTC, datetime
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseSensorOperator, TaskDeferred
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.triggers.base import BaseTrigger, TriggerEvent
from support.lines import AirflowRescheduleException

MODES = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}

in_every_mode = pytest.mark.parametrize("mode", MODES)
at_the_first_poke_and_later = pytest.mark.parametrize("when", ["first", "later"])


class Context(dict[str, Any]):
    """As much of a task's context as a sensor needs, what it pushed, and what went between it and the trigger."""

    def __init__(self, **values: Any) -> None:
        self.deferred: list[TaskDeferred] = []
        self.trigger_rows: list[str] = []
        self.payloads: list[str] = []
        self.xcoms: dict[str, Any] = {}
        self.began: datetime | None = None
        ti = SimpleNamespace(
            get_first_reschedule_date=lambda context: self.began,
            xcom_push=lambda key, value: self.xcoms.update({key: value}),
        )
        super().__init__(ti=ti, **values)


def wait_with(kind: type[BaseSensorOperator], mode: str, context: Context | None = None, **arguments: Any) -> Any:
    """Run a sensor to its end as Airflow does in this mode; each process makes the sensor again."""
    context = Context() if context is None else context
    sensor = kind(task_id="wait", **{"poke_interval": 0.05, "timeout": 30} | MODES[mode] | arguments)
    others = set(threading.enumerate())
    began = datetime.now(UTC)
    try:
        while True:
            try:
                return made_again(sensor, context).execute(context)
            except AirflowRescheduleException as rescheduled:
                context.began = began
                time.sleep(max(0.0, (rescheduled.reschedule_date - datetime.now(UTC)).total_seconds()))
            except TaskDeferred as deferred:
                context.deferred.append(deferred)
                return resume(sensor, deferred, context)
    finally:
        left = threads_left(others)
        assert not left, f"Left behind: {left}"


def made_again(sensor: BaseSensorOperator, context: Context) -> BaseSensorOperator:
    """Return a sensor as another process has it, rendered."""
    sensor = sensor.prepare_for_execution()
    sensor.render_template_fields(context)
    return sensor


def resume(sensor: BaseSensorOperator, deferred: TaskDeferred, context: Context) -> Any:
    """Run the trigger of a deferred sensor, as from its row, and the sensor with its event."""
    path, arguments = deferred.trigger.serialize()
    context.trigger_rows.append(json.dumps(arguments, allow_nan=False))
    trigger = resolve_name(path)(**json.loads(context.trigger_rows[-1]))
    try:
        event = asyncio.run(first_event(trigger, deferred.timeout.total_seconds()))
    except TimeoutError:
        method, kwargs = TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT.value}
    else:
        context.payloads.append(json.dumps(event.payload, allow_nan=False))
        method, kwargs = deferred.method_name, {"event": json.loads(context.payloads[-1])}
    return made_again(sensor, context).resume_execution(method, kwargs, context)


async def first_event(trigger: BaseTrigger, timeout: float) -> TriggerEvent:
    async with aclosing(trigger.run()) as events:
        return await asyncio.wait_for(anext(events), timeout)


def threads_left(others: set[threading.Thread]) -> list[threading.Thread]:
    """Return which of our own threads do not end, though they are given some seconds."""
    for _ in range(500):
        left = [thread for thread in set(threading.enumerate()) - others if thread.name.startswith("openrouter")]
        if not left:
            return []
        time.sleep(0.01)
    return left
