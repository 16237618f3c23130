"""Triggers that watch what remains of OpenRouter's keys: one for a task that waits, one for an asset."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_openrouter.arguments import read_count, read_interval, read_time, require_flag
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count, duration, sentence
from airflow_provider_openrouter.watch.alert_state import AlertState
from airflow_provider_openrouter.watch.events import crossing_event, error_event, low_event
from airflow_provider_openrouter.watch.pauses import Patience, ends_a_wait, is_temporary
from airflow_provider_openrouter.watch.polling import Poll, polls
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.threshold import Threshold


class _KeyLimitTrigger(BaseTrigger):
    """The base of both triggers: a rule, a connection, a workspace scope and an interval."""

    backs_off: ClassVar[bool]

    def __init__(
        self,
        *,
        threshold: float | str,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        key_hashes: list[str] | None = None,
        name_pattern: str | None = None,
        include_disabled: bool = False,
        workspace_id: str | None = None,
        fail_if_unwatched: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rule = LimitRule(
            threshold=threshold,
            key_hashes=key_hashes,
            name_pattern=name_pattern,
            include_disabled=include_disabled,
            fail_if_unwatched=fail_if_unwatched,
        )
        self.openrouter_conn_id = openrouter_conn_id
        self.poll_interval = read_interval("poll_interval", poll_interval)
        self.scope = WorkspaceScope.read(workspace_id)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments: plain JSON, and never a management key."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments

    def _polls(self) -> AsyncGenerator[Poll, None]:
        return polls(
            self.openrouter_conn_id,
            poll_interval=self.poll_interval,
            include_disabled=self.rule.include_disabled,
            scope=self.scope,
            backs_off=self.backs_off,
        )

    @property
    def _watched(self) -> str:
        workspace = f", workspace {self.scope.typed!r}" if self.scope.typed else ""
        return f"connection {self.openrouter_conn_id!r}{workspace}, {self.rule},"

    def _warn(self, error: Exception, consequence: str, *details: Any) -> None:
        """Log an error; if it is neither Airflow's nor ours, log its class and traceback instead of its text."""
        known = isinstance(error, AirflowException)
        said = sentence(error) if known else f"An unexpected {type(error).__name__}."
        self.log.warning(f"%s {consequence}", said, *details, exc_info=None if known else error)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            **self.rule.arguments,
            "openrouter_conn_id": self.openrouter_conn_id,
            "poll_interval": self.poll_interval,
            "workspace_id": self.scope.typed,
        }


class OpenRouterKeyLimitTrigger(_KeyLimitTrigger):
    """
    Waits until less than the threshold remains of any watched key, and yields one event.

    It polls at once, and then every ``poll_interval`` seconds; triggers of the same connection, workspace and
    ``include_disabled`` share their polls. After a temporary error the wait goes on, with a warning; if the
    server asks to wait, there is no poll before that.

    A refused key (401, 403), or a connection that cannot be read, ends the wait if it has not listed before. If
    it has, OpenRouter may have an outage, or the key may be about to be replaced: the wait goes on for an hour of
    this, with pauses that grow to ten minutes, and reads the connection again at each poll. After a restart of
    the triggerer the hour begins again. Whatever ends the wait becomes an event (see
    :mod:`airflow_provider_openrouter.watch.events`).

    :param threshold: an amount of USD, or a percentage of the key's own limit such as ``"10%"``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them.
    :param fail_if_unwatched: whether it is an error, and not a warning, that no key is watched or a hash is not
        listed.
    :param has_listed: whether the wait has listed before with this connection, as a sensor has before it defers.
    :param first_poll_at: when to poll first (ISO 8601, with its time zone), None for at once.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    backs_off = False

    def __init__(
        self,
        *,
        threshold: float | str,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        key_hashes: list[str] | None = None,
        name_pattern: str | None = None,
        include_disabled: bool = False,
        workspace_id: str | None = None,
        fail_if_unwatched: bool = False,
        has_listed: bool = False,
        first_poll_at: str | None = None,
    ) -> None:
        super().__init__(
            threshold=threshold,
            openrouter_conn_id=openrouter_conn_id,
            poll_interval=poll_interval,
            key_hashes=key_hashes,
            name_pattern=name_pattern,
            include_disabled=include_disabled,
            workspace_id=workspace_id,
            fail_if_unwatched=fail_if_unwatched,
        )
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
        """Yield one event: when a key is low, or when an error ends the wait."""
        try:
            event = low_event(await self._wait())
        except Exception as error:
            if not isinstance(error, AirflowException):
                self.log.exception("The wait for a low key has ended")
            event = error_event(error)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self) -> list[Key]:
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
                        return check.records
        raise AssertionError("There is always another poll.")


class OpenRouterKeyLimitEventTrigger(_KeyLimitTrigger, BaseEventTrigger):
    """
    Starts DAGs, by way of an asset, when keys run low: once for each key, until it has recovered.

    Each poll in which keys newly cross the threshold yields one event with those keys (see
    :mod:`airflow_provider_openrouter.watch.events`). A key is re-armed once it is back at or above the threshold
    and the margin, or is no longer watched: topped up, reset, without limit, disabled, expired or deleted. What
    was reported is kept in the state store of the asset, where Airflow has one (3.3), so that it is not reported
    again after a restart; without one, or if several assets share the trigger, it is kept in memory only.

    After a failure the watch goes on, with a warning and with pauses that grow to ten minutes; the connection is
    read again after each. Watchers of the same connection, workspace and ``include_disabled`` share their polls.

    :param threshold: an amount of USD, or a percentage of the key's own limit such as ``"10%"``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them.
    :param rearm_margin: how much above the threshold a key must be before it is re-armed: an amount of USD, or a
        percentage of its limit. It keeps a key that hovers around the threshold from being reported repeatedly.
    :param max_consecutive_failures: after how many failures in a row to raise, None for never. Airflow starts the
        trigger again then: use it to make failures visible; it does not stop the watch.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    backs_off = True

    def __init__(
        self,
        *,
        threshold: float | str,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        key_hashes: list[str] | None = None,
        name_pattern: str | None = None,
        include_disabled: bool = False,
        workspace_id: str | None = None,
        rearm_margin: float | str = 0,
        max_consecutive_failures: int | None = None,
    ) -> None:
        super().__init__(
            threshold=threshold,
            openrouter_conn_id=openrouter_conn_id,
            poll_interval=poll_interval,
            key_hashes=key_hashes,
            name_pattern=name_pattern,
            include_disabled=include_disabled,
            workspace_id=workspace_id,
        )
        self.rearm_margin = Threshold.read(rearm_margin, name="rearm_margin")
        self.max_consecutive_failures = read_count("max_consecutive_failures", max_consecutive_failures)

    @property
    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments
        del arguments["fail_if_unwatched"]  # it would keep a key that is gone from being re-armed
        return {
            **arguments,
            "rearm_margin": self.rearm_margin.argument,
            "max_consecutive_failures": self.max_consecutive_failures,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each poll in which keys newly crossed the threshold."""
        store = getattr(self, "asset_state_store", None)
        state = AlertState(self.rearm_margin, self._state_key, store, self._watched, self.log)
        failures = 0
        async with aclosing(self._polls()) as shared:
            async for poll in shared:
                try:
                    await state.load()
                    check = await poll.check(self.rule)
                except Exception as error:
                    failures += 1
                    await state.store()
                    ends = failures == self.max_consecutive_failures
                    then = "ends, and Airflow starts it again" if ends else "goes on"
                    self._warn(error, f"The watch of %s {then} (failure %s in a row).", self._watched, failures)
                    if ends:
                        raise
                    continue
                failures = 0
                check.report(self.log)
                crossed = state.find_crossed(check)
                state.update(check)
                await state.store()
                if crossed:
                    self.log.info("Reporting %s that crossed the threshold", count(len(crossed), "key"))
                    yield TriggerEvent(crossing_event(check, crossed))  # type: ignore[no-untyped-call]

    @property
    def _state_key(self) -> str:
        # These and no others: with another name or order every low key would be reported again after an upgrade.
        watched = {
            "threshold": self.rule.threshold.argument,
            "key_hashes": self.rule.key_hashes,
            "name_pattern": self.rule.name_pattern,
            "include_disabled": self.rule.include_disabled,
            "rearm_margin": self.rearm_margin.argument,
            "connection": self.openrouter_conn_id,
            "workspace": self.scope.typed,
        }
        return f"openrouter_low:{hashlib.sha256(json.dumps(watched, sort_keys=True).encode()).hexdigest()[:32]}"
