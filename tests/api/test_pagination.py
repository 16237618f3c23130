import random
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import Account

from airflow_provider_openrouter.api.pagination import Walk
from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import Extent

PAGE_SIZES = [2, 3, 9, 10, 11, 20, 99, 100, 101, 250]
fuzz = settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def edges(page_size: int) -> list[int]:
    return sorted({0, 1, 2, *(pages * page_size + by for pages in (1, 2, 5) for by in (-1, 0, 1))})


def listed(account: Account) -> list[str]:
    return [record["hash"] for new in Walk(account.page, "hash") for record in new]


def assert_each_once(account: Account, hashes: list[str]) -> None:
    assert len(hashes) == len(set(hashes))
    assert set(account.lasting) <= set(hashes)


def between(**changes: Callable[[], None]) -> Callable[[int], None]:
    """Make each change before the request it is named after: ``before_2`` before the third."""
    return lambda number: changes.get(f"before_{number}", lambda: None)()


@pytest.mark.parametrize("page_size", [1, *PAGE_SIZES])
def test_a_quiet_listing_comes_whole_and_in_order(page_size):
    for count in edges(page_size):
        account = Account(count, page_size=page_size)
        assert listed(account) == account.hashes


@pytest.mark.parametrize("count", [0, 1, 2, 25, 99])
def test_a_small_account_costs_two_requests(count):
    account = Account(count)
    listed(account)
    assert account.asked == 2


@pytest.mark.parametrize("count", [100, 1_000, 5_000])
def test_a_long_listing_costs_little_more_than_its_pages(count):
    account = Account(count)
    listed(account)
    assert account.asked <= 1.06 * count / 100 + 4


@fuzz
@given(page_size=st.integers(2, 250), count=st.integers(0, 800))
def test_any_page_size_and_any_count_are_listed_whole(page_size, count):
    account = Account(count, page_size=page_size)
    assert listed(account) == account.hashes


@fuzz
@given(page_size=st.integers(2, 250), pages=st.integers(0, 6), by=st.integers(-2, 2), seed=st.integers(0, 2**32))
def test_what_exists_throughout_comes_exactly_once(page_size, pages, by, seed):
    count = max(0, pages * page_size + by)
    chance = random.Random(seed)
    account = Account(count, page_size=page_size)

    def change(number: int) -> None:
        if number < 12 and chance.random() < 0.6:
            size = chance.choice([1, 1, 2, 30])
            border = chance.randrange(pages + 1) * page_size + chance.randint(-2, 2)
            start = chance.choice([0, max(0, border), chance.randrange(len(account.keys) + 1)])
            chance.choice([account.create, lambda size: account.delete(start, size)])(size)

    account.between = change
    try:
        hashes = listed(account)
    except OpenRouterResponseError:
        assert min(count, page_size) <= 3  # the whole page may change and change back
    else:
        assert_each_once(account, hashes)


@pytest.mark.parametrize("page_size", [5, 10, 100])
@pytest.mark.parametrize("gone", [1, 2, 30])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("border", [-1, 0, 1])
def test_a_key_deleted_between_two_pages_is_not_a_gap(page_size, gone, number, border):
    account = Account(page_size * 4 + 1, page_size=page_size)
    start = max(0, (number - 1) * page_size + border)
    account.between = between(**{f"before_{number}": lambda: account.delete(start, gone)})
    assert_each_once(account, listed(account))


@pytest.mark.parametrize("page_size", [5, 10, 100])
@pytest.mark.parametrize("new", [1, 2, 30, 90, 250])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_key_created_between_two_pages_is_not_doubled(page_size, new, number):
    account = Account(page_size * 4 + 1, page_size=page_size)
    account.between = between(**{f"before_{number}": lambda: account.create(new)})
    assert_each_once(account, listed(account))


@pytest.mark.parametrize("page_size", [10, 100])
def test_keys_that_rotate_all_the_while_hide_no_other(page_size):
    account = Account(page_size * 5, page_size=page_size)
    account.between = lambda number: (account.create(), account.delete(len(account.keys) // 2))
    assert_each_once(account, listed(account))


def test_an_account_that_is_emptied_meanwhile_ends():
    account = Account(450)
    account.between = between(before_3=lambda: account.delete(0, 450))
    assert_each_once(account, listed(account))


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 500])
def test_a_server_that_ignores_offset_is_an_error(count):
    account = Account(count, ignores_offset=True)
    with pytest.raises(OpenRouterResponseError, match="ignores 'offset'") as caught:
        listed(account)
    assert not caught.value.transient
    assert account.asked <= 10


def test_a_listing_that_changes_too_fast_ends_in_an_error():
    account = Account(40_000)

    def change(number: int) -> None:
        account.delete(0, 101)

    account.between = change
    with pytest.raises(OpenRouterResponseError, match="changes faster"):
        listed(account)
    assert account.asked < 500


@pytest.mark.parametrize("page_size", [10, 50, 100, 250])
@pytest.mark.parametrize("shown", [2, 3, 7])
def test_a_server_that_filters_after_slicing_loses_nothing(page_size, shown):
    account = Account(page_size * 6, page_size=page_size, hides=lambda key: key["number"] % shown == 0)
    assert listed(account) == [key["hash"] for key in account.keys if key["number"] % shown]


@pytest.mark.parametrize("start", range(200, 500, 15))
def test_an_empty_page_in_the_middle_is_not_the_end(start):
    account = Account(800)
    hidden = {key["hash"] for key in account.keys[start : start + 120]}
    account.hides = lambda key: key["hash"] in hidden
    assert listed(account) == [hash_ for hash_ in account.hashes if hash_ not in hidden]


@fuzz
@given(page_size=st.integers(50, 150), pages=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_a_server_that_hides_half_of_each_page_loses_nothing(page_size, pages, seed):
    chance = random.Random(seed)
    account = Account(page_size * pages, page_size=page_size)
    hidden = set(chance.sample(account.hashes, len(account.hashes) // 2))
    account.hides = lambda key: key["hash"] in hidden
    assert listed(account) == [hash_ for hash_ in account.hashes if hash_ not in hidden]


@pytest.mark.parametrize(("before", "after"), [(100, 50), (50, 100), (100, 37), (2, 250)])
def test_a_page_size_that_changes_meanwhile_loses_nothing(before, after):
    account = Account(800, page_size=before)
    account.between = between(before_3=lambda: setattr(account, "page_size", after))
    assert listed(account) == account.hashes


# -- each condition of a walk


def walked(*steps: tuple[int, str], expected: Extent | None = None) -> str:
    """Walk pages that come in turn, one letter a record; each must be asked for at its offset."""
    left = list(steps)

    def fetch(offset, ahead):
        expected, page = left.pop(0)
        assert offset == expected
        return [{"hash": letter} for letter in page]

    walk = "".join(record["hash"] for new in Walk(fetch, "hash", expected) for record in new)
    assert not left
    return walk


def test_a_gap_is_closed_by_steps_back_that_double():
    gaps = (10, "stuvwx"), (7, "pqrstu"), (1, "jklmno")
    steps = (6, "opqrst"), (11, "tuvw"), (14, "w"), (64, "")
    assert walked((0, "abcdef"), (5, "fghijk"), *gaps, *steps) == "abcdefghijklmnopqrstuvw"


def test_after_a_step_back_the_look_beyond_begins_there():
    assert walked((0, "abcdef"), (5, "fghij"), (9, ""), (6, "ij"), (56, "")) == "abcdefghij"


def test_the_first_page_needs_to_join_no_other():
    steps = (5, "xyz"), (2, "uvwxyz"), (0, "stuvwx"), (5, "xyz"), (7, "z"), (57, "")
    assert walked((0, "abcdef"), *steps) == "abcdefstuvwxyz"


def test_what_lies_past_an_end_needs_to_join_no_other():
    steps = (5, "fgh"), (7, "h"), (57, "xyz"), (59, "z"), (109, "")
    assert walked((0, "abcdef"), *steps) == "abcdefghxyz"


def test_pages_of_one_record_need_to_join_no_other():
    assert walked((0, "a"), (1, "b"), (2, "c"), (3, ""), (53, "")) == "abc"


def test_the_end_of_the_only_page_is_beyond_doubt():
    assert walked((0, "abc"), (2, "c")) == "abc"


def test_the_end_is_in_doubt_after_several_pages():
    assert walked((0, "abcdef"), (5, "fg"), (6, "g"), (56, "")) == "abcdefg"


def test_the_end_is_in_doubt_if_it_shows_more_than_the_overlap():
    assert walked((0, "abcdef"), (5, "ef"), (55, "fx"), (56, "x"), (106, "")) == "abcdefx"


def test_a_key_behind_half_a_page_of_hidden_ones_is_found():
    account = Account(200)
    shown = {account.hashes[position] for position in (0, 50, 99, 120)}
    account.hides = lambda key: key["hash"] not in shown
    assert set(listed(account)) == shown


def test_a_full_page_without_news_is_not_the_end():
    steps = (5, "fghijk"), (10, "fghijk"), (15, "kl"), (16, "l"), (66, "")
    assert walked((0, "abcdef"), *steps) == "abcdefghijkl"


def test_a_short_page_that_stops_elsewhere_is_not_the_end():
    steps = (5, "fghij"), (9, "ghi"), (11, "ijk"), (13, "k"), (63, "")
    assert walked((0, "abcdef"), *steps) == "abcdefghijk"


def test_a_page_within_the_overlap_is_no_end():
    assert walked((0, "abcdef"), (5, "e"), (5, "fg"), (6, "g"), (56, "")) == "abcdefg"


def test_as_many_keys_created_as_skipped_are_not_missed():
    steps = (5, "abcdef"), (0, "uvwxya"), (5, "abcdef"), (10, "fg"), (11, "g"), (61, "")
    assert walked((0, "abcdef"), *steps) == "abcdefuvwxyg"


def test_a_page_of_two_may_come_again_at_the_next_offset():
    assert walked((0, "ab"), (1, "ab"), (0, "xa"), (1, "ab"), (2, "b"), (52, "")) == "abx"


def test_pages_of_two_records_need_to_join():
    steps = (1, "de"), (0, "cd"), (1, "de"), (2, "e"), (52, "")
    assert walked((0, "ab"), *steps) == "abcde"


def test_pages_overlap_where_the_next_is_planned_at_an_end():
    assert walked((0, "abcde"), (4, "e"), expected=Extent(6, 11)) == "abcde"


def test_two_coincidences_are_no_ignored_offset():
    steps = (5, "fg"), (6, "g"), (56, "")
    assert walked(*[(0, "abcdef"), (5, "abcdef")] * 2, (0, "abcdef"), *steps) == "abcdefg"


def test_three_coincidences_are_an_ignored_offset():
    with pytest.raises(OpenRouterResponseError) as caught:
        walked(*[(0, "abcdef"), (5, "abcdef")] * 3, (0, "abcdef"))
    assert str(caught.value) == (
        "The server ignores 'offset': every page is the same. Set the base URL to OpenRouter's own API, so that "
        "what follows the first page can be read."
    )
    assert caught.value.about == "base_url"


def test_too_many_pages_without_news_change_too_fast():
    asked = []

    def fetch(offset, ahead):
        asked.append(offset)
        return [{"hash": f"{offset and len(asked)} {number}"} for number in range(4)]

    with pytest.raises(OpenRouterResponseError) as caught:
        list(Walk(fetch, "hash"))
    assert len(asked) == 103
    assert str(caught.value) == (
        "The listing changes faster than it can be read: 102 of 103 pages brought nothing new. Run it again when "
        "fewer keys are being created and deleted."
    )
    assert caught.value.about is None


def named(account: Account) -> list[tuple[int, list[int]]]:
    """Walk, and return each offset with the next two that were named with it."""
    asked = []

    def fetch(offset, ahead):
        asked.append((offset, [*islice(ahead, 2)]))
        return account.page(offset)

    list(Walk(fetch, "hash"))
    return asked


def test_pages_ahead_are_named_once_a_page_was_followed():
    asked = named(Account(550, page_size=50))
    assert asked[:4] == [(0, []), (48, []), (96, [144, 192]), (144, [192, 240])]
    assert asked[-2:] == [(549, [599]), (599, [])]


def test_pages_ahead_are_named_after_a_page_of_a_hundred():
    asked = named(Account(1_050))
    assert asked[:3] == [(0, []), (98, [196, 294]), (196, [294, 392])]
    assert asked[-3:] == [(1_048, [1_078, 1_176]), (1_078, [1_176]), (1_176, [])]


def test_at_most_seven_pages_are_named_ahead_at_first():
    counts = []

    def fetch(offset, ahead):
        counts.append(len([*ahead]))
        return account.page(offset)

    account = Account(3_000)
    list(Walk(fetch, "hash"))
    assert counts[:13] == [0, 7, *[6] * 9, 7, 7]


@pytest.mark.parametrize(
    ("page_size", "count", "offsets"),
    [(100, 250, [0, 98, 196, 248, 294, 392]), (100, 198, [0, 98, 196, 294]), (52, 60, [0, 50, 59, 100, 150])],
)
def test_pages_fetched_ahead_serve_to_look_beyond_the_end(page_size, count, offsets):
    assert [offset for offset, _ in named(Account(count, page_size=page_size))] == offsets


def test_pages_of_one_record_that_is_replaced_have_an_end():
    with pytest.raises(OpenRouterResponseError, match=r"changes faster .*: 0 of 1,001 pages brought nothing new"):
        list(Walk(lambda offset, ahead: [{"hash": str(offset)}], "hash"))
