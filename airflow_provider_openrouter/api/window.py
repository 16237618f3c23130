"""Pages fetched side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import Self

from airflow_provider_openrouter.api.pagination import Page


class Window:
    """
    Fetches the page that is asked for, and at the same time those that will be asked for next.

    It opens to four times its size with each page taken, up to ``limit``. It closes to half when the server asks
    to slow down or the pages turn out to lie elsewhere, and opens by one page a round trip from then on.

    :param limit: how many pages may be under way at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 1.0
        self._steady = False
        self._lock = Lock()
        self._ahead: dict[int, Future[Page]] = {}
        self._threads = ThreadPoolExecutor(limit, thread_name_prefix="openrouter-page")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def turn_to(self, fetch: Callable[[int], Page]) -> None:
        """From now on fetch pages with ``fetch``, which up to ``limit`` threads call."""
        self._drop_ahead()
        self._fetch = fetch

    def page(self, offset: int, ahead: Iterable[int]) -> Page:
        """Return the page at ``offset``; as many of those ``ahead`` as fit are fetched at the same time."""
        if self._ahead and offset not in self._ahead:
            self._drop_ahead()
            self.close_by_half()
        for expected in (offset, *islice(ahead, int(self._size) - 1)):
            if expected not in self._ahead:
                self._ahead[expected] = self._threads.submit(self._fetch, expected)
        page = self._ahead.pop(offset).result()
        with self._lock:
            self._size = min(self._limit, self._size + (1 / self._size if self._steady else 3 * self._size))
        return page

    def close_by_half(self) -> None:
        """Let half as many pages be under way at once."""
        with self._lock:
            self._size = max(1.0, self._size / 2)
            self._steady = True

    def _drop_ahead(self) -> None:
        for future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
