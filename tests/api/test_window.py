import time
from threading import Barrier, Event, Lock, Timer, current_thread, get_ident

import pytest
from support.polling import eventually

from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.exceptions import OpenRouterResponseError


class Pages:
    """
    Returns the offset as the page, and counts how many were fetched at once.

    :param together: how many pages, from the one at 20 on, are answered once all of them are asked for.
    """

    def __init__(self, seconds: float = 0.01, *, together: int = 1) -> None:
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
    time.sleep(0.2)  # for the others to be asked for, too
    return sum(offset >= 1_000 for offset in pages.asked)


def worked(wait: float, work_a_page: float = 0.0005, pages: int = 100) -> tuple[set[int], int]:
    """Fetch pages of some seconds of work each; return the threads that did it, and how many went at once."""
    threads: set[int] = set()
    asked: list[int] = []

    def work(offset: int) -> list[dict[str, int]]:
        threads.add(get_ident())
        asked.append(offset)
        began = time.thread_time()
        while time.thread_time() - began < work_a_page:
            pass
        time.sleep(wait)
        return []

    with Window(8) as window:
        window.turn_to(work)
        for offset in range(pages):  # on a busy machine, what was disturbed least counts
            window.page(offset, ())
        taken = len(asked)
        window.page(1_000, range(1_001, 2_000))
        time.sleep(0.2)
        return threads, len(asked) - taken


def test_pages_that_need_no_waiting_are_fetched_one_by_one():
    assert worked(0.0) == ({get_ident()}, 1)


def test_a_page_alone_is_fetched_without_a_thread():
    threads: list[int] = []
    with Window(2) as window:
        window.turn_to(lambda offset: threads.append(get_ident()) or [])
        window.page(0, (1,))
        window.page(1, ())
        assert get_ident() not in threads
        window.page(2, ())
    assert threads[2:] == [get_ident()]


def test_a_page_beside_one_that_was_dropped_counts_to_the_limit():
    threads: dict[int, int] = {}
    begun, ends = Event(), Event()

    def fetch(offset: int) -> list[dict[str, int]]:
        threads[offset] = get_ident()
        if offset == 1:
            begun.set()
            assert ends.wait(20)
        return []

    with Window(2) as window:
        window.turn_to(fetch)
        window.page(0, (1,))
        assert begun.wait(20)
        window.turn_to(fetch)
        window.page(2, ())
        ends.set()
    assert threads[2] not in (get_ident(), threads[1])


def test_what_has_not_begun_at_the_end_never_begins():
    begun: list[int] = []
    ends = Event()

    def fetch(offset: int) -> list[dict[str, int]]:
        begun.append(offset)
        if offset % 2:
            assert ends.wait(20)
        time.sleep(0.01)
        return []

    with Window(3) as window:
        window.turn_to(fetch)
        window.page(0, (1, 3))
        assert eventually(lambda: {1, 3} <= set(begun))
        window.turn_to(fetch)
        window.page(2, (5, 7))  # one thread is left for the three
        assert eventually(lambda: 5 in begun)
        Timer(0.5, ends.set).start()
    assert 7 not in begun


def test_its_threads_say_what_they_do():
    names: list[str] = []
    with Window(2) as window:
        window.turn_to(lambda offset: names.append(current_thread().name) or [])
        window.page(0, (1,))
    assert {name.rpartition("_")[0] for name in names} == {"openrouter-page"}


def test_many_pages_are_fetched_at_once_where_waiting_is_long():
    assert worked(0.5, pages=1)[1] == 8


def test_as_many_pages_go_at_once_as_one_wait_is_worth():
    assert 3 <= worked(0.003, 0.001)[1] <= 5


def test_the_window_closes_by_half():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        window.close_by_half()
        assert opened(window, pages) == 4


def test_the_window_closes_by_half_when_the_pages_lie_elsewhere():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        window.page(0, range(1, 8))
        assert opened(window, pages) == 4


@pytest.mark.parametrize(("taken", "at_once"), [(1, 4), (5, 5)])
def test_a_window_that_closed_opens_by_one_page_a_round_trip(taken, at_once):
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        window.close_by_half()
        for offset in range(taken):
            window.page(offset, ())
        assert opened(window, pages) == at_once


def test_the_window_never_closes_wholly():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        for _ in range(5):
            window.close_by_half()
        assert window.page(0, ()) == [{"offset": 0}]
        for _ in range(5):
            window.close_by_half()
        assert opened(window, pages) == 1


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


def test_pages_under_way_that_are_still_named_are_kept():
    pages = Pages()
    with Window(8) as window:
        window.turn_to(pages)
        window.page(0, range(10, 50, 10))
        assert window.page(5, (20, 30)) == [{"offset": 5}]
        assert window.page(20, ()) == [{"offset": 20}]
        assert sorted(pages.asked) == [0, 5, 10, 20, 30, 40]
        assert opened(window, pages) == 4
