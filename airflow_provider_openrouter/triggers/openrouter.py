"""Triggers that watch what is left of OpenRouter's keys: one for a task that waits, one for an asset."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Hashable
from contextlib import aclosing
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_openrouter.arguments import read_interval
from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.watch.alert_state import Crossings
from airflow_provider_openrouter.watch.events import crossing_event, error_event, low_event
from airflow_provider_openrouter.watch.polling import Listing, listings
from airflow_provider_openrouter.watch.rule import LimitRule, Record, Threshold

REFUSALS = 3
"""How often a refusal is waited out, each time twice as long: the key may be about to be replaced."""


class _KeyLimitTrigger(BaseTrigger):
    """What both triggers are made of: a rule, a connection, a workspace and an interval."""

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
        self.workspace_id = WorkspaceScope.read(workspace_id).typed

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Answer what this trigger is made anew of: plain JSON, and never a management key."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments

    def _warn(self, error: Exception, what_now: str, *details: Any) -> None:
        """Say in one line what went wrong; of what is not Airflow's or ours only the kind, and then where."""
        known = isinstance(error, AirflowException)
        said = error if known else f"An unexpected {type(error).__name__}."
        self.log.warning(f"%s {what_now}", said, *details, exc_info=None if known else error)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            **self.rule.arguments,
            "openrouter_conn_id": self.openrouter_conn_id,
            "poll_interval": self.poll_interval,
            "workspace_id": self.workspace_id,
        }


class OpenRouterKeyLimitTrigger(_KeyLimitTrigger):
    """
    Waits until less remains of any watched key than the threshold, and yields one event.

    It lists at once, and then every ``poll_interval`` seconds; triggers of the same connection, workspace and
    ``include_disabled`` share their listings. A transient error is a warning, and the wait goes on. A refused key
    (401, 403), or a connection that cannot be read, is waited out three times, for one, two and four intervals,
    and the connection read anew: the key may be about to be replaced. Whatever ends the wait is told as an event
    (see :mod:`airflow_provider_openrouter.watch.events`).

    :param threshold: an amount of USD, or a percentage of the key's own limit such as ``"10%"``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a listing to that of the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all of them.
    :param fail_if_unwatched: whether it is an error, and no mere warning, that no key is watched or a hash is
        not listed.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: when a key is low, or when nothing more can come of waiting."""
        try:
            event = low_event(await self._wait())
        except Exception as error:
            if not isinstance(error, AirflowException):
                self.log.exception("The wait for a low key has ended")
            event = error_event(error)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self) -> list[Record]:
        refusals = 0
        shared = listings(
            self.openrouter_conn_id,
            poll_interval=self.poll_interval,
            include_disabled=self.rule.include_disabled,
            workspace_id=self.workspace_id,
        )
        async with aclosing(shared):
            async for listing in shared:
                try:
                    check = await listing.check(self.rule)
                except Exception as error:
                    refusals = await self._bear(error, refusals)
                else:
                    refusals = 0
                    check.report(self.log)
                    if check.low:
                        return check.records
        raise AssertionError("There is always another listing.")

    async def _bear(self, error: Exception, refusals: int) -> int:
        """Wait out an error that may pass, and answer how many refusals there were; raise one that will not."""
        if isinstance(error, OpenRouterError) and error.transient:
            self._warn(error, "The wait goes on.")
            return refusals
        # What is not ours was raised while the connection was read.
        may_be_mended = isinstance(error, OpenRouterAuthError) or not isinstance(error, OpenRouterError)
        if not may_be_mended or refusals == REFUSALS:
            raise error
        pause = self.poll_interval * 2**refusals
        self._warn(error, "The connection will be read anew in %g s, in case it is mended.", pause)
        await asyncio.sleep(pause)
        return refusals + 1


class OpenRouterKeyLimitEventTrigger(_KeyLimitTrigger, BaseEventTrigger):
    """
    Starts DAGs, by way of an asset, when keys run low: once for each key, until it has recovered.

    Of each poll in which keys newly crossed the threshold it yields one event, which tells those keys (see
    :mod:`airflow_provider_openrouter.watch.events`). A key is armed again once it is back at or above the threshold and
    the margin, or is no longer watched: topped up, reset, without limit, disabled, expired or deleted. What was
    told is kept in the state store of the asset, where Airflow has one (3.3), so that it is not told again after
    a restart; without one, or if several assets share the trigger, it is kept in memory only.

    Failures are warnings and waited out with pauses that grow to ten minutes; the connection is read anew after
    each. Watchers of the same connection, workspace, ``include_disabled`` and interval share their listings.

    :param threshold: an amount of USD, or a percentage of the key's own limit such as ``"10%"``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a listing to that of the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all of them.
    :param rearm_margin: how much above the threshold a key must be before it is armed again: an amount of USD, or
        a percentage of its limit. It keeps a key that trembles around the threshold from being told repeatedly.
    :param max_consecutive_failures: after how many failures in a row to raise, None for never. Airflow starts the
        trigger anew then: it serves to be seen, not to stop.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

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
        self.max_consecutive_failures = _read_count("max_consecutive_failures", max_consecutive_failures)

    @property
    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments
        del arguments["fail_if_unwatched"]  # it would keep a key that is gone from being armed again
        return {
            **arguments,
            "rearm_margin": self.rearm_margin.argument,
            "max_consecutive_failures": self.max_consecutive_failures,
        }

    def shared_stream_key(self) -> Hashable:
        """Answer what those have in common who share their listings."""
        return (
            "openrouter",
            self.openrouter_conn_id,
            self.workspace_id,
            self.rule.include_disabled,
            self.poll_interval,
        )

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[Listing, None]:
        """Yield one listing after another, or why there is none."""
        shared = listings(
            kwargs["openrouter_conn_id"],
            poll_interval=kwargs["poll_interval"],
            include_disabled=kwargs["include_disabled"],
            workspace_id=kwargs["workspace_id"],
            patient=True,
        )
        async with aclosing(shared):
            async for listing in shared:
                yield listing

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Listing]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each listing in which keys newly crossed the threshold."""
        crossings = Crossings(
            self.rearm_margin, self._state_key, getattr(self, "asset_state_store", None), self.log
        )
        failures = 0
        async for listing in shared_stream:
            try:
                await crossings.recall()
                check = await listing.check(self.rule)
            except Exception as error:
                failures += 1
                if failures == self.max_consecutive_failures:
                    raise
                self._warn(error, "The watch goes on (failure %s in a row).", failures)
                await crossings.store()
                continue
            failures = 0
            check.report(self.log)
            crossed = crossings.find(check)
            await crossings.store()
            if crossed:
                self.log.info("Telling the asset of %s key(s) that crossed the threshold", len(crossed))
                yield TriggerEvent(crossing_event(check, crossed))  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the events alone, where Airflow (before 3.3) does not share streams."""
        async with aclosing(self.open_shared_stream(self._arguments)) as stream:
            async for event in self.filter_shared_stream(stream):
                yield event

    @property
    def _state_key(self) -> str:
        # These and no others: another name or order would let every low key be told again after an upgrade.
        watched = {
            "threshold": self.rule.threshold.argument,
            "key_hashes": self.rule.key_hashes,
            "name_pattern": self.rule.name_pattern,
            "include_disabled": self.rule.include_disabled,
            "rearm_margin": self.rearm_margin.argument,
            "connection": self.openrouter_conn_id,
            "workspace": self.workspace_id,
        }
        return f"openrouter_low:{hashlib.sha256(json.dumps(watched, sort_keys=True).encode()).hexdigest()[:32]}"


def _read_count(name: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise OpenRouterRequestError(f"{name} must be a whole number of 1 or more, or None, not {value!r}.")
    return value
