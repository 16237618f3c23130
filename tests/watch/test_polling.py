"""The listings that are shared: who takes part in which, and what is left when they go."""

import asyncio
import gc
import json
import logging
import random
import threading
import time
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import pairwise

import psutil
import pytest
import support.polling as polling
from support.polling import ROUNDING, begun, eventually, listing_threads, now_and_then, until
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
from airflow_provider_openrouter.watch.polling import Listing, _sleep_until, listings
from airflow_provider_openrouter.watch.rule import LimitRule

RULE = LimitRule(threshold=5)
NO_HURRY = 60
"""Seconds between listings, for those who are to have but one."""

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


class Gate:
    """An account that answers nobody before it is opened."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.opened = threading.Event()

    def __call__(self, request):
        assert self.opened.wait(20)
        return self.account(request)


@pytest.fixture(autouse=True)
def collected(nothing_is_left):
    """Let asyncio tell of the tasks that were forgotten."""
    yield
    gc.collect()


@pytest.fixture
def rests(monkeypatch):
    """The moments of which those who take listings await the later one, each time."""
    seen = []

    async def noting(*moments):
        seen.append(moments)
        await _sleep_until(*moments)

    monkeypatch.setattr("airflow_provider_openrouter.watch.polling._sleep_until", noting)
    return seen


def sockets(server: Server) -> list:
    port = int(server.host.rpartition(":")[2])
    return [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]


def asking(conn_id: str = "openrouter_default", **how):
    usual = {"poll_interval": 0.2, "include_disabled": False, "workspace_id": None}
    return aclosing(listings(conn_id, **usual | how))


async def take(count: int = 1, conn_id: str = "openrouter_default", **how) -> list[Listing]:
    taken: list[Listing] = []
    async with asyncio.timeout(20), asking(conn_id, **how) as shared:
        async for listing in shared:
            taken.append(listing)
            if len(taken) == count:
                break
    return taken


async def keep_taking(taken: list[Listing], conn_id: str = "openrouter_default", **how) -> None:
    async with asking(conn_id, **how) as shared:
        async for listing in shared:
            taken.append(listing)


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


def hashes(listing: Listing) -> list[str]:
    return [key["hash"] for key in listing.inventory.keys]


# -- who takes part


@pytest.mark.parametrize("users", [1, 2, 300])
def test_many_users_of_the_same_keys_ask_as_little_as_one(users, connect):
    account = Account(3)

    async def main():
        return await asyncio.gather(*(take(4, poll_interval=0.4) for _ in range(users)))

    with Server(account) as server:
        connect(server)
        [taken, *others] = asyncio.run(main())
    assert begun(server) == 4
    assert len(server.requests) == 8
    assert all(hashes(listing) == account.hashes for listing in taken)
    assert all(each is taken[number] for other in others for number, each in enumerate(other))


@pytest.mark.parametrize(
    ("seconds", "late"),
    [
        (0, 0.1),
        (0, 0.35),
        (0.1, 0.1),
        (0.1, 0.3),
        (0.3, 0.25),
    ],
)
def test_users_that_begin_at_different_times_fall_into_step(seconds, late, connect):
    async def main():
        taken = [[], []]
        async with in_background(keep_taking(taken[0], poll_interval=0.4)) as tasks:
            await until(lambda: server.requests)
            await asyncio.sleep(late)
            tasks.append(asyncio.create_task(keep_taking(taken[1], poll_interval=0.4)))
            await until(lambda: all(len(each) > 2 for each in taken))
            await until(lambda: all(taken[0][-back] is taken[1][-back] for back in (1, 2)))

    with Server(Slow(Account(3), seconds)) as server:
        connect(server)
        asyncio.run(main())


def test_a_user_takes_the_listing_in_flight(connect):
    gate = Gate(Account(3))

    async def main():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(take(poll_interval=NO_HURRY))
            await until(lambda: server.requests)
            second = group.create_task(take(poll_interval=0.001))
            await asyncio.sleep(0.1)
            gate.opened.set()
        assert first.result()[0] is second.result()[0]

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1


@pytest.mark.parametrize(("poll_interval", "takes_the_last"), [(NO_HURRY, True), (0.4, False)])
def test_a_user_takes_the_last_listing_if_it_began_within_half_its_own_interval(
    poll_interval, takes_the_last, connect
):
    async def main():
        async with asking(poll_interval=NO_HURRY) as other:
            listing = await anext(other)
            await asyncio.sleep(0.25)
            [taken] = await take(poll_interval=poll_interval)
            assert (taken is listing) is takes_the_last

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 1 + (not takes_the_last)


@pytest.mark.parametrize("patient", [False, True])
def test_the_interval_is_counted_from_the_beginning_of_a_listing(patient, connect, rests):
    with Server(Slow(Account(3), 0.1)) as server:
        connect(server)
        taken = asyncio.run(take(3, poll_interval=0.5, patient=patient))
    for before, after in pairwise(taken):
        assert before.ended - before.began >= 0.2
        assert after.began - before.began >= 0.5 - ROUNDING
        assert before.inventory.observed_at < after.inventory.observed_at
    assert rests[patient:] == [(listing.began + 0.5, listing.ended + 0.25) for listing in taken[:-1]]


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_listing_that_takes_long_is_followed_by_a_rest_of_half_an_interval(fails, patient, connect, rests):
    slow = Slow(Account(3), 0.3)

    def answer(request):
        answered = slow(request)
        return error(500) if fails and request.offset else answered

    with Server(answer) as server:
        connect(server)
        taken = asyncio.run(take(2, poll_interval=0.4, patient=patient))
    first, second = taken
    assert all((listing.error is not None) is fails for listing in taken)
    assert first.ended - first.began >= 0.6
    assert second.began - first.ended >= 0.2 - ROUNDING
    assert rests[patient:] == [(first.began + 0.4, first.ended + 0.2)]


@pytest.mark.parametrize(
    ("patient", "pauses"),
    [(True, [0.15, 0.3, 0.6, 0.15]), (False, [0.15, 0.15, 0.15, 0.15])],
    ids=["patient", "others"],
)
def test_after_failures_in_a_row_the_patient_wait_longer_and_others_do_not(patient, pauses, connect, rests):
    def answer(request):
        return account(request) if begun(server) == 4 else error(500)

    account = Account(3)
    with Server(answer) as server:
        connect(server)
        taken = asyncio.run(take(5, poll_interval=0.15, patient=patient))
    assert [listing.error is None for listing in taken] == [False, False, False, True, False]
    for (before, after), pause in zip(pairwise(taken), pauses, strict=True):
        assert after.began - before.began >= pause - ROUNDING
    assert rests[patient:] == [
        (listing.began + pause, listing.ended + pause / 2) for listing, pause in zip(taken, pauses, strict=False)
    ]


@pytest.mark.parametrize("left", ["after a listing", "after a failure", "in flight", "while the other goes on"])
@pytest.mark.parametrize("patient", [True, False])
def test_the_patient_begin_no_sooner_than_the_interval_after_anybodys_last_listing(patient, left, connect):
    gate, account = Gate(Account(3)), Account(3)
    first = {"after a failure": lambda request: error(500), "in flight": gate}.get(left, account)

    async def main():
        began = time.monotonic()
        async with in_background(keep_taking(taken, poll_interval=NO_HURRY)) as [other]:
            await until(lambda: server.requests if left == "in flight" else taken)
            if left != "while the other goes on":
                await cancel(other)
            [listing] = await take(poll_interval=0.6 if patient else NO_HURRY, patient=patient)
            gate.opened.set()
        assert listing.error is None
        if patient:
            assert listing.began - began >= 0.6 - ROUNDING
        assert begun(server) == 2 - (left == "while the other goes on" and not patient)

    taken: list[Listing] = []
    with Server(lambda request: (account if request.number else first)(request)) as server:
        connect(server)
        asyncio.run(main())


def test_users_of_longer_intervals_ask_nothing_of_their_own(connect):
    async def main():
        taken: list[Listing] = []
        others = (keep_taking([], poll_interval=0.25 + number * 0.013) for number in range(1, 100))
        async with in_background(keep_taking(taken, poll_interval=0.25), *others):
            await until(lambda: len(taken) == 6)

    def ask_nothing():
        with Server(Account(3)) as server:
            connect(server)
            asyncio.run(main())
        return begun(server) == 6

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
    assert not {id(listing) for listing in ours} & {id(listing) for listing in theirs}
    asked = {json.dumps(request.query) for request in server.requests if not request.offset}
    assert len(asked) >= 2 or "conn_id" in one


def test_two_event_loops_share_nothing(connect):
    taken = [[], []]

    def in_thread(number: int) -> None:
        taken[number] += asyncio.run(take(3))

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
            await asyncio.sleep(chance.uniform(0, 0.5))
            await keep_taking([], poll_interval=chance.uniform(0.01, 0.3))

        async with in_background(*(user() for _ in range(40))):
            await asyncio.sleep(1.2)

    with Server(answer) as server:
        connect(server)
        asyncio.run(main())
    assert answer.most == 1
    offsets = [request.offset for request in server.requests]
    assert offsets[::2] == [0] * begun(server)
    assert all(offsets[1::2])


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
        assert all(listing.error is None for listing in asyncio.run(main()))
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
def test_a_listing_that_fails_is_shared_as_a_failure(fault, kind, connect):
    async def user() -> OpenRouterError:
        [listing] = await take(poll_interval=NO_HURRY)
        assert listing.inventory.keys == []
        with pytest.raises(OpenRouterError) as caught:
            await listing.check(RULE)
        return caught.value

    async def main():
        return await asyncio.gather(*(user() for _ in range(20)))

    with Server(lambda request: fault) as server:
        connect(server, timeout=0.3 if fault is HANGS else 10)
        failures = asyncio.run(main())
    assert [type(failure) for failure in failures] == [kind] * 20
    assert len(server.requests) == 1


def test_a_failure_does_not_grow_with_those_who_share_it(connect):
    async def main():
        async with asking() as shared:
            listing = await anext(shared)
            depths = set()
            for _ in range(50):
                with pytest.raises(OpenRouterServerError) as caught:
                    await listing.check(RULE)
                depths.add(len(caught.traceback))
                assert caught.value.__context__ is None
            assert len(depths) == 1

    with Server(lambda request: error(500)) as server:
        connect(server)
        asyncio.run(main())


def test_after_a_failure_it_goes_on(connect):
    account = Account(3)
    with Server(lambda request: error(500) if request.number < 2 else account(request)) as server:
        connect(server)
        taken = asyncio.run(take(4, poll_interval=0.02))
    assert [listing.error is None for listing in taken] == [False, False, True, True]


def test_the_connection_is_read_anew_after_a_failure_and_only_then(connect):
    fails = threading.Event()

    async def main():
        async with asking(poll_interval=0.05) as shared:
            await anext(shared)
            connect(second)
            for _ in range(3):
                assert (await anext(shared)).error is None
            assert not second.requests
            fails.set()
            assert (await anext(shared)).error is not None
            assert not second.requests
            for _ in range(3):
                assert (await anext(shared)).error is None

    account = Account(3)
    with (
        Server(lambda request: error(401) if fails.is_set() else account(request)) as first,
        Server(account) as second,
    ):
        connect(first)
        asyncio.run(main())
    assert begun(first) == 5
    assert begun(second) == 3


def test_a_connection_that_is_missing_is_a_failure_until_it_is_there(connect):
    async def main():
        async with asking("late", poll_interval=0.05) as shared:
            for _ in range(2):
                listing = await anext(shared)
                with pytest.raises(Exception, match="late"):
                    await listing.check(RULE)
            connect(server, "late")
            assert (await anext(shared)).error is None

    with Server(Account(3)) as server:
        asyncio.run(main())


def test_those_who_check_take_turns_so_that_others_are_not_held_up(connect):
    steps = []

    class Noting(LimitRule):
        def check(self, inventory):
            steps.append("check")
            return super().check(inventory)

    async def tick():
        while True:
            steps.append("tick")
            await asyncio.sleep(0)

    async def main():
        async with asking() as shared, in_background(tick()):
            listing = await anext(shared)
            checks = await asyncio.gather(*(listing.check(Noting(threshold=5)) for _ in range(10)))
        assert len({check.observed_at for check in checks}) == 1

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main())
    assert steps.count("check") == 10
    assert "check check" not in " ".join(steps)


# -- who leaves


@pytest.mark.parametrize("leaving", [[0], [9], list(range(9)), [0, 2, 4, 6, 8]], ids=str)
def test_those_who_leave_take_nothing_from_those_who_stay(leaving, connect):
    gate = Gate(Account(3))

    async def main():
        tasks = [asyncio.create_task(take(2, poll_interval=0.4)) for _ in range(10)]
        await until(lambda: server.requests)
        await cancel(*(tasks[number] for number in leaving))
        gate.opened.set()
        staying = [task for number, task in enumerate(tasks) if number not in leaving]
        taken = await asyncio.gather(*staying)
        assert all(tasks[number].cancelled() for number in leaving)
        assert all(each == taken[0] for each in taken)
        assert all(listing.error is None for listing in taken[0])

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())
    assert begun(server) == 2


@pytest.mark.parametrize("users", [1, 20])
@pytest.mark.parametrize("status", [429, 500])
def test_when_the_last_one_leaves_a_wait_for_the_next_attempt_ends_at_once(status, users, connect, caplog):
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


def test_when_the_last_one_leaves_during_a_wait_the_connection_is_closed(connect, caplog):
    caplog.set_level(logging.INFO, logger="airflow_provider_openrouter")

    async def main():
        async with in_background(take()):
            await until(lambda: "Trying again" in caplog.text)
        await until(lambda: not listing_threads())

    with Server(lambda request: error(500, headers={"Retry-After": "60"})) as server:
        connect(server, max_retries=5)
        asyncio.run(main())
        assert eventually(lambda: not sockets(server))


def test_when_the_last_one_leaves_the_listing_ends_after_the_request_in_flight(connect):
    gate = Gate(Account(1_000))

    async def main():
        async with in_background(take()):
            await until(lambda: server.requests)
        assert listing_threads()
        gate.opened.set()
        await until(lambda: not listing_threads())
        await until(lambda: not sockets(server))

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())
    assert len(server.requests) == 1


@pytest.mark.parametrize("sleepers", [0, 1])
def test_a_listing_that_was_given_up_and_still_hangs_holds_up_no_new_one(sleepers, connect):
    account = Account(3)
    hangs = threading.Event()
    released = threading.Event()

    def answer(request):
        if hangs.is_set():
            hangs.clear()
            released.wait(20)
        return account(request)

    async def main():
        sleeping = []
        async with in_background(*(keep_taking(sleeping, poll_interval=NO_HURRY) for _ in range(sleepers))):
            await until(lambda: len(sleeping) == sleepers)
            await asyncio.sleep(0.1)
            hangs.set()
            async with in_background(take(poll_interval=0.01)):
                await until(lambda: not hangs.is_set())
            taken = await take(3, poll_interval=0.05)
            assert all(listing.error is None for listing in taken)
            assert listing_threads()
            released.set()

    with Server(answer) as server:
        connect(server, timeout=20)
        asyncio.run(main())


def test_a_listing_that_was_given_up_and_hangs_ends_at_its_timeout(connect):
    async def main():
        async with in_background(take()):
            await until(lambda: server.requests)
        assert listing_threads()
        await until(lambda: not listing_threads())
        assert not sockets(server)

    with Server(lambda request: HANGS) as server:
        connect(server, timeout=3, max_retries=5)
        asyncio.run(main())
    assert len(server.requests) == 1


def test_one_who_comes_when_all_have_left_gets_a_listing_of_its_own(connect):
    gate = Gate(Account(3))

    async def main():
        leaving = [asyncio.create_task(take()) for _ in range(5)]
        await until(lambda: server.requests)
        for task in leaving:
            task.cancel()
        coming = asyncio.create_task(take())
        await asyncio.gather(*leaving, return_exceptions=True)
        gate.opened.set()
        [listing] = await coming
        assert listing.error is None

    with Server(gate) as server:
        connect(server)
        asyncio.run(main())


@pytest.mark.parametrize("steps", range(12))
def test_one_may_leave_at_any_step(steps, connect):
    async def main():
        task = asyncio.create_task(take())
        for _ in range(steps):
            await asyncio.sleep(0)
        await cancel(task)
        [listing] = await take()
        assert listing.error is None

    with Server(Account(3)) as server:
        connect(server)
        asyncio.run(main(), debug=True)


@pytest.mark.parametrize("leave", ["aclose", "forget", "time out"])
def test_a_user_that_leaves_frees_everything(leave, connect):
    async def main():
        shared = listings("openrouter_default", poll_interval=NO_HURRY, include_disabled=False, workspace_id=None)
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


def test_between_two_listings_no_connection_is_held(connect):
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
def test_users_that_come_and_go_at_random_leave_nothing_and_hold_up_nobody(seed, connect):
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
                async for listing in shared:
                    with suppress(OpenRouterError):
                        await listing.check(RULE)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubled.append(context))
        lasting = []
        async with in_background(keep_taking(lasting, poll_interval=0.03)):
            await asyncio.gather(*(user() for _ in range(150)))
            healthy.set()
            number = len(lasting)
            await until(lambda: len(lasting) >= number + 4 and lasting[-1].error is None)
        await until(lambda: not listing_threads())

    with Server(answer) as server:
        connect(server, timeout=0.2, max_retries=1)
        asyncio.run(main(), debug=True)
        gc.collect()
    assert not troubled
