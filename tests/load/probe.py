"""A trigger that measures the lag of the event loop that all triggers share, and a task that waits for it."""

from __future__ import annotations

import asyncio
import time

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

TICK = 0.01


class ProbeTrigger(BaseTrigger):
    """Ticks every ten milliseconds, and yields how late the ticks were, in milliseconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self):
        return f"{__name__}.{type(self).__name__}", {"seconds": self.seconds}

    async def run(self):
        lags = []
        end = time.monotonic() + self.seconds
        while (now := time.monotonic()) < end:
            await asyncio.sleep(TICK)
            lags.append((time.monotonic() - now - TICK) * 1000)
        lags.sort()
        yield TriggerEvent(
            {"p50": lags[len(lags) // 2], "p99": lags[len(lags) * 99 // 100], "max": lags[-1], "ticks": len(lags)}
        )


class ProbeOperator(BaseOperator):
    """Returns what the probe measured."""

    def __init__(self, *, seconds: float, **kwargs) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context):
        self.defer(trigger=ProbeTrigger(self.seconds), method_name="execute_complete")

    def execute_complete(self, context, event):
        return event
