"""The keys of a listing as the page shows them."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.keys import OBSERVED_AT, key, listing

from airflow_provider_openrouter.keys import is_active
from airflow_provider_openrouter.page import keys as page
from airflow_provider_openrouter.watch.rule import LimitRule


def show_keys(found):
    shown = page.show_keys(found)
    return {**shown, "keys": list(shown["keys"])}


# -- rows


def row_of(record, **arguments):
    [row] = show_keys(listing(record, **arguments))["keys"]
    return row


def test_a_row_says_all_that_is_known_of_a_key():
    record = {
        "hash": "f01d",
        "name": "billing-eu-1",
        "label": "sk-or-v1-abc...123",
        "disabled": False,
        "limit": 50,
        "limit_remaining": 3.4,
        "limit_reset": "monthly",
        "usage": 600,
        "usage_daily": 0.325,
        "usage_weekly": 1.3,
        "usage_monthly": "9.5",
        "byok_usage": 1.5,
        "byok_usage_daily": 0.0,
        "created_at": "2026-03-01T12:34:56.789Z",
        "expires_at": "2026-12-03T09:00:00+09:00",
        "last_used_at": "2026-11-03T06:00:00Z",
        "workspace_id": "w1",
        "creator_user_id": "user_1",
    }
    assert row_of(record, workspace_names={"w1": "Team"}) == {
        "hash": "f01d",
        "name": "billing-eu-1",
        "label": "sk-or-v1-abc...123",
        "team": "billing",
        "workspace": "Team",
        "creator": "user_1",
        "external_user": None,
        "state": "active",
        "is_low": True,
        "is_expiring": False,
        "stops": {"kind": "dry", "at": "2026-11-06T02:30:00+00:00", "text": "dry in 2 days"},
        "limit": 50.0,
        "limit_remaining": 3.4,
        "limit_reset": "monthly",
        "next_reset_at": "2026-12-01T00:00:00+00:00",
        "runs_dry_at": "2026-11-06T02:30:00+00:00",
        "pace": 1.2,
        "usage": 600.0,
        "usage_daily": 0.325,
        "usage_weekly": 1.3,
        "usage_monthly": 9.5,
        "byok_usage": 1.5,
        "byok_usage_daily": 0.0,
        "byok_usage_weekly": None,
        "byok_usage_monthly": None,
        "created_at": "2026-03-01T12:34:56+00:00",
        "expires_at": "2026-12-03T00:00:00+00:00",
        "last_used_at": "2026-11-03T06:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("name", "shown", "team"),
    [
        ("billing", "billing", "billing"),
        ("billing-eu-1", "billing-eu-1", "billing"),
        ("-eu", "-eu", None),
        ("", "", None),
        (None, "", None),
        (["a-b"], '["a-b"]', '["a'),
        ("<b>\n\u202e-x", "<b> -x", "<b>"),
        ("x" * 300, "x" * 200, "x" * 200),
        ("\ud800", "", None),
    ],
)
def test_names_are_plain_and_begin_with_a_team(name, shown, team):
    row = row_of(key(name=name))
    assert (row["name"], row["team"]) == (shown, team)


@pytest.mark.parametrize(
    ("fields", "state", "runs_dry_at"),
    [
        ({}, "active", OBSERVED_AT.isoformat()),
        ({"disabled": True}, "disabled", None),
        ({"expires_at": "2026-11-01"}, "expired", None),
        ({"expires_at": "2026-11-01", "disabled": True}, "expired", None),
    ],
)
def test_only_an_active_key_runs_dry(fields, state, runs_dry_at):
    row = row_of(key(remaining=0, **fields))
    assert (row["state"], row["runs_dry_at"]) == (state, runs_dry_at)


def test_a_workspace_without_a_name_is_shown_by_its_id():
    shown = [row_of(key(workspace_id=id_), workspace_names={"w1": ""})["workspace"] for id_ in ("w1", "w2", None)]
    assert shown == ["w1", "w2", None]


# -- totals


PACE = 30.5 / 24
"""What a key has spent this week that spends a dollar a day."""


def test_totals_count_each_key_under_all_that_it_is():
    spend = {"usage_daily": 0.1, "usage_weekly": "0.5", "usage_monthly": 1}
    keys = [
        key("low", 0, **spend),
        key("low and expiring", 0, expires_at="2026-11-10", **spend),
        key("expiring", None, expires_at="2026-11-10", **spend),
        key("disabled", 0, disabled=True, usage_daily="much"),
        key("expired", 0, expires_at="2026-11-01"),
        key("disabled and expired", 0, disabled=True, expires_at="2026-11-01"),
        key("fine"),
        key("fine at its pace", 3.1, usage_weekly=PACE),
        key("low at its pace", 2.9, usage_weekly=PACE),
        key("expiring in 7 days", None, expires_at="2026-11-10T06:30:00Z"),
        key("expiring a minute later", None, expires_at="2026-11-10T06:31:00Z"),
    ]
    shown = show_keys(listing(*keys))
    assert shown["totals"] == {
        "keys": 11,
        "active": 8,
        "low": 3,
        "expiring": 3,
        "disabled": 2,
        "expired": 2,
        "usage_daily": 0.3,
        "usage_weekly": round(1.5 + 2 * PACE, 6),
        "usage_monthly": 3.0,
    }
    assert [row["hash"] for row in shown["keys"]][:3] == ["low", "low and expiring", "low at its pace"]
    assert show_keys(listing())["totals"] == dict.fromkeys(shown["totals"], 0)


# -- any record

ODD = st.sampled_from(
    [
        *(None, True, "", " ", "abc", "NaN", "\ud800", "\0", "x" * 999),
        *(float("nan"), float("inf"), -0.0, 1e300, 10**400, [], [5], {"a": [None]}),
    ]
)
AMOUNTS = ODD | st.floats(-1, 20) | st.floats(0, 20).map(str)
TIMES = (
    ODD
    | st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 20)).map(datetime.isoformat)
    | st.sampled_from(
        ["0001-01-01T00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-11-10T06:30:00Z", "24:00"]
    )
)
USAGE = [f"{whose}usage{window}" for whose in ("", "byok_") for window in ("", "_daily", "_weekly", "_monthly")]
RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(["name", "label", "workspace_id", "creator_user_id", "external_user", "new"], ODD),
            **dict.fromkeys(["limit", "limit_remaining", *USAGE], AMOUNTS),
            **dict.fromkeys(["created_at", "expires_at", "last_used_at"], TIMES),
            "disabled": ODD | st.sampled_from(["true", "False", False]),
            "include_byok_in_limit": ODD,
            "limit_reset": ODD | st.sampled_from(["daily", "weekly", "monthly"]),
        },
    ),
    max_size=8,
).map(lambda keys: [{"hash": f"{number:x}"} | record for number, record in enumerate(keys)])
SECONDS = st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 8), timezones=st.just(UTC))


@settings(deadline=None, database=None, max_examples=200)
@example([{"hash": "0", "limit": 1, "limit_remaining": 1e-9, "usage_daily": 1e299}], OBSERVED_AT)
@given(RECORDS, SECONDS)
def test_any_record_is_shown_and_judged_as_by_a_watcher(keys, observed_at):
    found = listing(*keys, observed_at=observed_at)
    shown = show_keys(found)
    json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()
    rows = {row["hash"]: row for row in shown["keys"]}
    assert rows.keys() == {record["hash"] for record in keys}
    for name, arguments in {
        "is_low": {"threshold": "3 days"},
        "is_expiring": {"threshold": 0, "expires_within": "7 days"},
    }.items():
        check = LimitRule(**arguments).check(found)
        reported = {each.left.hash for each in check.low if name == "is_low" or each.criterion is check.expiry}
        assert {hash_ for hash_, row in rows.items() if row[name]} == reported
    active = {record["hash"] for record in keys if is_active(record, observed_at)}
    assert {hash_ for hash_, row in rows.items() if row["state"] == "active"} == active


def test_a_name_that_is_nested_too_deeply_is_not_shown():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    row = row_of(key(name=deep, label=deep, limit_reset=deep, workspace_id=deep))
    assert (row["name"], row["label"], row["limit_reset"], row["workspace"]) == ("", None, None, None)
