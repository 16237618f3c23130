"""
One listing for all who wait for it: triggers that watch the same keys do not each ask.

Listings run in threads of their own and not on the event loop, and of each connection, workspace and
``include_disabled`` there is one at a time. What is shared is a listing, or why there is none.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from asgiref.sync import sync_to_async

from airflow_provider_openrouter.exceptions import OpenRouterAuthError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.watch.rule import Inventory, LimitCheck, LimitRule

if TYPE_CHECKING:
    from airflow_provider_openrouter.api.client import OpenRouterClient


LONGEST_PAUSE = 600.0
"""Seconds up to which the pauses after failures grow; an interval that is longer stays as it is."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """
    What was listed, or why not.

    :param began: when, of the monotonic clock.
    :param ended: when, of the monotonic clock.
    :param turns: what those who check it take turns by.
    """

    inventory: Inventory
    error: Exception | None
    began: float
    ended: float
    turns: asyncio.Lock

    async def check(self, rule: LimitRule) -> LimitCheck:
        """
        Hold the keys against a rule, when it is its turn: hundreds at once would hold up the event loop.

        :raises Exception: why there is no listing.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)
        async with self.turns:
            await asyncio.sleep(0)
            return rule.check(self.inventory)


async def listings(
    openrouter_conn_id: str,
    *,
    poll_interval: float,
    include_disabled: bool,
    workspace_id: str | None,
    patient: bool = False,
) -> AsyncGenerator[Listing, None]:
    """
    List the keys at once and then again and again, together with all who do the same on this event loop.

    A listing in flight is taken, and so is one begun within the last half of the interval. The interval is
    counted from the beginning of a listing, so that those who have shared one will share the next; a listing that
    takes longer than half of it is followed by a rest of half of it.

    :param openrouter_conn_id: the connection to OpenRouter; it is read anew after each failure.
    :param poll_interval: seconds from the beginning of a listing to that of the next.
    :param include_disabled: whether to list keys that are disabled.
    :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all.
    :param patient: whether the interval doubles with each failure in a row, and whether the first listing waits
        until the interval after the last one of anybody's is over.
    """
    with _shared(openrouter_conn_id, workspace_id, include_disabled) as shared:
        failures = 0
        if patient:
            await _sleep_until(shared.began + poll_interval, shared.ended + poll_interval / 2)
        while True:
            listing = await shared.listing(max_age=poll_interval / 2)
            yield listing
            pause = poll_interval
            failures = failures + 1 if listing.error else 0
            if patient and failures > 1:
                pause = max(pause, min(pause * 2 ** min(failures - 1, 30), LONGEST_PAUSE))
            await _sleep_until(listing.began + pause, listing.ended + pause / 2)


async def _sleep_until(*moments: float) -> None:
    await asyncio.sleep(max(moments) - time.monotonic())


class _SharedListing:
    """The listings of one connection, workspace and ``include_disabled``, one at a time."""

    def __init__(self, openrouter_conn_id: str, workspace_id: str | None, include_disabled: bool) -> None:
        self.users = 0
        self.began = self.ended = -math.inf
        self._openrouter_conn_id = openrouter_conn_id
        self._scope: dict[str, Any] = {"workspace_id": workspace_id, "include_disabled": include_disabled}
        self._client: OpenRouterClient | None = None
        self._last: Listing | None = None
        self._task: asyncio.Task[Listing] | None = None
        self._waiting = 0
        self._turns = asyncio.Lock()

    def __enter__(self) -> Self:
        if not self.users:
            # One lists; the others are for what comes after listings that were given up and still hang.
            self._threads = ThreadPoolExecutor(8, thread_name_prefix="openrouter-listing")
        self.users += 1
        return self

    def __exit__(self, *error: object) -> None:
        self.users -= 1
        if not self.users:
            self._last = self._client = None
            self._threads.shutdown(wait=False)  # that of a listing given up ends after its request in flight

    async def listing(self, *, max_age: float) -> Listing:
        """Answer the listing in flight, the last one if it began within ``max_age`` seconds, or a new one."""
        if self._task is None or self._task.done():
            if self._last is not None and time.monotonic() - self._last.began <= max_age:
                return self._last
            self._last = None
            self._task = asyncio.create_task(self._list())
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _list(self) -> Listing:
        stopped = Event()
        self.began = began = time.monotonic()
        inventory = Inventory([], observed_at=datetime.now(UTC))
        error: Exception | None = None
        try:
            if self._client is None:
                # In Airflow's own thread: from any other, the triggerer of 3.0 does not survive it.
                self._client = await sync_to_async(self._get_client)()
            inventory = await asyncio.get_running_loop().run_in_executor(
                self._threads, partial(self._take_inventory, self._client, stopped)
            )
        except AirflowNotFoundException as failure:
            error = OpenRouterAuthError(str(failure))
        except Exception as failure:
            error = failure
            self._client = None
        finally:
            stopped.set()
            self.ended = time.monotonic()
        self._last = Listing(inventory=inventory, error=error, began=began, ended=self.ended, turns=self._turns)
        return self._last

    def _take_inventory(self, client: OpenRouterClient, stopped: Event) -> Inventory:
        observed_at = datetime.now(UTC)
        return Inventory(client.list_keys(**self._scope, stopped=stopped), observed_at=observed_at)

    def _get_client(self) -> OpenRouterClient:
        return OpenRouterHook(self._openrouter_conn_id).get_conn()


_Scope = tuple[str, str | None, bool]
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Scope, _SharedListing]] = WeakKeyDictionary()


def _shared(*scope: *_Scope) -> _SharedListing:
    here = _by_loop.setdefault(asyncio.get_running_loop(), {})
    if scope not in here:
        here[scope] = _SharedListing(*scope)
    return here[scope]
