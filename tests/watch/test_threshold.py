"""A threshold: how it is read, and what is low."""

import math
from decimal import Decimal

import numpy as np
import pytest
from support.keys import OBSERVED_AT

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.watch.left import KeyLeft
from airflow_provider_openrouter.watch.threshold import Threshold, read_margin


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
    ],
)
def test_a_threshold_is_an_amount_or_a_percentage(value, argument, text):
    threshold = Threshold.read(value)
    assert threshold.argument == argument
    assert type(threshold.argument) is type(argument)
    assert math.copysign(1, float(threshold.argument.rstrip("%") if isinstance(argument, str) else argument)) == 1
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
    assert said.startswith('threshold must be USD such as 5, "10%" or "3 days", not ')
    assert str(value) in said


def test_a_threshold_is_refused_by_the_name_it_has():
    with pytest.raises(OpenRouterRequestError, match=r"^rearm_margin must be USD such as 5"):
        Threshold.read(-1, name="rearm_margin")


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
