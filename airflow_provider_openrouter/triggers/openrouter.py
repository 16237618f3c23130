"""Triggers that watch what is left of OpenRouter's keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_openrouter.arguments import read_interval
from airflow_provider_openrouter.events import error_event, low_event
from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.limits import LimitRule, Record
from airflow_provider_openrouter.listings import listings

REFUSALS = 3
"""How often a refusal is waited out, each time twice as long: the key may be about to be replaced."""


class OpenRouterKeyLimitTrigger(BaseTrigger):
    """
    Waits until less remains of any watched key than the threshold, and yields one event.

    It lists at once, and then every ``poll_interval`` seconds; triggers of the same connection, workspace and
    ``include_disabled`` share their listings. A transient error is a warning, and the wait goes on. A refused key
    (401, 403), or a connection that cannot be read, is waited out three times, for one, two and four intervals,
    and the connection read anew: the key may be about to be replaced. Whatever ends the wait is told as an event
    (see :mod:`airflow_provider_openrouter.events`).

    :param threshold: an amount of USD, or a percentage of the key's own limit such as ``"10%"``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds between the end of a listing and the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all of them.
    :param fail_if_unwatched: whether it is an error, and no mere warning, that no key is watched or a hash is
        not listed.
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
        self.workspace_id = workspace_id or None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Answer what this trigger is made anew of: plain JSON, and never a management key."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            **self.rule.arguments,
            "openrouter_conn_id": self.openrouter_conn_id,
            "poll_interval": self.poll_interval,
            "workspace_id": self.workspace_id,
        }

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
            self.log.warning("%s The wait goes on.", error)
            return refusals
        # What is not ours was raised by reading the connection.
        may_be_mended = isinstance(error, OpenRouterAuthError) or not isinstance(error, OpenRouterError)
        if not may_be_mended or refusals == REFUSALS:
            raise error
        pause = self.poll_interval * 2**refusals
        self.log.warning("%s The connection will be read anew in %g s, in case it is mended.", error, pause)
        await asyncio.sleep(pause)
        return refusals + 1
