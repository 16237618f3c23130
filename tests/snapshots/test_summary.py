"""A summary of a listing, without pandas."""

import json
import logging

import pytest
from support.keys import key, listing

from airflow_provider_openrouter.snapshots.summary import log_summary, report_lowest, summarize


def summary_of(*keys, **of):
    return summarize(listing(*keys, **of))


def test_a_summary_has_counts_spend_and_the_lowest_keys():
    summary = summary_of(
        key("1", 4.0, label="sk-1", usage=1.5, usage_daily=0.1, usage_weekly=0.2, usage_monthly=0.3),
        key("2", 2.0, disabled=True, usage=2.5, usage_daily=0.2, usage_weekly=0.4),
        key("3", 1.0, expires_at="2026-01-01T00:00:00Z"),
        key("4", 3.0, label=None, usage_monthly=None, expires_at="2027-01-01T00:00:00Z"),
    )
    assert summary == {
        "observed_at": "2026-11-03T06:30:00+00:00",
        "workspace": "default only",
        "keys": 4,
        "disabled": 1,
        "expired": 1,
        "unlimited": 0,
        "never_used": 2,
        "usage": 4.0,
        "usage_daily": 0.3,
        "usage_weekly": 0.6,
        "usage_monthly": 0.3,
        "lowest": [
            {"name": "4", "label": None, "limit_remaining": 3.0, "limit": 100.0},
            {"name": "1", "label": "sk-1", "limit_remaining": 4.0, "limit": 100.0},
        ],
    }


@pytest.mark.parametrize("keys", [[], [{"hash": "1"}], [key(limit=None, usage=None)]])
def test_a_summary_of_little_is_zeros_that_json_can_hold(keys):
    summary = summary_of(*keys)
    assert summary["keys"] == len(keys)
    assert summary["usage"] == summary["disabled"] == summary["expired"] == 0
    assert summary["unlimited"] == summary["never_used"] == len(keys)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_five_at_most_are_lowest_the_least_first_debts_included():
    remaining = [5.0, -0.5, 3.0, 9.0, 0.0, 1.0, 7.0]
    summary = summary_of(*(key(str(left), left) for left in remaining))
    assert [row["limit_remaining"] for row in summary["lowest"]] == [-0.5, 0.0, 1.0, 3.0, 5.0]


@pytest.mark.parametrize(
    "out",
    [
        {"disabled": True},
        {"disabled": "TRUE"},
        {"expires_at": "2026-11-03T06:30:00Z"},
        {"limit": None, "limit_remaining": None},
        {"limit_remaining": "lots"},
        {"limit_remaining": -1e300},
    ],
    ids=["disabled", "disabled in text", "just expired", "without limit", "no amount", "out of bounds"],
)
def test_only_active_keys_with_a_limit_are_among_the_lowest(out):
    summary = summary_of(key("out", 0.0) | out, key("in", 8.0))
    assert [row["name"] for row in summary["lowest"]] == ["in"]


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        ({}, False),
        ({"usage": 0, "byok_usage": 0}, False),
        ({"usage": 0.01}, True),
        ({"usage": 0, "byok_usage": 0.01}, True),
        ({"last_used_at": "2026-11-01T00:00:00Z"}, True),
    ],
    ids=["nothing", "zeros", "spend", "spend on own keys", "a time"],
)
def test_a_key_is_used_if_it_spent_or_has_a_time_of_use(fields, used):
    assert summary_of(key(**fields))["never_used"] == (not used)


def test_sums_carry_no_dust_of_floating_point():
    summary = summary_of(key("1", usage=0.1, usage_daily=0.1234567), key("2", usage=0.2))
    assert (summary["usage"], summary["usage_daily"]) == (0.3, 0.123457)


def test_text_is_read_as_the_frame_reads_it():
    summary = summary_of(
        key("1", "0.5", limit="10", disabled="false", usage="2.5", name={"en": "Käse"}),
        key("2", 0.2, disabled="true"),
    )
    assert summary["disabled"] == 1
    assert summary["usage"] == 2.5
    assert summary["lowest"] == [{"name": '{"en": "Käse"}', "label": None, "limit_remaining": 0.5, "limit": 10.0}]


def test_names_of_workspaces_are_in_the_summary_where_known():
    names = {"w-1": "Billing", "w-2": "Search"}
    keys = [key(f"{number}", float(number), workspace_id=f"w-{number}") for number in (1, 2, 3)]
    summary = summary_of(*keys, workspace_id="*", workspace_names=names)
    assert summary["workspace"] == "all workspaces"
    of_lowest = [(row.get("workspace_id"), row.get("workspace_name")) for row in summary["lowest"]]
    assert of_lowest == [("w-1", "Billing"), ("w-2", "Search"), (None, None)]
    of_one = summary_of(keys[0], workspace_id="Billing", workspace_names={"w-1": "Billing"})
    assert of_one["workspace"] == "Billing (w-1)"


def test_the_summary_is_logged_one_key_a_line(caplog):
    caplog.set_level(logging.INFO)
    summary = summary_of(
        key("1", 0.5, name="bill\ning", label="sk-1", workspace_id="w-1", usage=4317.22),
        key("2", 3.0, limit=None),
        workspace_id="*",
        workspace_names={"w-1": "Billing"},
    )
    log_summary(summary, logging.getLogger(__name__))
    assert [record.getMessage() for record in caplog.records] == [
        "2 keys (workspace: all workspaces): 0 disabled, 0 expired, 1 without limit, 1 never used",
        "Spend (UTC): $0.00 today, $0.00 this week, $0.00 this month, $4,317.22 in all",
        "$0.50 of $100.00 left: bill ing (sk-1, Billing)",
        "$3.00 left: 2",
    ]


# -- the report


def test_a_report_is_a_table_of_the_lowest_active_keys():
    report = report_lowest(
        listing(
            key("key-1", 4_000, label="sk-1", limit=10_000, limit_reset="monthly"),
            key("key-2", 1, disabled=True),
            key("key-3", -0.5, name="a|b", workspace_id="1f", limit=None),
            key("key-4", None),
            key("key-5", 2, name=None, label="sk-5"),
            workspace_names={"1f": "Ops"},
        )
    )
    assert report.splitlines() == [
        "| Key | Label | Workspace | Left | Limit | Resets |",
        "| --- | --- | --- | --- | --- | --- |",
        "| a\\|b |  | Ops | -$0.50 |  | never |",
        "|  | sk-5 |  | $2.00 | $100.00 | never |",
        "| key-1 | sk-1 |  | $4,000.00 | $10,000.00 | monthly |",
    ]


@pytest.mark.parametrize(
    ("number", "end"), [(100, "never |"), (101, "\n\nand 1 more"), (1_234, "\n\nand 1,134 more")]
)
def test_a_report_has_a_hundred_keys_and_counts_the_rest(number, end):
    report = report_lowest(listing(*(key(f"key-{left}", left) for left in range(number))))
    assert report.count("| key-") == 100
    assert report.endswith(end)


def test_a_report_without_limited_keys_says_so():
    assert report_lowest(listing(key("1", None))) == "No active key has a limit."
