"""A day's activity as a frame and as files: columns and types are the same whatever the API sends."""

import json
import logging
from datetime import UTC, date, datetime

import duckdb
import pandas as pd
import pytest
from support.activity import DAY, OBSERVED_AT, day_of, frame_of, row

from airflow_provider_openrouter.snapshots.files import WRITERS, write_file
from airflow_provider_openrouter.snapshots.kinds import ACTIVITY

COLUMNS = [
    *("date", "source", "grouped_by", "key_hash", "key_name", "workspace_id", "workspace_name"),
    *("model", "model_permaslug", "provider_name", "endpoint_id", "requests", "prompt_tokens"),
    *("completion_tokens", "reasoning_tokens", "cached_tokens", "usage", "byok_usage_inference"),
    *("observed_at", "extra_fields"),
]
DTYPES = {
    "date": "datetime64[us]",
    "observed_at": "datetime64[us, UTC]",
    **dict.fromkeys(("usage", "byok_usage_inference"), "float64"),
    **dict.fromkeys((name for name in COLUMNS if "tokens" in name or name == "requests"), "Int64"),
}
WHOLE = row(
    model_permaslug="vendor/model-2026",
    provider_name="Vendor",
    workspace_id="w",
    prompt_tokens=10,
    completion_tokens=20,
    reasoning_tokens=5,
    cached_tokens=12,
    byok_usage_inference=0.25,
)


@pytest.mark.parametrize(
    "activity",
    [
        day_of(),
        day_of(WHOLE, WHOLE),
        day_of({}),
        day_of(row(), of_key={"f01d": [row(usage="2", requests="7")]}),
    ],
)
def test_columns_and_types_are_always_the_same(activity):
    frame = frame_of(activity)
    assert list(frame) == COLUMNS == list(ACTIVITY.columns)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict.fromkeys(COLUMNS, "string") | DTYPES
    assert len(frame) == len(activity)


def test_every_field_is_in_its_column():
    [stored] = frame_of(day_of(WHOLE, workspace_names={"w": "Team"})).to_dict("records")
    assert pd.isna([stored.pop("key_hash"), stored.pop("key_name"), stored.pop("extra_fields")]).all()
    assert stored == WHOLE | {
        "date": pd.Timestamp(DAY),
        "source": "team",
        "grouped_by": "workspace",
        "workspace_name": "Team",
        "observed_at": pd.Timestamp(OBSERVED_AT),
    }


def test_rows_of_keys_have_their_hashes_and_names():
    activity = day_of(row("rest"), of_key={"f01d": [row("a"), row("b")]}, key_names={"f01d": "billing"})
    frame = frame_of(activity).set_index("model")
    assert frame.loc["a", "key_hash"] == frame.loc["b", "key_hash"] == "f01d"
    assert frame.loc["a", "key_name"] == "billing"
    assert pd.isna(frame.loc["rest", "key_hash"])
    assert set(frame["grouped_by"]) == {"key"}


@pytest.mark.parametrize(
    ("sent", "stored", "unreadable"),
    [
        ({"usage": "0.5", "requests": "12"}, {"usage": 0.5, "requests": 12}, 0),
        ({"requests": 12.0, "cached_tokens": 2**62 + 1}, {"requests": 12, "cached_tokens": 2**62 + 1}, 0),
        ({"date": "2026-11-03 00:00:00"}, {"date": pd.Timestamp(DAY)}, 0),
        ({"date": None}, {"date": pd.Timestamp(DAY)}, 0),
        ({"model": None, "endpoint_id": 7}, {"model": None, "endpoint_id": "7"}, 0),
        ({"requests": 1.5, "usage": "much"}, {"requests": None, "usage": None}, 2),
        ({"requests": 2**63, "prompt_tokens": True}, {"requests": None, "prompt_tokens": None}, 2),
        ({"new": [1], "other": None}, {"extra_fields": '{"new": [1], "other": null}'}, 0),
        ({"key_hash": "theirs"}, {"key_hash": None, "extra_fields": '{"key_hash": "theirs"}'}, 0),
        ({"workspace_id": "gone"}, {"workspace_id": "gone", "workspace_name": None}, 0),
    ],
)
def test_an_odd_row_is_kept_and_read(sent, stored, unreadable, caplog):
    caplog.set_level(logging.WARNING)
    [found] = frame_of(day_of(row(**sent))).to_dict("records")
    assert {name: None if pd.isna(found[name]) else found[name] for name in stored} == stored
    assert caplog.text.count("Could not read") == bool(unreadable)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_is_read_back_as_it_was_written(suffix, tmp_path):
    path = tmp_path / f"activity{suffix}"
    activity = day_of(row(None), of_key={"f01d": [WHOLE, row("free", usage=0, new=1)]})
    write_file(frame_of(activity), str(path), kind=ACTIVITY)
    read = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json"}[suffix]
    rows = duckdb.sql(f"SELECT date, model, requests, usage, extra_fields, observed_at FROM {read}('{path}')")
    found = rows.fetchall()
    assert [each[:4] for each in found] == [
        (DAY, None, 3, 1.5),
        (DAY, "vendor/model", 3, 1.5),
        (DAY, "free", 3, 0.0),
    ]
    assert json.loads(found[2][4]) == {"new": 1}
    assert isinstance(found[0][0], date)
    assert datetime.fromisoformat(str(found[0][5])).replace(tzinfo=None) == OBSERVED_AT.astimezone(UTC).replace(
        tzinfo=None
    )
