"""Sensors that wait for OpenRouter's keys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow.sdk.bases.operator import TriggerFailureReason

from airflow_provider_openrouter.arguments import is_literal, read_interval
from airflow_provider_openrouter.exceptions import OpenRouterError, without_task_retries
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.links import OpenRouterKeysLink
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count, duration
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitTrigger
from airflow_provider_openrouter.watch.events import read_event
from airflow_provider_openrouter.watch.pauses import Patience, Pauses, ends_a_wait
from airflow_provider_openrouter.watch.polling import get_client
from airflow_provider_openrouter.watch.rule import LimitRule

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OpenRouterKeyLimitSensor(BaseSensorOperator):
    """
    Waits until less than the threshold remains of any watched key, and returns the low keys, the lowest first.

    Watched are the active keys (neither disabled nor expired) with a limit that the other arguments select. What
    remains is ``limit_remaining``, as the API sends it. A low key is the API's own dict, with ``observed_at``
    (ISO 8601, UTC) added, and with ``workspace_name`` where that was read.

    After a temporary error the wait goes on, with a warning; if the server asks to wait, there is no poll before
    that. A permanent error ends the task without task retries.

    A refused key (401, 403), or a missing connection, ends the try at the first poke, and task retries apply.
    Once the wait has listed, it goes on for an hour of this, with pauses that grow to ten minutes: OpenRouter may
    have an outage, or the key may be about to be replaced. In ``reschedule`` mode each poke is a process of its
    own, and ends the try: set ``retries`` and ``retry_delay`` to more than an hour together.

    All else, such as the result, ``timeout`` and ``retries``, is the same in all modes; ``execution_timeout``
    ends a deferred wait too. Airflow itself treats some things differently: after a timeout ``never_fail`` skips
    only a deferred task, ``exponential_backoff`` and ``max_wait`` serve ``poke`` and ``reschedule`` only, and
    with ``silent_fail`` a refused key ends only a deferred wait.

    :param threshold: USD such as ``5``, or a percentage of the key's own limit such as ``"10%"``; what remains
        must be strictly below it. (templated)
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param key_hashes: the hashes of the keys to watch, a list, or text with commas or white space between; None
        for every key. (templated)
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
        (templated)
    :param include_disabled: whether to watch disabled keys too. (templated)
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them. (templated)
    :param fail_if_unwatched: whether it is an error, and not a warning at each poke, that no key is watched or a
        hash is not listed. (templated)
    :param deferrable: whether to wait in the triggerer, which costs no worker slot.
    :raises OpenRouterRequestError: if an argument makes no sense: a literal one when the DAG is parsed.
    :raises OpenRouterError: if an error ends the wait; unless it is an ``OpenRouterAuthError``, it fails without
        task retries.
    """

    template_fields: Sequence[str] = (
        "threshold",
        "openrouter_conn_id",
        "key_hashes",
        "name_pattern",
        "include_disabled",
        "workspace_id",
        "fail_if_unwatched",
    )
    operator_extra_links = (OpenRouterKeysLink(),)
    ui_color = "#e4e7fb"

    _began: float | None  # when the first poke began, on the monotonic clock

    def __init__(
        self,
        *,
        threshold: float | str,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        key_hashes: Sequence[str] | str | None = None,
        name_pattern: str | None = None,
        include_disabled: bool | str = False,
        workspace_id: str | None = None,
        fail_if_unwatched: bool | str = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        self.openrouter_conn_id = openrouter_conn_id
        self.key_hashes = key_hashes
        self.name_pattern = name_pattern
        self.include_disabled = include_disabled
        self.workspace_id = workspace_id
        self.fail_if_unwatched = fail_if_unwatched
        self.deferrable = deferrable
        self._begin()
        LimitRule(**{"threshold": 0} | {name: value for name, value in self._rule.items() if is_literal(value)})
        if is_literal(workspace_id):
            WorkspaceScope.read(workspace_id)
        if deferrable:
            read_interval("poke_interval", self.poke_interval)

    def execute(self, context: Context) -> Any:
        """Wait; in ``reschedule`` mode until the server wants the next poll, but not beyond the timeout."""
        self._begin()
        try:
            return super().execute(context)
        except AirflowException as error:
            hold = self._pauses.not_before - time.monotonic()
            if hold > 0 and hasattr(error, "reschedule_date"):  # its class is elsewhere in each Airflow
                now = datetime.now(UTC)
                began = context["ti"].get_first_reschedule_date(context) or now
                end = began + timedelta(seconds=self.timeout)
                error.reschedule_date = max(error.reschedule_date, min(now + timedelta(seconds=hold), end))
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """
        List the keys and compare them with the rule.

        If none is low, a deferrable sensor defers from here, so that its first poke, and how Airflow treats an
        error in it, are the same as in the other modes.
        """
        if self._began is None:
            self._began = time.monotonic()
        rule = LimitRule(**self._rule)
        low = self._find_low_keys(rule)
        if not low and self.deferrable:
            self._defer(rule, self._began)
        while low is None and not self.reschedule and self._sleep(self._began + self.timeout):
            low = self._find_low_keys(rule)
        return PokeReturnValue(bool(low), low or [])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Return what the method returns.

        :raises AirflowTaskTimeout: if the ``execution_timeout`` has ended the wait.
        """
        timed_out = (next_kwargs or {}).get("error") == TriggerFailureReason.TRIGGER_TIMEOUT
        if timed_out and self._execution_timeout is not None:
            raise AirflowTaskTimeout(f"The execution_timeout of {self._execution_timeout} has passed.")
        return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Any = None) -> list[Key]:
        """
        Return the low keys that the trigger found, or raise the error that ended its wait.

        :raises OpenRouterError: if an error ends the wait; without task retries, unless the key was refused.
        """
        keys = read_event(event)
        self.log.info("The trigger found %s", count(len(keys), "low key"))
        return keys

    def _begin(self) -> None:
        self._began = None
        self._pauses = Pauses()
        self._patience = Patience()

    @property
    def _rule(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("threshold", "key_hashes", "name_pattern", "include_disabled", "fail_if_unwatched")
        }

    @property
    def _execution_timeout(self) -> timedelta | None:
        """The ``execution_timeout``, if it ends a deferred wait before the ``timeout`` does."""
        shorter = self.execution_timeout and self.execution_timeout.total_seconds() <= self.timeout
        return self.execution_timeout if shorter else None

    def _find_low_keys(self, rule: LimitRule) -> list[Key] | None:
        """Return the low keys, or None after an error that the wait outlasts."""
        scope = WorkspaceScope.read(self.workspace_id)
        self._pauses.began = time.monotonic()
        try:
            listing = get_client(self.openrouter_conn_id).get_key_listing(
                include_disabled=rule.include_disabled, workspace_id=scope
            )
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
        check = rule.check(listing)
        check.report(self.log)
        return check.records

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

    def _defer(self, rule: LimitRule, began: float) -> None:
        if self.exponential_backoff or self.max_wait:
            self.log.warning(
                "exponential_backoff and max_wait are ignored: a deferred sensor polls every poke_interval."
            )
        hold = self._pauses.not_before - time.monotonic()
        if self._execution_timeout is None:
            timeout = timedelta(seconds=self.timeout)
        else:
            spent = timedelta(seconds=time.monotonic() - began)
            timeout = max(timedelta(0), self._execution_timeout - spent)
        self.defer(
            trigger=OpenRouterKeyLimitTrigger(
                **rule.arguments,
                openrouter_conn_id=self.openrouter_conn_id,
                poll_interval=self.poke_interval,
                workspace_id=self.workspace_id,
                has_listed=self._patience.has_listed,
                first_poll_at=(datetime.now(UTC) + timedelta(seconds=hold)).isoformat() if hold > 0 else None,
            ),
            method_name="execute_complete",
            timeout=timeout,
        )
