"""How fast a key spends, when it runs dry at that pace, and when its limit resets."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.keys import OBSERVED_AT, key

from airflow_provider_openrouter.keys import LimitedKey, read_amount
from airflow_provider_openrouter.watch.pace import forecast, next_reset

WEDNESDAY = datetime(2026, 11, 11, 12, tzinfo=UTC)
"""Half of a Wednesday has passed: 2.5 days of the week, 10.5 of the month."""

DAY = timedelta(days=1)
few = settings(max_examples=150, deadline=None, database=None)


def limited(remaining=10.0, *, daily=0, weekly=0, monthly=0, usage=0, **fields):
    amounts = {"usage_daily": daily, "usage_weekly": weekly, "usage_monthly": monthly, "usage": usage}
    fields = {"created_at": "2025-01-01T00:00:00Z", **amounts, **fields}
    return LimitedKey(key(remaining=remaining, **fields), remaining, read_amount(fields.get("limit", 100)))


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# -- the pace


@pytest.mark.parametrize(
    ("when", "fields", "pace"),
    [
        # The larger of today's and the week's.
        (WEDNESDAY, {"daily": 1, "weekly": 2.5}, 2),
        (WEDNESDAY, {"daily": 1, "weekly": 25}, 10),
        # Today's counts over six hours at least.
        (at("2026-11-11T00:00:05"), {"daily": 1, "weekly": 1}, 4),
        (at("2026-11-11T06:00"), {"daily": 1}, 4),
        (at("2026-11-11T18:00"), {"daily": 1}, 4 / 3),
        # On a week younger than a day, the month's; on a month younger, all that was ever spent.
        (at("2026-11-09T23:59"), {"weekly": 99, "monthly": 9}, pytest.approx(1, rel=1e-3)),
        (at("2026-11-10T00:00"), {"weekly": 99, "monthly": 9}, 99),
        (at("2026-11-02T00:00"), {"weekly": 99, "monthly": 9}, 9),
        (at("2027-02-01T12:00"), {"monthly": 99, "usage": 761.5}, 1),
        (at("2026-12-01T00:00"), {"weekly": 3, "monthly": 99}, 3),
        # A window begins with the key, and a key younger than a day counts over six hours at least.
        (WEDNESDAY, {"weekly": 3, "created_at": "2026-11-10T00:00:00Z"}, 2),
        (at("2026-11-09T12:00"), {"monthly": 9, "created_at": "2026-11-05T00:00:00Z"}, 2),
        (WEDNESDAY, {"daily": 3, "created_at": "2026-11-11T04:00:00Z"}, 9),
        (WEDNESDAY, {"daily": 3, "usage": 3, "created_at": "2026-11-11T11:00:00Z"}, 12),
        (at("2026-11-11T01:00"), {"usage": 5, "created_at": "2026-11-10T15:00:00Z"}, 12),
        (WEDNESDAY, {"usage": 3, "created_at": "2027-01-01T00:00:00Z"}, 12),
        # Spend on own provider keys counts where the limit includes it.
        (WEDNESDAY, {"weekly": 5, "byok_usage_weekly": 5, "include_byok_in_limit": True}, 4),
        (WEDNESDAY, {"weekly": 5, "byok_usage_weekly": 5, "include_byok_in_limit": False}, 2),
        (WEDNESDAY, {"daily": 1, "byok_usage_daily": 2, "include_byok_in_limit": True}, 6),
        (WEDNESDAY, {"weekly": 5, "byok_usage_weekly": -5, "include_byok_in_limit": "true"}, 2),
        # What is absent or odd: a longer window is asked; negative amounts are nothing.
        (WEDNESDAY, {"weekly": None, "monthly": 21}, 2),
        (WEDNESDAY, {"weekly": {}, "monthly": "many", "usage": 679.5}, 1),
        (WEDNESDAY, {"weekly": None, "byok_usage_weekly": 5, "include_byok_in_limit": True}, 2),
        (WEDNESDAY, {"daily": -3, "weekly": -1, "monthly": 21}, 0),
        (WEDNESDAY, {"daily": "1", "weekly": "2.5", "created_at": None}, 2),
        (at("2027-02-01T12:00"), {"daily": 1, "usage": 99, "created_at": "then"}, 2),
        (WEDNESDAY, {"daily": None, "weekly": None, "monthly": None, "usage": None}, 0),
    ],
)
def test_the_pace_comes_from_the_windows(when, fields, pace):
    assert forecast(limited(**fields), when).pace == pace


@pytest.mark.parametrize(
    ("when", "fields", "pace"),
    [
        ("2026-11-11T00:30", {"last_used_at": "2026-11-10T23:59:00Z"}, pytest.approx(2, rel=0.05)),
        ("2026-11-11T00:30", {"last_used_at": "2026-11-11T00:01:00Z"}, 8),
        ("2026-11-11T00:30", {"last_used_at": "2026-11-11T00:00:00Z"}, 8),
        (
            "2026-11-11T00:30",
            {"daily": 0, "byok_usage_daily": 2, "include_byok_in_limit": True, "last_used_at": "2026-11-10"},
            pytest.approx(2, rel=0.05),
        ),
        ("2026-11-11T00:30", {}, 8),
        ("2026-11-11T01:00", {"last_used_at": "2026-11-10T23:59:00Z"}, 8),
        ("2026-11-11T00:30", {"daily": 0, "last_used_at": "2026-11-10T23:59:00Z"}, pytest.approx(2, rel=0.05)),
        ("2026-11-30T00:00", {"daily": 0, "monthly": 29, "last_used_at": "2026-11-29T23:59:00Z"}, 1),
        ("2026-12-01T00:00", {"daily": 2, "weekly": 4, "last_used_at": "2026-11-30T23:59:00Z"}, 4),
        ("2026-11-30T00:00", {"daily": 2, "weekly": 21, "last_used_at": "2026-11-29T23:59:00Z"}, 3),
    ],
)
def test_usage_before_the_first_use_of_a_day_is_of_yesterday(when, fields, pace):
    assert forecast(limited(**{"daily": 2, "weekly": 4} | fields), at(when)).pace == pace


# -- running dry


@pytest.mark.parametrize(
    ("remaining", "fields", "runs_dry_at"),
    [
        (10, {"weekly": 5}, WEDNESDAY + 5 * DAY),
        (0, {"weekly": 5}, WEDNESDAY),
        (0, {}, WEDNESDAY),
        (0, {"limit": 0, "limit_reset": "daily"}, WEDNESDAY),
        (-1, {}, WEDNESDAY),
        (10, {}, None),
        (1e200, {"weekly": 5e-100}, None),
        (1e9, {"weekly": 1}, None),
        (100, {"weekly": 5, "limit_reset": "weekly"}, None),
        (100, {"weekly": 5, "limit_reset": "yearly"}, WEDNESDAY + 50 * DAY),
    ],
)
def test_a_key_runs_dry_at_its_pace(remaining, fields, runs_dry_at):
    assert forecast(limited(remaining, **fields), WEDNESDAY).runs_dry_at == runs_dry_at


@pytest.mark.parametrize(
    ("remaining", "limit_reset", "low_within"),
    [
        (4, None, 2),
        (4, "monthly", 2),
        (4, "weekly", 2),
        (4, "daily", None),
        (4, ["daily"], 2),
        (8.99, "weekly", 4.495),
        (9, "weekly", None),
        (0, "daily", 0),
    ],
)
def test_a_key_is_low_if_it_runs_dry_in_time_and_before_reset(remaining, limit_reset, low_within):
    found = forecast(limited(remaining, weekly=5, limit_reset=limit_reset), WEDNESDAY)
    if low_within is None:
        assert not found.runs_dry_within(366 * DAY, WEDNESDAY)
    else:
        assert found.runs_dry_within(low_within * DAY, WEDNESDAY)
        assert low_within == 0 or not found.runs_dry_within(0.99 * low_within * DAY, WEDNESDAY)


def test_what_was_left_before_a_reset_makes_no_key_low_after_it():
    at_half_past = at("2026-11-11T00:30")
    yesterdays = {"daily": 50, "weekly": 50, "last_used_at": "2026-11-10T23:59:00Z", "limit": 50.5}
    assert not forecast(limited(0.5, limit_reset="daily", **yesterdays), at_half_past).runs_dry_within(
        DAY, at_half_past
    )
    assert forecast(limited(0.5, limit_reset="weekly", **yesterdays), at_half_past).runs_dry_within(
        DAY, at_half_past
    )


# -- any key, at any time

AMOUNTS = st.floats(1e-9, 1e6) | st.just(0.0)
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)) | st.sampled_from(
    [
        at(text)
        for text in (
            "2026-11-09T00:00",
            "2026-11-08T23:59:59.999999",
            "2026-12-01T00:00:01",
            "2028-02-29T12:00",
            "2028-02-28T23:59:59",
            "2027-01-01T00:00",
        )
    ]
)
RESETS = st.sampled_from([None, "daily", "weekly", "monthly", "yearly", 7])
WITHIN = st.timedeltas(timedelta(minutes=1), 366 * DAY)


@st.composite
def any_keys(draw):
    """Return a key whose windows nest, as those of the API, with or without odd values."""
    daily, weekly, monthly, lifetime = sorted(draw(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)))
    amounts = {"daily": daily, "weekly": weekly, "monthly": monthly, "usage": lifetime}
    odd = draw(st.dictionaries(st.sampled_from(sorted(amounts)), st.sampled_from([None, -1.0, "x"]), max_size=2))
    limit = draw(st.floats(0.01, 1e6))
    return {
        **amounts,
        **odd,
        "remaining": draw(st.floats(-1, 1)) * limit,
        "limit": limit,
        "limit_reset": draw(RESETS),
        "created_at": draw(TIMES.map(datetime.isoformat) | st.none()),
        "byok_usage_weekly": draw(AMOUNTS),
        "include_byok_in_limit": draw(st.booleans()),
    }


def scaled(fields, factor):
    return {
        name: value * factor if isinstance(value, float) and name != "created_at" else value
        for name, value in fields.items()
    }


@few
@given(any_keys(), TIMES, WITHIN, st.sampled_from([2**-20, 0.25, 2, 1024]))
def test_scaling_all_amounts_changes_no_decision(fields, when, within, factor):
    before, after = forecast(limited(**fields), when), forecast(limited(**scaled(fields, factor)), when)
    assert (after.next_reset_at, after.runs_dry_at) == (before.next_reset_at, before.runs_dry_at)
    assert after.pace == pytest.approx(before.pace * factor)
    assert after.runs_dry_within(within, when) == before.runs_dry_within(within, when)


@few
@given(any_keys(), TIMES, WITHIN, st.floats(0, 1e6))
def test_more_left_is_never_lower(fields, when, within, more):
    is_low = forecast(limited(**fields), when).runs_dry_within(within, when)
    fields["remaining"] += more
    assert is_low or not forecast(limited(**fields), when).runs_dry_within(within, when)


@few
@given(any_keys(), TIMES, WITHIN, st.timedeltas(timedelta(0), timedelta(minutes=59)), st.booleans())
def test_a_reset_by_itself_makes_no_key_low(fields, when, within, later, lags):
    reset_at = next_reset(fields["limit_reset"], when)
    assume(reset_at is not None)
    windows = {"daily": ["daily"], "weekly": ["daily", "weekly"], "monthly": ["daily", "monthly"]}
    restored = {} if lags else dict.fromkeys(windows[fields["limit_reset"]], 0.0)
    after = limited(**(fields | restored | {"remaining": fields["limit"]}))
    assert not forecast(after, reset_at + later).runs_dry_within(within, reset_at + later)


@few
@given(any_keys(), TIMES, st.integers(-14, 14))
def test_the_time_zone_of_the_clock_changes_nothing(fields, when, hours):
    elsewhere = when.astimezone(timezone(timedelta(hours=hours)))
    assert forecast(limited(**fields), elsewhere) == forecast(limited(**fields), when)


@few
@given(TIMES, st.floats(0.01, 1000))
def test_the_pace_of_a_steady_key_is_steady(when, pace):
    created_at = at("2023-06-01T00:00")
    day = when.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {
        "daily": day,
        "weekly": day - when.weekday() * DAY,
        "monthly": day.replace(day=1),
        "usage": created_at,
    }
    windows = {name: pace * ((when - began) / DAY) for name, began in begins.items()}
    assert forecast(limited(**windows, created_at=created_at.isoformat()), when).pace == pytest.approx(pace)


# -- resets


@pytest.mark.parametrize(
    ("rhythm", "now", "day"),
    [
        ("daily", datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4)),
        ("daily", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1)),
        ("daily", datetime(2028, 2, 28, 12, tzinfo=UTC), datetime(2028, 2, 29)),
        ("weekly", datetime(2026, 11, 1, 23, 59, tzinfo=UTC), datetime(2026, 11, 2)),
        ("weekly", datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 9)),
        ("weekly", datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 4)),
        ("monthly", datetime(2026, 1, 31, 23, 59, tzinfo=UTC), datetime(2026, 2, 1)),
        ("monthly", datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1)),
        ("monthly", datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 1)),
        ("monthly", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1)),
        ("daily", datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), datetime(2027, 1, 1)),
        ("weekly", datetime(2026, 11, 1, 20, tzinfo=timezone(timedelta(hours=-8))), datetime(2026, 11, 9)),
        ("monthly", datetime(2026, 1, 31, 20, tzinfo=timezone(timedelta(hours=-8))), datetime(2026, 3, 1)),
        ("monthly", datetime(2026, 2, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 2, 1)),
    ],
)
def test_a_limit_is_reset_at_midnight_monday_or_the_first(rhythm, now, day):
    assert next_reset(rhythm, now) == day.replace(tzinfo=UTC)


@pytest.mark.parametrize("rhythm", [None, "", "yearly", "Daily", 1, [], {}])
def test_the_next_reset_of_an_unknown_rhythm_is_not_known(rhythm):
    assert next_reset(rhythm, OBSERVED_AT) is None


@settings(max_examples=100, deadline=None, database=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_reset_is_the_first_midnight_to_come_that_fits(now):
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + ahead * DAY for ahead in range(1, 33)]
    assert next_reset("daily", now) == days[0]
    assert next_reset("weekly", now) == next(day for day in days if day.isoweekday() == 1)
    assert next_reset("monthly", now) == next(day for day in days if day.day == 1)
