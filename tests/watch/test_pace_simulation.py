"""Keys that spend for a year are reported before they run dry; the truth is that of support/spenders.py."""

from collections import Counter

import pytest
from support.foresight import measure

HOURLY = 4
KEYS = {"monthly": 8, "weekly": 5, "daily": 1, None: 3}


def check(kind, limit_reset, *, at_least):
    for counts in measure(kind, limit_reset, keys=KEYS[limit_reset], every=HOURLY).values():
        assert counts["drains"] >= at_least
        yield counts


def share(counts: Counter, part: str, whole: str) -> float:
    return counts[part] / counts[whole]


@pytest.mark.parametrize("limit_reset", ["monthly", "weekly", None])
def test_steady_keys_are_reported_in_time_and_seldom_falsely(limit_reset):
    for counts in check("steady", limit_reset, at_least=10):
        assert share(counts, "reported", "drains") >= 0.95
        assert share(counts, "in time", "judged") >= 0.75
        assert share(counts, "false", "reports") <= 0.05


@pytest.mark.parametrize("limit_reset", ["monthly", "weekly", None])
def test_keys_of_weekdays_are_reported(limit_reset):
    for counts in check("weekdays only", limit_reset, at_least=10):
        assert share(counts, "reported", "drains") >= 0.95


@pytest.mark.parametrize("limit_reset", ["monthly", "weekly", "daily", None])
def test_runaways_are_reported_at_the_first_poll_that_shows_them(limit_reset):
    for counts in check("runaways", limit_reset, at_least=5):
        assert counts["at once"] == counts["implied"] > 0
