"""Which keys newly crossed the threshold: reported once until they have recovered, and remembered."""

import asyncio
import json
import logging
import time
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.keys import key, listing
from support.lives import Life
from support.state_store import STATE_KEY, Store

from airflow_provider_openrouter.watch import alert_state


class Clock:
    """In place of the module's ``time``, where many moments are to pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(alert_state, "time", clock)
    return clock


@pytest.fixture
def settling(monkeypatch):
    """Events that are saved soon."""
    monkeypatch.setattr(alert_state, "SETTLING", 0.05)


@pytest.fixture
def at_once(monkeypatch):
    """Events that are saved at once."""
    monkeypatch.setattr(alert_state, "SETTLING", 0)


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.DEBUG)


def warnings(caplog) -> list[str]:
    said = [record for record in caplog.records if record.name == "alert_state"]
    assert {record.levelno for record in said} <= {logging.WARNING}
    return [record.getMessage() for record in said]


FULL, LOW, LOWER, EDGE = [key("a", 90)], [key("a", 4)], [key("a", -1)], [key("a", 5)]


# -- what is reported, and what re-arms a key


def test_a_key_is_reported_when_it_crosses_not_while_it_is_low():
    assert Life().polls(FULL, EDGE, LOW, LOW, LOWER, LOW, LOWER) == [[], [], ["a"], [], [], [], []]


def test_a_key_that_is_low_from_the_start_is_reported_at_once():
    assert Life().polls(LOW, LOW) == [["a"], []]


def test_a_key_is_reported_whole_as_the_api_sent_it():
    async def main():
        life = Life()
        await life.state.load()
        sent = key("a", 4, brand_new={"deep": [1, None]})
        [crossed] = life.state.find_crossed(life.rule.check(listing(sent)))
        assert crossed.left.key == sent

    asyncio.run(main())


def test_keys_that_cross_at_once_are_reported_lowest_first():
    before = [key(name, 90) for name in "abcd"]
    after = [key("a", 3), key("b", 90), key("c", -2), key("d", 0)]
    assert Life().polls(before, after, after) == [[], ["c", "d", "a"], []]


def test_of_many_low_keys_only_new_ones_are_reported():
    listings = [
        [key("a", 1), key("b", 90), key("c", 90)],
        [key("a", 1), key("b", 2), key("c", 90)],
        [key("a", 1), key("b", 2), key("c", 3)],
        [key("a", 90), key("b", 2), key("c", 3)],
        [key("a", 1), key("b", 2), key("c", 3)],
    ]
    assert Life().polls(*listings) == [["a"], ["b"], ["c"], [], ["a"]]


@pytest.mark.parametrize("recovered", [FULL, EDGE])
def test_a_key_that_recovered_is_reported_when_it_crosses_again(recovered):
    assert Life().polls(LOW, LOW, recovered, LOW, LOW, recovered, recovered, LOW) == [
        *(["a"], [], [], ["a"]),
        *([], [], [], ["a"]),
    ]


@pytest.mark.parametrize(
    "away",
    [
        pytest.param([], id="deleted"),
        pytest.param([key("b", 90)], id="deleted, others remain"),
        pytest.param([key("a", None, limit=None)], id="limit removed"),
        pytest.param([key("a", None)], id="remainder not sent"),
        pytest.param([key("a", 4, disabled=True)], id="disabled"),
        pytest.param([key("a", 4, expires_at="2026-11-03T06:29:00Z")], id="expired"),
        pytest.param([key("a", 4, name="other")], id="renamed"),
    ],
)
def test_a_key_that_comes_back_low_is_reported(away):
    life = Life(name_pattern="[ab]", rearm_margin=20)
    assert life.polls(LOW, away, LOW, LOW, away, away, FULL) == [["a"], [], ["a"], [], [], [], []]


def test_disabled_keys_that_are_watched_stay_reported():
    life = Life(include_disabled=True)
    disabled = [key("a", 4, disabled=True)]
    assert life.polls(disabled, LOW, disabled) == [["a"], [], []]


def test_a_percentage_is_of_each_keys_own_limit():
    life = Life(threshold="10%")
    listings = [
        [key("a", 10), key("b", 10, limit=1000), key("c", 0.99, limit=10), key("d", 1, limit=0)],
        [key("a", 9.99), key("b", 100, limit=1000), key("c", 1, limit=10)],
        [key("a", 9.99), key("b", 10, limit=1000), key("c", 0.5, limit=10)],
    ]
    assert life.polls(*listings) == [["c", "b"], ["a"], ["c", "b"]]


def test_a_changed_limit_reports_or_re_arms_by_percentage():
    life = Life(threshold="10%")
    listings = [[key("a", 15, limit=limit)] for limit in (100, 200, 200, 100, 200)]
    assert life.polls(*listings) == [[], ["a"], [], [], ["a"]]


def test_keys_of_the_same_name_are_reported_apart_by_their_hash():
    one, other = key("a", 4, name="same"), key("b", 4, name="same")
    assert Life().polls([one], [one, other], [one, other]) == [["a"], ["b"], []]


# -- keys that hover around the threshold


TREMBLING = [[key("a", remaining)] for remaining in (4.9, 5, 4.9, 5.1, 4.9, 5.9, 4.9)]


def test_without_a_margin_a_key_that_hovers_is_reported_again():
    assert Life().polls(*TREMBLING) == [["a"], [], ["a"], [], ["a"], [], ["a"]]


@pytest.mark.parametrize(
    ("threshold", "rearm_margin"), [(5, 1), (5, "1%"), ("5%", "1%"), ("5%", 1), (5, "1.00"), (0.1 + 4.9, 95)]
)
def test_a_key_that_hovers_is_reported_once_with_a_margin(threshold, rearm_margin):
    life = Life(threshold=threshold, rearm_margin=rearm_margin)
    assert life.polls(*TREMBLING) == [["a"], *[[]] * 6]


@pytest.mark.parametrize(("threshold", "rearm_margin"), [(5, 1), (5, "1%"), ("5%", "1%"), ("5%", 1)])
def test_a_key_is_re_armed_at_the_threshold_and_the_margin(threshold, rearm_margin):
    life = Life(threshold=threshold, rearm_margin=rearm_margin)
    listings = [[key("a", remaining)] for remaining in (4.9, 5.999999, 4.9, 6, 5.5, 4.9)]
    assert life.polls(*listings) == [["a"], [], [], [], [], ["a"]]


def test_the_sum_of_threshold_and_margin_is_exact():
    life = Life(threshold=0.1, rearm_margin=0.2)
    listings = [[key("a", remaining)] for remaining in (0.05, 0.29999999999999998, 0.05, 0.3, 0.05)]
    assert Fraction(0.1 + 0.2) > Fraction("0.3")  # floats are not
    assert 0.29999999999999998 == 0.3
    assert life.polls(*listings) == [["a"], [], ["a"], [], ["a"]]


def test_a_margin_in_percent_is_nothing_to_a_key_without_a_limit():
    life = Life(rearm_margin="50%")
    listings = [[key("a", remaining, limit=None)] for remaining in (4, 5, 4)]
    assert life.polls(*listings) == [["a"], [], ["a"]]


def test_a_margin_neither_makes_a_key_low_nor_hides_one():
    life = Life(rearm_margin=50)
    listings = [[key("a", 20)], [key("a", 5)], [key("a", 4)], [key("a", 54)], [key("a", 4)], [key("b", 4)]]
    assert life.polls(*listings) == [[], [], ["a"], [], [], ["b"]]


# -- what is remembered


def test_what_was_reported_is_not_reported_again_after_a_restart(at_once):
    store = Store()
    assert Life(store).polls(LOW, LOW) == [["a"], []]
    assert Life(store).polls(LOW, LOW) == [[], []]
    assert store.reported == ["a"]
    assert Life(store).polls(LOW, FULL, LOW) == [[], [], ["a"]]


def test_what_recovered_meanwhile_is_reported_when_it_crosses(at_once):
    store = Store()
    low = [key("a", 1), key("b", 1)]
    Life(store).polls(low, low)
    assert store.reported == ["a", "b"]
    assert Life(store).polls([key("a", 90), key("b", 1)], low) == [[], ["a"]]
    assert store.reported == ["b"]


def test_a_margin_holds_across_a_restart(at_once):
    store = Store()
    Life(store, rearm_margin=1).polls([key("a", 4)], [key("a", 4)])
    assert store.reported == ["a"]
    assert Life(store, rearm_margin=1).polls([key("a", 5.5)], [key("a", 4)], [key("a", 6)]) == [[], [], []]
    assert store.reported == []


def test_what_is_stored_is_plain_sorted_json_with_a_version(at_once):
    store = Store()
    low = [key("c", 1), key("a", 2), key("b", 3)]
    Life(store).polls(low, low)
    assert json.loads(store.values[STATE_KEY]) == {"version": 1, "told": ["a", "b", "c"]}
    assert list(store.values) == [STATE_KEY]


def test_nothing_is_stored_while_nothing_changes(at_once):
    store = Store()
    Life(store).polls(FULL, FULL, FULL)
    assert (store.read, store.written) == (1, 0)
    Life(store).polls(FULL, LOW, LOW, LOW)
    assert (store.read, store.written) == (2, 1)
    Life(store).polls(LOW, LOW, LOW)
    assert (store.read, store.written) == (3, 1)


def test_what_a_poll_reports_is_not_stored_in_it(at_once):
    async def main():
        store = Store()
        life = Life(store)
        assert await life.poll(*LOW) == ["a"]
        assert not store.written
        assert await life.poll(*LOW, key("b", 1)) == ["b"]
        assert store.reported == ["a"]
        assert await life.poll(*LOW, key("b", 1)) == []
        assert store.reported == ["a", "b"]

    asyncio.run(main())


def test_a_key_that_crosses_again_as_it_settles_is_not_settled(at_once):
    async def main():
        store = Store()
        life = Life(store)
        for keys, reported, stored in [
            (LOW, ["a"], None),
            (FULL, [], None),
            (LOW, ["a"], None),
            (LOW, [], ["a"]),
            (FULL, [], []),
            (LOW, ["a"], []),
            (LOW, [], ["a"]),
        ]:
            assert await life.poll(*keys) == reported
            assert (store.reported if store.values else None) == stored

    asyncio.run(main())


def test_a_poll_that_fails_stores_what_has_settled_meanwhile(clock):
    async def main():
        store = Store()
        life = Life(store)
        assert await life.poll(*LOW) == ["a"]
        for second in range(1, 8):
            clock.now += 1
            await life.state.load()  # and then the listing fails
            await life.state.store()
            assert (store.reported if store.values else None) == (["a"] if second >= 5 else None)
        assert (store.read, store.written) == (1, 1)
        assert await life.poll(*LOW) == []
        assert await life.poll(*FULL) == []
        assert store.reported == []

    asyncio.run(main())


def test_a_poll_that_fails_before_it_has_read_stores_nothing(at_once, caplog):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store)
        store.failure = RuntimeError("away")
        with pytest.raises(RuntimeError, match="away"):
            await life.state.load()
        store.failure = None
        await life.state.store()
        assert store.reported == ["a"]
        assert not store.written
        assert not warnings(caplog)

    asyncio.run(main())


def test_what_was_stored_before_stays_stored_by_polls_that_fail(at_once):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store)
        for _ in range(3):
            await life.state.load()
            await life.state.store()
        assert (store.read, store.written) == (1, 0)
        assert await life.poll(*LOW) == []

    asyncio.run(main())


def test_it_is_stored_no_sooner_than_the_event_has_settled(settling):
    async def main():
        store = Store()
        life = Life(store)
        began = time.monotonic()
        assert await life.poll(*LOW) == ["a"]
        while not store.written:
            assert not await life.poll(*LOW)
            await asyncio.sleep(0.002)
        assert time.monotonic() - began >= 0.05
        assert store.reported == ["a"]

    asyncio.run(main())


def test_it_is_not_stored_before_the_next_poll_even_if_late(clock):
    async def main():
        store = Store()
        life = Life(store)
        assert await life.find(*LOW) == ["a"]
        clock.now += 60  # the event loop is held up, and the event is not handed on
        await life.state.store()
        assert not store.written
        await life.poll(*LOW)
        assert store.reported == ["a"]

    asyncio.run(main())


def test_each_key_is_stored_five_seconds_after_it_was_reported(clock):
    async def main():
        store = Store()
        life = Life(store)
        seen = []
        for second in range(12):
            keys = [key("a", 4), key("b", 4 if second >= 3 else 90)]
            await life.poll(*keys)
            seen.append(store.reported if store.values else None)
            clock.now += 1
        assert seen == [None] * 5 + [["a"]] * 3 + [["a", "b"]] * 4
        assert store.written == 2

    asyncio.run(main())


def test_the_next_poll_stores_it_even_if_it_comes_late(clock):
    async def main():
        store = Store()
        life = Life(store)
        assert await life.poll(*LOW) == ["a"]
        assert not store.written
        clock.now += 3600
        assert await life.poll(*LOW) == []
        assert store.reported == ["a"]

    asyncio.run(main())


def test_a_key_that_recovers_before_it_is_stored_never_is(clock):
    async def main():
        store = Store()
        life = Life(store)
        await life.poll(*LOW)
        clock.now += 3
        await life.poll(*FULL)
        clock.now += 30
        await life.poll(*FULL)
        assert not store.written

    asyncio.run(main())


def test_a_key_that_crosses_again_is_stored_after_the_second(clock):
    async def main():
        store = Store()
        life = Life(store)
        assert await life.poll(*LOW) == ["a"]
        clock.now += 3
        assert await life.poll(*FULL) == []
        assert await life.poll(*LOW) == ["a"]
        clock.now += 4
        assert await life.poll(*LOW) == []
        assert not store.written
        clock.now += 1
        await life.poll(*LOW)
        assert store.reported == ["a"]

    asyncio.run(main())


@pytest.mark.parametrize("away", [FULL, [], [key("a", None)]])
def test_that_a_key_recovered_is_stored_at_once(away, clock):
    async def main():
        store = Store({"version": 1, "told": ["a", "b"]})
        life = Life(store)
        assert await life.poll(key("b", 1), *away) == []
        assert store.reported == ["b"]
        assert await life.poll(key("b", 1), *LOW) == ["a"]
        assert store.reported == ["b"]

    asyncio.run(main())


def test_a_restart_before_it_was_stored_reports_it_again(clock):
    store = Store()
    assert Life(store).polls(LOW, LOW) == [["a"], []]
    clock.now += 4
    assert Life(store).polls(LOW, LOW) == [["a"], []]


# -- state that cannot be read


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        ["a"],
        "a",
        "",
        0,
        1,
        True,
        False,
        {"told": ["a"]},
        {"version": 1},
        {"version": 1, "told": None},
        {"version": 1, "told": "a"},
        {"version": 1, "told": {"a": 1}},
        {"version": 1, "told": ["a", 1]},
        {"version": 1, "told": [None]},
        {"version": 1, "told": [["a"]]},
        {"version": 2, "told": ["a"]},
        {"version": 0, "told": ["a"]},
        {"version": "1", "told": ["a"]},
        {"version": None, "told": ["a"]},
    ],
    ids=json.dumps,
)
def test_damaged_or_newer_state_is_survived_with_one_warning(state, at_once, caplog):
    store = Store(state)

    async def main():
        life = Life(store)
        assert await life.poll(*LOW) == ["a"]
        assert store.reported == []  # it is replaced at once
        assert await life.poll(*LOW) == []
        assert store.reported == ["a"]
        assert store.written == 2

    asyncio.run(main())
    [warning] = warnings(caplog)
    assert STATE_KEY in warning
    assert warning.endswith("The watch of the keys reports what is low now once more.")
    assert Life(store).polls(LOW) == [[]]
    assert len(warnings(caplog)) == 1


def test_damaged_state_is_replaced_by_the_first_poll_in_any_case(caplog):
    async def main():
        for fails in (True, False):
            store = Store("damaged")
            life = Life(store)
            if fails:
                await life.state.load()
                await life.state.store()
            else:
                assert await life.poll(*FULL) == []
            assert store.reported == []
            assert await life.poll(*FULL) == []
            assert store.written == 1

    asyncio.run(main())
    assert len(warnings(caplog)) == 2


def test_damaged_state_is_replaced_by_a_later_poll(caplog):
    async def main():
        store = Store("damaged")
        life = Life(store)
        await life.state.load()
        store.failure = RuntimeError("away")
        assert await life.poll(*FULL) == []
        assert len(warnings(caplog)) == 2
        store.failure = None
        assert await life.poll(*FULL) == []
        assert store.reported == []
        assert len(warnings(caplog)) == 2

    asyncio.run(main())


def test_an_empty_store_causes_no_warning(caplog):
    assert Life(Store()).polls(LOW) == [["a"]]
    assert not warnings(caplog)


def test_state_with_unknown_fields_and_repeated_hashes_is_read(caplog, at_once):
    store = Store({"version": 1, "told": ["a", "a", "gone"], "since": "2027"})
    assert Life(store).polls(LOW) == [[]]
    assert not warnings(caplog)
    assert store.reported == ["a"]


# -- no store, or none that serves


@pytest.mark.parametrize("store", [None, Store(assets=2), Store(assets=0)], ids=["none", "two", "no asset"])
def test_without_a_store_it_is_remembered_with_one_warning(store, at_once, caplog):
    assert Life(store).polls(LOW, LOW, FULL, LOW, FULL) == [["a"], [], [], ["a"], []]
    [warning] = warnings(caplog)
    assert "in memory only" in warning
    assert Life(store).polls(LOW) == [["a"]]
    assert len(warnings(caplog)) == 2
    if store:
        assert not store.written


def test_a_store_that_cannot_be_written_is_tried_at_each_poll(at_once, caplog):
    async def main():
        store = Store()
        life = Life(store)
        await life.poll(*FULL)
        store.failure = RuntimeError("the API server is away")
        assert await life.poll(*LOW) == ["a"]
        assert not warnings(caplog)  # in the poll in which it is reported there is nothing to store
        for tried in (1, 2):
            assert await life.poll(*LOW) == []
            assert len(warnings(caplog)) == tried
        assert not store.values
        store.failure = None
        assert await life.poll(*LOW) == []
        assert store.reported == ["a"]
        assert await life.poll(*LOW) == []
        assert store.written == 1
        assert all("the API server is away" in warning for warning in warnings(caplog))
        assert len(warnings(caplog)) == 2

    asyncio.run(main())


def test_a_recovery_that_was_not_stored_is_stored_with_the_next(at_once, caplog):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store)
        await life.poll(*LOW)
        store.failure = RuntimeError("away")
        assert await life.poll(*FULL) == []
        assert await life.poll(*LOW, key("b", 1)) == ["b", "a"]
        store.failure = None
        assert await life.poll(key("b", 1)) == []
        assert store.reported == ["b"]

    asyncio.run(main())


def test_a_crossing_after_an_unstored_recovery_is_not_settled(clock, caplog):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store)
        await life.poll(*LOW)
        store.failure = RuntimeError("away")
        assert await life.poll(*FULL) == []
        store.failure = None
        assert await life.poll(*LOW) == ["a"]
        assert store.reported == []  # the new event may not have been saved yet
        clock.now += 5
        await life.poll(*LOW)
        assert store.reported == ["a"]

    asyncio.run(main())


def test_a_store_that_cannot_be_read_is_asked_at_the_next_poll(at_once, caplog):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store)
        store.failure = RuntimeError("away")
        for _ in range(2):
            with pytest.raises(RuntimeError, match="away"):
                await life.poll(*LOW)
        store.failure = None
        assert await life.poll(*LOW, key("b", 1)) == ["b"]
        assert store.reported == ["a"]
        assert await life.poll(*LOW, key("b", 1)) == []
        assert store.reported == ["a", "b"]
        assert not warnings(caplog)

    asyncio.run(main())


def test_an_unreadable_store_delays_an_alert_by_two_polls(at_once, caplog):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        store.failure = RuntimeError("away")
        life = Life(store)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="away"):
                await life.poll(*LOW)
        assert await life.poll(*LOW) == ["a"]
        assert await life.poll(*LOW) == []

    asyncio.run(main())
    [warning] = warnings(caplog)
    assert "in memory only" in warning


@pytest.mark.parametrize(
    "failure",
    [json.JSONDecodeError("Expecting value", "<html>", 0), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")],
    ids=lambda failure: type(failure).__name__,
)
def test_an_answer_that_cannot_be_decoded_is_not_several_assets(failure, at_once, caplog):
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store)
        store.failure = failure
        for _ in range(2):
            with pytest.raises(type(failure)):
                await life.poll(*LOW)
            await life.state.store()
        store.failure = None
        assert await life.poll(*LOW) == []
        assert store.read == 1
        assert await life.poll(*FULL) == []
        assert store.reported == []

    asyncio.run(main())
    assert not warnings(caplog)


# -- any listings, against an oracle in fractions


REMAINING = st.sampled_from([-1, 0, 4.9, 4.999999, 5, 5.1, 5.9, 6, 6.1, 90, None])
LISTINGS = st.dictionaries(st.sampled_from("abc"), REMAINING, max_size=3)
SECONDS = st.sampled_from([0, 0.125, 1, 2, 4.875, 5, 60])  # their sums are exact
MARGINS = st.sampled_from([(0, Fraction(0)), (1, Fraction(1)), ("1%", Fraction(1)), (0.1, Fraction("0.1"))])
anything = settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


class Oracle:
    """Each key alone, with a memory that lasts."""

    def __init__(self, margin: Fraction) -> None:
        self.margin = margin
        self.armed = dict.fromkeys("abc", True)

    def poll(self, listing: dict[str, float | None]) -> tuple[set[str], set[str], set[str]]:
        """Return which keys cross, which are low, and which recovered."""
        crossed, low, recovered = set(), set(), set()
        for name in self.armed:
            remaining = listing.get(name)
            if remaining is None or Fraction(str(remaining)) >= 5 + self.margin:
                self.armed[name] = True
                recovered.add(name)
            elif Fraction(str(remaining)) < 5:
                low.add(name)
                if self.armed[name]:
                    crossed.add(name)
                self.armed[name] = False
        return crossed, low, recovered


def as_keys(listing: dict[str, float | None]) -> list[dict]:
    return [key(name, remaining) for name, remaining in listing.items()]


@given(
    margin=MARGINS,
    polls=st.lists(st.tuples(LISTINGS, SECONDS, st.booleans()), max_size=30),
    remembers=st.booleans(),
)
@anything
def test_within_one_life_every_crossing_is_reported_exactly_once(margin, polls, remembers):
    async def main():
        store = Store() if remembers else None
        life, oracle = Life(store, rearm_margin=margin[0]), Oracle(margin[1])
        await life.state.load()
        for low_keys, seconds, fails in polls:
            if store:
                store.failure = RuntimeError("away") if fails else None
            crossed = await life.poll(*as_keys(low_keys))
            assert len(crossed) == len(set(crossed))
            assert set(crossed) == oracle.poll(low_keys)[0]
            clock.now += seconds
        if store:  # in the end it holds what is true
            store.failure = None
            clock.now += 5
            await life.poll(*as_keys(polls[-1][0] if polls else {}))
            reported = {name for name, armed in oracle.armed.items() if not armed}
            assert set(store.reported if store.values else []) == reported

    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(alert_state, "time", clock)
        asyncio.run(main())


HANDED_ON = 1.5
"""Seconds within which the triggerer hands an event on. A crash within them after a report loses the event."""


@given(
    margin=MARGINS,
    polls=st.lists(
        st.tuples(LISTINGS, SECONDS, st.sampled_from(["", "", "after", "within"])),
        max_size=30,
    ),
)
@anything
def test_despite_crashes_every_crossing_is_reported(margin, polls):
    """A crash comes some seconds after a poll, or within a poll: after a report and before it is stored."""

    async def main():
        store, oracle = Store(), Oracle(margin[1])
        life = Life(store, rearm_margin=margin[0])
        reported: dict[str, float] = {}  # in this life, since the key was last armed: when
        saved: set[str] = set()  # of the keys reported since they were last armed, those that no crash can lose
        stored: set[str] = set()
        for low_keys, seconds, crash in polls:
            _, low, recovered = oracle.poll(low_keys)
            keys = as_keys(low_keys)
            crossed = set(await (life.find(*keys) if crash == "within" else life.poll(*keys)))
            saved |= {name for name, at in reported.items() if clock.now - at > HANDED_ON}
            if crash != "within":  # a recovery that nobody lived to store was not seen
                reported = {name: at for name, at in reported.items() if name not in recovered}
                saved -= recovered
                stored -= recovered
                stored |= {name for name, at in reported.items() if clock.now - at >= alert_state.SETTLING}
            assert crossed <= low
            assert not crossed & (reported.keys() | stored)
            reported |= dict.fromkeys(crossed, clock.now)
            assert low <= reported.keys() | saved  # every low key was reported, or will be
            if crash != "within":
                assert set(store.reported if store.values else []) == stored
                assert stored <= saved
            if crash != "within":
                clock.now += seconds
            if crash:
                saved |= {name for name, at in reported.items() if clock.now - at > HANDED_ON}
                reported = {}
                life = Life(store, rearm_margin=margin[0])

    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(alert_state, "time", clock)
        asyncio.run(main())
