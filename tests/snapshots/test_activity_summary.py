"""A summary of a day's activity, without pandas."""

import json
import logging

import pytest
from support.activity import day_of, row

from airflow_provider_openrouter.snapshots.activity_summary import log_activity, summarize_activity


def sums(usage, requests, byok=0.0):
    return {"usage": usage, "byok_usage_inference": byok, "requests": requests}


def test_a_summary_of_a_day_by_key_has_sums_models_and_keys():
    activity = day_of(
        row("vendor/rare", usage=0.5, requests=1),
        of_key={
            "f01d": [row("vendor/small", usage=1, requests=2), row("vendor/large", usage=4, requests=1)],
            "ca11": [row("vendor/large", usage=6, requests=3, byok_usage_inference=0.25)],
        },
        key_names={"ca11": "billing"},
    )
    assert summarize_activity(activity) == {
        "observed_at": "2026-11-04T02:00:07.123456+00:00",
        "date": "2026-11-03",
        "grouped_by": "key",
        "rows": 4,
        **sums(11.5, 7, 0.25),
        "models": [
            {"model": "vendor/large", **sums(10.0, 4, 0.25)},
            {"model": "vendor/small", **sums(1.0, 2)},
            {"model": "vendor/rare", **sums(0.5, 1)},
        ],
        "keys": [
            {"key_hash": "ca11", "key_name": "billing", **sums(6.0, 3, 0.25)},
            {"key_hash": "f01d", "key_name": None, **sums(5.0, 3)},
        ],
        "without_key": sums(0.5, 1),
    }


def test_a_summary_of_a_day_by_workspace_names_no_keys():
    summary = summarize_activity(day_of(row(usage=1.5, requests=3)))
    assert summary["models"] == [{"model": "vendor/model", **sums(1.5, 3)}]
    assert (summary["keys"], summary["without_key"]) == ([], None)


@pytest.mark.parametrize("rows", [[], [{}], [row(None, usage="lots", requests=None)]])
def test_a_summary_of_little_is_zeros_that_json_can_hold(rows):
    summary = summarize_activity(day_of(*rows))
    assert summary["rows"] == len(rows)
    assert summary["models"] == [{"model": None, **sums(0.0, 0)}] * len(rows)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_five_models_and_keys_at_most_the_most_expensive_first():
    spent = [3, 1, 6, 2, 5, 4, 0.5]
    rows = {f"key-{usage}": [row(f"model-{usage}", usage=usage)] for usage in spent}
    summary = summarize_activity(day_of(of_key=rows))
    assert [model["model"] for model in summary["models"]] == [f"model-{usage}" for usage in (6, 5, 4, 3, 2)]
    assert [key["key_hash"] for key in summary["keys"]] == [f"key-{usage}" for usage in (6, 5, 4, 3, 2)]


def test_sums_are_exact_to_a_millionth():
    rows = [row(usage=0.1, byok_usage_inference=0.1234567), row(usage=0.2)]
    assert summarize_activity(day_of(*rows)) | sums(0.3, 6, 0.123457) == summarize_activity(day_of(*rows))


def test_the_summary_is_logged_one_model_and_key_a_line(caplog):
    caplog.set_level(logging.INFO)
    activity = day_of(
        row(None, usage=0.5, requests=1),
        of_key={
            "f01d": [row(usage=2, requests=1_200, byok_usage_inference=0.25)],
            "ca11": [row("vendor\nlarge", usage=4_000, requests=2)],
        },
        key_names={"ca11": "bill\ning"},
    )
    log_activity(summarize_activity(activity), logging.getLogger(__name__))
    assert [record.getMessage() for record in caplog.records] == [
        "Spend on 2026-11-03 (UTC): $4,002.50, $0.25 on own provider keys, 1,203 requests",
        "Model vendor large: $4,000.00, 2 requests",
        "Model vendor/model: $2.00, $0.25 on own provider keys, 1,200 requests",
        "Model unknown: $0.50, 1 request",
        "Key bill ing: $4,000.00, 2 requests",
        "Key f01d: $2.00, $0.25 on own provider keys, 1,200 requests",
        "No key accounts for: $0.50, 1 request",
    ]
