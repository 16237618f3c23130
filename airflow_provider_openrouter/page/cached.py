"""Reads something once for everybody who asks, and keeps it for a minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

from airflow_provider_openrouter.page.problems import Problem, explain, too_slow
from airflow_provider_openrouter.watch.sources import Stop

LONGEST = 10.0
"""Seconds that one reading may take in all."""
STOPPED_AFTER = 0.8
"""The part of them after which it is told to stop, so that it can still return what it has."""
KEPT = 60.0
"""Seconds for which what was read is shown again."""
KEPT_AT_LEAST = 5.0
"""Seconds for which it is shown even to one who asks for a new reading. Problems are kept no longer than that."""

T = TypeVar("T")


class Cached(Generic[T]):
    """
    Reads something once for all who ask for it at the same time, and keeps it for a minute.

    Who asks waits without holding a thread of the server, and there is never more than one reading.

    :param read: reads it, and ends at once when its argument is set from another thread.
    :param threads: where it runs.
    :param longest: seconds that a reading may take in all.
    :param clock: returns seconds.
    """

    def __init__(
        self,
        read: Callable[[Stop], T],
        threads: Executor,
        *,
        longest: float = LONGEST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._longest = longest
        self._clock = clock
        self._threads = threads
        self._reading: asyncio.Task[T | Problem] | None = None
        self._thread: asyncio.Future[T | Problem] | None = None
        self._ended = 0.0

    async def get(self, *, fresh: bool = False) -> T:
        """
        Return what was read within the last minute, or read it.

        :param fresh: read it again unless that was done within the last five seconds.
        :raises Problem: if it cannot be read. That is kept for five seconds, so that a broken account is not
            asked over and over.
        """
        if self._reading is None or self._is_stale(self._reading, fresh=fresh):
            self._reading = asyncio.create_task(self._read_in_time())
        found = await asyncio.shield(self._reading)  # that one who asked leaves does not end it for the others
        if isinstance(found, Problem):
            raise found.with_traceback(None)
        return found

    def _is_stale(self, reading: asyncio.Task[T | Problem], *, fresh: bool) -> bool:
        if not reading.done() or (self._thread is not None and not self._thread.done()):
            return False
        kept = KEPT_AT_LEAST if fresh or isinstance(reading.result(), Problem) else KEPT
        return self._clock() - self._ended >= kept

    async def _read_in_time(self) -> T | Problem:
        stop = Stop()
        self._thread = asyncio.get_running_loop().run_in_executor(self._threads, self._read_or_explain, stop)
        await asyncio.wait([self._thread], timeout=STOPPED_AFTER * self._longest)
        if not self._thread.done():
            stop.set()
            await asyncio.wait([self._thread], timeout=(1 - STOPPED_AFTER) * self._longest)
        self._ended = self._clock()
        return self._thread.result() if self._thread.done() else too_slow()

    def _read_or_explain(self, stop: Stop) -> T | Problem:
        try:
            return self._read(stop)
        except Exception as error:  # asyncio would take CancelledError for one who leaves
            return explain(error)
