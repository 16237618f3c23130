"""
Every page of a listing that has no total, no cursor and no stable offsets: no record lost, none doubled.

OpenRouter lists newest first and skips ``offset`` records. A record created between two requests pushes the
others down by one, a record deleted between them pulls the others up. :class:`Walk` therefore lets pages
overlap, and takes a page only if it shows a record that is known already. Whatever existed throughout and lies
between two pages that share a record is then on one of them, in whichever order they were fetched. That is why
a :class:`~airflow_provider_openrouter.api.window.Window` may fetch them side by side, and why an account that
was listed before may be asked for all its pages at once: what it was like then says only which pages to ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any, TypeAlias

from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import Extent

Record: TypeAlias = dict[str, Any]
Page: TypeAlias = list[Record]

PAGE_SIZE = 100
"""How many records OpenRouter sends a page today. Nothing is lost if it sends more or fewer."""
MAX_OVERLAP = 2
"""How many records two pages share, if they are large. One is proof enough that nothing lies between them; with
two, a record that is deleted meanwhile costs no request."""
MAX_TAIL = 5
"""How many records, at most, the last page of a known account is expected to show. As long as one of them is
left, deletions since the listing before cost no request."""
MAX_BARREN_PAGES = 100
MAX_SINGLE_PAGES = 1_000
"""How many pages of one record are read. They cannot overlap, so that of a record that is replaced without end
each is new."""
MOST_AHEAD = 6
PAGES_FOR_ONE_MORE = 11
"""How many pages are named ahead, and after how many pages one more: those past the end are asked for in vain.
After the first page it is one more, so that all connections are opened together."""
LOOK_BEYOND = PAGE_SIZE // 2
"""How far, at least, to look past an end that is in doubt."""
MOST_COINCIDENCES = 2
"""How often the first page may appear at another offset by chance."""


class Walk:
    """
    Walks a listing once, from its newest record to its end, and yields the new records of each page.

    A page that shares no record with those before it shows that records were deleted meanwhile: the walk
    steps back, by half a page and then by twice as much each time, until the pages meet. The end is a page
    that is shorter than the fullest, stops where the page before it stopped, and brings nothing new. It is
    in doubt after several pages, and if it shows more than the overlap, because the server may drop records
    *after* slicing, so that pages are short in the middle: then the walk looks a page further. It is beyond
    doubt where it is expected, after nothing but full pages.

    :param fetch: returns the page at an offset; it is also given the offsets that will follow if nothing
        changes.
    :param identity: the field that identifies a record.
    :param expected: how far the listing went the last time. Its pages are then named from the first one on.
    :raises OpenRouterResponseError: if the server ignores ``offset``, or if its records change faster than
        they can be read.
    """

    def __init__(
        self, fetch: Callable[[int, Iterable[int]], Page], identity: str, expected: Extent | None = None
    ) -> None:
        self._fetch = fetch
        self._identity = identity
        self._plan = _plan(expected) if expected else []  # the offsets that are expected to come
        self._follows_plan = False
        self._known: set[str] = set()
        self._offset = 0
        self._ahead: Iterable[int] = self._plan
        self._first_page: list[str] = []
        self._came_again: list[str] = []  # a first page that came at another offset too
        self._coincidences = 0
        self._last = ""  # the last record of the page before
        self._fullest = 0  # the size of the fullest page
        self._overlap = 0  # how many records of the page before the next one should show
        self._back = 0
        self._beyond: list[int] = []  # where to look past an end that is in doubt
        self._looks_beyond = False
        self._short = 0  # how many pages were shorter than the fullest
        self._fruitful = 0  # how many pages brought something new, and how many did not
        self._barren = 0
        self._end = 0  # the offset behind the last record

    @property
    def extent(self) -> Extent | None:
        """How far the listing went, once it has ended; None if records seem to be dropped after slicing."""
        return Extent(self._fullest, self._end) if self._end <= len(self._known) else None

    def __iter__(self) -> Iterator[Page]:
        while not self._changes_too_fast():
            page = self._fetch(self._offset, self._ahead)
            by_id = [(record[self._identity], record) for record in page]
            order = [id_ for id_, _ in by_id]
            new = {id_: record for id_, record in by_id if id_ not in self._known}
            self._ahead = ()

            if self._is_gap(order):
                self._step_back()
                continue
            self._back = 0
            self._fullest = max(self._fullest, len(order))

            if new:
                self._known.update(new)
                self._fruitful += 1
                self._looks_beyond = False
                self._end = self._offset + len(order)
                yield list(new.values())
            elif self._is_end(order):
                return
            elif self._looks_beyond or self._may_be_end(order):
                self._look_beyond()
                continue
            else:
                self._barren += 1

            if self._is_first_page_again(order):
                self._came_again, self._offset = order, 0
                continue
            if self._offset == 0:
                self._first_page = order
                self._coincidences += order == self._came_again
                if self._ignores_offset():
                    raise OpenRouterResponseError(
                        "The server ignores 'offset': every page is the same. Set the base URL to OpenRouter's "
                        "own API, so that what follows the first page can be read.",
                        about="base_url",
                    )
            self._step_on(order)

        raise OpenRouterResponseError(
            f"The listing changes faster than it can be read: {self._barren:,} of "
            f"{self._barren + self._fruitful:,} pages brought nothing new. Run it again when fewer keys are "
            "being created and deleted."
        )

    # -- what a page shows

    def _changes_too_fast(self) -> bool:
        has_no_end = self._fullest == 1 and self._fruitful > MAX_SINGLE_PAGES
        return has_no_end or self._barren > MAX_BARREN_PAGES + self._fruitful

    def _is_gap(self, order: list[str]) -> bool:
        """Return whether records are missing between this page and those before it."""
        # The first page has nothing to join, and neither has a page past the end. Pages of one record cannot
        # overlap.
        may_stand_alone = self._offset == 0 or self._looks_beyond or self._fullest <= 1
        return not may_stand_alone and self._known.isdisjoint(order)

    def _is_end(self, order: list[str]) -> bool:
        """Return whether nothing can follow a page that brings nothing new."""
        if self._looks_beyond:
            return not self._beyond
        as_expected = self._fruitful == 1 or (self._follows_plan and not self._plan and self._short <= 1)
        return as_expected and len(order) <= self._overlap and self._may_be_end(order)

    def _may_be_end(self, order: list[str]) -> bool:
        """Return whether a page that brings nothing new looks like the end."""
        return not order or (len(order) < self._fullest and order[-1] == self._last)

    def _is_first_page_again(self, order: list[str]) -> bool:
        """Return whether the server ignores ``offset``, or as many records were created as were skipped."""
        return self._offset > 0 and order == self._first_page

    def _ignores_offset(self) -> bool:
        return self._coincidences > MOST_COINCIDENCES

    # -- where to go from there

    def _step_back(self) -> None:
        self._barren += 1
        self._back = self._back * 2 or self._fullest // 2
        self._offset = max(0, self._offset - self._back)
        self._beyond = []

    def _look_beyond(self) -> None:
        self._looks_beyond = True
        self._offset = self._beyond.pop(0) if self._beyond else self._offset + LOOK_BEYOND
        self._ahead = self._beyond

    def _step_on(self, order: list[str]) -> None:
        stride = _stride(self._fullest)
        begin, end = self._offset, self._offset + len(order)
        planned = self._plan.pop(0) if self._plan else begin
        self._follows_plan = begin < planned < end
        if not self._follows_plan:
            planned = end - (_overlap(len(order)) if self._fullest > 1 else 0)
        self._last = order[-1]
        self._overlap = end - planned
        self._offset = planned
        self._short += len(order) < self._fullest

        # Pages that were fetched ahead of a short one serve to look beyond it.
        beyond = (begin + stride, begin + 2 * stride) if stride >= LOOK_BEYOND else (planned + LOOK_BEYOND,)
        self._beyond = [offset for offset in beyond if offset > planned]
        if self._follows_plan:
            self._ahead = self._plan
        elif self._fruitful > 1 or len(order) == PAGE_SIZE:  # most accounts end at their first page
            ahead = count(planned + stride, stride) if len(order) == self._fullest else self._beyond
            most = MOST_AHEAD + (self._fruitful == 1) + self._fruitful // PAGES_FOR_ONE_MORE
            self._ahead = islice(ahead, most)


def _plan(expected: Extent) -> list[int]:
    """Return the offsets after the first page of a listing that goes as far as it did before."""
    page_size, end = expected
    stride = _stride(page_size)
    pages = -(-max(0, end - page_size) // stride)
    last = pages * stride
    tail = max(last + 1, end - _overlap(page_size, MAX_TAIL)) if end else LOOK_BEYOND
    return [*range(stride, last + 1, stride), tail]


def _stride(page_size: int) -> int:
    return max(1, page_size - _overlap(page_size))


def _overlap(size: int, most: int = MAX_OVERLAP) -> int:
    return min(most, max(1, size // 20))
