"""The pace of an account: of its last completed days, and of today."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sandboxes import make_account

from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.watch.account_pace import Growth, mean_of_days

TODAY = date(2026, 3, 3)
AMOUNTS = st.decimals(0, 10_000, places=4)


def rows(*spent, today=TODAY, **fields):
    """Return a row for each day until yesterday, None for a day without one."""
    first = today - timedelta(days=len(spent))
    days = {(first + timedelta(days=number)).isoformat(): usage for number, usage in enumerate(spent)}
    return [{"date": day, "usage": usage} | fields for day, usage in days.items() if usage is not None]


def reading(used, at):
    record = {"total_credits": 1000, "total_usage": float(used)}
    return Credits.read(record, observed_at=datetime.fromisoformat(at).replace(tzinfo=UTC))


# -- completed days


@pytest.mark.parametrize(
    ("spent", "mean"),
    [
        ([], None),
        ([5], "5"),
        ([5, 2], "3.5"),
        ([5, None, 1], "2"),  # a day without use, of a younger account
        ([None, 4, None], "2"),  # no use yesterday
        ([0.1, 0.2], "0.15"),
        ([7] * 7, "7"),
        ([1000, *[7] * 7], "7"),  # the eighth day is too old
        ([1000, *[None] * 6, 7], "1"),  # but says that the account was there
        ([1000, *[None] * 7], "0"),
        (["0.5"], "0.5"),
        ([-1, 3], "1"),  # a refund
    ],
)
def test_the_mean_is_of_seven_days_or_of_fewer_if_younger(spent, mean):
    expected = None if mean is None else Decimal(mean)
    assert mean_of_days(rows(*spent), TODAY) == expected


def test_a_day_is_the_sum_of_its_rows_without_byok():
    several = rows(1, 1, byok_usage_inference=50) + rows(2, 3)
    assert mean_of_days(several, TODAY) == Decimal("3.5")


@pytest.mark.parametrize("day", ["2026-03-02", "2026-03-02 00:00:00", "2026-03-02T00:00:00Z"])
def test_a_day_is_read_in_each_form_that_was_seen(day):
    assert mean_of_days([{"date": day, "usage": 3}], TODAY) == 3


def test_today_is_no_completed_day():
    assert mean_of_days(rows(100, today=TODAY + timedelta(days=1)), TODAY) is None


@pytest.mark.parametrize("odd", [{"date": None}, {"date": "soon"}, {"usage": None}, {"usage": "lots"}])
def test_a_row_that_cannot_be_read_is_not_counted(odd):
    [row] = rows(1)
    assert mean_of_days([row, row | odd], TODAY) == 1
    with pytest.raises(OpenRouterResponseError) as unreadable:
        mean_of_days([row | odd] * 2, TODAY)
    assert str(unreadable.value) == (
        "/activity answered 2 rows without a date and a usage that can be read. So the pace is not known: use a "
        "threshold in USD, which needs none, and report it to OpenRouter."
    )


def test_the_activity_of_the_sandbox_is_understood():
    account = make_account("2026-03-03 12:00", keys=5, drain=1.0)
    account.start_spending()
    for hour in range(12, 73):  # midnights included
        account.now.set(f"2026-03-{3 + hour // 24:02} {hour % 24:02}:00")
        account.get_credits()
    days = [date(2026, 2, 27) + timedelta(days=number) for number in range(7)]
    spent = account.list_activity(days=days)
    expected = sum(Decimal(str(row["usage"])) for row in spent) / 7
    assert mean_of_days(spent, date(2026, 3, 6)) == expected > 0


# -- today


@pytest.mark.parametrize(
    ("readings", "pace"),
    [
        ([(10, "2026-03-03 09:00")], "0"),
        ([(10, "2026-03-03 09:00"), (11, "2026-03-03 09:01")], "4"),  # over six hours
        ([(10, "2026-03-03 09:00"), (11, "2026-03-03 15:00")], "4"),
        ([(10, "2026-03-03 09:00"), (11, "2026-03-03 21:00")], "2"),
        ([(10, "2026-03-03 09:00"), (10.5, "2026-03-03 10:00"), (11, "2026-03-03 11:00")], "4"),
        ([(10, "2026-03-03 23:59"), (19, "2026-03-04 00:00")], "0"),  # midnight
        ([(10, "2026-03-03 23:59"), (19, "2026-03-04 00:00"), (20, "2026-03-04 00:01")], "4"),
        ([(10, "2026-02-28 23:00"), (19, "2026-03-28 23:01")], "0"),  # another day of the same number
        ([(10, "2026-03-03 09:00"), (9, "2026-03-03 09:01")], "0"),  # corrected
        ([(0.1, "2026-03-03 09:00"), (0.3, "2026-03-03 09:01")], "0.8"),
    ],
)
def test_growth_counts_from_the_first_reading_of_the_utc_day(readings, pace):
    growth = Growth()
    assert [growth.per_day(reading(*each)) for each in readings][-1] == Decimal(pace)


@given(st.lists(AMOUNTS, max_size=30), AMOUNTS, st.integers(1, 1000))
def test_scaling_all_amounts_scales_the_pace(spent, grown, factor):
    def paces(scale):
        growth = Growth()
        growth.per_day(reading(100 * scale, "2026-03-03 09:00"))
        today = growth.per_day(reading((100 + grown) * scale, "2026-03-03 12:00"))
        return mean_of_days(rows(*(float(each * scale) for each in spent)), TODAY) or 0, today

    small, large = paces(1), paces(factor)
    assert [float(each) for each in large] == pytest.approx([float(each) * factor for each in small])
