"""The rule of an account: when it is low, and what is said of it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from support.accounts import credits_of
from support.keys import lines

from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.watch import words
from airflow_provider_openrouter.watch.account_rule import AccountRule
from airflow_provider_openrouter.watch.account_source import AccountLeft

AT = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)


def left(balance, pace=None, **sent):
    return AccountLeft(credits=Credits.read(credits_of(balance) | sent, observed_at=AT), pace=pace)


def check(threshold, *account, **sent):
    return AccountRule(threshold=threshold).check(left(*account, **sent))


@pytest.mark.parametrize(
    ("threshold", "account", "is_low"),
    [
        (5, (5,), False),
        (5, (4.99,), True),
        (0, (0,), False),
        (0, (-0.01,), True),
        ("3 days", (30.1, 10), False),
        ("3 days", (29.9, 10), True),
        ("3 days", (0, 0), True),  # nothing left
        ("3 days", (0.01, 0), False),  # nothing spent
        (timedelta(hours=12), (4.9, 10), True),
    ],
)
def test_low_is_below_an_amount_or_gone_within_a_time(threshold, account, is_low):
    assert bool(check(threshold, *account).low) is is_low


def test_the_balance_is_compared_in_decimals():
    assert not check(0.2, 0, total_credits=0.3, total_usage=0.1).low  # 0.19999999999999998 as floats
    assert check(0.3, 0, total_credits=0.3, total_usage=0.1).low


def test_a_record_of_an_amount_has_no_pace():
    [record] = check(5, 1.5).records
    assert record == {
        "total_credits": 1000,
        "total_usage": 998.5,
        "balance": 1.5,
        "observed_at": "2026-11-03T06:30:00+00:00",
        "reason": "limit",
        "threshold": 5.0,
        "pace_usd_per_day": None,
        "runs_dry_at": None,
    }


def test_an_event_has_the_record_of_the_account():
    found = check(5, 1.5)
    assert found.event(found.low) == found.records[0]
    assert found.count(found.low) == "the account"


def test_a_record_of_a_time_has_the_pace():
    [record] = check(timedelta(hours=72), 10, 5.0).records
    assert record["reason"] == "runway"
    assert record["threshold"] == "3 days"
    assert (record["pace_usd_per_day"], record["runs_dry_at"]) == (5.0, "2026-11-05T06:30:00+00:00")


def test_a_record_has_the_totals_as_they_were_sent_and_is_json():
    sent = {"total_credits": "10.50", "total_usage": 10, "status": "odd", "balance": "odd"}
    account = AccountLeft(credits=Credits.read(sent, observed_at=AT))
    [record] = AccountRule(threshold=5).check(account).records
    assert (record["total_credits"], record["total_usage"], record["balance"]) == ("10.50", 10, 0.5)
    assert "status" not in record
    assert json.loads(json.dumps(record, allow_nan=False)) == record


@pytest.mark.parametrize(
    ("threshold", "account", "line"),
    [
        (5, (74.75,), "Credits: $74.75 left; not below $5.00"),
        (5, (1,), "Credits: $1.00 left; low: below $5.00"),
        (5, (4.999,), "Credits: $4.999 left; low: below $5.00"),
        (
            "1 day",
            (50, 10),
            "Credits: $50.00 left, runs dry on 2026-11-08 at 06:30 UTC at $10.00 a day; not dry within 1 day",
        ),
        ("1 day", (-0.5, 0), "Credits: -$0.50 left; low: dry within 1 day"),
    ],
)
def test_one_line_says_what_is_left(threshold, account, line):
    assert lines(check(threshold, *account)) == [line]


def test_a_balance_that_cannot_be_read_is_no_words():
    assert words.balance({"balance": "lots"}) == ""


@pytest.mark.parametrize(
    "value", ["10%", "150%", -1, "3 dayz", "0 days", "1e9 days", [5], None, True, "soon", ""]
)
def test_anything_but_an_amount_or_a_time_is_refused(value):
    with pytest.raises(OpenRouterRequestError) as refused:
        AccountRule(threshold=value)
    assert str(refused.value) == (
        f'threshold must be USD such as 25 or a time such as "3 days", not {value!r}. USD must be 0 or more; a '
        "time is in hours, days or weeks, above 0 and 366 days at most. A percentage cannot be used, because an "
        "account has no limit."
    )


@pytest.mark.parametrize(
    ("value", "argument", "words"),
    [
        (25, 25.0, "credits below $25.00"),
        ("25.00", 25.0, "credits below $25.00"),
        (Decimal("0.5"), 0.5, "credits below $0.50"),
        ("1.5 days", "36 hours", "credits dry within 36 hours"),
        (timedelta(days=3), "3 days", "credits dry within 3 days"),
    ],
)
def test_equal_rules_have_equal_arguments(value, argument, words):
    rule = AccountRule(threshold=value)
    assert json.dumps(rule.arguments) == json.dumps({"threshold": argument})
    assert AccountRule(**rule.arguments).arguments == rule.arguments
    assert str(rule) == words


@pytest.mark.parametrize(("threshold", "with_pace"), [(5, False), ("3 days", True)])
def test_only_a_time_needs_the_pace(threshold, with_pace):
    source = AccountRule(threshold=threshold).source("mine")
    assert (source.openrouter_conn_id, source.with_pace) == ("mine", with_pace)
