"""How a key is read: the only way in which its amounts, flags, times and text are read."""

import math
import time
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError
from airflow_provider_openrouter.keys import (
    AMOUNT_BOUND,
    FIELDS,
    READERS,
    KeyListing,
    LimitedKey,
    is_active,
    is_disabled,
    is_expired,
    is_management_key,
    read_amount,
    read_count,
    read_date,
    read_flag,
    read_hash,
    read_text,
    read_time,
    team,
    to_json,
)
from airflow_provider_openrouter.scope import WorkspaceScope

OBSERVED_AT = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
quick = settings(deadline=None, database=None)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=5,
)


def listing(*keys, typed=None, names=None):
    keys = [{"hash": str(number)} | key for number, key in enumerate(keys)]
    return KeyListing(
        keys=keys, observed_at=OBSERVED_AT, scope=WorkspaceScope(typed), workspace_names=names or {}
    )


def short(value):
    """Return the id of a parameter, without backslashes: mutmut would not find the test again."""
    return ascii(value).replace("\\", "")[:20]


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# -- text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        (" é\n", " é\n"),
        (5, "5"),
        (0.5, "0.5"),
        (True, "true"),
        ([], "[]"),
        ({"b": 1, "a": "é"}, '{"a": "é", "b": 1}'),
        ({"a": "é", "b": 1}, '{"a": "é", "b": 1}'),
    ],
)
def test_text_is_kept_and_all_else_is_json(value, text):
    assert read_text(value) == text


@pytest.mark.parametrize("write", [to_json, read_text])
def test_what_is_nested_too_deeply_is_an_error(write):
    with pytest.raises(OpenRouterResponseError, match=r"^A key has a field that is nested too deeply"):
        write(nested(100_000))


# -- flags


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_is_a_boolean_or_its_name(flag):
    assert [read_flag(value) for value in (flag, str(flag), str(flag).lower(), str(flag).upper())] == [flag] * 4


@pytest.mark.parametrize("value", [None, 0, 1, 1.0, "", "yes", "1", " true", [], [True], {}], ids=repr)
def test_anything_else_is_no_flag(value):
    assert read_flag(value) is None


# -- amounts


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (0, 0.0),
        (-0.25, -0.25),
        (5, 5.0),
        ("5", 5.0),
        ("0.5", 0.5),
        ("-1e3", -1000.0),
        (" 5\n", 5.0),
        (10**299, 1e299),
        (-(10**299), -1e299),
        (5e-324, 5e-324),
    ],
    ids=short,
)
def test_an_amount_is_a_number_or_a_numeral(value, amount):
    assert read_amount(value) == amount
    assert type(read_amount(value)) is float


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, "", "$5", "5,00", "NaN", "inf", "-Infinity", "1e999", math.nan, math.inf, -math.inf),
        *(AMOUNT_BOUND, -AMOUNT_BOUND, 10**300, 10**400, "9" * 5_000, [], [5], {}, {"usd": 5}),
    ],
    ids=short,
)
def test_anything_else_is_no_amount(value):
    assert read_amount(value) is None


@quick
@given(st.lists(st.integers() | st.floats() | st.floats().map(str), max_size=50))
def test_a_sum_of_amounts_is_finite(values):
    amounts = [amount for amount in map(read_amount, values) if amount is not None]
    assert math.isfinite(math.fsum(amounts))


# -- times


@pytest.fixture
def tokyo(monkeypatch):
    """A machine whose own zone is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("value", "in_utc"),
    [
        ("2025-08-24T10:30:00Z", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        ("2025-02-19T20:52:27.363244+00:00", datetime(2025, 2, 19, 20, 52, 27, 363244, UTC)),
        ("2025-08-24T10:30:00+05:30", datetime(2025, 8, 24, 5, 0, tzinfo=UTC)),
        ("2025-08-24T10:30:00", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        ("2025-08-24 10:30", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        ("2025-08-24", datetime(2025, 8, 24, tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc_whatever_its_zone(value, in_utc, tokyo):
    assert read_time(value) == in_utc
    assert read_time(value).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, 1.5, 1_700_000_000, [], {}, ["2025-08-24"]),
        *("", "soon", "24:00", "2025-02-30", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
    ids=repr,
)
def test_anything_else_is_no_time(value):
    assert read_time(value) is None


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2025-08-24", date(2025, 8, 24)),
        ("2025-08-24T23:30:00-05:00", date(2025, 8, 25)),
        ("soon", None),
        (None, None),
    ],
)
def test_a_day_is_that_of_a_time_in_utc(value, day):
    assert read_date(value) == day


# -- counts


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        *((number, number) for number in (0, -3, 2**53 + 1, 2**63 - 1, -(2**63))),
        *((value, 12) for value in (12, 12.0, "12", "1.2e1")),
        *((value, None) for value in (2**63, -(2**63) - 1, 0.5, "many", True, None, [12])),
    ],
    ids=repr,
)
def test_a_count_is_a_whole_number_of_64_bits(value, whole):
    assert read_count(value) == whole
    assert whole is None or type(read_count(value)) is int


# -- hashes


@pytest.mark.parametrize("value", ["a", "A-b_9" * 25 + "abc", "0" * 64])
def test_a_hash_is_a_word_of_up_to_128_letters(value):
    assert read_hash(value) is value


@pytest.mark.parametrize("value", ["", "a b", "é", "a\n", "a" * 129, 7], ids=short)
def test_anything_else_is_no_hash(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        read_hash(value)
    assert str(refusal.value) == f"No key has the hash {repr(value)[:80]}. Give the hash that the list shows."


@pytest.mark.parametrize("key", ["sk-or-v1-abc", "Bearer SK-OR-V1-abc"])
def test_a_key_is_no_hash_and_is_not_shown(key):
    with pytest.raises(OpenRouterRequestError) as refusal:
        read_hash(key)
    said = "A key was given in place of its hash. Give the hash that the list shows."
    assert str(refusal.value) == said


# -- any value


@quick
@given(VALUES)
def test_whatever_is_sent_can_be_read(value):
    kinds = {
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": float,
        "timestamp": datetime,
        "date": date,
    }
    assert READERS.keys() == kinds.keys() > set(FIELDS.values())
    for kind, read in READERS.items():
        assert read(value) is None or type(read(value)) is kinds[kind]
    key = {"hash": "a", "disabled": value, "expires_at": value, "limit_remaining": value}
    assert is_disabled(key) is (read_flag(value) is True)
    assert is_expired(key, OBSERVED_AT) in (True, False)
    assert is_active(key, OBSERVED_AT) is not (is_disabled(key) or is_expired(key, OBSERVED_AT))
    for group in (listing(key).active, listing(key).unexpired):
        assert len(group.limited) + len(group.not_measurable) <= 1


# -- teams


@pytest.mark.parametrize(
    ("name", "said"), [("search-prod-eu", "search"), ("search", "search"), ("", ""), (None, ""), (7, "7")]
)
def test_the_team_of_a_key_is_the_start_of_its_name(name, said):
    assert team(name) == said


# -- disabled and expired


@pytest.mark.parametrize(
    ("key", "disabled"),
    [
        ({}, False),
        ({"disabled": None}, False),
        ({"disabled": False}, False),
        ({"disabled": "false"}, False),
        ({"disabled": 1}, False),
        ({"disabled": True}, True),
        ({"disabled": "true"}, True),
    ],
)
def test_a_key_is_disabled_if_it_says_so(key, disabled):
    assert is_disabled(key) is disabled


@pytest.mark.parametrize(
    ("expires_at", "expired"),
    [
        (None, False),
        ("soon", False),
        ((OBSERVED_AT + SECOND).isoformat(), False),
        (OBSERVED_AT.isoformat(), True),
        ((OBSERVED_AT - SECOND).isoformat(), True),
        (OBSERVED_AT.astimezone(timezone(timedelta(hours=9))).isoformat(), True),
        (OBSERVED_AT.replace(tzinfo=None).isoformat(), True),
    ],
)
def test_a_key_has_expired_once_its_time_is_reached(expires_at, expired):
    assert is_expired({"expires_at": expires_at}, OBSERVED_AT) is expired


def test_a_key_that_says_nothing_has_not_expired():
    assert not is_expired({}, OBSERVED_AT)


@pytest.mark.parametrize("disabled", [None, True])
@pytest.mark.parametrize("expires_at", [None, "2026-01-01"])
def test_a_key_is_active_if_neither_disabled_nor_expired(disabled, expires_at):
    key = {"disabled": disabled, "expires_at": expires_at}
    assert is_active(key, OBSERVED_AT) is (not disabled and expires_at is None)


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ({"is_management_key": True, "is_provisioning_key": False}, True),
        ({"is_management_key": "false"}, False),
        ({"is_provisioning_key": True}, True),
        ({"is_management_key": None}, None),
        ({}, None),
    ],
)
def test_a_management_key_may_go_by_its_older_name(key, known):
    assert is_management_key(key) is known


# -- a listing


def test_a_listing_sorts_its_keys_by_what_remains():
    keys = listing(
        {"limit_remaining": 3, "limit": "10"},
        {"limit_remaining": "-0.5", "limit": None},
        {"limit_remaining": None, "limit": 5},
        {"limit_remaining": 1, "expires_at": "2026-01-01"},
        {"limit_remaining": 3, "disabled": True},
        {},
    )
    lowest, middle, disabled = ("1", -0.5, None), ("0", 3.0, 10.0), ("4", 3.0, None)
    assert [(each.hash, each.remaining, each.limit) for each in keys.active.limited] == [lowest, middle]
    assert [(each.hash, each.remaining, each.limit) for each in keys.unexpired.limited] == [
        lowest,
        middle,
        disabled,
    ]
    assert [key["hash"] for key in keys.active.not_measurable] == ["2", "5"]
    assert [key["hash"] for key in keys.unexpired.not_measurable] == ["2", "5"]
    assert keys.hashes == set("012345")
    assert keys.group(include_disabled=True) is keys.unexpired
    assert keys.group(include_disabled=False) is keys.active


def test_a_limited_key_holds_the_key_as_it_was_sent():
    keys = listing({"limit_remaining": "1", "new": {}})
    (limited,) = keys.active.limited
    assert limited == LimitedKey(keys.keys[0], 1.0, None)
    assert limited.key is keys.keys[0]


@pytest.mark.parametrize(
    ("typed", "names", "said"),
    [
        (None, {}, "default only"),
        ("*", {}, "all workspaces"),
        ("*", {"w1": "Team", "w2": "Other"}, "all workspaces"),
        ("w1", {}, "w1"),
        ("w1", {"w1": "Team"}, "Team (w1)"),
        ("w1", {"w1": ""}, "w1"),
        ("Team", {"w1": "Team"}, "Team (w1)"),
        ("a\n\x1b[2Jb", {}, "a [2Jb"),
        ("w1", {"w1": "a\r\n\x1b[2Jb" + "c" * 100}, f"a [2Jb{'c' * 74} (w1)"),
    ],
)
def test_a_listing_says_in_words_whose_keys_it_has(typed, names, said):
    assert listing(typed=typed, names=names).workspace == said


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ({"workspace_id": "w1"}, "Team"),
        ({"workspace_id": "w2"}, None),
        ({"workspace_id": "w3"}, None),
        ({"workspace_id": None}, None),
        ({"workspace_id": ["w1"]}, None),
        ({}, None),
    ],
)
def test_the_name_of_a_keys_workspace_may_be_unknown(key, name):
    assert listing(names={"w1": "Team", "w3": ""}).workspace_name(key) == name
