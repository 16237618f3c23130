"""
Every page of a listing that has no total, no cursor and no stable offsets: no record lost, none doubled.

OpenRouter lists newest first and skips ``offset`` records. A record created between two requests pushes the
others down by one, a record deleted between them pulls the others up. :func:`walk` therefore lets pages
overlap, and takes a page only if it shows a record that is known already: whatever existed throughout and
lies between two pages that share a record is on one of them, in whichever order they were fetched. That is
why a :class:`Window` may fetch them side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from threading import Lock
from typing import Any, Self, TypeAlias

from airflow_provider_openrouter.exceptions import OpenRouterResponseError

Record: TypeAlias = dict[str, Any]
Page: TypeAlias = list[Record]

MAX_OVERLAP = 10
MAX_BARREN_PAGES = 100
LOOK_BEYOND = 50
"""How far, at least, to look past an end that is in doubt: half of today's page of 100 records."""


def walk(fetch: Callable[[int, Iterable[int]], Page], identity: str) -> Iterator[Page]:
    """
    Walk a listing from its newest record to its end, and yield of each page what is new.

    A page that shares no record with those before it shows that records were deleted meanwhile: the walk
    steps back, by half a page and then by twice as much each time, until the pages meet. The end is a page
    that is shorter than the fullest, stops where the page before it stopped, and brings nothing new. It is
    in doubt after several pages, and if it shows more than the overlap, as the server may drop records
    *after* slicing, so that pages are short in the middle: then the walk looks a page further.

    :param fetch: answers the page at an offset; it is also told the offsets that will follow if nothing
        changes.
    :param identity: the field that identifies a record.
    :raises OpenRouterResponseError: if the server ignores ``offset``, or if its records change faster than
        they can be read.
    """
    known: set[str] = set()
    top: list[str] = []
    suspect: list[str] = []
    tail = ""
    offset = overlap = fullest = back = fruitful = barren = strikes = 0
    ahead: Iterable[int] = ()
    beyond = False

    while barren <= MAX_BARREN_PAGES + fruitful:
        page = fetch(offset, ahead)
        order = [record[identity] for record in page]
        new = {record[identity]: record for record in page if record[identity] not in known}
        ahead = ()

        # Neither the top needs to join nor what lies past an end; and pages of one record cannot overlap.
        if offset and fullest > 1 and not beyond and known.isdisjoint(order):
            barren += 1
            back = back * 2 or fullest // 2
            offset = max(0, offset - back)
            continue
        back = 0
        fullest = max(fullest, len(page))
        stride = fullest - _overlap(fullest)

        if new:
            fruitful += 1
            beyond = False
            known.update(new)
            yield list(new.values())
        elif beyond:
            return
        elif not page or (len(page) < fullest and order[-1] == tail):
            if fruitful == 1 and len(page) <= overlap:
                return
            beyond = True
            offset += max(stride, LOOK_BEYOND)
            continue
        else:
            barren += 1

        if offset == 0:
            strikes += order == suspect
            if strikes == 3:  # once or twice, a record may have been created and deleted in between
                raise OpenRouterResponseError(
                    "The server ignores 'offset': it answers every request with the same page, so that the "
                    "keys after it cannot be read. Point the connection's host at OpenRouter's own API."
                )
            top = order
        elif order == top:  # as many records created as were skipped, or a server that ignores offset
            suspect, offset = order, 0
            continue

        tail = order[-1]
        overlap = _overlap(len(page)) if fullest > 1 else 0
        offset += len(page) - overlap
        if fruitful > 1:  # most accounts end at their first page
            ahead = (
                count(offset + stride, stride) if len(page) == fullest else (offset + max(stride, LOOK_BEYOND),)
            )

    raise OpenRouterResponseError(
        f"The listing changes faster than it can be read: {barren} of {barren + fruitful} pages brought "
        "nothing new. Run it again when fewer keys are being created and deleted."
    )


def _overlap(size: int) -> int:
    return min(MAX_OVERLAP, max(1, size // 10))


class Window:
    """
    Fetches the page that is asked for, and meanwhile those that will be asked for next.

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
        """From now on answer what ``fetch`` does at an offset; it is called from up to ``limit`` threads."""
        self._drop_ahead()
        self._fetch = fetch

    def page(self, offset: int, ahead: Iterable[int]) -> Page:
        """Answer the page at ``offset``; as many of those ``ahead`` as fit are fetched meanwhile."""
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
