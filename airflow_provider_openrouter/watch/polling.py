"""
One poll for everything that waits for the same source: keys, or the account's credits.

A source is read in its own threads, not on the event loop. Of equal sources, only one is read at a time. A poll
that fails is shared as well. Airflow 3.3 can share a stream among event triggers; that is not used, because it
serves neither deferred tasks nor older Airflows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_provider_openrouter.watch.check import Check, Rule
from airflow_provider_openrouter.watch.metrics import counted_poll
from airflow_provider_openrouter.watch.pauses import Pauses, ends_a_wait
from airflow_provider_openrouter.watch.sources import Source, Stop, get_client

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Succeeded(Generic[R]):
    """
    A poll that succeeded.

    :param began: when it began, on the monotonic clock.
    :param ended: when it ended, on the monotonic clock.
    :param reading: what was read.
    :param turns: the lock that lets one rule be checked at a time.
    :param threads: where readings are prepared.
    :param prepared: the views for which that was done.
    """

    began: float
    ended: float
    reading: R
    turns: asyncio.Lock
    threads: Executor
    prepared: set[Hashable] = field(default_factory=set)

    async def check(self, rule: Rule[R]) -> Check[Any]:
        """Compare the reading with a rule, in turn: hundreds of rules at once would block the event loop."""
        async with self.turns:
            if rule.view is None or rule.view in self.prepared:
                await asyncio.sleep(0)
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self.threads, rule.prepare, self.reading)
                self.prepared.add(rule.view)
            return rule.check(self.reading)


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

    async def check(self, rule: Rule[Any]) -> NoReturn:
        """Raise the error."""
        raise self.error.with_traceback(None)


Poll: TypeAlias = Succeeded[R] | Failed


async def polls(
    source: Source[R], *, poll_interval: float, backs_off: bool = False
) -> AsyncGenerator[Poll[R], None]:
    """
    Poll at once and then at each interval, shared with everybody on this event loop who watches an equal source.

    A poll in flight is taken, and so is one that began within the last half of the pause. The pause is the
    interval, or another one after failures (see :class:`~airflow_provider_openrouter.watch.pauses.Pauses`). It is
    counted from the beginning of a poll, so that those who have shared one will share the next; a poll that takes
    longer than half of it is followed by a rest of half of it. If the server asks to wait longer, nobody polls
    before that, and those who come meanwhile take the failure.

    :param source: what to read; its connection is read again after each failure.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param backs_off: whether any failure lengthens the pause, and not a refusal only. The first poll then also
        waits until the pause after the last one is over, unless there is one to share.
    """
    with _shared(source) as shared:
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


class _SharedPoller(Generic[R]):
    """The polls of a source, one at a time."""

    def __init__(self, source: Source[R]) -> None:
        self.pauses = Pauses()
        self._source = source
        self._users = 0
        self._client: OpenRouterClient | None = None
        self._last: Poll[R] | None = None
        self._task: asyncio.Task[Poll[R]] | None = None
        self._waiting = 0
        self._turns = asyncio.Lock()

    def __enter__(self) -> Self:
        if not self._users:
            # One reads, one prepares; the third one is for what comes while a read that was given up ends.
            self._threads = ThreadPoolExecutor(3, thread_name_prefix="openrouter-poll")
            self._reader = self._source.reader()
            if self.is_forgotten:
                self.pauses.succeeded()  # nobody knows whether it still fails
        self._users += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._users -= 1
        if not self._users:
            self._client = None
            if time.monotonic() >= self.pauses.not_before:  # else who comes meanwhile takes the failure
                self._last = None
            self._threads.shutdown(wait=False)

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody polls, and nobody who comes need know of the last poll."""
        return not self._users and self.pauses.are_forgotten(time.monotonic())

    def is_up_to_date(self, max_age: float) -> bool:
        """Return whether a poll is in flight, or the last one succeeded and began within ``max_age`` seconds."""
        return self._is_polling or (isinstance(self._last, Succeeded) and self._is_recent(self._last, max_age))

    async def poll(self, *, max_age: float, began: float) -> Poll[R]:
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
                and (last.began >= began or isinstance(last, Succeeded) or not ends_a_wait(last.error))
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

    def _is_recent(self, poll: Poll[R], max_age: float) -> bool:
        return time.monotonic() - poll.began <= max_age

    async def _poll(self) -> Poll[R]:
        self.pauses.began = began = time.monotonic()
        try:
            with counted_poll(self._source.openrouter_conn_id, self._source.scope):
                reading = await self._read()
        except Exception as error:
            self._client = None
            self._last = Failed(began=began, ended=time.monotonic(), error=error)
            self.pauses.failed(error, self._last.ended)
        else:
            self.pauses.succeeded()
            self._last = Succeeded(
                began=began,
                ended=time.monotonic(),
                reading=reading,
                turns=self._turns,
                threads=self._threads,
            )
        finally:
            self.pauses.ended = time.monotonic()
        return self._last

    async def _read(self) -> R:
        if self._client is None:
            # In Airflow's own thread: from any other, the triggerer of 3.0 does not survive it.
            self._client = await sync_to_async(get_client)(self._source)
        loop, stop = asyncio.get_running_loop(), Stop()
        try:
            return await loop.run_in_executor(self._threads, self._reader.read, self._client, stop)
        finally:
            stop.set()


_Pollers: TypeAlias = dict[Source[Any], _SharedPoller[Any]]
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pollers] = WeakKeyDictionary()


def _shared(source: Source[R]) -> _SharedPoller[R]:
    for loop in [loop for loop in _by_loop if loop.is_closed()]:
        del _by_loop[loop]
    here = _by_loop.setdefault(asyncio.get_running_loop(), {})
    for forgotten in [other for other, poller in here.items() if poller.is_forgotten and other != source]:
        del here[forgotten]
    if source not in here:
        here[source] = _SharedPoller(source)
    return here[source]
