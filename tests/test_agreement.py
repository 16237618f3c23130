"""Operator, file, summary and rule agree on every record, odd ones included."""

import json
import os
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.keys import OBSERVED_AT, listing, low
from support.servers import TOKEN, Server, data
from support.tasks import Context

from airflow_provider_openrouter.keys import is_active, is_disabled, is_expired, read_amount
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.snapshots.frame import keys_file_frame, keys_frame
from airflow_provider_openrouter.snapshots.partition import Partitioning
from airflow_provider_openrouter.snapshots.summary import LOWEST, summarize
from airflow_provider_openrouter.watch.rule import LimitRule

# -- what may be sent

NESTED = st.sampled_from([[], [True], [5], {}, {"usd": 5}, {"a": [None, {"b": "c"}]}])
ODD = st.none() | st.booleans() | NESTED | st.sampled_from(["", " ", "NaN", "null", "5 USD", "é", "-", "0x1F"])
NUMBERS = st.integers(-5, 20) | st.floats(-1, 20) | st.floats(allow_nan=False, allow_infinity=False)
AMOUNTS = (
    NUMBERS
    | NUMBERS.map(str)
    | st.sampled_from([10**299, 10**300, 10**400, -(10**400), 2**63, 1e300, -0.0, 5e-324])
    | st.sampled_from(
        ["1e999", "-1e999", "1e299", "nan", "inf", "-Infinity", " 5 ", "+5", "1_0", "٣", ".5", "5."]
    )
    | ODD
)
FLAGS = st.sampled_from(["true", "false", "True", "FALSE", "yes", " true", 0, 1, 1.0]) | ODD
TIMES = (
    st.datetimes().map(lambda time: time.isoformat())
    | st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["2026-11-03", "2026-11-02", "2026-11-04", "20261103", "2026-W45-2", "2026-307"]),
        st.sampled_from(["T", " ", "t", ""]),
        st.sampled_from(
            [
                *("06:30", "06:30:00", "06:30:00.000001", "06:30:00.0000005", "06:29:59.999999999", "0630", "06"),
                *("06:30:60", "24:00", "24:00:00", "06:30:00,5", "06:30:00.", "", "15:30", "00:00:00.1234567"),
            ]
        ),
        st.sampled_from(
            ["", "Z", "z", "+00:00", "-00:00", "+09:00", "+0900", "+09", "+24:00", "+05:30:15", " Z"]
        ),
    )
    | st.sampled_from(["0001-01-01T00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "soon", 0, 1_700_000_000])
    | ODD
)
ONE_KEY = st.fixed_dictionaries(
    {},
    optional={
        "disabled": FLAGS,
        "limit": AMOUNTS,
        "limit_remaining": AMOUNTS,
        "expires_at": TIMES,
        "brand_new": ODD,
    },
)
RECORDS = st.lists(ONE_KEY, max_size=12).map(
    lambda keys: [{"hash": f"{number:x}", "name": f"{number:x}"} | key for number, key in enumerate(keys)]
)
CONTRADICTING = [
    {"hash": "a", "name": "a", "limit_remaining": "0.5", "limit": "10", "disabled": "false"},
    {"hash": "b", "name": "b", "limit_remaining": 0.2, "disabled": "true"},
]
"""Two records that were once read in two ways: the operator named ``a`` as the lowest, and the sensor ``b``."""

odd_records = settings(deadline=None, database=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")))


# -- what each of them says


def limited_of_frame(frame):
    """Return hash, remainder and limit of the active keys of a frame, the lowest first."""
    active = ~frame["disabled"].fillna(False).astype(bool) & ~(frame["expires_at"] <= frame["observed_at"])
    limited = frame[active & frame["limit_remaining"].notna()].sort_values("limit_remaining", kind="stable")
    limits = [None if pd.isna(limit) else limit for limit in limited["limit"]]
    return list(zip(limited["hash"], limited["limit_remaining"], limits, strict=True))


def limited_of_records(keys):
    """Return the same of records, as whoever takes the operator's records finds it by keys.py."""
    amounts = [
        (key["hash"], read_amount(key.get("limit_remaining")), read_amount(key.get("limit"))) for key in keys
    ]
    known = [
        each
        for key, each in zip(keys, amounts, strict=True)
        if is_active(key, OBSERVED_AT) and each[1] is not None
    ]
    return sorted(known, key=lambda each: each[1])


def file_frame(found):
    return keys_file_frame(found, Partitioning(granularity="day", source="team_keys").partition(found))


def triples(limited):
    return [(each.hash, each.remaining, each.limit) for each in limited]


# -- the agreement


@odd_records
@example(CONTRADICTING)
@given(RECORDS)
def test_frame_file_summary_and_records_agree(keys):
    found = listing(*keys)
    frame = keys_frame(found)
    limited = limited_of_records(keys)
    assert triples(found.active.limited) == limited
    assert limited_of_frame(frame) == limited
    assert limited_of_frame(file_frame(found)) == limited

    summary = summarize(found)
    lowest = [(each["name"], each["limit_remaining"], each["limit"]) for each in summary["lowest"]]
    assert lowest == limited[:LOWEST]
    disabled = frame["disabled"].fillna(False).astype(bool)
    expired = frame["expires_at"] <= frame["observed_at"]
    assert summary["disabled"] == disabled.sum() == sum(map(is_disabled, keys))
    assert summary["expired"] == expired.sum() == sum(is_expired(key, OBSERVED_AT) for key in keys)
    assert summary["unlimited"] == frame["limit"].isna().sum()


@odd_records
@example(CONTRADICTING, 1, 100)
@given(RECORDS, st.integers(0, 20) | st.floats(0, 20), st.integers(0, 100))
def test_the_rule_agrees_with_the_frame(keys, usd, percent):
    found = listing(*keys)
    limited = limited_of_frame(keys_frame(found))

    check = LimitRule(threshold=usd).check(found)
    assert triples(check.watched) == limited
    assert triples(low(check)) == [each for each in limited if each[1] < usd]
    assert check.not_measurable == len(found.active.not_measurable)

    check = LimitRule(threshold=f"{percent}%").check(found)
    assert triples(check.watched) == [each for each in limited if each[2] is not None and each[2] > 0]
    assert triples(low(check)) == [
        each for each in triples(check.watched) if Fraction(str(each[1])) < Fraction(str(each[2])) * percent / 100
    ]

    check = LimitRule(threshold=usd, include_disabled=True).check(found)
    enabled = [each for each in triples(check.watched) if each in limited]
    assert enabled == limited
    assert {each.hash for each in check.watched} - {each[0] for each in limited} <= {
        key["hash"] for key in keys if is_disabled(key)
    }


# -- the two records that were read in two ways


@pytest.fixture
def contradicting(monkeypatch):
    """The default connection, to an account of the two."""
    with Server(lambda request: data(CONTRADICTING[request.offset :])) as server:
        fields = {"conn_type": "openrouter", "host": server.base_url, "password": TOKEN}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(fields))
        yield


def run(**arguments):
    context = Context()
    operator = OpenRouterListKeysOperator(task_id="list_keys", do_xcom_push=True, **arguments)
    return operator.execute(context), context.xcoms["summary"]


@pytest.mark.usefixtures("contradicting", "outside_the_task_runner")
def test_an_operator_names_the_active_key_as_lowest(tmp_path):
    records, summary = run(xcom_format="records")
    assert records == CONTRADICTING
    path, _ = run(output_path=str(tmp_path / "keys.parquet"))
    frame = pd.read_parquet(path)
    assert frame["disabled"].tolist() == [False, True]
    assert limited_of_frame(frame) == [("a", 0.5, 10.0)]
    assert summary["disabled"] == 1
    assert summary["lowest"] == [{"name": "a", "label": None, "limit_remaining": 0.5, "limit": 10.0}]


@pytest.mark.parametrize(("threshold", "low"), [(1, ["a"]), ("10%", ["a"]), (0.5, []), ("5%", [])])
def test_a_rule_watches_the_active_key_alone(threshold, low):
    check = LimitRule(threshold=threshold).check(listing(*CONTRADICTING))
    assert triples(check.watched) == [("a", 0.5, 10.0)]
    assert [each.left.hash for each in check.low] == low
    assert check.not_measurable == 0
