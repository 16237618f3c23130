"""The rule: which keys are watched, and which of them are low."""

import json
import logging
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.watch.rule import Inventory, LimitRule, Threshold, next_reset

OBSERVED_AT = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)
UNWATCHED = (
    "No key is watched: none in force with a limit matches the rule. Check key_hashes, name_pattern, "
    "include_disabled and workspace_id."
)


def check(*keys, threshold=5, **rule):
    return LimitRule(threshold=threshold, **rule).check(Inventory(keys, observed_at=OBSERVED_AT))


def key(name="a", remaining=1.0, **fields):
    return {"hash": name, "name": name, "limit_remaining": remaining} | fields


def names(keys):
    return [key["name"] for key in keys]


def is_low(remaining, threshold, limit=None):
    return bool(check(key(remaining=remaining, limit=limit), threshold=threshold).low)


# -- any keys, any rule, against an oracle in fractions

PATTERNS = {
    None: lambda name: True,
    "": lambda name: True,
    "*": lambda name: True,
    "billing-*": lambda name: name.startswith("billing-"),
    "*-PROD": lambda name: name.endswith("-PROD"),
    "?": lambda name: len(name) == 1,
    "[ab]?*": lambda name: len(name) > 1 and name[0] in "ab",
}
MISSING = object()
anything = settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
AMOUNTS = st.sampled_from([0, 0.0, -0.0, 0.1, 0.1 + 0.2, 0.3, 0.11, 1.1, 1, 5, 5.0, 10, 50, 5e-324, 1e308]) | (
    st.floats(-1, 20) | st.floats() | st.integers(-2, 20) | st.integers() | st.just(10**400)
)
NO_AMOUNTS = st.none() | st.booleans() | st.sampled_from(["5", "", "lots", [1], {}]) | st.just(MISSING)
TEXT = st.text(max_size=8)
ANYTHING = TEXT | st.none() | st.integers() | st.booleans() | st.lists(TEXT, max_size=2) | st.just(MISSING)


def written(moment, form):
    if form == "Z":
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if form == "naive":
        return moment.replace(tzinfo=None).isoformat()
    return moment.astimezone(timezone(timedelta(hours=form))).isoformat(timespec="microseconds")


@st.composite
def expiries(draw):
    """What expires_at may be, and whether it is over."""
    if draw(st.booleans()):
        never = [MISSING, None, "", "never", "2025-13-01T00:00:00Z", "2025-08-24T10:30:00+99:00", 0, True, []]
        return draw(st.sampled_from(never)), False
    form = draw(st.sampled_from(["Z", "naive", 0, 5.5, -14]))
    step = timedelta(seconds=1) if form == "Z" else timedelta(microseconds=1)
    moment = OBSERVED_AT + draw(st.sampled_from([-1, 0, 1]) | st.integers(-(10**10), 10**10)) * step
    return written(moment, form), moment <= OBSERVED_AT


@st.composite
def keys_and_expiries(draw):
    """A key, and whether it has expired."""
    expires_at, expired = draw(expiries())
    fields = {
        "hash": draw(st.sampled_from("abcdefgh") | st.text(min_size=1, max_size=3)),
        "name": draw(st.sampled_from(["billing-eu", "Billing-eu", "crawl-PROD", "b", "ab\n"]) | TEXT | st.none()),
        "label": draw(ANYTHING),
        "disabled": draw(st.sampled_from([True, False, None, MISSING])),
        "limit": draw(AMOUNTS | NO_AMOUNTS),
        "limit_remaining": draw(AMOUNTS | AMOUNTS | NO_AMOUNTS),
        "limit_reset": draw(st.sampled_from(["daily", "weekly", "monthly"]) | ANYTHING),
        "expires_at": expires_at,
    }
    return {name: value for name, value in fields.items() if value is not MISSING}, expired


@st.composite
def thresholds(draw):
    """A threshold as it is written, the number in it, and whether that is a percentage."""
    if draw(st.booleans()):
        percent = draw(st.sampled_from([0, 0.1, 10, 50, 100]) | st.floats(0, 100))
        return f"{percent!r}%", Fraction(str(percent)), True
    usd = draw(
        st.sampled_from([0, 0.1, 0.3, 0.11, 1.1, 5, 10]) | st.floats(0, allow_infinity=False) | st.floats(0, 20)
    )
    return usd, Fraction(str(usd)), False


HASHES = st.none() | st.lists(st.sampled_from("abcxyz"), max_size=5)


def exact(value):
    """The number that JSON wrote, None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        return None
    return Fraction(str(value))


def oracle(keys_and_expiries, number, of_limit, hashes, pattern, include_disabled):
    """The low keys in their order, and how many are watched and not measurable."""
    low, watched, not_measurable = [], 0, 0
    for key, expired in keys_and_expiries:
        selected = hashes is None or key["hash"] in hashes
        named = PATTERNS[pattern](key.get("name") or "")
        disabled = key.get("disabled") is True and not include_disabled
        if not selected or not named or disabled or expired:
            continue
        remaining, limit = exact(key.get("limit_remaining")), exact(key.get("limit"))
        if remaining is None or (of_limit and (limit is None or limit <= 0)):
            not_measurable += 1
            continue
        watched += 1
        if remaining < (limit * number / 100 if of_limit else number):
            low.append(key)
    return sorted(low, key=lambda key: Fraction(key["limit_remaining"])), watched, not_measurable


@settings(anything, max_examples=400)
@given(
    st.lists(keys_and_expiries(), max_size=8),
    thresholds(),
    HASHES,
    st.sampled_from(list(PATTERNS)),
    st.booleans(),
)
def test_any_keys_are_low_exactly_if_the_oracle_says_so(listed, threshold, hashes, pattern, include_disabled):
    argument, number, of_limit = threshold
    found = check(
        *(key for key, _ in listed),
        threshold=argument,
        key_hashes=hashes,
        name_pattern=pattern,
        include_disabled=include_disabled,
    )
    low, watched, not_measurable = oracle(listed, number, of_limit, hashes, pattern, include_disabled)
    assert found.low == low
    assert (len(found.watched), found.not_measurable) == (watched, not_measurable)
    assert found.missing == sorted(set(hashes or []) - {key["hash"] for key, _ in listed})
    assert bool(found.unwatched) == bool(found.missing or not watched)
    assert len(str(found).splitlines()) == 1


@anything
@given(st.integers(1, 10**7), st.integers(0, 100))
def test_exactly_a_percentage_of_any_limit_in_cents_is_not_low_and_the_next_float_is(cents, percent):
    limit = float(Decimal(cents) / 100)
    remaining = float(Decimal(cents) * percent / 10_000)
    assert not is_low(remaining, f"{percent}%", limit)
    assert is_low(math.nextafter(remaining, -math.inf), f"{percent}%", limit)


@anything
@given(st.floats(0, 1e299))
def test_exactly_an_amount_is_not_low_and_the_next_float_is(usd):
    assert not is_low(usd, usd)
    assert is_low(math.nextafter(usd, -math.inf), usd)


# -- below


@pytest.mark.parametrize(
    ("remaining", "threshold", "limit", "low"),
    [
        (5, 5, None, False),
        (5.0, "5.00", None, False),
        (4.999999999999999, 5, None, True),
        (0, 0, None, False),
        (-0.0, 0, None, False),
        (-5e-324, 0, None, True),
        (-0.5, "0%", 10, True),
        (0.11, "10%", 1.1, False),
        (0.10999999999999999, "10%", 1.1, True),
        (0.1 + 0.2, 0.3, None, False),
        (0.3, 0.1 + 0.2, None, True),
        (0.07, "7%", 1, False),
        (8.2, "10%", 82, False),
        (1.1, "100%", 1.1, False),
        (1.0999999999999999, "100%", 1.1, True),
        (10**298, "10%", 10**299, False),
        (10**299 - 1, 10, None, False),
    ],
)
def test_below_is_strict_and_in_decimals(remaining, threshold, limit, low):
    assert is_low(remaining, threshold, limit) == low


def test_a_margin_is_added_to_what_a_key_must_be_above():
    threshold, margin = Threshold.read(0.1), Threshold.read(0.2)
    assert threshold.is_above(key(remaining=0.29), margin=margin)
    assert not threshold.is_above(key(remaining=0.3), margin=margin)


def test_a_margin_in_percent_is_of_the_limit_of_the_key():
    margin = Threshold.read("10%")
    assert Threshold.read("5%").is_above(key(remaining=14.99, limit=100), margin=margin)
    assert not Threshold.read("5%").is_above(key(remaining=15, limit=100), margin=margin)


@pytest.mark.parametrize("limit", [None, "100", 0])
def test_a_margin_in_percent_of_no_limit_is_nothing(limit):
    margin = Threshold.read("10%")
    assert Threshold.read(5).is_above(key(remaining=4.99, limit=limit), margin=margin)
    assert not Threshold.read(5).is_above(key(remaining=5, limit=limit), margin=margin)


# -- watched


@pytest.mark.parametrize("remaining", [None, "1", True, math.nan, math.inf, -math.inf, [], {}])
def test_a_key_whose_remainder_is_no_number_is_not_measurable(remaining):
    found = check(key(remaining=remaining), key("b"))
    assert found.not_measurable == 1
    assert names(found.watched) == ["b"]


@pytest.mark.parametrize("limit", [None, 0, -1, 0.0, "10", True, math.inf])
def test_a_key_without_a_limit_above_0_is_measurable_in_usd_but_not_in_percent(limit):
    found = check(key(limit=limit), threshold="10%")
    assert (found.not_measurable, found.watched) == (1, [])
    assert names(check(key(limit=limit)).low) == ["a"]


def test_a_key_without_the_fields_of_a_limit_is_not_measurable():
    assert check({"hash": "a"}).not_measurable == 1


def test_a_key_that_the_rule_does_not_select_is_not_counted_as_not_measurable():
    assert check(key(remaining=None), name_pattern="b*").not_measurable == 0


def test_limit_less_usage_is_not_what_remains():
    assert not check(key(remaining=50, limit=50, usage=4000)).low


def test_the_lowest_come_first_and_equals_in_the_order_of_the_listing():
    found = check(key("a", 3), key("b", 9), key("c", -0.5), key("d", 3.0), key("e", 0), key("f", 7))
    assert names(found.low) == ["c", "e", "a", "d"]
    assert names(found.watched) == ["c", "e", "a", "d", "f", "b"]


@pytest.mark.parametrize(
    ("disabled", "watched"), [(True, False), (False, True), (None, True), ("true", True), (1, True)]
)
def test_only_a_key_that_says_it_is_disabled_is_left_out(disabled, watched):
    assert bool(check(key(disabled=disabled)).watched) == watched
    assert check(key(disabled=disabled), include_disabled=True).watched


@pytest.mark.parametrize(
    ("expires_at", "watched"),
    [
        ("2025-08-24T10:30:00Z", False),
        ("2025-02-19T20:52:27.363244+00:00", False),
        ("2026-11-03T06:30:00Z", False),
        ("2026-11-03T06:30:00", False),
        ("2026-11-03T06:30:00.000001Z", True),
        ("2026-11-03T08:30:00+02:00", False),
        ("2026-11-03T06:30:00-00:30", True),
        ("2026-11-03", False),
        ("2026-11-04", True),
        ("0001-01-01T00:00:00+14:00", False),
        ("9999-12-31T23:59:59-14:00", True),
        (None, True),
        ("soon", True),
        (1724495400, True),
    ],
)
def test_a_key_is_in_force_until_the_moment_it_expires(expires_at, watched):
    assert bool(check(key(expires_at=expires_at)).watched) == watched


@pytest.mark.parametrize(
    ("pattern", "watched"),
    [
        ("billing-*", ["billing-eu", "billing-"]),
        ("Billing-*", ["Billing-eu"]),
        ("[bB]illing-e?", ["billing-eu", "Billing-eu"]),
        ("[!b]*", ["Billing-eu", "[x]"]),
        ("[[]x]", ["[x]"]),
        ("billing", []),
        ("", ["billing-eu", "billing-", "Billing-eu", "[x]"]),
    ],
)
def test_a_pattern_matches_whole_names_as_a_shell_does(pattern, watched):
    found = check(*map(key, ["billing-eu", "billing-", "Billing-eu", "[x]"]), name_pattern=pattern)
    assert names(found.watched) == watched


def test_a_key_without_a_name_matches_only_what_an_empty_name_does():
    nameless = [key() | {"name": None}, {"hash": "b", "limit_remaining": 1}]
    assert len(check(*nameless, name_pattern="*").watched) == 2
    assert not check(*nameless, name_pattern="?*").watched


def test_hashes_and_a_pattern_must_both_select_a_key():
    found = check(key("a1"), key("a2"), key("b1"), key_hashes=["a1", "b1"], name_pattern="a*")
    assert names(found.watched) == ["a1"]


# -- thresholds


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
        LimitRule(threshold=value)
    said = str(refusal.value)
    assert said.startswith(
        "threshold must be an amount of USD of 0 or more, such as 5, or a percentage of the limit, up to 100, "
        'such as "10%", not '
    )
    assert str(value) in said


def test_a_threshold_is_refused_by_the_name_it_has():
    with pytest.raises(OpenRouterRequestError, match=r"^rearm_margin must be an amount of USD"):
        Threshold.read(-1, name="rearm_margin")


@anything
@given(thresholds())
def test_a_threshold_is_read_again_from_its_argument(threshold):
    read = Threshold.read(threshold[0])
    assert Threshold.read(read.argument) == read
    assert Threshold.read(json.loads(json.dumps(read.argument))) == read
    assert Threshold.read(str(read.argument)) == read
    assert Fraction(read.amount) == threshold[1]


# -- arguments


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        ([], []),
        ("", []),
        (["b", "a"], ["a", "b"]),
        (("b", "a", "b"), ["a", "b"]),
        ({"b", "a"}, ["a", "b"]),
        ({"b": 1, "a": 2}.keys(), ["a", "b"]),
        ("b", ["b"]),
        (" b, a,\n,b\ta ", ["a", "b"]),
    ],
)
def test_hashes_are_a_sorted_list_without_doubles(value, read):
    assert LimitRule(threshold=5, key_hashes=value).key_hashes == read


@pytest.mark.parametrize(
    "value", [5, True, {"a": 1}, [1], [""], ["a", None], [["a"]], b"ab", "['a', 'b']", ["['a']"]], ids=repr
)
def test_anything_else_is_refused_as_hashes(value):
    with pytest.raises(OpenRouterRequestError, match=r"^key_hashes must be a list of the keys' hashes, not "):
        LimitRule(threshold=5, key_hashes=value)


def test_text_that_a_template_made_of_a_list_is_refused_with_the_remedy():
    with pytest.raises(OpenRouterRequestError, match="render_template_as_native_obj=True"):
        LimitRule(threshold=5, key_hashes="['a', 'b']")


def test_no_hashes_watch_nothing():
    found = check(key(), key_hashes=[])
    assert (found.watched, found.not_measurable, found.missing) == ([], 0, [])
    assert found.unwatched == UNWATCHED


@pytest.mark.parametrize("value", [5, True, ["a*"], {}, b"a*"], ids=repr)
def test_a_pattern_that_is_not_text_is_refused(value):
    with pytest.raises(OpenRouterRequestError, match=r"^name_pattern must be text such as 'billing-\*', not "):
        LimitRule(threshold=5, name_pattern=value)


@anything
@given(st.text(alphabet="ab-!?*[]\\^&|~.(){}\n", max_size=8), TEXT)
def test_any_text_is_a_pattern_that_may_be_held_against_any_name(pattern, name):
    assert len(check(key(name), name_pattern=pattern).watched) in (0, 1)


@pytest.mark.parametrize("name", ["include_disabled", "fail_if_unwatched"])
def test_flags_are_read_and_refused_by_name(name):
    assert getattr(LimitRule(threshold=5, **{name: " True "}), name) is True
    with pytest.raises(OpenRouterRequestError, match=f"^{name} must be true or false, not None"):
        LimitRule(threshold=5, **{name: None})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"threshold": "10 %"}, {"threshold": "10.00%"}),
        ({"threshold": 5}, {"threshold": "5.00"}),
        ({"key_hashes": ["a", "b"]}, {"key_hashes": ("b", "a", "b")}),
        ({"key_hashes": {"a", "b"}}, {"key_hashes": "b, a"}),
        ({"include_disabled": False}, {"include_disabled": "false"}),
        ({"fail_if_unwatched": True}, {"fail_if_unwatched": "True"}),
        ({"name_pattern": None}, {"name_pattern": ""}),
    ],
)
def test_rules_that_are_the_same_have_the_same_arguments(one, other):
    rules = [LimitRule(**{"threshold": 5} | written) for written in (one, other)]
    first, second = (json.dumps(rule.arguments, allow_nan=False) for rule in rules)
    assert first == second


@anything
@given(thresholds(), HASHES, st.none() | TEXT, st.booleans(), st.booleans())
def test_a_rule_is_made_anew_of_its_arguments(threshold, hashes, pattern, include_disabled, fail_if_unwatched):
    arguments = LimitRule(
        threshold=threshold[0],
        key_hashes=hashes,
        name_pattern=pattern,
        include_disabled=include_disabled,
        fail_if_unwatched=fail_if_unwatched,
    ).arguments
    stored = json.loads(json.dumps(arguments, allow_nan=False))
    assert stored == arguments
    assert LimitRule(**stored).arguments == arguments


# -- watched in vain


def test_a_hash_that_is_not_listed_is_told():
    found = check(key("a", 9), key_hashes="a,z")
    assert found.missing == ["z"]
    assert found.unwatched == (
        "key_hashes names keys that are not listed: z. Are they deleted, disabled, expired, or in another "
        "workspace?"
    )


def test_five_missing_hashes_are_named_and_the_rest_is_counted():
    assert "not listed: a, b, c, d, e and 2 more. Are" in check(key_hashes=list("gfedcba")).unwatched
    assert "not listed: a, b, c, d, e. Are" in check(key_hashes=list("edcba")).unwatched


def test_a_listed_key_that_is_out_of_force_is_not_missing_but_not_watched_either():
    found = check(key(disabled=True), key_hashes=["a"])
    assert found.missing == []
    assert found.unwatched == UNWATCHED


def test_nothing_is_said_where_all_is_watched():
    assert check(key(), key("b"), key_hashes=["a", "b"]).unwatched == ""


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ([key("a")], {"key_hashes": ["a", "z"]}),
        ([], {}),
        ([key(remaining=None)], {}),
        ([key(limit=None)], {"threshold": "10%"}),
        ([key()], {"name_pattern": "b*"}),
        ([key()], {"key_hashes": []}),
    ],
    ids=["a missing hash", "no key", "no limit", "no limit for a percentage", "no match", "no hashes"],
)
def test_watching_in_vain_is_an_error_only_if_asked(keys, rule):
    said = check(*keys, **rule).unwatched
    with pytest.raises(OpenRouterRequestError) as error:
        check(*keys, fail_if_unwatched=True, **rule)
    assert str(error.value) == said != ""


def test_a_rule_that_watches_something_does_not_fail():
    assert names(check(key(), key_hashes=["a"], fail_if_unwatched="true").low) == ["a"]


@pytest.mark.parametrize(
    ("keys", "levels"), [([key()], [logging.INFO]), ([], [logging.INFO, logging.WARNING])], ids=["some", "none"]
)
def test_a_report_is_one_line_and_a_warning_if_something_is_watched_in_vain(keys, levels, caplog):
    caplog.set_level(logging.INFO)
    found = check(*keys)
    found.report(logging.getLogger("tests.limits"))
    assert [record.levelno for record in caplog.records] == levels
    said = [str(found), found.unwatched]
    assert [record.getMessage() for record in caplog.records] == said[: len(levels)]


def test_a_report_takes_a_percent_sign_as_it_is(caplog):
    caplog.set_level(logging.INFO)
    check(key("100%s"), key_hashes=["100%s", "%d"]).report(logging.getLogger("tests.limits"))
    line, warning = (record.getMessage() for record in caplog.records)
    assert "100%s has $1.00 left" in line
    assert "not listed: %d. Are" in warning


# -- records


def test_records_are_the_keys_as_they_were_sent_with_observed_at_beside():
    sent = [key("b", 2, limit="10", mood={"good": [1]}), key("a", -1), key("c", 9)]
    before = json.loads(json.dumps(sent))
    assert check(*sent).records == [
        {"hash": "a", "name": "a", "limit_remaining": -1, "observed_at": "2026-11-03T06:30:00+00:00"},
        before[0] | {"observed_at": "2026-11-03T06:30:00+00:00"},
    ]
    assert sent == before


def test_there_are_no_records_where_nothing_is_low():
    assert check(key(remaining=9)).records == []


# -- resets


@pytest.mark.parametrize(
    ("rhythm", "now", "day"),
    [
        ("daily", datetime(2026, 11, 3, tzinfo=UTC), date(2026, 11, 4)),
        ("daily", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), date(2027, 1, 1)),
        ("daily", datetime(2028, 2, 28, 12, tzinfo=UTC), date(2028, 2, 29)),
        ("weekly", datetime(2026, 11, 1, 23, 59, tzinfo=UTC), date(2026, 11, 2)),
        ("weekly", datetime(2026, 11, 2, tzinfo=UTC), date(2026, 11, 9)),
        ("weekly", datetime(2026, 12, 31, tzinfo=UTC), date(2027, 1, 4)),
        ("monthly", datetime(2026, 1, 31, 23, 59, tzinfo=UTC), date(2026, 2, 1)),
        ("monthly", datetime(2026, 2, 1, tzinfo=UTC), date(2026, 3, 1)),
        ("monthly", datetime(2028, 2, 29, tzinfo=UTC), date(2028, 3, 1)),
        ("monthly", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), date(2027, 1, 1)),
        ("daily", datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), date(2027, 1, 1)),
        ("weekly", datetime(2026, 11, 1, 20, tzinfo=timezone(timedelta(hours=-8))), date(2026, 11, 9)),
        ("monthly", datetime(2026, 1, 31, 20, tzinfo=timezone(timedelta(hours=-8))), date(2026, 3, 1)),
        ("monthly", datetime(2026, 2, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), date(2026, 2, 1)),
    ],
)
def test_a_limit_is_reset_at_the_next_utc_midnight_monday_or_first(rhythm, now, day):
    assert next_reset(rhythm, now) == day


@pytest.mark.parametrize("rhythm", [None, "", "yearly", "Daily", 1, [], {}])
def test_the_next_reset_of_an_unknown_rhythm_is_not_known(rhythm):
    assert next_reset(rhythm, OBSERVED_AT) is None


@anything
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_reset_is_the_first_day_after_today_that_fits(now):
    days = [(now + timedelta(days=ahead)).date() for ahead in range(1, 33)]
    assert next_reset("daily", now) == days[0]
    assert next_reset("weekly", now) == next(day for day in days if day.isoweekday() == 1)
    assert next_reset("monthly", now) == next(day for day in days if day.day == 1)


# -- the line


def test_the_line_tells_each_low_key_and_when_it_is_reset():
    found = check(
        key("billing-eu", 4.5, limit=100, limit_reset="monthly"),
        key("billing-us", -0.12, limit=1234.5, limit_reset="daily"),
        key("crawler", 80, limit=100),
        key("free", None),
        threshold="10%",
    )
    assert str(found) == (
        "3 keys watched (1 more not measurable), 2 below 10% of the limit: "
        "billing-us has -$0.12 of $1,234.50 left, resets daily, next on 2026-11-04 at 00:00 UTC; "
        "billing-eu has $4.50 of $100.00 left, resets monthly, next on 2026-12-01 at 00:00 UTC"
    )


def test_the_line_tells_the_lowest_if_none_is_low():
    found = check(key("crawler", 40), key("billing", 5, limit_reset="weekly"))
    assert str(found) == (
        "2 keys watched, 0 below $5.00; the lowest: "
        "billing has $5.00 left, resets weekly, next on 2026-11-09 at 00:00 UTC"
    )


def test_the_line_says_so_if_nothing_is_watched():
    assert str(check(key(remaining=None))) == "0 keys watched (1 more not measurable), 0 below $5.00"


@pytest.mark.parametrize(("count", "end"), [(5, "; e has $1.00 left, never resets"), (7, "; and 2 more")])
def test_five_low_keys_are_named_and_the_rest_is_counted(count, end):
    line = str(check(*map(key, "abcdefg"[:count])))
    assert line.startswith(f"{count} keys watched, {count} below $5.00: a has $1.00 left, never resets; b has ")
    assert line.endswith(end)
    assert line.count(" has ") == 5


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"name": "bill"}, "bill"),
        ({"name": None}, "sk-or-v1-0e6...1c96"),
        ({"name": ""}, "sk-or-v1-0e6...1c96"),
        ({"name": None, "label": None}, "f01d"),
        ({"name": "two\r\nlines\u2028and\x85more\x0b\t."}, "two lines and more ."),
        ({"name": "n" * 81}, "n" * 80),
    ],
)
def test_a_key_is_shown_by_name_label_or_hash_on_one_line(fields, shown):
    record = {"hash": "f01d", "label": "sk-or-v1-0e6...1c96", "limit_remaining": 1} | fields
    assert str(check(record)) == f"1 keys watched, 1 below $5.00: {shown} has $1.00 left, never resets"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"name": "\x1b[2Ka\x00b\u202e"}, "[2Ka b"),
        ({"name": " \n ", "label": "sk-or-v1-1"}, "sk-or-v1-1"),
        ({"name": " ", "label": "\t"}, "a"),
    ],
)
def test_a_name_is_shown_without_what_moves_a_cursor_and_if_nothing_is_left_another(fields, shown):
    assert f"{shown} has $1.00 left" in str(check(key() | fields))


def test_an_amount_below_a_cent_is_shown_with_its_digits():
    line = str(check(key(limit_remaining=-0.001), threshold=0.004))
    assert line == "1 keys watched, 1 below $0.004000: a has -$0.001000 left, never resets"


def test_a_negative_limit_does_not_lower_the_margin():
    told = key(limit_remaining=4.5, limit=-10)
    assert Threshold.read(5).is_above(told, margin=Threshold.read("10%"))


@pytest.mark.parametrize("rendered", ["('a', 'b')", "{'a', 'b'}", '["a"]'])
def test_a_collection_rendered_to_text_is_no_text_of_hashes(rendered):
    with pytest.raises(OpenRouterRequestError, match="render_template_as_native_obj"):
        LimitRule(threshold=5, key_hashes=rendered)


@pytest.mark.parametrize(
    ("rhythm", "shown"),
    [("yearly", "yearly"), ("every\nday", "every day"), ("x" * 90, "x" * 80), (7, "7"), ({"a": 1}, "{'a': 1}")],
)
def test_an_unknown_rhythm_is_shown_as_it_is_without_a_day(rhythm, shown):
    assert str(check(key(limit_reset=rhythm))).endswith(f"a has $1.00 left, resets {shown}")


def test_hashes_that_can_be_read_only_once_are_refused():
    with pytest.raises(OpenRouterRequestError, match="key_hashes must be a list"):
        LimitRule(threshold=5, key_hashes=(hash_ for hash_ in ["a"]))
