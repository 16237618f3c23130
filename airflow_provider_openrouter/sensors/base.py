"""How the sensors wait: the same in each mode, as far as Airflow lets them."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow.sdk.bases.operator import TriggerFailureReason

from airflow_provider_openrouter.arguments import read_interval
from airflow_provider_openrouter.exceptions import OpenRouterError, without_task_retries
from airflow_provider_openrouter.links import OpenRouterKeysLink
from airflow_provider_openrouter.text import duration
from airflow_provider_openrouter.triggers.base import WaitTrigger, report
from airflow_provider_openrouter.watch.check import Check, Rule
from airflow_provider_openrouter.watch.messages import format_message, format_report
from airflow_provider_openrouter.watch.metrics import counted_poll
from airflow_provider_openrouter.watch.pauses import Patience, Pauses, ends_a_wait
from airflow_provider_openrouter.watch.sources import Reader, Source, Stop, get_client

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


DEFERRABLE = conf.getboolean("operators", "default_deferrable", fallback=False)
"""Whether sensors are deferrable unless told otherwise."""
SETTLING = 10.0
"""
Seconds from a deferral to the first poll in the triggerer, unless the interval is shorter. Airflow can fail a
task that resumes before the scheduler has read that its worker is done. That took up to six seconds on a busy
machine; see https://github.com/apache/airflow/issues/72716.
"""


class WaitSensor(BaseSensorOperator):
    """
    Waits until a rule finds something low.

    A subclass says by what its arguments are read, what the result is, and which trigger goes on with the wait.

    :param deferrable: whether to wait in the triggerer, which costs no worker slot.
    """

    operator_extra_links = (OpenRouterKeysLink(),)
    ui_color = "#e4e7fb"
    trigger_class: ClassVar[type[WaitTrigger]]

    _began: float | None  # when the first poke began, on the monotonic clock
    _reader: Reader[Any] | None
    _event: dict[str, Any] | None  # of what the last poke found, if something is low

    def __init__(self, *, deferrable: bool = DEFERRABLE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self._begin()
        if deferrable:
            read_interval("poke_interval", self.poke_interval)

    @abstractmethod
    def _make_rule(self) -> Rule[Any]:
        """Return the rule of the rendered arguments."""

    @abstractmethod
    def _make_source(self, rule: Any) -> Source[Any]:
        """Return the source of the rendered arguments."""

    @abstractmethod
    def _result(self, check: Check[Any] | None) -> Any:
        """Return the sensor's result after a poke, which has found nothing if an error was outlasted."""

    def execute(self, context: Context) -> Any:
        """Wait; in ``reschedule`` mode until the server wants the next poll, but not beyond the timeout."""
        self._begin()
        try:
            result = super().execute(context)
        except AirflowException as error:
            hold = self._pauses.not_before - time.monotonic()
            if hold > 0 and hasattr(error, "reschedule_date"):  # its class is elsewhere in each Airflow
                now = datetime.now(UTC)
                began = context["ti"].get_first_reschedule_date(context) or now
                end = began + timedelta(seconds=self.timeout)
                error.reschedule_date = max(error.reschedule_date, min(now + timedelta(seconds=hold), end))
            raise
        if self._event is not None:
            self._push_words(context, self._event, result)
        return result

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Poll once, and compare what was read with the rule.

        If nothing is low, a deferrable sensor defers from here, so that its first poke, and how Airflow treats an
        error in it, are the same as in the other modes.
        """
        if self._began is None:
            self._began = time.monotonic()
        rule = self._make_rule()
        source = self._make_source(rule)
        check = self._check(rule, source)
        if self.deferrable and not (check and check.low):
            self._defer(rule, source, self._began)
        while check is None and not self.reschedule and self._sleep(self._began + self.timeout):
            check = self._check(rule, source)
        self._event = report(source, check, check.low) if check and check.low else None
        return PokeReturnValue(self._event is not None, self._result(check))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Return what the method returns.

        :raises AirflowTaskTimeout: if the ``execution_timeout`` has ended the wait.
        """
        timed_out = (next_kwargs or {}).get("error") == TriggerFailureReason.TRIGGER_TIMEOUT
        if timed_out and self._execution_timeout is not None:
            raise AirflowTaskTimeout(f"The execution_timeout of {self._execution_timeout} has passed.")
        return super().resume_execution(next_method, next_kwargs, context)

    def _push_words(self, context: Context, event: dict[str, Any], result: Any) -> None:
        """Push what people read: the message, and low keys as a table."""
        if not self.do_xcom_push:
            return
        context["ti"].xcom_push(key="message", value=event.get("message") or format_message(event))
        if isinstance(result, list):
            context["ti"].xcom_push(key="report", value=format_report(result))

    def _begin(self) -> None:
        self._began = None
        self._event = None
        self._reader = None
        self._pauses = Pauses()
        self._patience = Patience(has_listed=False)

    @property
    def _execution_timeout(self) -> timedelta | None:
        """The ``execution_timeout``, if it ends a deferred wait before the ``timeout`` does."""
        shorter = self.execution_timeout and self.execution_timeout.total_seconds() <= self.timeout
        return self.execution_timeout if shorter else None

    def _check(self, rule: Rule[Any], source: Source[Any]) -> Check[Any] | None:
        """Return what the rule finds now, or None after an error that the wait outlasts."""
        self._pauses.began = time.monotonic()
        if self._reader is None:
            self._reader = source.reader()
        try:
            with counted_poll(source.openrouter_conn_id, source.scope):
                reading = self._reader.read(get_client(source), Stop())
        except OpenRouterError as error:
            if ends_a_wait(error):
                raise without_task_retries(error) from None
            if error.transient:
                self.log.warning("%s The wait goes on.", error)
            elif left := self._patience.left(self._pauses.began):
                self.log.warning("%s The wait goes on: it ends if this lasts %s more.", error, duration(left))
            elif self.soft_fail:  # for which Airflow skips a deferred wait, but not one that pokes
                raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
            else:
                raise
            self._pauses.failed(error, time.monotonic())
            return None
        self._pauses.succeeded()
        self._patience.listed()
        check = rule.check(reading)
        check.report(self.log)
        return check

    def _sleep(self, end: float) -> bool:
        """
        Sleep until the next poll, if the last error makes that another moment than Airflow's next poke.

        :param end: when the timeout ends the wait.
        :return: whether it is time for the next poll.
        """
        now = time.monotonic()
        if not self._pauses.are_refused and self._pauses.not_before <= now:
            return False
        pause = self._pauses.pause(self.poke_interval, backs_off=False)
        next_poll = max(self._pauses.began + pause, self._pauses.not_before)
        time.sleep(max(0.0, min(next_poll, end) - now))
        return next_poll < end

    def _defer(self, rule: Rule[Any], source: Source[Any], began: float) -> None:
        if self.exponential_backoff or self.max_wait:
            self.log.warning(
                "exponential_backoff and max_wait are ignored: a deferred sensor polls every poke_interval."
            )
        now = time.monotonic()
        if self._execution_timeout is None:
            timeout = timedelta(seconds=self.timeout)
        else:
            timeout = max(timedelta(0), self._execution_timeout - timedelta(seconds=now - began))
        hold = max(min(self.poke_interval, SETTLING), self._pauses.not_before - now)
        self.defer(
            trigger=self.trigger_class(
                **rule.arguments,
                **source.arguments,
                openrouter_conn_id=source.openrouter_conn_id,
                poll_interval=self.poke_interval,
                has_listed=self._patience.has_listed,
                first_poll_at=(datetime.now(UTC) + timedelta(seconds=hold)).isoformat(),
            ),
            method_name="execute_complete",
            timeout=timeout,
        )
