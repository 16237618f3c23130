"""Pages fetched side by side, as many as the latency is worth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import Any, Self, TypeAlias

from airflow_provider_openrouter.api.pagination import Page

Place: TypeAlias = Any
"""Where a page is: its offset, or the key that it is about."""


class Window:
    """
    Fetches the page that is asked for, and at the same time those that will be asked for next.

    At once go up to ``limit`` pages, but only as many as the latency is worth: while one response is on its way,
    only so many others can be read. It is half as many when the server asks to slow down or the pages turn out to
    lie elsewhere, and one more a round trip from then on.

    :param limit: how many pages may be under way at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = float(limit)
        self._lock = Lock()
        self._ahead: dict[Place, Future[Page]] = {}
        self._threads = ThreadPoolExecutor(limit, thread_name_prefix="openrouter-page")
        self._dropped: list[Future[Page]] = []  # some may still be under way, for nobody
        self._wait = math.inf  # the shortest that a page was waited for
        self._work = 0.0  # what all pages took to send and to read
        self._pages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def turn_to(self, fetch: Callable[[Any], Page]) -> None:
        """From now on fetch pages with ``fetch``, which up to ``limit`` threads call."""
        self._drop_ahead()
        self._fetch = fetch

    def page(self, place: Place, ahead: Iterable[Place]) -> Page:
        """Return the page at a place; as many of those ``ahead`` as fit are fetched at the same time."""
        following = [*islice(ahead, self._limit - 1)]
        if self._ahead and self._ahead.keys().isdisjoint((place, *following)):
            self._drop_ahead()
            self.close_by_half()
        del following[self._room - 1 :]
        if following or self._is_under_way:
            for expected in (place, *following):
                if expected not in self._ahead:
                    self._ahead[expected] = self._threads.submit(self._timed, expected)
            page = self._ahead.pop(place).result()
        else:
            page = self._timed(place)
        with self._lock:
            self._size = min(self._limit, self._size + 1 / self._size)
        return page

    def close_by_half(self) -> None:
        """Let half as many pages be under way at once."""
        with self._lock:
            self._size = max(1.0, self._size / 2)

    @property
    def _is_under_way(self) -> bool:
        """Return whether any page is: if not, the next one alone is fetched here, without a thread."""
        return bool(self._ahead) or not all(future.done() for future in self._dropped)

    @property
    def _room(self) -> int:
        with self._lock:
            worth = 1 + self._wait * self._pages / self._work if self._work else math.inf
            return int(min(self._size, worth))

    def _timed(self, place: Place) -> Page:
        began, worked = time.monotonic(), time.thread_time()
        page = self._fetch(place)
        work = time.thread_time() - worked
        with self._lock:
            self._wait = min(self._wait, time.monotonic() - began - work)
            self._work += work
            self._pages += 1
        return page

    def _drop_ahead(self) -> None:
        left = (*self._dropped, *self._ahead.values())
        self._dropped = [future for future in left if not future.cancel()]
        self._ahead.clear()
