"""A listing summed up for a person."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_openrouter.snapshots.frame import keys_file_frame, keys_frame
from airflow_provider_openrouter.snapshots.partition import Slice
from airflow_provider_openrouter.snapshots.summary import summarize

OBSERVED_AT = datetime(2026, 11, 3, 6, 30, tzinfo=UTC)


def frame_of(keys):
    return keys_frame(keys, observed_at=OBSERVED_AT)


def file_frame_of(keys):
    part = Slice.of(OBSERVED_AT, granularity="day", source="team_keys", workspace_id="*")
    return keys_file_frame(keys, observed_at=OBSERVED_AT, part=part)


def summary_of(*keys, workspace="default only", shape=frame_of):
    return summarize(shape(keys), observed_at=OBSERVED_AT, workspace=workspace)


def key(number, **fields):
    return {"hash": f"{number:x}", "name": f"key-{number}", "label": f"sk-{number}", "limit": 10.0} | fields


def lowest(summary):
    return [row["name"] for row in summary["lowest"]]


@pytest.mark.parametrize("shape", [frame_of, file_frame_of])
def test_a_summary_says_how_many_what_they_spent_and_which_are_lowest(shape):
    summary = summary_of(
        key(1, limit_remaining=4.0, usage=1.5, usage_daily=0.1, usage_weekly=0.2, usage_monthly=0.3),
        key(2, limit_remaining=2.0, disabled=True, usage=2.5, usage_daily=0.2, usage_weekly=0.4),
        key(3, limit_remaining=1.0, expires_at="2026-01-01T00:00:00Z"),
        key(4, limit_remaining=3.0, label=None, usage_monthly=None, expires_at="2027-01-01T00:00:00Z"),
        shape=shape,
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
            {"name": "key-4", "label": None, "limit_remaining": 3.0, "limit": 10.0},
            {"name": "key-1", "label": "sk-1", "limit_remaining": 4.0, "limit": 10.0},
        ],
    }


@pytest.mark.parametrize("keys", [[], [{"hash": "1"}], [key(1, limit=None, usage=None)]])
def test_a_summary_of_little_is_zeros_that_json_can_hold(keys):
    summary = summary_of(*keys)
    assert summary["keys"] == len(keys)
    assert summary["usage"] == summary["disabled"] == summary["expired"] == 0
    assert summary["unlimited"] == summary["never_used"] == len(keys)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_five_at_most_are_lowest_the_least_first_debts_included():
    remaining = [5.0, -0.5, 3.0, 9.0, 0.0, 1.0, 7.0]
    summary = summary_of(*(key(number, limit_remaining=left) for number, left in enumerate(remaining)))
    assert [row["limit_remaining"] for row in summary["lowest"]] == [-0.5, 0.0, 1.0, 3.0, 5.0]


@pytest.mark.parametrize(
    "out",
    [{"disabled": True}, {"expires_at": "2026-11-03T06:30:00Z"}, {"limit": None, "limit_remaining": None}],
    ids=["disabled", "just expired", "without limit"],
)
def test_keys_out_of_force_or_without_limit_are_never_among_the_lowest(out):
    summary = summary_of(key(1, limit_remaining=0.0) | out, key(2, limit_remaining=8.0))
    assert lowest(summary) == ["key-2"]


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
    assert summary_of(key(1, **fields))["never_used"] == (not used)


def test_sums_carry_no_dust_of_floating_point():
    summary = summary_of(key(1, usage=0.1), key(2, usage=0.2))
    assert summary["usage"] == 0.3
