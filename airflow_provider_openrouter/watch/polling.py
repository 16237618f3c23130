"""
One poll for all who wait for the same keys.

Listings run in threads of their own and not on the event loop, and of each connection, workspace scope and
``include_disabled`` there is one at a time. A poll that fails is shared as well. Airflow 3.3 can share a stream
among event triggers; that is not used, as it serves neither deferred tasks nor older Airflows.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, NoReturn, Self, TypeAlias
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from asgiref.sync import sync_to_async

from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import sentence
from airflow_provider_openrouter.watch.check import LimitCheck
from airflow_provider_openrouter.watch.pauses import Pauses, ends_a_wait
from airflow_provider_openrouter.watch.rule import LimitRule

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient

NAMES_MAX_AGE = 3600.0
"""Seconds for which a workspace's name, once resolved, is not resolved again."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """
    A poll that succeeded.

    :param began: when it began, on the monotonic clock.
    :param ended: when it ended, on the monotonic clock.
    :param listing: the keys.
    :param turns: the lock that lets one rule be checked at a time.
    """

    began: float
    ended: float
    listing: KeyListing
    turns: asyncio.Lock

    async def check(self, rule: LimitRule) -> LimitCheck:
        """Compare the keys with a rule, in turn: hundreds of rules at once would block the event loop."""
        async with self.turns:
            await asyncio.sleep(0)
            return rule.check(self.listing)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """
    A poll that failed.

    :param began: when it began, on the monotonic clock.
    :param ended: when it ended, on the monotonic clock.
    :param error: why.
    """

    began: float
    ended: float
    error: Exception

    async def check(self, rule: LimitRule) -> NoReturn:
        """Raise the error."""
        raise self.error.with_traceback(None)


Poll: TypeAlias = Listed | Failed


def get_client(openrouter_conn_id: str) -> OpenRouterClient:
    """
    Return the client of a connection.

    A missing connection is an OpenRouterAuthError: a wait outlasts it for a while, as it does a refused key.
    """
    try:
        return OpenRouterHook(openrouter_conn_id).get_conn()
    except AirflowNotFoundException as error:
        raise OpenRouterAuthError(f"{sentence(error)} Create the connection, or correct its id.") from None


async def polls(
    openrouter_conn_id: str,
    *,
    poll_interval: float,
    include_disabled: bool,
    scope: WorkspaceScope,
    backs_off: bool = False,
) -> AsyncGenerator[Poll, None]:
    """
    Poll at once and then at each interval, shared with everybody on this event loop who watches the same keys.

    A poll in flight is taken, and so is one that began within the last half of the pause. The pause is the
    interval, or another one after failures (see :class:`~airflow_provider_openrouter.watch.pauses.Pauses`). It is
    counted from the beginning of a poll, so that those who have shared one will share the next; a poll that takes
    longer than half of it is followed by a rest of half of it. If the server asks to wait longer, nobody polls
    before that, and those who come meanwhile take the failure.

    :param openrouter_conn_id: the connection to OpenRouter; it is read again after each failure.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param include_disabled: whether to list keys that are disabled.
    :param scope: which workspaces to list.
    :param backs_off: whether any failure lengthens the pause, and not a refusal only. The first poll then also
        waits until the pause after the last one is over, unless there is one to share.
    """
    with _shared(openrouter_conn_id, scope, include_disabled) as shared:
        pauses = shared.pauses

        def pause() -> float:
            return pauses.pause(poll_interval, backs_off=backs_off)

        if backs_off and not shared.is_up_to_date(poll_interval / 2):
            await sleep_until(pauses.began + pause(), pauses.ended + pause() / 2, pauses.not_before)
        began = time.monotonic()
        while True:
            poll = await shared.poll(max_age=pause() / 2, began=began)
            yield poll
            await sleep_until(poll.began + pause(), poll.ended + pause() / 2, pauses.not_before)


async def sleep_until(*moments: float) -> None:
    """Sleep until the last of some moments of the monotonic clock."""
    await asyncio.sleep(max(moments) - time.monotonic())


class _SharedPoller:
    """The polls of one connection, workspace scope and ``include_disabled``, one at a time."""

    def __init__(self, openrouter_conn_id: str, scope: WorkspaceScope, include_disabled: bool) -> None:
        self.pauses = Pauses()
        self._openrouter_conn_id = openrouter_conn_id
        self._scope = scope
        self._include_disabled = include_disabled
        self._users = 0
        self._client: OpenRouterClient | None = None
        self._previous: KeyListing | None = None
        self._looked_up = -math.inf
        self._last: Poll | None = None
        self._task: asyncio.Task[Poll] | None = None
        self._waiting = 0
        self._turns = asyncio.Lock()

    def __enter__(self) -> Self:
        if not self._users:
            # One lists; the other one is for what comes while a listing that was given up ends.
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="openrouter-listing")
            if self.is_forgotten:
                self.pauses.succeeded()  # nobody knows whether it still fails
        self._users += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._users -= 1
        if not self._users:
            self._client = self._previous = None
            if time.monotonic() >= self.pauses.not_before:  # else who comes meanwhile takes the failure
                self._last = None
            self._threads.shutdown(wait=False)

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody polls, and nobody who comes need know of the last poll."""
        return not self._users and self.pauses.are_forgotten(time.monotonic())

    def is_up_to_date(self, max_age: float) -> bool:
        """Return whether a poll is in flight, or the last one succeeded and began within ``max_age`` seconds."""
        return self._is_polling or (isinstance(self._last, Listed) and self._is_recent(self._last, max_age))

    async def poll(self, *, max_age: float, began: float) -> Poll:
        """
        Return the poll in flight, the last one if it began within ``max_age`` seconds, or a new one.

        While the server wants no poll, the last one is returned whatever its age.

        :param began: when the user began. An older poll may be shared, unless its error would end the wait: the
            cause may have been removed since.
        """
        if self._task is None or self._task.done():
            last = self._last
            if (
                last is not None
                and (self._is_recent(last, max_age) or time.monotonic() < self.pauses.not_before)
                and (last.began >= began or isinstance(last, Listed) or not ends_a_wait(last.error))
            ):
                return last
            self._last = None
            self._task = asyncio.create_task(self._poll())
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting and self._task is not None:
                self._task.cancel()
                self._task = None

    @property
    def _is_polling(self) -> bool:
        return self._task is not None and not self._task.done()

    def _is_recent(self, poll: Poll, max_age: float) -> bool:
        return time.monotonic() - poll.began <= max_age

    async def _poll(self) -> Poll:
        self.pauses.began = began = time.monotonic()
        try:
            listing = await self._list()
        except Exception as error:
            self._client = None
            self._last = Failed(began=began, ended=time.monotonic(), error=error)
            self.pauses.failed(error, self._last.ended)
        else:
            self.pauses.succeeded()
            self._last = Listed(began=began, ended=time.monotonic(), listing=listing, turns=self._turns)
        finally:
            self.pauses.ended = time.monotonic()
        return self._last

    async def _list(self) -> KeyListing:
        if self._client is None:
            # In Airflow's own thread: from any other, the triggerer of 3.0 does not survive it.
            self._client = await sync_to_async(get_client)(self._openrouter_conn_id)
        if time.monotonic() - self._looked_up >= NAMES_MAX_AGE:
            self._previous = None
        if self._previous is not None:
            try:
                return await self._list_in_thread(self._client)
            except OpenRouterRequestError:
                if not self._scope.is_one:
                    raise
                self._previous = None  # another workspace may have the name by now
        self._looked_up = self.pauses.began
        return await self._list_in_thread(self._client)

    async def _list_in_thread(self, client: OpenRouterClient) -> KeyListing:
        stopped = Event()

        def list_and_sort() -> KeyListing:
            listing = client.get_key_listing(
                include_disabled=self._include_disabled,
                workspace_id=self._scope,
                previous=self._previous,
                stopped=stopped,
            )
            listing.prepare(include_disabled=self._include_disabled)  # here, as it would block the event loop
            return listing

        try:
            listing = await asyncio.get_running_loop().run_in_executor(self._threads, list_and_sort)
        finally:
            stopped.set()
        self._previous = replace(listing, keys=())
        return listing


_Watched: TypeAlias = tuple[str, WorkspaceScope, bool]
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Watched, _SharedPoller]] = WeakKeyDictionary()


def _shared(*watched: *_Watched) -> _SharedPoller:
    for loop in [loop for loop in _by_loop if loop.is_closed()]:
        del _by_loop[loop]
    here = _by_loop.setdefault(asyncio.get_running_loop(), {})
    for forgotten in [other for other, poller in here.items() if poller.is_forgotten and other != watched]:
        del here[forgotten]
    if watched not in here:
        here[watched] = _SharedPoller(*watched)
    return here[watched]
