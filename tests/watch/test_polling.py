"""The polls that are shared: who takes part in which, and what is left when they go."""

import asyncio
import gc
import json
import logging
import random
import threading
import time
import weakref
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import pairwise
from types import SimpleNamespace

import psutil
import pytest
import support.polling as polling
from support.polling import ROUNDING, Gate, begun, eventually, listing_threads, now_and_then, until
from support.servers import BREAKS, HANGS, Account, Answer, Server, error

from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.watch.polling import Failed, Poll, Succeeded, polls, sleep_until
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.sources import KeySource

RULE = LimitRule(threshold=5)
NO_HURRY = 60
"""Seconds between polls, for those who are to have but one."""

connect = polling.connect
nothing_is_left = polling.nothing_is_left


class Slow:
    """An account that takes its time for each answer, and notes how many it gives side by side."""

    def __init__(self, account: Account, seconds: float) -> None:
        self.account = account
        self.seconds = seconds
        self.under_way = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, request):
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(self.seconds)
        answer = self.account(request)
        with self.lock:
            self.under_way -= 1
        return answer


@pytest.fixture
def rests(monkeypatch):
    """The moments of which those who take polls await the later one, each time."""
    seen = []

    async def noting(*moments):
        seen.append(moments[:2])  # the third is when the server wants the next poll
        await sleep_until(*moments)

    monkeypatch.setattr("airflow_provider_openrouter.watch.polling.sleep_until", noting)
    return seen


@pytest.fixture
def clock(monkeypatch):
    """In place of the module's ``time``, where long times are to pass."""
    clock = SimpleNamespace(now=1_000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("airflow_provider_openrouter.watch.polling.time", clock)
    return clock


def sockets(server: Server) -> list:
    port = int(server.host.rpartition(":")[2])
    return [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]


def asking(conn_id: str = "openrouter_default", **how):
    usual = {"poll_interval": 0.2} | how
    source = KeySource(
        openrouter_conn_id=conn_id,
        scope=WorkspaceScope(usual.pop("workspace_id", None)),
        include_disabled=usual.pop("include_disabled", False),
    )
    return aclosing(polls(source, **usual))


async def take(count: int = 1, conn_id: str = "openrouter_default", **how) -> list[Poll]:
    taken: list[Poll] = []
    async with asyncio.timeout(20), asking(conn_id, **how) as shared:
        async for poll in shared:
            taken.append(poll)
            if len(taken) == count:
                break
    return taken


def all_listed(taken: list[Poll]) -> bool:
    return all(isinstance(poll, Succeeded) for poll in taken)


async def keep_taking(taken: list[Poll], conn_id: str = "openrouter_default", **how) -> None:
    async with asking(conn_id, **how) as shared:
        async for poll in shared:
            taken.append(poll)


@asynccontextmanager
async def in_background(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        await cancel(*tasks)


async def cancel(*tasks: asyncio.Task) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def hashes(poll: Poll) -> list[str]:
    return [key["hash"] for key in poll.reading.keys]


# -- who takes part


@pytest.mark.parametrize("users", [1, 2, 300])
def test_many_users_of_the_same_keys_poll_as_often_as_one(users, connect):
    account = Account(3)

    async def main():
        return await asyncio.gather(*(take(4, poll_interval=0.25) for _ in range(users)))

    with Server(account) as server:
        connect(server)
        [taken, *others] = asyncio.run(main())
    assert begun(server) == 4
    assert len(server.requests) == 8
    assert all(hashes(poll) == account.hashes for poll in taken)
    assert all(each is taken[number] for other in others for number, each in enumerate(other))


@pytest.mark.parametrize(
    ("seconds", "late"),
    [
        (0, 0.05),
        (0, 0.17),
        (0.05, 0.05),
        (0.05, 0.15),
        (0.15, 0.12),
    ],
)
def test_users_that_begin_at_different_times_fall_into_step(seconds, late, connect):
    async def main():
        taken = [[], []]
        async with in_background(keep_taking(taken[0], poll_interval=0.2)) as tasks:
            await until(lambda: server.requests)
            await asyncio.sleep(late)
            tasks.append(asyncio.create_task(keep_taking(taken[1], poll_interval=0.2)))
            await until(lambda: all(len(each) > 2 for each in taken))
            await until(lambda: all(taken[0][-back] is taken[1][-back] for back in (1, 2)))

    with Server(Slow(Account(3), seconds)) as server:
        connect(server)
        asyncio.run(main())


@pytest.mark.parametrize(("backs_off", "poll_interval"), [(False, 0.001), (True, NO_HURRY)])
def test_a_user_takes_the_poll_in_flight(backs_off, poll_interval, connect):
    gate = Gate()

    async def main():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(take(poll_interval=NO_HURRY))
            await until(lambda: server.requests)
            second = group.create_task(take(poll_interval=poll_interval, backs_off=backs_off))
            await asyncio.sleep(0.1)
            gate.opened.set()
        assert first.result()[0] is second.result()[0]

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1


@pytest.mark.parametrize("backs_off", [False, True])
def test_a_user_takes_a_poll_of_the_last_half_of_its_interval(backs_off, connect, clock):
    async def main():
        async with asking(poll_interval=NO_HURRY) as other:
            poll = await anext(other)
            clock.now += NO_HURRY / 2
            [taken] = await take(poll_interval=NO_HURRY, backs_off=backs_off)
            assert taken is poll

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1


@pytest.mark.parametrize(("backs_off", "polls_at"), [(False, 30.1), (True, 60)])
def test_a_user_takes_no_older_poll(backs_off, polls_at, connect, clock, rests):
    async def main():
        async with asking(poll_interval=NO_HURRY) as other:
            poll = await anext(other)
            clock.now += 30.1
            async with in_background(take(2, poll_interval=NO_HURRY, backs_off=backs_off)):
                await until(lambda: rests)
            next_poll, _ = rests[0]
            assert next_poll - poll.began == pytest.approx(polls_at + (0 if backs_off else NO_HURRY))

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1 + (not backs_off)


def test_one_that_comes_after_a_long_poll_rests_as_well(connect, rests):
    async def main():
        [first] = await take(poll_interval=0.1)
        await take(poll_interval=0.1, backs_off=True)
        assert rests[0] == pytest.approx((first.began + 0.1, first.ended + 0.05), abs=0.01)

    with Server(Slow(Account(3), 0.05)) as server:
        connect(server)
        asyncio.run(main())


@pytest.mark.parametrize("backs_off", [False, True])
def test_the_interval_counts_from_the_beginning_of_a_poll(backs_off, connect, rests):
    with Server(Slow(Account(3), 0.05)) as server:
        connect(server)
        taken = asyncio.run(take(3, poll_interval=0.25, backs_off=backs_off))
    for before, after in pairwise(taken):
        assert before.ended - before.began >= 0.05
        assert after.began - before.began >= 0.25 - ROUNDING
        assert before.reading.observed_at < after.reading.observed_at
    assert rests[backs_off:] == [
        pytest.approx((poll.began + 0.25, poll.ended + 0.125), abs=1e-6) for poll in taken[:-1]
    ]


@pytest.mark.parametrize("backs_off", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_long_poll_is_followed_by_half_an_interval_of_rest(fails, backs_off, connect, rests):
    slow = Slow(Account(3), 0.1)

    def answer(request):
        answered = slow(request)
        return error(500) if fails and request.offset else answered

    with Server(answer) as server:
        connect(server)
        taken = asyncio.run(take(2, poll_interval=0.2, backs_off=backs_off))
    first, second = taken
    assert all(isinstance(poll, Failed) is fails for poll in taken)
    assert first.ended - first.began >= 0.2
    assert second.began - first.ended >= 0.1 - ROUNDING
    assert rests[backs_off:] == [pytest.approx((first.began + 0.2, first.ended + 0.1), abs=1e-6)]


@pytest.mark.parametrize("left", ["after a listing", "after a failure", "in flight"])
@pytest.mark.parametrize("backs_off", [True, False])
def test_one_that_backs_off_waits_even_if_the_others_have_left(backs_off, left, connect):
    gate, account = Gate(), Account(3)
    first = {"after a failure": lambda request: error(500), "in flight": gate}.get(left, account)

    async def main():
        began = time.monotonic()
        async with in_background(keep_taking(taken, poll_interval=NO_HURRY)) as [other]:
            await until(lambda: server.requests if left == "in flight" else taken)
            await cancel(other)
            [poll] = await take(poll_interval=0.3 if backs_off else NO_HURRY, backs_off=backs_off)
            gate.opened.set()
        assert isinstance(poll, Succeeded)
        assert begun(server) == 2
        if backs_off:
            assert poll.began - began >= 0.3 - ROUNDING

    taken: list[Poll] = []
    with Server(lambda request: (account if request.number else first)(request)) as server:
        connect(server)
        asyncio.run(main())


@pytest.mark.parametrize("backs_off", [True, False])
def test_one_who_comes_while_others_poll_shares_their_last(backs_off, connect):
    async def main():
        async with asking(poll_interval=NO_HURRY, backs_off=backs_off) as other:
            poll = await anext(other)
            assert await take(poll_interval=NO_HURRY, backs_off=backs_off) == [poll]

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1


def test_those_who_begin_at_the_same_moment_share_the_first_poll(connect):
    async def main():
        one, *others = await asyncio.gather(*(take(poll_interval=NO_HURRY, backs_off=True) for _ in range(20)))
        assert others == [one] * 19

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1


def test_users_of_longer_intervals_cause_no_polls_of_their_own(connect):
    async def main():
        taken: list[Poll] = []
        others = (keep_taking([], poll_interval=0.2 + number * 0.01) for number in range(1, 100))
        async with in_background(keep_taking(taken, poll_interval=0.2), *others):
            await until(lambda: len(taken) == 5)

    def ask_nothing():
        with Server(Account(3)) as server:
            connect(server)
            asyncio.run(main())
        return begun(server) == 5

    assert now_and_then(ask_nothing)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"workspace_id": None}, {"workspace_id": "workspace-1"}),
        ({"workspace_id": None}, {"workspace_id": "*"}),
        ({"workspace_id": "workspace-0"}, {"workspace_id": "workspace-1"}),
        ({"include_disabled": False}, {"include_disabled": True}),
        ({"conn_id": "openrouter_default"}, {"conn_id": "other"}),
    ],
    ids=lambda scope: "-".join(f"{value}" for value in scope.values()),
)
def test_users_of_different_keys_share_nothing(one, other, connect):
    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take(2, **scope)) for scope in (one, other, one, other)]
        return [task.result() for task in tasks]

    with Server(Account(5, workspaces=2)) as server:
        connect(server)
        connect(server, "other")
        [ours, theirs, ours_too, theirs_too] = asyncio.run(main())
    assert ours == ours_too
    assert theirs == theirs_too
    assert not {id(poll) for poll in ours} & {id(poll) for poll in theirs}
    begins = [request for request in server.requests if request.path == "/keys" and not request.offset]
    asked = {json.dumps(request.query) for request in begins}
    assert len(asked) >= 2 or "conn_id" in one


def test_two_event_loops_share_nothing(connect):
    taken = [[], []]

    def in_thread(number: int) -> None:
        taken[number] += asyncio.run(take(3, poll_interval=0.05))

    with Server(Account(3)) as server:
        connect(server)
        threads = [threading.Thread(target=in_thread, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(each) for each in taken] == [3, 3]
    assert begun(server) == 6


@pytest.mark.parametrize("seed", range(3))
def test_the_same_keys_are_never_listed_twice_at_once(seed, connect):
    chance = random.Random(seed)
    answer = Slow(Account(3), 0.02)

    async def main():
        async def user():
            await asyncio.sleep(chance.uniform(0, 0.3))
            await keep_taking([], poll_interval=chance.uniform(0.01, 0.2))

        async with in_background(*(user() for _ in range(40))):
            await asyncio.sleep(0.7)

    with Server(answer) as server:
        connect(server)
        asyncio.run(main())
    assert answer.most <= 2  # the requests of one listing
    offsets = [request.offset for request in server.requests]
    assert {*offsets} == {0, 2}
    assert abs(offsets.count(0) - offsets.count(2)) <= 1  # the last listing may be given up


def test_a_server_that_hangs_delays_no_other(connect):
    async def main():
        async with in_background(*(keep_taking([], f"hanging_{number}") for number in range(30))):
            await until(lambda: len(hanging.requests) == 30)
            taken = await take(5, "answering", poll_interval=0.1)
            assert len(hanging.requests) == 30
            return taken

    with Server(lambda request: HANGS) as hanging, Server(Account(3)) as server:
        for number in range(30):
            connect(hanging, f"hanging_{number}", timeout=60)
        connect(server, "answering")
        assert all_listed(asyncio.run(main()))
    assert begun(server) == 5


# -- what fails


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (error(401), OpenRouterAuthError),
        (error(404), OpenRouterRequestError),
        (error(429), OpenRouterRateLimitError),
        (error(500), OpenRouterServerError),
        (BREAKS, OpenRouterConnectionError),
        (HANGS, OpenRouterConnectionError),
        (Answer(200, "<html>"), OpenRouterResponseError),
    ],
    ids=["401", "404", "429", "500", "breaks", "hangs", "html"],
)
def test_a_poll_that_fails_is_shared_as_a_failure(fault, kind, connect):
    async def user() -> OpenRouterError:
        [poll] = await take(poll_interval=NO_HURRY)
        assert isinstance(poll, Failed)
        with pytest.raises(OpenRouterError) as caught:
            await poll.check(RULE)
        return caught.value

    async def main():
        return await asyncio.gather(*(user() for _ in range(20)))

    with Server(lambda request: fault) as server:
        connect(server, timeout=0.3 if fault is HANGS else 10)
        failures = asyncio.run(main())
    assert [type(failure) for failure in failures] == [kind] * 20
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "shared"), [(500, True), (401, True), (404, False)])
def test_a_failure_that_ends_waits_is_not_shared_later(status, shared, connect):
    async def main():
        await take(poll_interval=NO_HURRY)
        async with asking() as first:
            await anext(first)
            return await take(poll_interval=NO_HURRY)

    with Server(lambda request: error(status)) as server:
        connect(server)
        [poll] = asyncio.run(main())
    assert isinstance(poll, Failed)
    assert begun(server) == (2 if shared else 3)


def test_a_failure_does_not_grow_with_those_who_share_it(connect):
    async def main():
        async with asking() as shared:
            poll = await anext(shared)
            depths = set()
            for _ in range(50):
                with pytest.raises(OpenRouterServerError) as caught:
                    await poll.check(RULE)
                depths.add(len(caught.traceback))
                assert caught.value.__context__ is None
            assert len(depths) == 1

    with Server(lambda request: error(500)) as server:
        connect(server)
        asyncio.run(main())


@pytest.mark.parametrize("backs_off", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_nobody_polls_before_the_time_that_the_server_asks_for(status, backs_off, connect):
    account = Account(3)
    how = {"poll_interval": 0.05, "backs_off": backs_off}

    async def main():
        async with in_background(*(keep_taking(taken, **how) for taken in users)):
            await until(lambda: all(users))
            [late] = await take(poll_interval=0.01)
            assert late is users[0][0]
            await until(lambda: all(len(taken) > 1 for taken in users))

    users: list[list[Poll]] = [[] for _ in range(10)]
    asks = error(status, headers={"Retry-After": "0.4"})
    with Server(lambda request: account(request) if request.number else asks) as server:
        connect(server)
        asyncio.run(main())
    assert all(second.began - first.ended >= 0.4 - ROUNDING for first, second, *_ in users)
    assert all(isinstance(taken[1], Succeeded) for taken in users)


def test_polls_go_on_the_very_moment_that_the_server_asks_for(connect, clock):
    async def main():
        async with asking() as shared:
            await anext(shared)
            clock.now += 10
            await take()
            assert begun(server) == 2
            clock.now += 10
        await take(poll_interval=NO_HURRY)

    with Server(lambda request: error(429, headers={"Retry-After": "10"})) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 3


def test_a_failure_of_the_moment_at_which_one_came_is_shared(connect, clock):
    with Server(lambda request: error(404)) as server:
        connect(server)
        first, second = asyncio.run(take(2, poll_interval=0.02))
    assert second is first


def test_one_started_again_polls_no_earlier_than_it_may(connect):
    async def main():
        [first] = await take(poll_interval=0.05, backs_off=True)
        [second] = await take(poll_interval=0.05, backs_off=True)
        assert second.began - first.ended >= 1 - ROUNDING

    with Server(lambda request: error(429, headers={"Retry-After": "1"})) as server:
        connect(server)
        asyncio.run(main())


def test_polls_go_on_after_a_failure(connect):
    account = Account(3)
    with Server(lambda request: error(500) if request.number < 2 else account(request)) as server:
        connect(server)
        taken = asyncio.run(take(4, poll_interval=0.02))
    assert [isinstance(poll, Succeeded) for poll in taken] == [False, False, True, True]


def test_the_connection_is_read_again_only_after_a_failure(connect):
    fails = threading.Event()

    async def main():
        async with asking(poll_interval=0.05) as shared:
            await anext(shared)
            connect(second)
            for _ in range(3):
                assert isinstance(await anext(shared), Succeeded)
            assert not second.requests
            fails.set()
            assert isinstance(await anext(shared), Failed)
            assert not second.requests
            for _ in range(3):
                assert isinstance(await anext(shared), Succeeded)

    account = Account(3)
    with (
        Server(lambda request: error(401) if fails.is_set() else account(request)) as first,
        Server(account) as second,
    ):
        connect(first)
        asyncio.run(main())
    assert begun(first) == 5
    assert begun(second) == 3


def test_a_missing_connection_is_a_failure_until_it_exists(connect):
    async def main():
        async with asking("late", poll_interval=0.05) as shared:
            for _ in range(2):
                poll = await anext(shared)
                with pytest.raises(Exception, match="late"):
                    await poll.check(RULE)
            connect(server, "late")
            assert isinstance(await anext(shared), Succeeded)

    with Server(Account(3)) as server:
        asyncio.run(main())


@pytest.mark.parametrize(
    ("rule", "prepared"),
    [
        ({"threshold": 5}, 0),
        ({"threshold": "3 days"}, 1),
        ({"threshold": "3 days", "expires_within": "7 days"}, 1),
    ],
)
def test_checks_take_turns_and_keys_are_sorted_in_a_thread(rule, prepared, connect):
    steps = []

    class Noting(LimitRule):
        def prepare(self, listing):
            assert threading.current_thread().name.startswith("openrouter-poll")
            super().prepare(listing)
            steps.append("prepare")

        def check(self, listing):
            steps.append("check")
            (sorted_keys,) = listing.derived.values()
            before = set(vars(sorted_keys)), set(vars(listing))
            found = super().check(listing)
            assert before == (set(vars(sorted_keys)), set(vars(listing)))
            return found

    async def tick():
        while True:
            steps.append("tick")
            await asyncio.sleep(0)

    async def main():
        async with asking() as shared, in_background(tick()):
            poll = await anext(shared)
            checks = await asyncio.gather(*(poll.check(Noting(**rule)) for _ in range(10)))
        assert {id(check.listing) for check in checks} == {id(poll.reading)}

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert (steps.count("prepare"), steps.count("check")) == (prepared, 10)
    assert "check check" not in " ".join(steps)


@pytest.mark.parametrize("kind", [Succeeded, Failed])
def test_a_poll_either_succeeded_or_failed(kind, connect):
    account = Account(3)
    with Server(account if kind is Succeeded else lambda request: error(500)) as server:
        connect(server)
        [poll] = asyncio.run(take())
    assert type(poll) is kind
    assert hasattr(poll, "reading") is (kind is Succeeded)
    assert hasattr(poll, "error") is (kind is Failed)
    assert poll.began <= poll.ended


# -- how long the pauses are


def pauses(taken: list[Poll], rests: list) -> list[float]:
    """Return the seconds from the beginning of each poll until the next may begin."""
    return [moment - poll.began for poll, (moment, _) in zip(taken, rests, strict=False)]


@pytest.mark.parametrize("backs_off", [True, False])
def test_failures_in_a_row_lengthen_the_pauses_of_who_backs_off(backs_off, connect, rests):
    def answer(request):
        return account(request) if begun(server) == 4 else error(500)

    account = Account(3)
    with Server(answer) as server:
        connect(server)
        taken = asyncio.run(take(6, poll_interval=0.05, backs_off=backs_off))
    assert [isinstance(poll, Succeeded) for poll in taken] == [False, False, False, True, False, False]
    asked = pauses(taken, rests[backs_off:])
    least = [0.05, 0.1, 0.2, 0.05, 0.05] if backs_off else [0.05] * 5
    assert all(pause >= each - ROUNDING for pause, each in zip(asked, least, strict=True))
    assert not backs_off or asked[3:] == pytest.approx([0.05] * 2)  # a success resets it
    assert backs_off or asked == pytest.approx(least)
    for (before, after), pause in zip(pairwise(taken), asked, strict=True):
        assert after.began - before.began >= pause - ROUNDING


@pytest.mark.parametrize(("poll_interval", "longest"), [(0.04, 0.1), (0.1, 0.04)])
def test_pauses_grow_no_longer_than_the_longest(poll_interval, longest, connect, rests, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.LONGEST_PAUSE", longest)
    with Server(lambda request: error(500)) as server:
        connect(server)
        taken = asyncio.run(take(6, poll_interval=poll_interval, backs_off=True))
    asked = pauses(taken, rests[1:])
    assert max(asked) == pytest.approx(max(poll_interval, longest))
    assert min(asked) == pytest.approx(poll_interval)


def test_while_the_server_fails_all_keep_one_growing_pause(connect):
    async def watch(polls_before: int, interval: float, seen: list[Poll], first: list[Poll]) -> None:
        await until(lambda: len(first) >= polls_before)
        await keep_taking(seen, poll_interval=interval, backs_off=True)

    async def main():
        taken = [[] for _ in range(12)]
        users = [(number % 4, 0.05 + number % 3 * 0.035, seen, taken[0]) for number, seen in enumerate(taken)]
        async with in_background(*(watch(*user) for user in users)):
            await until(lambda: len({poll.began for poll in taken[0]}) >= 5 and all(taken))
        return sorted({poll.began for seen in taken for poll in seen})

    def polls_as_one_does():
        with Server(lambda request: error(500)) as server:
            connect(server)
            failing = asyncio.run(main())
        since = [began - failing[0] for began in failing]
        return all(after >= 2 * before + 0.05 - ROUNDING for before, after in pairwise(since))

    assert now_and_then(polls_as_one_does)


def test_the_failed_polls_of_others_count_by_time_alone(connect):
    async def main():
        async with in_background(keep_taking(others, poll_interval=0.005)):
            await take(3, poll_interval=0.1, backs_off=True)

    others: list[Poll] = []
    with Server(lambda request: error(500)) as server:
        connect(server)
        asyncio.run(main())
    assert len(others) > 3


@pytest.mark.parametrize("away", [0, 0.4])
def test_an_outage_is_forgotten_once_nobody_polls_for_long(away, connect, rests, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.pauses.LONGEST_PAUSE", 0.3)

    async def main():
        await take(4, poll_interval=0.02, backs_off=True)
        await asyncio.sleep(away)
        rests.clear()
        taken = await take(2, poll_interval=0.02, backs_off=True)
        return pauses(taken, rests[1:])

    with Server(lambda request: error(500)) as server:
        connect(server)
        [pause] = asyncio.run(main())
    assert pause == pytest.approx(0.02) if away else pause >= 0.14


def test_what_nobody_polls_for_long_is_forgotten(connect, clock):
    async def main():
        source = KeySource(openrouter_conn_id="openrouter_default", scope=WorkspaceScope(), include_disabled=True)
        async with aclosing(polls(source, poll_interval=NO_HURRY)) as shared:
            await anext(shared)
        known = weakref.ref(source)
        del source, shared
        await take()
        assert known()
        clock.now += 601
        await take()
        gc.collect()
        assert not known()

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())


# -- the names of workspaces


def names_read(server: Server) -> int:
    return sum(request.path == "/workspaces" and not request.offset for request in server.requests)


def test_a_workspace_name_is_resolved_once(connect):
    with Server(Account(6, workspaces=2)) as server:
        connect(server)
        taken = asyncio.run(take(4, poll_interval=0.02, workspace_id="Workspace 1"))
    assert begun(server) == 4
    assert names_read(server) == 1
    keys = [key for poll in taken for key in poll.reading.keys]
    assert len(keys) == 4 * 3
    assert {key["workspace_id"] for key in keys} == {"workspace-1"}
    assert {poll.reading.workspace_name(key) for poll in taken for key in poll.reading.keys} == {"Workspace 1"}


def test_a_workspace_name_is_resolved_again_after_a_while(connect, monkeypatch):
    account = Account(6, workspaces=2)
    clock = SimpleNamespace(now=1_000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("airflow_provider_openrouter.watch.sources.time", clock)

    async def main():
        async with asking(poll_interval=0.02, workspace_id="team") as shared:
            assert len(hashes(await anext(shared))) == len(hashes(await anext(shared))) == 3
            account.workspaces[0]["name"], account.workspaces[1]["name"] = "team", "other"
            assert {key["workspace_id"] for key in (await anext(shared)).reading.keys} == {"workspace-1"}
            assert names_read(server) == 1
            clock.now += 3_600
            assert {key["workspace_id"] for key in (await anext(shared)).reading.keys} == {"workspace-0"}
            assert names_read(server) == 2

    account.workspaces[1]["name"] = "team"
    with Server(account) as server:
        connect(server)
        asyncio.run(main())


def test_a_workspace_name_stays_resolved_while_the_server_fails(connect):
    account = Account(6, workspaces=2)

    def answer(request):
        return (
            error(500)
            if request.path == "/keys" and request.offset == 0 and begun(server) == 2
            else account(request)
        )

    with Server(answer) as server:
        connect(server)
        taken = asyncio.run(take(4, poll_interval=0.02, workspace_id="Workspace 1"))
    assert [type(poll) for poll in taken] == [Succeeded, Failed, Succeeded, Succeeded]
    assert names_read(server) == 1


def test_a_name_that_has_moved_to_another_workspace_is_resolved(connect):
    account = Account(6, workspaces=2)

    async def main():
        async with asking(poll_interval=0.02, workspace_id="Workspace 1") as shared:
            await anext(shared)
            account.workspaces[1]["id"] = "new"
            for key in account.keys:
                if key["workspace_id"] == "workspace-1":
                    key["workspace_id"] = "new"
            return await anext(shared)

    def answer(request):
        return error(404) if request.query.get("workspace_id") == "workspace-1" and gone() else account(request)

    def gone():
        return account.workspaces[1]["id"] == "new"

    with Server(answer) as server:
        connect(server)
        poll = asyncio.run(main())
    assert {key["workspace_id"] for key in poll.reading.keys} == {"new"}
    assert names_read(server) == 2


def test_a_workspace_name_that_does_not_exist_is_a_failure(connect):
    with Server(Account(6, workspaces=2)) as server:
        connect(server)
        taken = asyncio.run(take(2, poll_interval=0.02, workspace_id="nobody"))
    for poll in taken:
        assert isinstance(poll, Failed)
        assert type(poll.error) is OpenRouterRequestError
        assert "nobody" in str(poll.error)
    assert begun(server) == 0
    assert names_read(server) == 2


@pytest.mark.parametrize(
    ("workspace_id", "times"), [(None, 0), ("5f0c1f2e-0f3a-4c55-9a0b-0d7a52d6a001", 0), ("*", 3)]
)
def test_names_are_read_at_each_poll_of_all_workspaces_only(workspace_id, times, connect):
    with Server(Account(6)) as server:
        connect(server)
        assert all_listed(asyncio.run(take(3, poll_interval=0.02, workspace_id=workspace_id)))
    assert names_read(server) == times


def test_a_known_account_is_polled_in_one_round_trip(connect):
    account = Account(640)
    all_are_here = threading.Barrier(8, timeout=20)

    async def main():
        async with asking(poll_interval=0.05) as shared:
            first = await anext(shared)
            server.answer = lambda request: all_are_here.wait() >= 0 and account(request)
            return hashes(first), hashes(await anext(shared))

    with Server(account) as server:
        connect(server)
        first, second = asyncio.run(main())
    assert first == second


# -- who leaves


@pytest.mark.parametrize("leaving", [[0], [9], list(range(9)), [0, 2, 4, 6, 8]], ids=str)
def test_those_who_leave_do_not_disturb_those_who_stay(leaving, connect):
    gate = Gate()

    async def main():
        tasks = [asyncio.create_task(take(2, poll_interval=0.2)) for _ in range(10)]
        await until(lambda: server.requests)
        await cancel(*(tasks[number] for number in leaving))
        gate.opened.set()
        staying = [task for number, task in enumerate(tasks) if number not in leaving]
        taken = await asyncio.gather(*staying)
        assert all(tasks[number].cancelled() for number in leaving)
        assert all(each == taken[0] for each in taken)
        assert all_listed(taken[0])

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 2


@pytest.mark.parametrize("users", [1, 20])
@pytest.mark.parametrize("status", [429, 500])
def test_a_wait_for_a_retry_ends_when_the_last_one_leaves(status, users, connect, caplog):
    caplog.set_level(logging.INFO, logger="airflow_provider_openrouter")

    async def main():
        async with in_background(*(take() for _ in range(users))):
            await until(lambda: "Trying again in 60.0 s" in caplog.text)
            assert listing_threads()
        await until(lambda: not listing_threads())

    with Server(lambda request: error(status, headers={"Retry-After": "60"})) as server:
        connect(server, max_retries=5)
        asyncio.run(main())
    assert len(server.requests) == 1


def test_sockets_close_when_the_last_one_leaves_during_a_wait(connect, caplog):
    caplog.set_level(logging.INFO, logger="airflow_provider_openrouter")

    async def main():
        async with in_background(take()):
            await until(lambda: "Trying again" in caplog.text)
        await until(lambda: not listing_threads())

    with Server(lambda request: error(500, headers={"Retry-After": "60"})) as server:
        connect(server, max_retries=5)
        asyncio.run(main())
        assert eventually(lambda: not sockets(server))


@pytest.mark.parametrize("sleepers", [0, 1])
def test_a_listing_given_up_ends_its_request_in_flight(sleepers, connect):
    account = Account(3)
    hangs = threading.Event()

    async def main():
        sleeping = []
        async with in_background(*(keep_taking(sleeping, poll_interval=NO_HURRY) for _ in range(sleepers))):
            await until(lambda: len(sleeping) == sleepers)
            await asyncio.sleep(0.1)
            hangs.set()
            async with in_background(take(poll_interval=0.01)):
                await until(lambda: len(server.requests) > sleepers)
            hangs.clear()
            await until(lambda: not sockets(server))
            taken = await take(3, poll_interval=0.05)
            assert all_listed(taken)
        await until(lambda: not listing_threads())

    with Server(lambda request: HANGS if hangs.is_set() else account(request)) as server:
        connect(server, timeout=300)
        asyncio.run(main())


def test_one_who_comes_when_all_have_left_gets_its_own_poll(connect):
    gate = Gate()

    async def main():
        leaving = [asyncio.create_task(take()) for _ in range(5)]
        await until(lambda: server.requests)
        for task in leaving:
            task.cancel()
        coming = asyncio.create_task(take())
        await asyncio.gather(*leaving, return_exceptions=True)
        gate.opened.set()
        [poll] = await coming
        assert isinstance(poll, Succeeded)

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())


def test_one_who_comes_when_all_have_left_polls_as_asked(connect):
    async def main():
        [first], [second] = await take(), await take()
        assert isinstance(second, Failed)
        assert second is first

    with Server(lambda request: error(429, headers={"Retry-After": "3600"})) as server:
        connect(server)
        asyncio.run(main())
        assert len(server.requests) == 1


@pytest.mark.parametrize("steps", range(12))
def test_one_may_leave_at_any_step(steps, connect):
    async def main():
        task = asyncio.create_task(take())
        for _ in range(steps):
            await asyncio.sleep(0)
        await cancel(task)
        [poll] = await take()
        assert isinstance(poll, Succeeded)

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main(), debug=True)


@pytest.mark.parametrize("leave", ["aclose", "forget", "time out"])
def test_a_user_that_leaves_frees_everything(leave, connect):
    async def main():
        source = KeySource(
            openrouter_conn_id="openrouter_default", scope=WorkspaceScope(), include_disabled=False
        )
        shared = polls(source, poll_interval=NO_HURRY)
        await anext(shared)
        assert listing_threads()
        if leave == "aclose":
            await shared.aclose()
        elif leave == "forget":
            del shared
            gc.collect()
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(shared)
        await until(lambda: not listing_threads())
        await until(lambda: not sockets(server))

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())


def test_no_socket_is_held_between_two_polls(connect):
    async def main():
        async with asking(poll_interval=NO_HURRY) as shared:
            await anext(shared)
            await until(lambda: not sockets(server))

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())


@pytest.mark.parametrize("state", ["connecting", "in flight", "in a pause", "between"])
def test_an_event_loop_that_ends_leaves_no_thread(state, connect, caplog):
    caplog.set_level(logging.INFO, logger="airflow_provider_openrouter")
    gate = Gate(Account(300))
    answer = {
        "connecting": Account(3),
        "in flight": gate,
        "in a pause": lambda request: error(503, headers={"Retry-After": "60"}),
        "between": Account(3),
    }[state]
    tasks = []

    async def main():
        taken = []
        tasks.extend(asyncio.create_task(keep_taking(taken, poll_interval=NO_HURRY)) for _ in range(5))
        if state == "in flight":
            await until(lambda: server.requests)
        elif state == "in a pause":
            await until(lambda: "Trying again" in caplog.text)
        elif state == "between":
            await until(lambda: len(taken) == 5)
        else:
            await asyncio.sleep(0)

    with Server(answer) as server:
        connect(server, max_retries=5)
        asyncio.run(main(), debug=True)
        gate.opened.set()
        assert eventually(lambda: not listing_threads())
        assert state == "in a pause" or eventually(lambda: not sockets(server))
        assert len(server.requests) <= 2
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("seed", range(4))
def test_users_who_come_and_go_at_random_leave_nothing(seed, connect):
    chance = random.Random(seed)
    account = Account(30, page_size=20, workspaces=2)
    faults = [error(500), error(429), BREAKS, error(401), Answer(200, "<html>"), HANGS]
    healthy = threading.Event()
    troubled = []

    def answer(request):
        time.sleep(chance.uniform(0, 0.02))
        if not healthy.is_set() and chance.random() < 0.3:
            return chance.choice(faults)
        return account(request)

    async def user():
        await asyncio.sleep(chance.uniform(0, 0.8))
        how = {
            "poll_interval": chance.uniform(0.001, 0.2),
            "workspace_id": chance.choice([None, "*"]),
            "include_disabled": chance.choice([False, False, True]),
        }
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0, 0.3)), asking(**how) as shared:
                async for poll in shared:
                    with suppress(OpenRouterError):
                        await poll.check(RULE)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubled.append(context))
        lasting = []
        async with in_background(keep_taking(lasting, poll_interval=0.03)):
            await asyncio.gather(*(user() for _ in range(150)))
            healthy.set()
            number = len(lasting)
            await until(lambda: len(lasting) >= number + 4 and isinstance(lasting[-1], Succeeded))
        await until(lambda: not listing_threads())

    with Server(answer) as server:
        connect(server, timeout=0.2, max_retries=1)
        asyncio.run(main(), debug=True)
        gc.collect()
    assert not troubled
