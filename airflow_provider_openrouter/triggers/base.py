"""What the triggers have in common: one that waits for a task, and one that watches for an asset."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_openrouter.arguments import read_count, read_interval, read_time, require_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.text import duration, sentence
from airflow_provider_openrouter.watch.alert_state import AlertState
from airflow_provider_openrouter.watch.check import Check, Finding, Rule
from airflow_provider_openrouter.watch.events import error_event, low_event
from airflow_provider_openrouter.watch.left import L
from airflow_provider_openrouter.watch.metrics import count_reports
from airflow_provider_openrouter.watch.outage import Outage
from airflow_provider_openrouter.watch.pauses import Patience, ends_a_wait, is_temporary
from airflow_provider_openrouter.watch.polling import Poll, polls
from airflow_provider_openrouter.watch.sources import Source
from airflow_provider_openrouter.watch.status import Status
from airflow_provider_openrouter.watch.threshold import read_margin

STATE_NAMES = {"openrouter_conn_id": "connection", "workspace_id": "workspace"}
"""What the names of arguments are in a state key, where they differ."""


class WatchTrigger(BaseTrigger):
    """
    The base of both: a source, a rule and an interval.

    :param source: what to read.
    :param rule: what is asked of each reading.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    """

    backs_off: ClassVar[bool]

    def __init__(self, *, source: Source[Any], rule: Rule[Any], poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.source = source
        self.rule = rule
        self.poll_interval = read_interval("poll_interval", poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments: plain JSON, and never a management key."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments

    def _polls(self) -> AsyncGenerator[Poll[Any], None]:
        return polls(self.source, poll_interval=self.poll_interval, backs_off=self.backs_off)

    def _warn(self, error: Exception, consequence: str, *details: Any) -> None:
        """Log an error; if it is neither Airflow's nor ours, log its class and traceback instead of its text."""
        known = isinstance(error, AirflowException)
        said = sentence(error) if known else f"An unexpected {type(error).__name__}."
        self.log.warning(f"%s {consequence}", said, *details, exc_info=None if known else error)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            **self.rule.arguments,
            "openrouter_conn_id": self.source.openrouter_conn_id,
            "poll_interval": self.poll_interval,
            **self.source.arguments,
        }


def report(source: Source[Any], check: Check[L], found: Sequence[Finding[L]]) -> dict[str, Any]:
    """Return the event of some of what is low, and count it."""
    count_reports(
        source.openrouter_conn_id, source.scope, reasons=(finding.criterion.reason for finding in found)
    )
    return low_event(check, found, connection=source.openrouter_conn_id)


class WaitTrigger(WatchTrigger):
    """
    Waits until the rule finds something low, and yields one event.

    :param has_listed: whether the wait has listed before with this connection, as a sensor has before it defers.
    :param first_poll_at: when to poll first (ISO 8601, with its time zone), None for at once.
    """

    backs_off = False

    def __init__(self, *, has_listed: bool, first_poll_at: str | None, **watch: Any) -> None:
        super().__init__(**watch)
        self.has_listed = require_flag("has_listed", has_listed)
        self.first_poll_at = read_time("first_poll_at", first_poll_at)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            **super()._arguments,
            "has_listed": self.has_listed,
            "first_poll_at": self.first_poll_at and self.first_poll_at.isoformat(),
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: when something is low, or when an error ends the wait."""
        try:
            event = await self._wait()
        except Exception as error:
            if not isinstance(error, AirflowException):
                self.log.exception("The wait has ended")
            event = error_event(error)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        patience = Patience(has_listed=self.has_listed)
        if self.first_poll_at is not None:
            await asyncio.sleep((self.first_poll_at - datetime.now(UTC)).total_seconds())
        async with aclosing(self._polls()) as shared:
            async for poll in shared:
                try:
                    check = await poll.check(self.rule)
                except Exception as error:
                    if is_temporary(error):
                        self._warn(error, "The wait goes on.")
                        continue
                    left = 0.0 if ends_a_wait(error) else patience.left(poll.began)
                    if not left:
                        raise
                    self._warn(error, "The wait goes on: it ends if this lasts %s more.", duration(left))
                else:
                    patience.listed()
                    check.report(self.log)
                    if check.low:
                        return report(self.source, check, check.low)
        raise AssertionError("There is always another poll.")


class EventTrigger(WatchTrigger, BaseEventTrigger):
    """
    Yields an event for each poll in which something newly crossed the threshold, for ever.

    :param rearm_margin: how much above the threshold something must be before it is re-armed.
    :param max_consecutive_failures: after how many failures in a row to raise, None for never.
    :param report_failures_after: after how many polls in a row that fail, or find nothing to watch, to yield an
        event that says so, ``max_consecutive_failures`` at most; None for never.
    """

    backs_off = True

    def __init__(
        self,
        *,
        rearm_margin: float | str | timedelta,
        max_consecutive_failures: int | None,
        report_failures_after: int | None,
        **watch: Any,
    ) -> None:
        super().__init__(**watch)
        self.rearm_margin = read_margin(rearm_margin, self.rule.thresholds[0])
        self.max_consecutive_failures = read_count("max_consecutive_failures", max_consecutive_failures)
        self.report_failures_after = read_count("report_failures_after", report_failures_after)
        if (self.report_failures_after or 0) > (self.max_consecutive_failures or math.inf):
            raise OpenRouterRequestError(
                "report_failures_after must not be above max_consecutive_failures. After that many failures the "
                "trigger starts again and counts from 1, so none would be reported."
            )

    @property
    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments
        arguments.pop("fail_if_unwatched", None)  # it would keep a key that is gone from being re-armed
        return {
            **arguments,
            "rearm_margin": self.rearm_margin.argument,
            "max_consecutive_failures": self.max_consecutive_failures,
            # Only if it is given: the arguments identify the trigger, also to an earlier release.
            **({"report_failures_after": after} if (after := self.report_failures_after) else {}),
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each poll in which something newly crossed the threshold."""
        store = getattr(self, "asset_state_store", None)
        watched = f"{self.source}, {self.rule},"
        key = self._state_digest
        state = AlertState(
            self.rule.thresholds, self.rearm_margin, f"openrouter_low:{key}", store, watched, self.log
        )
        fields = {"connection": self.source.openrouter_conn_id, **self.source.arguments, "rule": str(self.rule)}
        outage = Outage(self.report_failures_after, f"openrouter_failing:{key}", store, fields)
        status = Status(self.status_key, store)
        failures = 0
        async with aclosing(self._polls()) as shared:
            async for poll in shared:
                await outage.keep()
                check: Check[Any] | None = None
                error: Exception | None = None
                crossed: list[Finding[Any]] = []
                try:
                    await state.load()
                    check = await poll.check(self.rule)
                except Exception as failure:
                    error = failure
                    failures += 1
                    ends = failures == self.max_consecutive_failures
                    then = "ends, and Airflow starts it again" if ends else "goes on"
                    self._warn(error, f"The watch of %s {then} (failure %s in a row).", watched, failures)
                else:
                    failures, ends = 0, False
                    check.report(self.log)
                    crossed = state.find_crossed(check)
                    state.update(check, crossed)
                    error = OpenRouterRequestError(check.warning) if check.is_blind else None
                await state.store()
                event = outage.failed(error) if error else outage.ended()
                events = [event] if event else []
                if check and crossed:
                    self.log.info("Reporting %s that crossed the threshold", check.count(crossed))
                    events.append(report(self.source, check, crossed))
                for event in events:
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                await status.store(check, error, events)
                if error and ends:
                    await outage.keep()
                    raise error

    @property
    def status_key(self) -> str:
        """The key under which the state store of the asset keeps how the watch is."""
        return f"openrouter_status:{self._state_digest}"

    @property
    def _state_digest(self) -> str:
        # Nothing may be added, renamed or left out: every low key would be reported again after an upgrade.
        arguments = self._arguments
        for name in ("poll_interval", "max_consecutive_failures", "report_failures_after"):
            arguments.pop(name, None)
        watched = {STATE_NAMES.get(name, name): value for name, value in arguments.items()}
        return hashlib.sha256(json.dumps(watched, sort_keys=True).encode()).hexdigest()[:32]
