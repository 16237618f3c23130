"""What is read for one is shown to others: one reading at a time, none too long, none too often."""

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from airflow_provider_openrouter.exceptions import OpenRouterServerError
from airflow_provider_openrouter.page.cached import Cached
from airflow_provider_openrouter.page.problems import Problem


class Source:
    """Counts how often it is read; it can fail, or hang until it is stopped."""

    def __init__(self):
        self.read = 0
        self.now = 1000.0
        self.fails = False
        self.hangs = False
        self.goes_on = threading.Event()
        self.left = None
        self.threads = ThreadPoolExecutor(4)

    def __call__(self, stop):
        self.read += 1
        if self.hangs:
            stopped = stop.event()
            assert stopped.wait(30)
            if self.left:
                return self.left
            self.goes_on.wait(30)
            raise CancelledError
        if self.fails:
            raise OpenRouterServerError("The server is down.", status_code=503)
        return self.read

    def cached(self, **options):
        return Cached(self, self.threads, clock=lambda: self.now, **options)


@pytest.fixture
def source():
    source = Source()
    yield source
    source.goes_on.set()
    source.threads.shutdown()


def test_all_who_ask_together_get_one_reading(source):
    async def ask():
        cached = source.cached()
        return await asyncio.gather(*(cached.get(fresh=number % 2 == 0) for number in range(50)))

    assert asyncio.run(ask()) == [1] * 50


@pytest.mark.parametrize(
    ("later", "fresh", "fails", "expected"),
    [
        (59, False, False, 1),
        (60, False, False, 2),
        (4, True, False, 1),
        (5, True, False, 2),
        (4, False, True, 1),
        (5, False, True, 2),
    ],
)
def test_it_is_kept_for_a_minute_and_a_problem_for_seconds(source, later, fresh, fails, expected):
    source.fails = fails

    async def ask():
        cached = source.cached()
        for _ in range(2):
            await asyncio.gather(cached.get(fresh=fresh), return_exceptions=True)
            source.now += later
        return source.read

    assert asyncio.run(ask()) == expected


def test_a_problem_is_told_to_each_in_the_same_words(source):
    source.fails = True

    async def ask():
        cached = source.cached()
        return await asyncio.gather(*(cached.get() for _ in range(3)), return_exceptions=True)

    problems = asyncio.run(ask())
    assert [(str(each), each.state, each.status) for each in problems] == [
        ("The server is down.", "unreachable", 502)
    ] * 3


def test_one_who_leaves_does_not_end_it_for_the_others(source):
    async def ask():
        cached = source.cached()
        leaves, stays = asyncio.create_task(cached.get()), asyncio.create_task(cached.get())
        await asyncio.sleep(0)
        leaves.cancel()
        return await stays

    assert asyncio.run(ask()) == 1


def test_a_reading_that_takes_too_long_is_stopped(source):
    source.hangs = True

    async def ask():
        cached = source.cached(longest=0.2)
        with pytest.raises(Problem, match="took too long") as first:
            await cached.get()
        source.now += 1000
        with pytest.raises(Problem, match="took too long"):
            await cached.get()  # the thread has not ended yet: there is no second one
        return first.value.status, source.read

    assert asyncio.run(ask()) == (504, 1)


def test_what_a_stopped_reading_returns_in_time_is_shown(source):
    source.hangs, source.left = True, "a part"

    async def ask():
        return await source.cached(longest=0.2).get()

    assert asyncio.run(ask()) == "a part"


def test_it_is_read_again_after_a_reading_that_was_stopped(source):
    source.hangs = True
    source.goes_on.set()

    async def ask():
        cached = source.cached(longest=0.2)
        with pytest.raises(Problem, match="took too long") as first:
            await cached.get()
        source.hangs, source.now = False, source.now + 5
        return first.value.status, await cached.get()

    assert asyncio.run(ask()) == (504, 2)
