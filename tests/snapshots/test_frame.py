"""Keys as a typed frame: whatever the API sends is kept, and a known column is always of one type."""

import io
import json
import logging
import time
from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from airflow.sdk.bases.xcom import BaseXCom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from support.lines import deserialize, needs_frames_in_xcom
from support.listings import OBSERVED_AT, listing_of, partition_of

from airflow_provider_openrouter.keys import FIELDS, READERS
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.columns import arrow_schema
from airflow_provider_openrouter.snapshots.files import WRITERS
from airflow_provider_openrouter.snapshots.frame import keys_file_frame, keys_frame

FILE_COLUMNS = kinds.KEYS.columns
SCHEMA = arrow_schema(kinds.KEYS.columns)

DTYPES = {
    "string": pd.StringDtype(),
    "boolean": pd.BooleanDtype(),
    "number": "float64",
    "timestamp": "datetime64[us, UTC]",
}
KEY = {
    "hash": "f01d",
    "name": "billing-prod",
    "label": "sk-or-v1-0e6...1c96",
    "disabled": False,
    "limit": 100,
    "limit_remaining": 74.5,
    "limit_reset": "monthly",
    "include_byok_in_limit": False,
    "usage": 25.5,
    "usage_daily": 25.5,
    "usage_weekly": 25.5,
    "usage_monthly": 25.5,
    "byok_usage": 17.38,
    "byok_usage_daily": 17.38,
    "byok_usage_weekly": 17.38,
    "byok_usage_monthly": 17.38,
    "created_at": "2025-08-24T10:30:00Z",
    "updated_at": "2025-08-24T15:45:00Z",
    "expires_at": "2027-12-31T23:59:59Z",
    "workspace_id": "0df9e665-d932-5740-b2c7-b52af166bc11",
    "creator_user_id": "user_1",
    "external_user": "customer-7",
    "last_used_at": "2025-02-19T20:52:27.363244+00:00",
}
NULLS = dict.fromkeys(KEY) | {"hash": "f01d"}


def frame_of(*keys):
    return keys_frame(listing_of(keys))


def file_frame_of(*keys):
    listing = listing_of(keys, workspace_id="*")
    return keys_file_frame(listing, partition_of(listing))


def only(frame, column):
    """The one value of a column, None if it is missing."""
    (value,) = frame[column]
    return None if pd.isna(value) else value


# -- columns and their types


def test_known_columns_come_in_the_order_of_the_api_reference():
    assert list(frame_of()) == [
        *("hash", "name", "label", "disabled", "limit", "limit_remaining", "limit_reset"),
        *("include_byok_in_limit", "usage", "usage_daily", "usage_weekly", "usage_monthly"),
        *("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"),
        *("created_at", "updated_at", "expires_at"),
        *("workspace_id", "creator_user_id", "external_user", "last_used_at"),
        *("workspace_name", "observed_at"),
    ]


def test_unknown_columns_follow_by_name():
    frame = frame_of({"zeal": 1} | KEY, KEY | {"age": 2, "mood": "good"})
    assert list(frame) == [*FIELDS, "workspace_name", "observed_at", "age", "mood", "zeal"]


@pytest.mark.parametrize("shape", [frame_of, file_frame_of])
@pytest.mark.parametrize(
    "keys",
    [[], [KEY], [NULLS], [{"hash": "f01d"}], [KEY, NULLS, {"hash": "beef"}]],
    ids=["no key", "a full key", "nulls", "nothing but a hash", "all of them"],
)
def test_a_column_has_its_type_whatever_is_in_it(shape, keys):
    frame = shape(*keys)
    kinds = {name: FILE_COLUMNS[name] for name in frame}
    assert dict(frame.dtypes) == {name: DTYPES[kind] for name, kind in kinds.items()}
    assert len(frame) == len(keys)


@pytest.mark.parametrize("key", [NULLS, {"hash": "f01d"}], ids=["null", "absent"])
def test_a_null_or_absent_field_is_missing_without_a_warning(key, caplog):
    frame = frame_of(key)
    missing = frame.columns[frame.isna().all()]
    assert set(missing) == FIELDS.keys() - {"hash"} | {"workspace_name"}
    assert not caplog.records


def test_a_full_key_is_read_as_it_was_sent():
    frame = frame_of(KEY)
    timestamps = {name for name, kind in FIELDS.items() if kind == "timestamp"}
    assert {name: only(frame, name) for name in FIELDS.keys() - timestamps} == {
        name: KEY[name] for name in FIELDS.keys() - timestamps
    }
    assert {name: only(frame, name) for name in timestamps} == {
        name: datetime.fromisoformat(KEY[name]) for name in timestamps
    }
    assert only(frame, "observed_at") == OBSERVED_AT


def test_observed_at_is_the_same_moment_from_any_zone():
    elsewhere = OBSERVED_AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert only(keys_frame(listing_of([KEY], elsewhere)), "observed_at") == OBSERVED_AT


# -- values of known fields


@pytest.mark.parametrize(
    ("field", "sent", "read"),
    [
        ("limit", "12.50", 12.5),
        ("limit", "1e3", 1000.0),
        ("limit_remaining", -0.25, -0.25),
        ("usage", 2**60, float(2**60)),
        ("usage", 9.999e299, 9.999e299),
        ("usage", 0, 0.0),
        ("disabled", "true", True),
        ("disabled", "False", False),
        ("name", "", ""),
        ("name", 7, "7"),
        ("name", {"en": "Käse"}, '{"en": "Käse"}'),
        ("limit_reset", "fortnightly", "fortnightly"),
        ("created_at", "2025-08-24T10:30:00Z", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        (
            "created_at",
            "2025-02-19T20:52:27.363244+00:00",
            datetime(2025, 2, 19, 20, 52, 27, 363244, tzinfo=UTC),
        ),
        ("created_at", "2025-08-24T12:30:00+02:00", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        ("created_at", "2025-08-24T10:30:00", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        ("created_at", "2025-08-24", datetime(2025, 8, 24, tzinfo=UTC)),
        ("expires_at", "9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("expires_at", "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_known_field_is_read_as_its_kind(field, sent, read, caplog):
    assert only(frame_of(KEY | {field: sent}), field) == read
    assert not caplog.records


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("limit", "lots"),
        ("limit", "nan"),
        ("limit", float("inf")),
        ("limit", "-inf"),
        ("limit", 10**400),
        ("limit", 1e300),
        ("usage", -1e300),
        ("usage", "1e300"),
        ("limit", True),
        ("limit", [1]),
        ("limit", {}),
        ("disabled", "perhaps"),
        ("disabled", 1),
        ("disabled", []),
        ("created_at", "yesterday"),
        ("created_at", ""),
        ("created_at", 1724495400),
        ("created_at", {"seconds": 1}),
        ("expires_at", "9999-12-31T23:59:59-01:00"),
        ("expires_at", "+10000-01-01T00:00:00Z"),
    ],
)
def test_an_unreadable_value_is_missing_with_a_warning(field, sent, caplog):
    frame = frame_of(KEY | {field: sent})
    assert only(frame, field) is None
    assert frame[field].dtype == DTYPES[FIELDS[field]]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{field} (1)" in record.getMessage()


@pytest.mark.parametrize("shape", [frame_of, file_frame_of])
def test_many_unreadable_values_are_one_warning_that_counts_them(shape, caplog):
    shape(
        KEY | {"created_at": "soon", "usage": "much"},
        KEY | {"created_at": "later", "expires_at": None},
        KEY | {"created_at": None},
    )
    (record,) = caplog.records
    assert record.getMessage() == (
        "Could not read 3 values, which are missing in the frame: usage (1), created_at (2)"
    )


def test_times_are_in_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert only(frame_of(KEY), "observed_at") == OBSERVED_AT
    finally:
        monkeypatch.undo()
        time.tzset()


# -- unknown fields


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["a", None, ""], pd.StringDtype()),
        ([True, None, False], pd.BooleanDtype()),
        ([2**63 - 1, None, -(2**63)], pd.Int64Dtype()),
        ([1.5, 2.5, -0.25], "float64"),
        ([2**53, 2.5, -(2**53)], "float64"),
    ],
    ids=["text", "flags", "whole numbers", "numbers", "whole and other numbers"],
)
def test_an_unknown_field_of_one_scalar_type_keeps_it(values, dtype):
    column = frame_of(*(KEY | {"rank": value} for value in values))["rank"]
    assert column.dtype == dtype
    assert [None if pd.isna(value) else value for value in column] == values


def test_an_unknown_field_that_is_always_null_is_missing_text():
    column = frame_of(KEY | {"rank": None}, KEY)["rank"]
    assert column.dtype == pd.StringDtype()
    assert column.isna().all()


@pytest.mark.parametrize(
    "values",
    [
        [{"b": [1, {}], "a": "é"}, None, {}],
        [["x"], [], None],
        ["text", 7, None],
        [True, 1, None],
        [1.5, "1.5", [1.5]],
        [2**63, -1, None],
        [-(2**63) - 1, 1, None],
        [2**53 + 1, 0.5, None],
    ],
    ids=[
        "objects",
        "lists",
        "text and number",
        "flag and number",
        "three",
        "too great",
        "too small",
        "too exact",
    ],
)
def test_any_other_unknown_field_becomes_json_text(values):
    column = frame_of(*(KEY | {"rank": value} for value in values))["rank"]
    assert column.dtype == pd.StringDtype()
    assert column.isna().tolist() == [value is None for value in values]
    assert list(map(json.loads, column.dropna())) == [value for value in values if value is not None]


def test_an_unknown_field_that_some_keys_lack_is_missing_there():
    assert frame_of(KEY | {"rank": 3}, KEY)["rank"].tolist() == [3, pd.NA]


def test_the_name_of_a_workspace_stands_beside_its_id():
    keys = [KEY | {"workspace_id": id_} for id_ in ("w-1", "w-2", None, 7)]
    listing = listing_of(keys, workspace_id="*", workspace_names={"w-1": "Billing"})
    for frame in (keys_frame(listing), keys_file_frame(listing, partition_of(listing))):
        assert frame["workspace_name"].tolist() == ["Billing", pd.NA, pd.NA, pd.NA]


@pytest.mark.parametrize("name", ["observed_at", "workspace_name"])
def test_a_field_of_the_api_named_as_ours_stands_beside_it(name):
    listing = listing_of([KEY | {name: "theirs"}], workspace_names={KEY["workspace_id"]: "Billing"})
    frame = keys_frame(listing)
    assert only(frame, name) == {"observed_at": OBSERVED_AT, "workspace_name": "Billing"}[name]
    assert only(frame, f"api_{name}") == "theirs"


def test_no_field_of_the_api_is_lost_to_the_renaming_of_another():
    frame = frame_of(KEY | {"observed_at": "theirs", "api_observed_at": "theirs too"})
    assert only(frame, "observed_at") == OBSERVED_AT
    assert {"theirs", "theirs too"} <= {only(frame, name) for name in frame}


# -- the columns of a file


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        {"hash": "f01d"},
        KEY | {"rank": 1, "mood": "good"},
        KEY | {"extra_fields": 1, "observed_at": "theirs"},
    ],
    ids=["known", "few", "unknown", "of the same names"],
)
def test_a_file_has_the_same_columns_whatever_is_sent(key):
    frame = file_frame_of(key)
    partition = ["snapshot", "granularity", "source", "workspace_scope"]
    assert list(frame) == [*partition, *FIELDS, "workspace_name", "observed_at", "extra_fields"]
    assert only(frame, "snapshot") == OBSERVED_AT.replace(hour=0, minute=0, second=0, microsecond=0)
    assert [only(frame, name) for name in partition[1:]] == ["day", "team", "*"]
    assert only(frame, "observed_at") == OBSERVED_AT
    extras = {name: value for name, value in key.items() if name not in FIELDS}
    assert json.loads(only(frame, "extra_fields") or "{}") == extras


def test_extra_fields_are_missing_where_there_are_none():
    frame = file_frame_of(KEY, KEY | {"rank": {"of": [1, None]}})
    assert frame["extra_fields"].tolist() == [pd.NA, '{"rank": {"of": [1, null]}}']


# -- whatever the API may ever send

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["NaN", "inf", "1e999", "1_0", "TRUE", "None", "null", "2025-W01-1", "0001-01-01T00:00+14:00"]
    )
    | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
    | st.floats(allow_nan=False).map(str)
)
VALUES = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from([*FIELDS, "observed_at", "workspace_name", "extra_fields", "rank", "index"]) | st.text(
    max_size=5
)
KEYS = st.lists(
    st.builds(
        lambda fields, hash_: fields | {"hash": hash_},
        st.dictionaries(NAMES, VALUES, max_size=8),
        st.text(min_size=1, max_size=20),
    ),
    max_size=4,
)
anything = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def hashes(keys):
    return [key["hash"] for key in keys]


@anything
@given(KEYS)
def test_any_keys_make_a_typed_frame(keys):
    frame = frame_of(*keys)
    unknown = {name for key in keys for name in key} - FIELDS.keys()
    assert frame["hash"].tolist() == hashes(keys)
    assert len(frame.columns) == len(FIELDS) + 2 + len(unknown)
    assert {name: frame[name].dtype for name in FIELDS} == {name: DTYPES[kind] for name, kind in FIELDS.items()}


@anything
@given(KEYS)
def test_any_frame_holds_what_each_field_is_read_as(keys):
    frame = frame_of(*keys)
    for name, kind in FIELDS.items():
        values = [None if pd.isna(value) else value for value in frame[name]]
        assert values == [READERS[kind](key.get(name)) for key in keys]


@needs_frames_in_xcom
@anything
@given(KEYS)
def test_any_frame_goes_through_xcom_unchanged(keys):
    frame = frame_of(*keys)
    assert_frame_equal(deserialize(BaseXCom.serialize_value(frame)), frame)


def read_parquet(buffer):
    return pa.parquet.read_table(buffer)


def read_csv(buffer):
    return pa.csv.read_csv(
        buffer,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def read_jsonl(buffer):
    rows = [json.loads(line) for line in buffer.getvalue().decode().split("\n")[:-1]]
    for row in rows:
        for name, kind in FILE_COLUMNS.items():
            if kind == "timestamp" and row[name] is not None:
                row[name] = datetime.fromisoformat(row[name])
    return pa.Table.from_pylist(rows, schema=SCHEMA)


FILE_READERS = {".parquet": read_parquet, ".csv": read_csv, ".jsonl": read_jsonl}


@pytest.mark.parametrize("suffix", WRITERS)
@anything
@given(KEYS)
def test_any_keys_make_a_file_that_reads_back_the_same(suffix, keys):
    frame = file_frame_of(*keys)
    buffer = io.BytesIO()
    WRITERS[suffix](pa.Table.from_pandas(frame, schema=SCHEMA), buffer)
    table = FILE_READERS[suffix](io.BytesIO(buffer.getvalue()))
    assert table["hash"].to_pylist() == hashes(keys)
    assert table.to_pylist() == pa.Table.from_pandas(frame, schema=SCHEMA).to_pylist()
