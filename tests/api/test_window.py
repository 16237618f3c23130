import time
from concurrent.futures import wait
from threading import Barrier, Event, Lock

import pytest

from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.exceptions import OpenRouterResponseError


class Pages:
    """
    Returns the offset as the page, and counts how many were fetched at once.

    :param together: how many pages, from the one at 20 on, are answered once all of them are asked for.
    """

    def __init__(self, seconds: float = 0.0, *, together: int = 1) -> None:
        self.seconds = seconds
        self.asked: list[int] = []
        self.most = self._now = 0
        self._lock = Lock()
        self._held = range(20, 20 + together)
        self._gate = Barrier(together, timeout=60)

    def __call__(self, offset: int) -> list[dict[str, int]]:
        with self._lock:
            self.asked.append(offset)
            self._now += 1
            self.most = max(self.most, self._now)
        if offset in self._held:
            self._gate.wait()
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        return [{"offset": offset}]


def test_the_first_page_goes_alone():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        assert window.page(0, range(1, 100)) == [{"offset": 0}]
        wait(window._ahead.values())
    assert pages.asked == [0]


@pytest.mark.parametrize("limit", [1, 2, 3, 8])
def test_pages_are_fetched_side_by_side_up_to_the_limit(limit):
    pages = Pages(0.02, together=limit)
    with Window(limit) as window:
        window.turn_to(pages)
        answers = [window.page(offset, range(offset + 1, 60)) for offset in range(60)]
    assert answers == [[{"offset": offset}] for offset in range(60)]
    assert sorted(pages.asked) == list(range(60))
    assert pages.most == limit


def opened(window: Window, pages: Pages) -> int:
    """Return how many pages are asked for when one is."""
    window.page(1_000, range(1_001, 2_000))
    wait(window._ahead.values())
    return sum(offset >= 1_000 for offset in pages.asked)


def test_the_window_closes_by_half():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        for offset in range(8):
            window.page(offset, ())
        window.close_by_half()
        assert opened(window, pages) == 4


def test_the_window_closes_by_half_when_the_pages_lie_elsewhere():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        for offset in range(8):
            window.page(offset, ())
        window.page(10, range(11, 20))
        assert opened(window, pages) == 4


@pytest.mark.parametrize(("taken", "at_once"), [(1, 4), (5, 5)])
def test_a_window_that_closed_opens_by_one_page_a_round_trip(taken, at_once):
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        for offset in range(8):
            window.page(offset, ())
        window.close_by_half()
        for offset in range(8, 8 + taken):
            window.page(offset, ())
        assert opened(window, pages) == at_once


def test_the_window_never_closes_wholly():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        for _ in range(5):
            window.close_by_half()
        assert window.page(0, ()) == [{"offset": 0}]


def test_a_page_that_fails_fails_when_its_turn_comes():
    def fetch(offset: int) -> list[dict[str, int]]:
        if offset == 3:
            raise OpenRouterResponseError("broken")
        return []

    with Window(4) as window:
        window.turn_to(fetch)
        for offset in range(3):
            assert window.page(offset, range(offset + 1, 10)) == []
        with pytest.raises(OpenRouterResponseError, match="broken"):
            window.page(3, range(4, 10))


def test_what_was_begun_for_another_listing_is_not_taken():
    slow = Event()
    with Window(4) as window:
        window.turn_to(lambda offset: [{"old": slow.wait(0.05)}])
        for offset in range(3):
            window.page(offset, range(offset + 1, 10))
        window.turn_to(lambda offset: [{"new": offset}])
        assert window.page(3, ()) == [{"new": 3}]
