"""What no key accounts for: what is left of the account's rows after those of its keys."""

import random
from decimal import Decimal

import pytest
from support.activity import row

from airflow_provider_openrouter.activity import is_negative, remainder

TWO_ROWS = [("vendor/model", 1.5, 3), ("vendor/model", -0.5, 0)]


def left_of(account, *keys):
    return [(each["model"], each["usage"], each["requests"]) for each in remainder(account, keys)]


@pytest.mark.parametrize(
    ("account", "keys", "left"),
    [
        ([row(usage=0.3)], [row(usage=0.1, requests=1)], [("vendor/model", 0.2, 2)]),
        ([row(usage=0.3)], [row(usage=0.1), row(usage=0.2, requests=0)], []),
        ([row(usage=0.3)], [row(usage=0.2999995)], []),
        ([row(usage=0.3)], [row(usage=0.2999995, requests=2)], [("vendor/model", 5e-07, 1)]),
        ([row(usage=1)], [row(usage=2)], [("vendor/model", -1.0, 0)]),
        ([], [row(usage=2)], [("vendor/model", -2.0, -3)]),
        ([row(), row()], [row()], [("vendor/model", 1.5, 3)]),
        ([row(None)], [row()], [(None, 1.5, 3), ("vendor/model", -1.5, -3)]),
        *(
            ([row(**{name: "a"}), row(**{name: "b"})], [row(usage=2, **{name: "b"})], TWO_ROWS)
            for name in ("workspace_id", "endpoint_id")
        ),
        ([row(usage="0.3", requests="4")], [row(usage="0.1", requests=1)], [("vendor/model", 0.2, 3)]),
        ([row(requests=None)], [row(usage=1)], [("vendor/model", 0.5, None)]),
        ([row(), row("other", usage=9)], [], [("vendor/model", 1.5, 3), ("other", 9, 3)]),
    ],
)
def test_the_remainder_is_the_account_minus_its_keys(account, keys, left):
    assert left_of(account, *keys) == left


def test_a_row_without_a_part_of_a_key_is_left_as_it_was_sent():
    whole = row("free", usage="0", new={"field": 1})
    shared = row(new=3, provider_name="P", model_permaslug="m", byok_usage_inference=0.2, prompt_tokens=7)
    unchanged, rest = remainder([whole, shared], [row(usage=1, requests=1, prompt_tokens=5)])
    assert unchanged is whole
    assert "new" not in rest
    assert (rest["provider_name"], rest["model_permaslug"]) == ("P", "m")
    assert (rest["byok_usage_inference"], rest["prompt_tokens"]) == (0.2, 2)


@pytest.mark.parametrize(
    ("fields", "negative"),
    [
        ({}, False),
        ({"usage": -0.5}, True),
        ({"byok_usage_inference": "-0.5"}, True),
        ({"requests": -1}, True),
        ({"usage": -5e-07}, False),
        ({"requests": None, "usage": "odd"}, False),
    ],
)
def test_what_is_taken_back_is_negative(fields, negative):
    assert is_negative(row(**fields)) is negative


@pytest.mark.parametrize("seed", range(20))
def test_keys_and_remainder_add_up_to_the_account(seed):
    chance = random.Random(seed)

    def rows(count):
        return [
            row(
                f"model-{chance.randrange(4)}",
                workspace_id=chance.choice(["a", "b", None]),
                usage=chance.choice([chance.random(), f"{chance.random():.9f}", 0, 1e-8]),
                requests=chance.randrange(9),
                cached_tokens=chance.randrange(1_000_000),
            )
            for _ in range(count)
        ]

    account, keys = rows(40), rows(200)
    for name in ("usage", "requests", "cached_tokens"):
        all_together = sum(Decimal(str(each[name])) for each in [*keys, *remainder(account, keys)])
        expected = sum(Decimal(str(each[name])) for each in account)
        assert abs(all_together - expected) < Decimal("0.00002")
