"""A threshold: how it is read, and what is low."""

import math
from decimal import Decimal

import numpy as np
import pytest

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import LimitedKey
from airflow_provider_openrouter.watch.threshold import Threshold


def limited(remaining=1.0, limit=None):
    return LimitedKey({"hash": "a"}, float(remaining), None if limit in (None, "lots") else float(limit))


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
    ],
)
def test_a_threshold_is_an_amount_or_a_percentage(value, argument, text):
    threshold = Threshold.read(value)
    assert threshold.argument == argument
    assert type(threshold.argument) is type(argument)
    assert math.copysign(1, threshold.amount) == 1
    assert str(threshold) == text


@pytest.mark.parametrize(
    "value",
    [
        *(-1, -5e-324, math.nan, math.inf, -math.inf, Decimal("-1"), Decimal("1e400"), Decimal("sNaN")),
        *("-1", "150%", "100.1%", "-1%", "nan", "inf", "nan%", "1e400", "1e400%"),
        *("abc", "", " ", "%", "10%%", "%10", "5 USD", "$5", "5,00", "1/2", "None"),
        *(None, True, False, np.True_, [], [5], {}, b"5", 5j),
    ],
    ids=repr,
)
def test_anything_else_is_refused_as_a_threshold_in_one_sentence(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        Threshold.read(value)
    said = str(refusal.value)
    assert said.startswith('threshold must be USD such as 5, or a percentage such as "10%", not ')
    assert str(value) in said


def test_a_threshold_is_refused_by_the_name_it_has():
    with pytest.raises(OpenRouterRequestError, match=r"^rearm_margin must be USD such as 5"):
        Threshold.read(-1, name="rearm_margin")


def test_a_margin_is_added_to_what_a_key_must_be_above():
    threshold, margin = Threshold.read(0.1), Threshold.read(0.2)
    assert threshold.is_low(limited(remaining=0.29), margin=margin)
    assert not threshold.is_low(limited(remaining=0.3), margin=margin)


def test_a_margin_in_percent_is_of_the_limit_of_the_key():
    margin = Threshold.read("10%")
    assert Threshold.read("5%").is_low(limited(remaining=14.99, limit=100), margin=margin)
    assert not Threshold.read("5%").is_low(limited(remaining=15, limit=100), margin=margin)


@pytest.mark.parametrize("limit", [None, "lots", 0])
def test_a_margin_in_percent_of_no_limit_is_nothing(limit):
    margin = Threshold.read("10%")
    assert Threshold.read(5).is_low(limited(remaining=4.99, limit=limit), margin=margin)
    assert not Threshold.read(5).is_low(limited(remaining=5, limit=limit), margin=margin)


def test_a_negative_limit_does_not_lower_the_margin():
    assert Threshold.read(5).is_low(limited(remaining=4.5, limit=-10), margin=Threshold.read("10%"))
