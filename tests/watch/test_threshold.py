"""A threshold: how it is read, and what is low."""

import math
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from support.keys import OBSERVED_AT

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.watch.left import KeyLeft
from airflow_provider_openrouter.watch.threshold import Threshold, read_margin, read_steps


def limited(remaining=1.0, limit=None):
    return KeyLeft(
        {"hash": "a"}, float(remaining), None if limit in (None, "lots") else float(limit), OBSERVED_AT
    )


@pytest.mark.parametrize(
    ("value", "argument", "text"),
    [
        (5, 5.0, "$5.00"),
        (5.0, 5.0, "$5.00"),
        ("5", 5.0, "$5.00"),
        (" 5.00 ", 5.0, "$5.00"),
        ("+5", 5.0, "$5.00"),
        (0, 0.0, "$0.00"),
        (-0.0, 0.0, "$0.00"),
        ("1e3", 1000.0, "$1,000.00"),
        (Decimal("5.10"), 5.1, "$5.10"),
        (np.float64(5.1), 5.1, "$5.10"),
        (np.float32(0.1), 0.1, "$0.10"),
        (np.int64(5), 5.0, "$5.00"),
        ("10%", "10%", "10% of the limit"),
        (" 10 % ", "10%", "10% of the limit"),
        ("10.0%", "10%", "10% of the limit"),
        ("2.50%", "2.5%", "2.5% of the limit"),
        ("0%", "0%", "0% of the limit"),
        ("-0%", "0%", "0% of the limit"),
        ("100%", "100%", "100% of the limit"),
        (0.705, 0.705, "$0.705"),
        ("1234.5", 1234.5, "$1,234.50"),
        (1e-7, 1e-7, "$0.0000001"),
        (1e21, 1e21, "$1,000,000,000,000,000,000,000.00"),
        ("0.00001%", "1e-05%", "0.00001% of the limit"),
        ("3 days", "3 days", "3 days"),
        ("1.5 days", "36 hours", "36 hours"),
        (timedelta(hours=72), "3 days", "3 days"),
    ],
)
def test_a_threshold_is_an_amount_a_percentage_or_a_time(value, argument, text):
    threshold = Threshold.read(value)
    assert threshold.argument == argument
    assert type(threshold.argument) is type(argument)
    assert not str(threshold.argument).startswith("-")
    assert str(threshold) == text


@pytest.mark.parametrize(
    "value",
    [
        *(-1, -5e-324, math.nan, math.inf, -math.inf, Decimal("-1"), Decimal("1e400"), Decimal("sNaN")),
        *("-1", "150%", "100.1%", "-1%", "nan", "inf", "nan%", "1e400", "1e400%"),
        *("abc", "", " ", "%", "10%%", "%10", "5 USD", "$5", "5,00", "1/2", "None"),
        *("3 dayz", "0 days", "-1 days", "1e9 days", "367 days", "10% days", timedelta(0), timedelta(-1)),
        *(None, True, False, np.True_, [], [5], {}, b"5", 5j, Path("5")),
    ],
    ids=repr,
)
def test_anything_else_is_refused_as_a_threshold_in_one_sentence(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        Threshold.read(value)
    assert str(refusal.value) == (
        f'threshold must be USD such as 5, "10%" or "3 days", not {value!r}. USD must be 0 or more; a percentage '
        "is of the key's own limit, from 0 to 100; a time is in hours, days or weeks, above 0 and 366 days at "
        "most."
    )


def test_a_margin_is_refused_by_its_name():
    with pytest.raises(OpenRouterRequestError, match=r"^rearm_margin must be USD such as 5"):
        read_margin(-1, Threshold.read(5))


def is_armed(threshold, margin, **amounts):
    threshold = Threshold.read(threshold)
    return threshold.is_armed(limited(**amounts), margin=read_margin(margin, threshold), lowest=math.inf)


@pytest.mark.parametrize(
    ("threshold", "margin", "enough", "limit"),
    [
        (0.1, 0.2, 0.3, None),
        ("5%", "10%", 15, 100),
        (5, "10%", 15, 100),
        *((5, "10%", 5, limit) for limit in (None, "lots", 0, -10)),
    ],
)
def test_a_margin_is_added_to_what_a_key_must_not_be_below(threshold, margin, enough, limit):
    assert is_armed(threshold, margin, remaining=enough, limit=limit)
    assert not is_armed(threshold, margin, remaining=math.nextafter(enough, 0), limit=limit)


@pytest.mark.parametrize("margin", [0, "0", 0.0, "12 hours", timedelta(hours=1)], ids=repr)
def test_the_margin_of_a_time_is_a_time_by_default_half_of_it(margin):
    read_margin(margin, Threshold.read("3 days"))


@pytest.mark.parametrize(
    ("margin", "threshold", "kind"),
    [
        *((margin, "3 days", "a time") for margin in (5, "5", "10%", "0%")),
        *(("12 hours", threshold, "USD or a percentage") for threshold in (0, 5, "10%")),
    ],
)
def test_a_margin_of_another_kind_is_refused(margin, threshold, kind):
    with pytest.raises(OpenRouterRequestError) as refusal:
        read_margin(margin, Threshold.read(threshold))
    assert str(refusal.value) == f"rearm_margin must be {kind} like the threshold, not {margin!r}."


# -- several steps


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ("10%", ["10%"]),
        (["10%"], ["10%"]),
        (["10%", "50%", "25%", "25.0%"], ["50%", "25%", "10%"]),
        ((1, "10", 9.5), [10, 9.5, 1]),
        (["36 hours", "1 week", "1.5 days", timedelta(days=7)], ["7 days", "36 hours"]),
    ],
)
def test_steps_are_sorted_and_each_is_taken_once(value, steps):
    assert [step.argument for step in read_steps(value)] == steps


@pytest.mark.parametrize("value", [[], ["10%", 5], [5, "3 days"], ["10%", "3 days"]], ids=repr)
def test_steps_of_different_kinds_are_refused(value):
    with pytest.raises(OpenRouterRequestError, match=r"^threshold must be steps of one kind, not "):
        read_steps(value)


@pytest.mark.parametrize("value", [["10%", "x"], [[5]], [None], {5}, {"a": 5}], ids=repr)
def test_a_step_that_is_no_threshold_is_refused(value):
    with pytest.raises(OpenRouterRequestError, match=r"^threshold must be USD such as 5"):
        read_steps(value)
