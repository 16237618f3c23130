"""
A simulated year of keys that spend in different ways: what they spent, and when they ran dry.

It begins with an array of what each key wants to spend in each quarter of an hour. From it follow what it did
spend, when it ran dry, and when it would have run dry without a reset.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

SEED = 20271101
STEP = timedelta(minutes=15)
A_DAY = 96
"""Steps a day."""

BEGIN = datetime(2027, 5, 31, tzinfo=UTC)
"""A Monday before a first, so that all windows are complete when the year begins in July; it has a leap day."""

FIRST = 31 * A_DAY
STEPS = FIRST + 366 * A_DAY
TIMES = [BEGIN + step * STEP for step in range(STEPS + 1)]
WRITTEN = [time.isoformat() for time in TIMES]

DAY_OF = np.arange(STEPS + 1) // A_DAY * A_DAY
WEEK_OF = np.arange(STEPS + 1) // (7 * A_DAY) * (7 * A_DAY)
MONTH_OF = np.array([(datetime(time.year, time.month, 1, tzinfo=UTC) - BEGIN) // STEP for time in TIMES]).clip(0)
WINDOWS = {"daily": DAY_OF, "weekly": WEEK_OF, "monthly": MONTH_OF}
PERIODS = {"daily": 1, "weekly": 7, "monthly": 30.4, None: 30}


# -- what keys want to spend


def steady(rng: np.random.Generator) -> np.ndarray:
    """Return the same each day, give or take a seventh, and day and night, unevenly within the hour."""
    days = rng.lognormal(-(0.15**2) / 2, 0.15, STEPS // A_DAY).repeat(A_DAY)
    return days * rng.gamma(2, 1 / 2, STEPS) * rng.lognormal(1, 1) / A_DAY


def by_day(rng: np.random.Generator) -> np.ndarray:
    """Return the same each day, but little or nothing at night, somewhere on earth."""
    angle = 2 * np.pi * (np.arange(STEPS) / A_DAY - rng.uniform())
    return steady(rng) * (1 + rng.uniform(0.5, 1) * np.cos(angle))


def weekdays(rng: np.random.Generator) -> np.ndarray:
    """Return ten hours of each day from Monday to Friday, somewhere on earth."""
    hours = np.arange(STEPS) / 4 + rng.integers(-8, 9)
    at_work = (hours % 24 >= 8) & (hours % 24 < 18) & (hours // 24 % 7 < 5)
    days = rng.lognormal(-(0.25**2) / 2, 0.25, STEPS // A_DAY).repeat(A_DAY)
    return at_work * days * rng.gamma(2, 1 / 2, STEPS) * rng.lognormal(1, 1) * 24 / 10 * 7 / 5 / A_DAY


def bursts(rng: np.random.Generator) -> np.ndarray:
    """Return a little all the time, and most of it in bursts of some hours, days apart."""
    spend = 0.2 * steady(rng)
    rate = spend.sum() / STEPS * A_DAY / 0.2
    step = 0
    while (step := step + int(rng.exponential(4) * A_DAY)) < STEPS:
        length = rng.integers(4, 24)
        spend[step : step + length] += 0.8 * 4 * rate * rng.lognormal(-0.125, 0.5) / length
    return spend


def runaways(rng: np.random.Generator) -> np.ndarray:
    """Return a steady spend that is 20 to 100 times as much on two days, six times a year."""
    spend = steady(rng)
    for begin in rng.integers(FIRST, STEPS, 6):
        spend[begin : begin + 2 * A_DAY] *= rng.uniform(20, 100)
    return spend


@dataclass(frozen=True)
class Kind:
    """How the keys of a kind spend, and what is special about them."""

    spend: Callable[[np.random.Generator], np.ndarray]
    limits: tuple[float, float] = (0.4, 1.6)
    """The least and the largest limit, as a multiple of what is spent between two resets, or in thirty days."""
    days: int = 0
    """How long the keys live, if they are young; each is followed by the next."""
    lag: int = 0
    """By how many steps the API lags behind."""
    tells_last_use: bool = True


KINDS = {
    "steady": Kind(steady),
    "more by day than by night": Kind(by_day),
    "weekdays only": Kind(weekdays),
    "bursts": Kind(bursts),
    "runaways": Kind(runaways, limits=(1.5, 4)),
    "young keys": Kind(steady, limits=(0.1, 0.8), days=21),
    "an hour's lag": Kind(steady, lag=4),
    "the same, without `last_used_at`": Kind(steady, lag=4, tells_last_use=False),
}
RESETS = ("monthly", "weekly", "daily", None)


# -- what becomes of it


@dataclass(frozen=True)
class Era:
    """The time from one reset or top-up to the next, and when the key ran dry; steps."""

    begin: int
    end: int
    dry: int | None


@dataclass(frozen=True)
class Spender:
    """A key: what it wanted to spend up to each step and what it did, and its eras."""

    kind: Kind
    limit: float
    limit_reset: str | None
    born: int
    wanted: np.ndarray
    spent: np.ndarray
    last_used: np.ndarray
    begins: np.ndarray
    """The step at which the era of each step began."""
    eras: list[Era]
    before: float
    """What it spent before the first step."""

    @property
    def end(self) -> int:
        return len(self.wanted) - 1

    def left(self, step: int) -> float:
        return float(self.limit - self.spent[step] + self.spent[self.begins[step]])

    def would_run_dry(self, step: int) -> int:
        """Return when it would run dry after a step, if nothing was reset or topped up."""
        return int(np.searchsorted(self.wanted, self.wanted[step] + self.left(step)))


def spenders(kind_name: str, limit_reset: str | None, number: int) -> Iterator[Spender]:
    """Yield a key of a class, or young keys that follow each other."""
    kind = KINDS[kind_name]
    rng = np.random.default_rng([SEED, list(KINDS).index(kind_name), RESETS.index(limit_reset), number])
    spend = kind.spend(rng)
    if not kind.days:
        yield live(kind, limit_reset, spend, -int(rng.uniform(1, 700) * A_DAY), rng)
        return
    for born in range(FIRST, STEPS - 22 * A_DAY, 22 * A_DAY):
        born += int(rng.integers(A_DAY))
        end = born + kind.days * A_DAY
        yield live(kind, limit_reset, np.where(np.arange(end) < born, 0, spend[:end]), born, rng)


def live(kind: Kind, limit_reset: str | None, spend: np.ndarray, born: int, rng: np.random.Generator) -> Spender:
    """Let a key spend until it runs dry, and again after each reset, or a while after it ran dry."""
    wanted = np.concatenate([[0.0], spend.cumsum()])
    rate = wanted[-1] / (len(spend) - max(born, 0)) * A_DAY
    limit = rate * PERIODS[limit_reset] * rng.uniform(*kind.limits)
    taken = spend.copy()
    begins = np.zeros(len(wanted), dtype=int)
    eras = []
    begin = max(born, 0)
    while begin < len(spend):
        dry = int(np.searchsorted(wanted, wanted[begin] + limit))
        if limit_reset is None:
            end = dry + int(rng.uniform(2 * 4, 3 * A_DAY))
        else:
            resets = np.flatnonzero(WINDOWS[limit_reset][: len(wanted)] > begin)
            end = int(resets[0]) if len(resets) else len(wanted)
        end = min(end, len(wanted))
        eras.append(Era(begin, end, dry if dry < end else None))
        taken[dry:end] = 0
        begins[begin:end] = begin
        begin = end
    spent = np.concatenate([[0.0], taken.cumsum()])
    last_used = np.maximum.accumulate(np.concatenate([[0], np.where(taken > 0, np.arange(1, len(wanted)), 0)]))
    return Spender(
        kind=kind,
        limit=limit,
        limit_reset=limit_reset,
        born=born,
        wanted=wanted,
        spent=spent,
        last_used=last_used,
        begins=begins,
        eras=eras,
        before=rate * max(-born, 0) / A_DAY * rng.uniform(0.5, 1.2),
    )
