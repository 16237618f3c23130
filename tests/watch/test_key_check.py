"""What a rule found: its records, and its lines in the log."""

import json
from datetime import datetime, timedelta

import pytest
from support.keys import OBSERVED_AT, key, lines, listing, names

from airflow_provider_openrouter.watch.key_check import shorten
from airflow_provider_openrouter.watch.rule import LimitRule

WHY = {
    "observed_at": "2026-11-03T06:30:00+00:00",
    "reason": "limit",
    "threshold": 5.0,
    "next_reset_at": None,
}


def check(*keys, threshold=5, **rule):
    return LimitRule(threshold=threshold, **rule).check(listing(*keys))


# -- records


def test_records_are_the_keys_as_sent_with_observed_at():
    sent = [key("b", 2, limit="10", mood={"good": [1]}), key("a", -1), key("c", 9)]
    before = json.loads(json.dumps(sent))
    assert check(*sent).records == [
        before[1] | WHY,
        before[0] | WHY,
    ]
    assert sent == before


def test_there_are_no_records_where_nothing_is_low():
    assert check(key(remaining=9)).records == []


def test_records_name_the_workspace_where_it_is_known():
    found = LimitRule(threshold=5).check(
        listing(key("a", workspace_id="1f"), key("b", workspace_id="2e"), workspace_names={"1f": "Marketing"})
    )
    assert [record.get("workspace_name") for record in found.records] == ["Marketing", None]


def test_records_of_a_time_have_the_pace_and_when_it_runs_dry():
    spends = {"usage_daily": 2, "usage_weekly": 8, "usage_monthly": 8, "limit_reset": "monthly"}
    idle = dict.fromkeys(["usage_daily", "usage_weekly", "usage_monthly"], 0)
    found = check(
        key("a", 9, **spends),
        key("b", 0, **idle),
        key("lasts", 5, **idle | {"usage_daily": 0.1}),
        key("reset first", 7, **spends | {"limit_reset": "daily"}),
        key("idle", 5, **idle),
        threshold="2 days",
    )
    dry, soon = found.records
    assert [dry["hash"], soon["hash"]] == ["b", "a"]
    assert (dry["pace_usd_per_day"], dry["runs_dry_at"]) == (0, "2026-11-03T06:30:00+00:00")
    assert (soon["reason"], soon["threshold"]) == ("runway", "2 days")
    assert soon["next_reset_at"] == "2026-12-01T00:00:00+00:00"
    assert soon["pace_usd_per_day"] == pytest.approx(2 / (6.5 / 24))
    assert datetime.fromisoformat(soon["runs_dry_at"]) - OBSERVED_AT == timedelta(
        days=9 / soon["pace_usd_per_day"]
    )
    assert lines(found) == [
        "5 keys watched, 2 dry within 2 days",
        "b has $0.00 of $100.00 left, never resets",
        "a has $9.00 of $100.00 left, runs dry on 2026-11-04 at 11:45 UTC at $7.38 a day, resets monthly, "
        "next on 2026-12-01 at 00:00 UTC",
    ]


def test_records_say_which_step_a_key_is_below():
    found = LimitRule(threshold=["50%", "10%", "25%"], has_steps=True).check(
        listing(*(key(str(left), left) for left in (50, 49, 25, 24, 10, 9)))
    )
    assert [(each["hash"], each["threshold"]) for each in found.records] == [
        *(("9", "10%"), ("10", "25%"), ("24", "25%"), ("25", "50%"), ("49", "50%")),
    ]
    assert lines(found)[0] == "6 keys watched, 5 below 50% of the limit"


def test_records_of_keys_that_expire_follow_the_low_ones():
    found = check(
        key("late", None, limit=None, expires_at="2026-11-10T06:30:00Z"),
        key("later", 90, expires_at="2026-11-10T06:30:01Z"),
        key("soon", 90, expires_at="2026-11-04T00:00:00+02:00"),
        key("both", 4, expires_at="2026-11-09T00:00:00Z"),
        key("over", 90, expires_at="2026-11-03T00:00:00Z"),
        key("off", 90, expires_at="2026-11-04T00:00:00Z", disabled=True),
        key("never", 90, expires_at="soon"),
        expires_within="7 days",
    )
    assert [(each["hash"], each["reason"], each["threshold"]) for each in found.records] == [
        ("both", "limit", 5.0),
        *((hash_, "expiry", "7 days") for hash_ in ("soon", "both", "late")),
    ]
    assert lines(found)[:3] == [
        "4 keys watched (1 more not measurable), 1 below $5.00, 3 expiring within 7 days",
        "both has $4.00 of $100.00 left, never resets",
        "soon has $90.00 of $100.00 left, expires on 2026-11-03 at 22:00 UTC, never resets",
    ]


# -- events


def test_a_key_of_up_to_40_kb_is_whole_in_an_event():
    whole = key(blob="")
    whole["blob"] = "x" * (40_000 - len(json.dumps(whole)))
    assert shorten(whole) is whole
    assert shorten(whole | {"longer": "x" * 40_000}) == whole | {"fields_left_out": 1}


@pytest.mark.parametrize(
    "long",
    [
        {"blob": "x" * 50_000_000},
        {"name": "é" * 10_000_000},
        {"blob": [1.5] * 2_000_000},
        {"x" * 5_000_000: 1},
        {str(number): number for number in range(300_000)},
    ],
    ids=["a text", "a name", "a list", "the name of a field", "many fields"],
)
def test_a_longer_key_lacks_its_longest_fields_in_an_event(long):
    low = {"hash": "f01d", "limit": 10.0, "limit_remaining": 0.5, "observed_at": "2026-11-03T06:30:00+00:00"}
    low |= {"next_reset_at": None, "pace_usd_per_day": 0.5, "runs_dry_at": "2026-11-04T06:30:00+00:00"}
    short = shorten(low | long)
    assert short.items() >= low.items()
    assert short["fields_left_out"] == len(low | long) - len(short) + 1 > 0
    assert len(json.dumps(short)) < 41_000


def test_an_event_has_the_hundred_lowest_keys_and_their_number():
    found = check(*(key(str(number), number / 100) for number in range(150, 0, -1)))
    event = found.event(found.low[10:])
    assert names(found.low[number].left for number in range(10, 110)) == [each["name"] for each in event["keys"]]
    assert (len(event["keys"]), event["total"], event["low_count"]) == (100, 140, 150)
    assert found.count(found.low[10:]) == "140 keys"


# -- the lines of the log


def test_each_low_key_has_a_line_with_its_next_reset():
    found = check(
        key("billing-eu", 4.5, limit=100, limit_reset="monthly"),
        key("billing-us", -0.12, limit=1234.5, limit_reset="daily"),
        key("crawler", 80, limit=100),
        key("free", None),
        threshold="10%",
    )
    assert lines(found) == [
        "3 keys watched (1 more not measurable), 2 below 10% of the limit",
        "billing-us has -$0.12 of $1,234.50 left, resets daily, next on 2026-11-04 at 00:00 UTC",
        "billing-eu has $4.50 of $100.00 left, resets monthly, next on 2026-12-01 at 00:00 UTC",
    ]


def test_the_lowest_key_has_a_line_if_none_is_low():
    assert lines(check(key("crawler", 40), key("billing", 5, limit_reset="weekly"))) == [
        "2 keys watched, 0 below $5.00",
        "Lowest: billing has $5.00 of $100.00 left, resets weekly, next on 2026-11-09 at 00:00 UTC",
    ]


def test_nothing_watched_is_one_line():
    assert lines(check(key(remaining=None))) == ["0 keys watched (1 more not measurable), 0 below $5.00"]


def test_one_key_is_counted_in_the_singular():
    assert lines(check(key()))[0] == "1 key watched, 1 below $5.00"


@pytest.mark.parametrize(
    ("count", "end"), [(20, "19 has $1.00 of $100.00 left, never resets"), (22, "and 2 more")]
)
def test_twenty_low_keys_are_named_and_the_rest_is_counted(count, end):
    said = lines(check(*(key(str(number)) for number in range(count))))
    assert said[-1] == end
    assert sum(" has $1.00 of $100.00 left" in line for line in said) == 20


def test_the_workspace_is_named_beside_the_key_where_it_is_known():
    found = LimitRule(threshold=5).check(
        listing(
            key("a", workspace_id="1f"),
            key("b", workspace_id="2e"),
            key("c"),
            key("d", workspace_id=["1f"]),
            workspace_id="*",
            workspace_names={"1f": "Mar\nketing", "2e": ""},
        )
    )
    assert lines(found)[1:] == [
        "a (Mar keting) has $1.00 of $100.00 left, never resets",
        *(f"{name} has $1.00 of $100.00 left, never resets" for name in "bcd"),
    ]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"name": "bill"}, "bill"),
        ({"name": None}, "sk-or-v1-0e6...1c96"),
        ({"name": ""}, "sk-or-v1-0e6...1c96"),
        ({"name": None, "label": None}, "f01d"),
        ({"name": None, "label": "", "hash": " "}, "A key without a name"),
        ({"name": "two\r\nlines\u2028and\x85more\x0b\t."}, "two lines and more ."),
        ({"name": "n" * 81}, "n" * 80),
    ],
)
def test_a_key_is_shown_by_name_label_or_hash_on_one_line(fields, shown):
    record = {"hash": "f01d", "label": "sk-or-v1-0e6...1c96", "limit_remaining": 1} | fields
    assert lines(check(record))[1] == f"{shown} has $1.00 left, never resets"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"name": "\x1b[2Ka\x00b\u202e"}, "[2Ka b"),
        ({"name": " \n ", "label": "sk-or-v1-1"}, "sk-or-v1-1"),
        ({"name": " ", "label": "\t"}, "a"),
    ],
)
def test_a_name_is_shown_without_what_moves_a_cursor(fields, shown):
    assert lines(check(key() | fields))[1].startswith(f"{shown} has $1.00 of $100.00 left")


def test_an_amount_below_a_cent_is_shown_with_its_digits():
    assert lines(check(key(limit_remaining=-0.001), threshold=0.004)) == [
        "1 key watched, 1 below $0.004000",
        "a has -$0.001000 of $100.00 left, never resets",
    ]


@pytest.mark.parametrize(
    ("remaining", "limit", "threshold", "count", "shown"),
    [
        (0.6999, None, 0.7, "1 below $0.70", "$0.6999"),
        (0.7, None, 0.7, "0 below $0.70", "$0.70"),
        (0.7001, None, 0.7, "0 below $0.70", "$0.70"),
        (0.7, None, 0.705, "1 below $0.705", "$0.70"),
        (0.6949, None, 0.6945, "0 below $0.6945", "$0.695"),
        (0.3, None, 0.30000000000000004, "1 below $0.30000000000000004", "$0.30"),
        (-1e-9, None, 0, "1 below $0.00", "-$0.000000001"),
        (0.0034999996, None, 0.0035, "1 below $0.003500", "$0.0034999996"),
        (0.499999, 5, "10%", "1 below 10% of the limit", "$0.499999 of $5.000000"),
        (0.4995, 4.999, "10%", "1 below 10% of the limit", "$0.4995 of $4.9990"),
        (0.5, 5, "10%", "0 below 10% of the limit", "$0.50 of $5.00"),
        (0.5044, 5.044, "10%", "0 below 10% of the limit", "$0.5044 of $5.0440"),
        (0.5, 5, "10.001%", "1 below 10.001% of the limit", "$0.50 of $5.00"),
        (1e15, 1e17, "10%", "1 below 10% of the limit", f"${1e15:,.2f} of ${1e17:,.2f}"),
    ],
)
def test_rounded_amounts_never_contradict_what_is_low(remaining, limit, threshold, count, shown):
    said = lines(check(key(limit_remaining=remaining, limit=limit), threshold=threshold))
    assert said[0] == f"1 key watched, {count}"
    assert said[1].removeprefix("Lowest: ").startswith(f"a has {shown} left")


@pytest.mark.parametrize(
    ("limit_reset", "shown"),
    [("yearly", "yearly"), ("every\nday", "every day"), ("x" * 90, "x" * 80), (7, "7"), ({"a": 1}, '{"a": 1}')],
)
def test_an_unknown_reset_is_shown_as_it_is_without_a_day(limit_reset, shown):
    assert lines(check(key(limit_reset=limit_reset)))[1] == f"a has $1.00 of $100.00 left, resets {shown}"
