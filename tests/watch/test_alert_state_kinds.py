"""What is reported of steps, of thresholds in time, and of keys that expire: once, until it has recovered."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from support.keys import OBSERVED_AT, key
from support.lives import Life
from support.state_store import Store

from airflow_provider_openrouter.keys import read_time
from airflow_provider_openrouter.watch import alert_state

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BORN = datetime(2026, 10, 5, tzinfo=UTC)
"""A Monday."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Events that are saved at once."""
    monkeypatch.setattr(alert_state, "SETTLING", 0)


def watch(polls, *, lives=1, **rule):
    """
    Return at which steps keys are reported at each poll, and the store.

    :param polls: when, and the keys; each is polled twice, so that what was reported is stored.
    :param lives: how many watchers there are, one after the other.
    """
    store = Store()
    reported = []

    async def main():
        life = Life(store, **rule)
        for number, (at, keys) in enumerate(polls):
            if lives > 1 and number % max(1, len(polls) // lives) == 0:
                life = Life(store, **rule)
            before = len(life.reported)
            await life.poll(*keys, at=at)
            reported.append(life.reported[before:])
            assert await life.poll(*keys, at=at) == []

    asyncio.run(main())
    return reported, store


# -- steps

STEPS = ["50%", "25%", "10%"]


@pytest.mark.parametrize("lives", [1, 2, 4])
@pytest.mark.parametrize(
    ("margin", "left", "reported"),
    [
        (0, [90, 49, 40, 24, 9, 5, 1, -1], [[], ["50%"], [], ["25%"], ["10%"], [], [], []]),
        (0, [90, 9, 9, 5], [[], ["10%"], [], []]),
        (0, [9, 10, 9, 25, 9, 26, 24, 50], [["10%"], [], ["10%"], [], ["10%"], [], ["25%"], []]),
        (0, [49, 50, 49, 100, 9, 100, 60, 24], [["50%"], [], ["50%"], [], ["10%"], [], [], ["25%"]]),
        ("5%", [9, 14, 9, 15, 9, 29, 24, 30], [["10%"], [], [], [], ["10%"], [], [], []]),
        ("5%", [24, 30, 24, 54, 49, 55, 49, 24], [["25%"], [], ["25%"], [], [], [], ["50%"], ["25%"]]),
        (5, [9, 14, 9, 15, 9, 29, 24, 30], [["10%"], [], [], [], ["10%"], [], [], []]),
    ],
)
def test_a_key_is_reported_at_each_step_that_it_newly_crosses(margin, left, reported, lives):
    polls = [(OBSERVED_AT, [key("a", remaining)]) for remaining in left]
    assert watch(polls, threshold=STEPS, rearm_margin=margin, lives=lives)[0] == reported


def test_steps_are_stored_by_their_names():
    _, store = watch([(OBSERVED_AT, [key("b", 9), key("a", 40), key("c", 90)])], threshold=STEPS)
    assert store.state == {"version": 1, "told": ["a", "b"], "steps": {"a": "50%", "b": "10%"}}


def test_a_step_that_is_not_settled_is_not_stored(monkeypatch):
    async def main():
        store = Store()
        life = Life(store, threshold=STEPS)
        for remaining in (40, 40, 20):
            await life.poll(key("a", remaining))
        assert store.state["steps"] == {"a": "50%"}
        with monkeypatch.context() as patch:
            patch.setattr(alert_state, "SETTLING", 60)
            await life.poll(key("a", 20))
            assert store.state["steps"] == {"a": "50%"}
        assert await Life(store, threshold=STEPS).poll(key("a", 20)) == ["a"]
        await life.poll(key("a", 20))
        assert store.state["steps"] == {"a": "25%"}

    asyncio.run(main())


@pytest.mark.parametrize(
    "damage",
    [
        {"steps": {"a": "7%"}},
        {"steps": ["a"]},
        {"steps": None},
        {"lowest": {"a": "few"}},
        {"lowest": {"a": None}},
        {"lowest": 5},
        {"expiries": {"a": "2026-11-09T00:00:00+00:00"}},
        {"expiries": [["a"]]},
        {"expiries": [["a", None]]},
        {"expiries": [["a", "2026-11-09T00:00:00"]]},
        {"expiries": [[1, "2026-11-09T00:00:00+00:00"]]},
    ],
    ids=str,
)
def test_a_damaged_part_of_the_state_is_survived(damage, caplog):
    store = Store({"version": 1, "told": ["a"], "steps": {"a": "10%"}} | damage)
    assert Life(store, threshold=STEPS).polls([key("a", 9)]) == [["a"]]
    assert "The alert state is damaged" in caplog.text


# -- thresholds in time


class Spender:
    """
    A key that spends as much each day, all day long, and is reset or topped up.

    :param a_day: USD on each day of the week from Monday, in turn.
    :param limit_reset: how often it is reset; never, it is topped up after sixty days.
    """

    def __init__(self, *a_day: float, limit: float = 60.0, limit_reset: str | None = None) -> None:
        self.a_day = a_day
        self.limit = limit
        self.limit_reset = limit_reset

    def spent(self, since: datetime, until: datetime) -> float:
        """Return what it spends from a midnight on."""
        days, rest = divmod(until - max(since, BORN), DAY)
        whole = sum(self.a_day[day.weekday() % len(self.a_day)] for day in self._days(since, days))
        return whole + self.a_day[until.weekday() % len(self.a_day)] * (rest / DAY)

    def _days(self, since: datetime, days: int) -> list[datetime]:
        return [max(since, BORN) + number * DAY for number in range(days)]

    def era(self, now: datetime) -> datetime:
        """Return when it was reset or topped up last."""
        midnight = now.replace(hour=0, minute=0)
        resets = {"weekly": midnight - midnight.weekday() * DAY, "monthly": midnight.replace(day=1)}
        return resets.get(self.limit_reset) or BORN + (now - BORN) // (60 * DAY) * 60 * DAY

    def at(self, now: datetime) -> dict:
        midnight = now.replace(hour=0, minute=0)
        windows = {
            "_daily": midnight,
            "_weekly": midnight - midnight.weekday() * DAY,
            "_monthly": midnight.replace(day=1),
        }
        return key(
            "a",
            max(0.0, self.limit - self.spent(self.era(now), now)),
            limit=self.limit,
            limit_reset=self.limit_reset,
            created_at=BORN.isoformat(),
            **{f"usage{window}": self.spent(begin, now) for window, begin in windows.items()},
        )


OFFICE = (4.0,) * 5 + (0.0,) * 2
DRAINS = {
    "steady": Spender(4.0),
    "steady, reset each month": Spender(4.0, limit_reset="monthly"),
    "steady, reset each week": Spender(4.0, limit=20.0, limit_reset="weekly"),
    "weekdays only": Spender(*OFFICE),
    "weekdays only, reset each month": Spender(*OFFICE, limit_reset="monthly"),
}


@pytest.mark.parametrize("threshold", ["3 days", "10%", 6, ["2 days", "1 day"], ["20%", "10%"]], ids=str)
@pytest.mark.parametrize("spender", DRAINS.values(), ids=DRAINS)
def test_one_drain_is_one_report_at_each_step(spender, threshold):
    moments = [BORN + hours * HOUR for hours in range(24, 123 * 24, 8)]
    reported, _ = watch([(moment, [spender.at(moment)]) for moment in moments], threshold=threshold, lives=12)
    drains: dict[datetime, list] = {}
    for moment, steps in zip(moments, reported, strict=True):
        drains.setdefault(spender.era(moment), []).extend(steps)
    *whole, _ = drains.values()
    assert whole == [threshold if isinstance(threshold, list) else [threshold]] * len(whole)


def poll(remaining: float, a_day: float, **fields):
    """Return a poll of a key that spends as much today as each day before."""
    at = datetime(2026, 11, 4, 12, tzinfo=UTC)
    spent = {"usage_daily": a_day / 2, "usage_weekly": a_day * 2.5, "created_at": BORN.isoformat()}
    return at, [key("a", remaining, **spent | fields)]


@pytest.mark.parametrize("lives", [1, 4])
@pytest.mark.parametrize(
    ("margin", "polls", "reported"),
    [
        (0, [(29, 10), (28, 7), (27, 6), (26, 10)], [1, 0, 0, 0]),  # slower, but not half as slow again
        (0, [(29, 10), (28, 6), (27, 10), (26, 10)], [1, 0, 1, 0]),  # more than four and a half days
        (0, [(29, 10), (28, 0), (27, 10), (26, 10)], [1, 0, 1, 0]),  # nothing spent
        (0, [(29, 10), (20, 10), (40, 10), (28, 10)], [1, 0, 0, 1]),  # topped up, and not low
        (0, [(29, 10), (20, 10), (29, 10), (28, 10)], [1, 0, 0, 0]),  # topped up, and still low
        (0, [(20, 10), (29, 10), (28, 8), (28, 10)], [1, 0, 0, 1]),  # the same, and not low later
        (0, [(0, 10), (-1, 10), (50, 10), (9, 10)], [1, 0, 0, 1]),
        ("1 hour", [(29, 10), (28, 9), (27, 10), (26, 10)], [1, 0, 1, 0]),
        ("7 days", [(29, 10), (28, 3), (27, 10), (26, 10)], [1, 0, 0, 0]),
    ],
)
def test_what_re_arms_a_key_that_runs_dry(margin, polls, reported, lives):
    found, _ = watch([poll(*each) for each in polls], threshold="3 days", rearm_margin=margin, lives=lives)
    assert [len(each) for each in found] == reported


def test_the_next_reset_alone_does_not_re_arm_a_key():
    weekly = {"limit_reset": "weekly"}
    polls = [poll(29, 10, **weekly), poll(28.9, 6, **weekly), poll(28.8, 10, **weekly)]
    assert watch(polls, threshold="4 days")[0] == [["4 days"], [], []]


def test_the_least_that_was_left_is_stored_rounded_up_and_rarely():
    polls = [poll(20 - number / 100, 10) for number in range(100)]
    _, store = watch(polls, threshold="3 days")
    assert store.state == {"version": 1, "told": ["a"], "lowest": {"a": 20.0}}
    assert store.written == 1
    _, store = watch([*polls, poll(-1.234, 10)], threshold="3 days")
    assert store.state["lowest"] == {"a": -1.2}


def test_what_was_stored_without_its_least_amount_gets_none():
    async def main():
        store = Store({"version": 1, "told": ["a"]})
        life = Life(store, threshold="3 days")
        await life.state.load()  # and then the listing fails
        await life.state.store()
        assert store.state == {"version": 1, "told": ["a"], "lowest": {}}

    asyncio.run(main())


# -- keys that expire

SOON, LATER = "2026-11-09T00:00:00Z", "2026-11-20T00:00:00+00:00"


@pytest.mark.parametrize("lives", [1, 9])
@pytest.mark.parametrize("limit", [100, None])
def test_a_key_is_reported_once_for_each_expiry(limit, lives):
    def expiring(at):
        return [key("a", limit and 90, limit=limit, expires_at=at)]

    polls = [
        (0, expiring(None), []),
        (0, expiring(SOON), ["7 days"]),
        (1, expiring("2026-11-09T00:00:00.0"), []),
        (1, [], []),
        (1, expiring(SOON), []),
        (2, expiring(LATER), []),
        (2, expiring(SOON), []),
        (12, expiring(LATER), ["7 days"]),
        (13, expiring(LATER), []),
    ]
    moments = [(OBSERVED_AT + days * DAY, keys) for days, keys, _ in polls]
    found, _ = watch(moments, threshold=5, expires_within="7 days", lives=lives)
    assert found == [reported for _, _, reported in polls]


def test_an_expiry_is_stored_until_it_has_passed():
    expiring = key("a", 90, expires_at=SOON)
    _, store = watch([(OBSERVED_AT, [expiring])], expires_within="7 days")
    assert store.state == {"version": 1, "told": [], "expiries": [["a", "2026-11-09T00:00:00+00:00"]]}
    _, store = watch([(OBSERVED_AT, [expiring]), (read_time(SOON), [])], expires_within="7 days")
    assert store.reported == []


def test_a_key_that_is_low_and_expires_is_reported_for_both():
    both = key("a", 4, expires_at=SOON)
    polls = [[key("a", 90)], [both], [key("a", 90, expires_at=SOON)], [both]]
    found, _ = watch([(OBSERVED_AT, keys) for keys in polls], expires_within="7 days")
    assert found == [[], [5, "7 days"], [], [5]]
