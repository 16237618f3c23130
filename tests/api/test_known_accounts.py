"""Accounts that were listed before: what was known of them may be true, or anything else."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import Account

from airflow_provider_openrouter.api.pagination import Walk
from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import Extent

fuzz = settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def extent(account: Account) -> Extent | None:
    walk = Walk(account.page, "hash")
    list(walk)
    account.asked = 0
    return walk.extent


def listed_again(account: Account, expected: Extent | None) -> list[str]:
    return [record["hash"] for new in Walk(account.page, "hash", expected) for record in new]


@pytest.mark.parametrize("page_size", [1, 2, 3, 9, 10, 11, 20, 99, 100, 101, 250])
def test_a_known_account_comes_whole_and_in_order(page_size):
    for count in {0, 1, 2, *(pages * page_size + by for pages in (1, 2, 5) for by in (-1, 0, 1))}:
        account = Account(count, page_size=page_size)
        assert listed_again(account, extent(account)) == account.hashes


@pytest.mark.parametrize(
    ("count", "requests"),
    [(0, 2), (1, 2), (25, 2), (99, 2), (100, 2), (101, 3), (195, 3), (640, 8), (670, 8), (1_234, 14)],
)
def test_a_known_account_costs_its_pages_and_one_more(count, requests):
    account = Account(count)
    listed_again(account, extent(account))
    assert account.asked == requests


@pytest.mark.parametrize("change", [lambda account: account.create(4), lambda account: account.delete(0, 4)])
def test_a_few_keys_more_or_less_cost_no_request(change):
    account = Account(640)
    expected = extent(account)
    change(account)
    assert listed_again(account, expected) == account.hashes
    assert account.asked == 8


@pytest.mark.parametrize(
    ("page_size", "count", "offsets"),
    [
        (100, 640, [0, 98, 196, 294, 392, 490, 588, 635]),
        (250, 900, [0, 248, 496, 744, 895]),
        (100, 100, [0, 95]),
        (100, 101, [0, 98, 99]),
        (2, 5, [0, 1, 2, 3, 4]),
        (0, 0, [0, 50]),
    ],
)
def test_all_pages_of_a_known_account_are_named_with_the_first(page_size, count, offsets):
    account = Account(count, page_size=page_size)
    named = []

    def fetch(offset, ahead):
        named.append([offset, *ahead])
        return account.page(offset)

    list(Walk(fetch, "hash", Extent(page_size, count)))
    assert named == [offsets[number:] for number in range(len(offsets))]


@fuzz
@given(
    was=st.tuples(st.integers(1, 250), st.integers(0, 800)),
    page_size=st.integers(2, 250),
    count=st.integers(0, 800),
)
def test_any_expectation_loses_nothing(was, page_size, count):
    account = Account(count, page_size=page_size)
    assert listed_again(account, Extent(min(was), was[1])) == account.hashes


@fuzz
@given(page_size=st.integers(4, 250), count=st.integers(0, 800), seed=st.integers(0, 2**32))
def test_a_known_account_whose_keys_come_and_go_loses_none(page_size, count, seed):
    chance = random.Random(seed)
    account = Account(count, page_size=page_size)
    expected = extent(account)

    def change(number: int = 0) -> None:
        if number < 12 and chance.random() < 0.6:
            size = chance.choice([1, 1, 2, 30, 150])
            if chance.random() < 0.5:
                account.create(size)
            else:
                account.delete(chance.randrange(len(account.keys) + 1), size)

    change()
    account.lasting = account.hashes
    account.between = change
    hashes = listed_again(account, expected)
    assert len(hashes) == len(set(hashes))
    assert set(account.lasting) <= set(hashes)


def test_an_expected_page_that_joins_none_is_not_asked_for():
    account = Account(95)
    assert listed_again(account, Extent(100, 640)) == account.hashes
    assert account.asked == 2


@pytest.mark.parametrize("page_size", [50, 250])
def test_a_page_size_that_changed_since_loses_nothing(page_size):
    account = Account(640)
    expected = extent(account)
    account.page_size = page_size
    assert listed_again(account, expected) == account.hashes


@pytest.mark.parametrize("count", [99, 640])
def test_a_known_account_whose_server_ignores_offset_is_an_error(count):
    account = Account(count)
    expected = extent(account)
    account.ignores_offset = True
    with pytest.raises(OpenRouterResponseError, match="ignores 'offset'"):
        listed_again(account, expected)
    assert account.asked <= 10


def test_a_known_account_with_a_short_page_inside_is_in_doubt():
    account = Account(760)
    shown = {*account.hashes[:300], *account.hashes[301:640], account.hashes[750]}
    account.hides = lambda key: key["hash"] not in shown
    assert set(listed_again(account, Extent(100, 640))) == shown


@pytest.mark.parametrize(("count", "known"), [(0, (0, 0)), (25, (25, 25)), (250, (100, 250))])
def test_how_far_a_listing_went_is_known_at_its_end(count, known):
    assert extent(Account(count)) == known


def test_a_server_that_hides_keys_makes_no_size_known():
    account = Account(600, hides=lambda key: key["number"] % 3 == 0)
    assert extent(account) is None
