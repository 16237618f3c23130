import random
import time
from collections.abc import Callable
from concurrent.futures import wait
from threading import Barrier, Event, Lock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import Account

from airflow_provider_openrouter.api.pagination import Window, walk
from airflow_provider_openrouter.exceptions import OpenRouterResponseError

PAGE_SIZES = [2, 3, 9, 10, 11, 20, 99, 100, 101, 250]
fuzz = settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def edges(page_size: int) -> list[int]:
    return sorted({0, 1, 2, *(pages * page_size + by for pages in (1, 2, 5) for by in (-1, 0, 1))})


def listed(account: Account) -> list[str]:
    return [record["hash"] for new in walk(account.page, "hash") for record in new]


def assert_each_once(account: Account, hashes: list[str]) -> None:
    assert len(hashes) == len(set(hashes))
    assert set(account.lasting) <= set(hashes)


def between(**changes: Callable[[], None]) -> Callable[[int], None]:
    """Make each change before the request it is named after: ``before_2`` before the third."""
    return lambda number: changes.get(f"before_{number}", lambda: None)()


@pytest.mark.parametrize("page_size", [1, *PAGE_SIZES])
def test_a_quiet_listing_comes_whole_and_in_order(page_size):
    for count in edges(page_size):
        account = Account(count, page_size=page_size)
        assert listed(account) == account.hashes


@pytest.mark.parametrize("count", [0, 1, 2, 25, 99])
def test_a_small_account_costs_two_requests(count):
    account = Account(count)
    listed(account)
    assert account.asked == 2


@pytest.mark.parametrize("count", [100, 1_000, 5_000])
def test_a_long_listing_costs_little_more_than_its_pages(count):
    account = Account(count)
    listed(account)
    assert account.asked <= count / 90 + 4


@fuzz
@given(page_size=st.integers(2, 250), count=st.integers(0, 800))
def test_any_page_size_and_any_count_are_listed_whole(page_size, count):
    account = Account(count, page_size=page_size)
    assert listed(account) == account.hashes


@fuzz
@given(page_size=st.integers(2, 250), pages=st.integers(0, 6), by=st.integers(-2, 2), seed=st.integers(0, 2**32))
def test_what_exists_throughout_comes_once_while_keys_come_and_go(page_size, pages, by, seed):
    count = max(0, pages * page_size + by)
    chance = random.Random(seed)
    account = Account(count, page_size=page_size)

    def change(number: int) -> None:
        if number < 12 and chance.random() < 0.6:
            size = chance.choice([1, 1, 2, 30])
            border = chance.randrange(pages + 1) * page_size + chance.randint(-2, 2)
            start = chance.choice([0, max(0, border), chance.randrange(len(account.keys) + 1)])
            chance.choice([account.create, lambda size: account.delete(start, size)])(size)

    account.between = change
    try:
        hashes = listed(account)
    except OpenRouterResponseError:
        assert min(count, page_size) <= 3  # the whole page may change and change back
    else:
        assert_each_once(account, hashes)


@pytest.mark.parametrize("page_size", [5, 10, 100])
@pytest.mark.parametrize("gone", [1, 2, 30])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("border", [-1, 0, 1])
def test_a_key_deleted_between_two_pages_is_not_a_gap(page_size, gone, number, border):
    account = Account(page_size * 4 + 1, page_size=page_size)
    start = max(0, (number - 1) * page_size + border)
    account.between = between(**{f"before_{number}": lambda: account.delete(start, gone)})
    assert_each_once(account, listed(account))


@pytest.mark.parametrize("page_size", [5, 10, 100])
@pytest.mark.parametrize("new", [1, 2, 30, 90, 250])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_key_created_between_two_pages_is_not_doubled(page_size, new, number):
    account = Account(page_size * 4 + 1, page_size=page_size)
    account.between = between(**{f"before_{number}": lambda: account.create(new)})
    assert_each_once(account, listed(account))


@pytest.mark.parametrize("page_size", [10, 100])
def test_keys_that_rotate_all_the_while_hide_no_other(page_size):
    account = Account(page_size * 5, page_size=page_size)
    account.between = lambda number: (account.create(), account.delete(len(account.keys) // 2))
    assert_each_once(account, listed(account))


def test_an_account_that_is_emptied_meanwhile_ends():
    account = Account(450)
    account.between = between(before_3=lambda: account.delete(0, 450))
    assert_each_once(account, listed(account))


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 500])
def test_a_server_that_ignores_offset_is_an_error(count):
    account = Account(count, ignores_offset=True)
    with pytest.raises(OpenRouterResponseError, match="ignores 'offset'") as caught:
        listed(account)
    assert not caught.value.transient
    assert account.asked <= 10


def test_a_listing_that_changes_faster_than_it_can_be_read_ends_in_an_error():
    account = Account(40_000)

    def change(number: int) -> None:
        account.delete(0, 101)

    account.between = change
    with pytest.raises(OpenRouterResponseError, match="changes faster"):
        listed(account)
    assert account.asked < 500


@pytest.mark.parametrize("page_size", [10, 50, 100, 250])
@pytest.mark.parametrize("shown", [2, 3, 7])
def test_a_server_that_filters_after_slicing_loses_nothing(page_size, shown):
    account = Account(page_size * 6, page_size=page_size, hides=lambda key: key["number"] % shown == 0)
    assert listed(account) == [key["hash"] for key in account.keys if key["number"] % shown]


@pytest.mark.parametrize("start", range(200, 500, 15))
def test_an_empty_page_in_the_middle_is_not_the_end(start):
    account = Account(800)
    hidden = {key["hash"] for key in account.keys[start : start + 120]}
    account.hides = lambda key: key["hash"] in hidden
    assert listed(account) == [hash_ for hash_ in account.hashes if hash_ not in hidden]


@fuzz
@given(page_size=st.integers(50, 150), pages=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_a_server_that_hides_half_of_each_page_loses_nothing(page_size, pages, seed):
    chance = random.Random(seed)
    account = Account(page_size * pages, page_size=page_size)
    hidden = set(chance.sample(account.hashes, len(account.hashes) // 2))
    account.hides = lambda key: key["hash"] in hidden
    assert listed(account) == [hash_ for hash_ in account.hashes if hash_ not in hidden]


@pytest.mark.parametrize(("before", "after"), [(100, 50), (50, 100), (100, 37), (2, 250)])
def test_a_page_size_that_changes_meanwhile_loses_nothing(before, after):
    account = Account(800, page_size=before)
    account.between = between(before_3=lambda: setattr(account, "page_size", after))
    assert listed(account) == account.hashes


class Pages:
    """
    Answers the offset as the page, and tells how many were fetched at once.

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
    """Answer how many pages are asked for when one is."""
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
