"""The rule: which keys are watched, and which of them are low."""

import json
import logging
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.keys import OBSERVED_AT, key, lines, listing, low, names

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.watch.left import KeysLeft
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.threshold import Threshold

UNWATCHED = (
    "No key is watched: no active key with a limit matches {}. Check key_hashes, name_pattern, include_disabled "
    "and workspace_id."
)


def check(*keys, threshold=5, **rule):
    return LimitRule(threshold=threshold, **rule).check(listing(*keys))


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
NO_AMOUNTS = st.none() | st.booleans() | st.sampled_from(["5", "-1e2", "", "lots", [1], {}]) | st.just(MISSING)
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
    """The amount that was sent, as a number or as a numeral in text; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if value in ("", "lots") or not -1e300 < float(Decimal(value)) < 1e300:
        return None
    return Fraction(str(float(value)))


def oracle(keys_and_expiries, number, of_limit, hashes, pattern, include_disabled):
    """The low keys in their order, and how many are watched and not measurable."""
    low, watched, not_measurable = [], 0, 0
    for sent, expired in keys_and_expiries:
        selected = hashes is None or sent["hash"] in hashes
        named = PATTERNS[pattern](sent.get("name") or "")
        disabled = sent.get("disabled") in (True, "true", "TRUE") and not include_disabled
        if not selected or not named or disabled or expired:
            continue
        remaining, limit = exact(sent.get("limit_remaining")), exact(sent.get("limit"))
        if remaining is None or (of_limit and (limit is None or limit <= 0)):
            not_measurable += 1
            continue
        watched += 1
        if remaining < (limit * number / 100 if of_limit else number):
            low.append(sent)
    return sorted(low, key=lambda sent: exact(sent["limit_remaining"])), watched, not_measurable


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
    expected, watched, not_measurable = oracle(listed, number, of_limit, hashes, pattern, include_disabled)
    assert [limited.key for limited in low(found)] == expected
    assert (len(found.watched), found.not_measurable) == (watched, not_measurable)
    assert found.missing == sorted(set(hashes or []) - {key["hash"] for key, _ in listed})
    assert found.is_unwatched == bool(found.missing or not watched)
    assert all(len(line.splitlines()) == 1 for line in lines(found))


@anything
@given(st.integers(1, 10**7), st.integers(0, 100))
def test_exactly_a_percentage_is_not_low_and_the_next_float_is(cents, percent):
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
        (0.060899999999999996, "3%", 2.03, True),
        (0.12179999999999999, "3%", 4.06, True),
        (1.1, "100%", 1.1, False),
        (1.0999999999999999, "100%", 1.1, True),
        (0.01, "10%", 0.5, True),
        (1e15, "14.6860527464341%", 6809181590627261, True),  # of which it is exactly 1e15 + 1e-15
        (10**298, "10%", 10**299, False),
        (10**299 - 1, 10, None, False),
    ],
)
def test_below_is_strict_and_in_decimals(remaining, threshold, limit, low):
    assert is_low(remaining, threshold, limit) == low


# -- watched


@pytest.mark.parametrize(
    "remaining", [None, "", "lots", "nan", "1e999", True, math.nan, math.inf, -math.inf, [], {}]
)
def test_a_key_whose_remainder_is_no_number_is_not_measurable(remaining):
    found = check(key(remaining=remaining), key("b"))
    assert found.not_measurable == 1
    assert names(found.watched) == ["b"]


@pytest.mark.parametrize("limit", [None, 0, -1, 0.0, "0", "ten", True, math.inf])
def test_without_a_limit_above_0_a_key_is_measurable_in_usd_only(limit):
    found = check(key(limit=limit), threshold="10%")
    assert (found.not_measurable, found.watched) == (1, [])
    assert names(low(check(key(limit=limit)))) == ["a"]


def test_a_key_without_the_fields_of_a_limit_is_not_measurable():
    assert check({"hash": "a"}).not_measurable == 1


def test_a_key_that_is_not_selected_is_not_counted():
    assert check(key(remaining=None), name_pattern="b*").not_measurable == 0


def test_limit_less_usage_is_not_what_remains():
    assert not check(key(remaining=50, limit=50, usage=4000)).low


def test_the_lowest_come_first_and_equals_as_listed():
    found = check(key("a", 3), key("b", 9), key("c", -0.5), key("d", 3.0), key("e", 0), key("f", 7))
    assert names(low(found)) == ["c", "e", "a", "d"]
    assert names(found.watched) == ["c", "e", "a", "d", "f", "b"]


def test_one_that_is_reset_just_as_it_runs_dry_hides_no_other():
    found = LimitRule(threshold="6 days").check(
        listing(
            key("reset", 9, usage_weekly=5, limit_reset="weekly"),
            key("dry", 10, usage_weekly=5),
            observed_at=datetime(2026, 11, 11, 12, tzinfo=UTC),
        )
    )
    assert names(found.watched) == ["dry", "reset"]
    assert names(low(found)) == ["dry"]


def test_those_who_share_a_listing_share_what_is_sorted():
    shared = listing(key())
    assert KeysLeft.of(shared, include_disabled=True) is KeysLeft.of(shared, include_disabled=True)


@pytest.mark.parametrize(
    ("disabled", "watched"),
    [(True, False), ("true", False), ("True", False), (False, True), (None, True), ("false", True), (1, True)],
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
        ("0001-01-01T00:00:00+14:00", True),
        ("9999-12-31T23:59:59-14:00", True),
        (None, True),
        ("soon", True),
        (1724495400, True),
    ],
)
def test_a_key_is_active_until_the_moment_it_expires(expires_at, watched):
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


def test_a_key_without_a_name_matches_as_an_empty_name():
    nameless = [key() | {"name": None}, {"hash": "b", "limit_remaining": 1}]
    assert len(check(*nameless, name_pattern="*").watched) == 2
    assert not check(*nameless, name_pattern="?*").watched


def test_hashes_and_a_pattern_must_both_select_a_key():
    found = check(key("a1"), key("a2"), key("b1"), key_hashes=["a1", "b1"], name_pattern="a*")
    assert names(found.watched) == ["a1"]


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


def test_text_that_a_template_made_of_a_list_is_refused():
    with pytest.raises(OpenRouterRequestError) as refusal:
        LimitRule(threshold=5, key_hashes="['a', 'b']")
    assert str(refusal.value) == (
        """key_hashes must be a list of the keys' hashes, not "['a', 'b']". A template that makes a list needs """
        "render_template_as_native_obj=True on the DAG."
    )


def test_a_list_of_thresholds_is_refused_where_no_steps_are():
    with pytest.raises(OpenRouterRequestError, match=r"^threshold must be USD"):
        LimitRule(threshold=[9, 5])


def test_an_expiry_that_is_no_time_is_refused_by_name():
    with pytest.raises(OpenRouterRequestError, match=r"^expires_within must be"):
        LimitRule(threshold=5, expires_within="soon")


def test_no_hashes_watch_nothing():
    found = check(key(), key_hashes=[])
    assert (found.watched, found.not_measurable, found.missing) == ([], 0, [])
    assert found.is_unwatched
    assert found.warning == UNWATCHED.format("key_hashes (empty)")


@pytest.mark.parametrize("value", [5, True, ["a*"], {}, b"a*"], ids=repr)
def test_a_pattern_that_is_not_text_is_refused(value):
    with pytest.raises(OpenRouterRequestError, match=r"^name_pattern must be text such as 'billing-\*', not "):
        LimitRule(threshold=5, name_pattern=value)


@anything
@given(st.text(alphabet="ab-!?*[]\\^&|~.(){}\n", max_size=8), TEXT)
def test_any_text_is_a_pattern_for_any_name(pattern, name):
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
        ({"threshold": "1.5 days"}, {"threshold": timedelta(hours=36)}),
        ({"threshold": [9, "5"], "has_steps": True}, {"threshold": (5, 9.0, 5), "has_steps": True}),
        ({"expires_within": "1 week"}, {"expires_within": "7 days"}),
        ({"expires_within": None}, {}),
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
def test_a_rule_is_made_again_of_its_arguments(threshold, hashes, pattern, include_disabled, fail_if_unwatched):
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


def test_a_hash_that_is_not_listed_is_warned_of():
    found = check(key("a", 9), key_hashes="a,z")
    assert found.missing == ["z"]
    assert found.warning == (
        "key_hashes names keys that are not listed: z. They may be deleted, disabled, expired, or in another "
        "workspace."
    )


def test_five_missing_hashes_are_named_and_the_rest_is_counted():
    assert "not listed: a, b, c, d, e and 1 more. They" in check(key_hashes=list("fedcba")).warning
    assert "not listed: a, b, c, d, e. They" in check(key_hashes=list("edcba")).warning


def test_a_key_that_is_not_active_is_neither_missing_nor_watched():
    found = check(key(disabled=True), key_hashes=["a"])
    assert found.missing == []
    assert found.is_unwatched
    assert found.warning == UNWATCHED.format("key_hashes a")


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, "the rule"),
        ({"name_pattern": "none-*"}, "name_pattern 'none-*'"),
        ({"name_pattern": "a\nb"}, "name_pattern 'a b'"),
        ({"name_pattern": "none-*", "key_hashes": ["a"]}, "key_hashes a and name_pattern 'none-*'"),
        ({"key_hashes": list("abcdefgh")}, "key_hashes a, b, c, d, e and 3 more"),
    ],
)
def test_a_warning_of_nothing_watched_says_what_matches_nothing(rule, matches):
    unlimited = [key(hash_, limit_remaining=None) for hash_ in "abcdefgh"]
    assert check(*unlimited, **rule).warning == UNWATCHED.format(matches)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"threshold": 5}, "keys below $5.00"),
        ({"threshold": "10%", "name_pattern": "a*"}, "keys below 10% of the limit with name_pattern 'a*'"),
        ({"threshold": 5, "key_hashes": ["b", "a"]}, "keys below $5.00 with key_hashes a, b"),
        ({"threshold": "36 hours"}, "keys dry within 36 hours"),
        ({"threshold": [5, 1], "has_steps": True}, "keys below $5.00 in 2 steps"),
        ({"threshold": 5, "expires_within": "1 week"}, "keys below $5.00 or expiring within 7 days"),
    ],
)
def test_a_rule_says_which_keys_it_watches(rule, words):
    assert str(LimitRule(**rule)) == words


def test_nothing_is_said_where_all_is_watched():
    assert not check(key(), key("b"), key_hashes=["a", "b"]).is_unwatched
    assert not check(key(remaining=None), expires_within="7 days").is_unwatched


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ([key("a")], {"key_hashes": ["a", "z"]}),
        ([], {}),
        ([key(remaining=None)], {}),
        ([key(limit=None)], {"threshold": "10%"}),
        ([key()], {"name_pattern": "b*"}),
        ([key()], {"key_hashes": []}),
        ([key()], {"name_pattern": "b*", "expires_within": "7 days"}),
    ],
    ids=["a missing hash", "no key", "no limit", "no limit for a percentage", "no match", "no hashes", "expiry"],
)
def test_watching_in_vain_is_an_error_only_if_asked(keys, rule):
    found = check(*keys, **rule)
    with pytest.raises(OpenRouterRequestError) as error:
        check(*keys, fail_if_unwatched=True, **rule)
    assert found.is_unwatched
    assert str(error.value) == found.warning


def test_a_rule_that_watches_something_does_not_fail():
    assert names(low(check(key(), key_hashes=["a"], fail_if_unwatched="true"))) == ["a"]


@pytest.mark.parametrize(
    ("keys", "levels"),
    [([key()], [logging.INFO, logging.INFO]), ([], [logging.INFO, logging.WARNING])],
    ids=["some", "none"],
)
def test_a_report_warns_only_of_what_is_watched_in_vain(keys, levels, caplog):
    caplog.set_level(logging.INFO)
    check(*keys).report(logging.getLogger("tests.rule"))
    assert [record.levelno for record in caplog.records] == levels


def test_a_report_takes_a_percent_sign_as_it_is(caplog):
    caplog.set_level(logging.INFO)
    check(key("100%s"), key_hashes=["100%s", "%d"]).report(logging.getLogger("tests.rule"))
    _, line, warning = (record.getMessage() for record in caplog.records)
    assert "100%s has $1.00 of $100.00 left" in line
    assert "not listed: %d. They" in warning


@pytest.mark.parametrize("value", ["sk-or-v1-secret", ["f01d", "SK-OR-V1-SECRET"], "['sk-or-v1-secret']"])
def test_a_key_in_place_of_a_hash_is_refused_and_not_shown(value):
    with pytest.raises(OpenRouterRequestError, match="A key was given in place of its hash") as refusal:
        LimitRule(threshold=5, key_hashes=value)
    assert "secret" not in str(refusal.value).lower()


@pytest.mark.parametrize("rendered", ["('a', 'b')", "{'a', 'b'}", '["a"]'])
def test_a_collection_rendered_to_text_is_no_text_of_hashes(rendered):
    with pytest.raises(OpenRouterRequestError, match="render_template_as_native_obj"):
        LimitRule(threshold=5, key_hashes=rendered)


def test_hashes_that_can_be_read_only_once_are_refused():
    with pytest.raises(OpenRouterRequestError, match="key_hashes must be a list"):
        LimitRule(threshold=5, key_hashes=(hash_ for hash_ in ["a"]))


@anything
@given(thresholds())
def test_a_threshold_is_read_again_from_its_argument(threshold):
    read = Threshold.read(threshold[0])
    assert Threshold.read(read.argument) == read
    assert Threshold.read(json.loads(json.dumps(read.argument))) == read
    assert Threshold.read(str(read.argument)) == read
    assert Fraction(str(read.argument).rstrip("%")) == threshold[1]
