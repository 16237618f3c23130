"""The credits of an account: how they are read, and what is left."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import OpenRouterResponseError


@pytest.mark.parametrize(
    ("bought", "used", "left"),
    [
        (0.3, 0.1, "0.2"),  # 0.19999999999999998 as floats
        (100, 99.87, "0.13"),
        (10, 10.25, "-0.25"),
        (0, 0, "0"),
        ("25.50", "0.5", "25.0"),
        (1e21, 1, "999999999999999999999"),
    ],
)
def test_the_balance_is_exact(bought, used, left):
    credits_ = Credits.read({"total_credits": bought, "total_usage": used})
    assert credits_.balance == Decimal(left)


def test_what_was_sent_is_kept_with_its_time():
    record = {"total_credits": 5, "total_usage": "1", "brand_new": [None]}
    at = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)
    credits_ = Credits.read(record, observed_at=at)
    assert (credits_.record, credits_.observed_at) == (record, at)


@pytest.mark.parametrize("name", ["total_credits", "total_usage"])
@pytest.mark.parametrize("record", [{}, *({"x": odd} for odd in (None, "lots", "NaN", "1e999", True, [], {}))])
def test_a_total_that_is_no_amount_is_an_error(name, record):
    sent = {"total_credits": 5, "total_usage": 1} | {name: record.get("x")}
    if not record:
        del sent[name]
    with pytest.raises(OpenRouterResponseError) as refused:
        Credits.read(sent)
    assert str(refused.value).startswith(f"/credits answered no amount under '{name}'. ")
    assert "report it to OpenRouter" in str(refused.value)
    assert not refused.value.transient
