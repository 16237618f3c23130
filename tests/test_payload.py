"""What leaves for Airflow arrives as it left, through Airflow's own functions; and what is changed for that."""

import asyncio
import json
import math
import os
from contextlib import aclosing
from copy import deepcopy
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.jobs.triggerer_job_runner import messages
from airflow.models.asset import AssetEvent
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import AirflowException, Asset
from airflow.sdk.api.datamodels._generated import AssetEventDagRunReference
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.comms import SetXCom, XComResult
from airflow.triggers.base import TriggerEvent
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, TypeAdapter
from sqlalchemy import JSON as STORED_JSON
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import sqlite
from support.keys import key, listing
from support.lines import TriggerEventEntry, deserialize_next_kwargs, exchange, needs_frames_in_xcom
from support.servers import TOKEN, Server, data
from support.tasks import Context

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.payload import LEVELS, fit
from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitTrigger
from airflow_provider_openrouter.watch.events import error_event, low_event, read_keys
from airflow_provider_openrouter.watch.rule import LimitRule

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
RESERVED = ["__classname__", "__version__", "__data__", "__id__", "__cache__", "__type", "__var", "__source"]
"""The names that Airflow's serialisers understand, on all lines from 3.0 to 3.3."""


def nested(levels, innermost=1, *, kind=dict):
    for _ in range(levels):
        innermost = {"a": innermost} if kind is dict else [innermost]
    return innermost


# -- the ways through Airflow


def in_the_database(column, value):
    """Return what another process reads of a value that was put into a column."""
    dialect = sqlite.dialect()
    bind = column.type.dialect_impl(dialect).bind_processor(dialect)
    return STORED_JSON().result_processor(dialect, None)(bind(value))


def over_http(value):
    """Return what Airflow's API sends of a value, and how a worker reads it."""
    return TypeAdapter(JsonValue).validate_json(TypeAdapter(JsonValue).dump_json(value))


def through_xcom(value):
    pushed = SetXCom(key="a", value=BaseXCom.serialize_value(value), dag_id="a", run_id="a", task_id="a")
    stored = in_the_database(XComModel.__table__.c.value, over_http(exchange(pushed).value))
    return BaseXCom.deserialize_value(exchange(XComResult(key="a", value=over_http(stored))))


def through_the_triggerer(payload):
    entry = TriggerEventEntry(1, TriggerEvent(payload), None)
    [(_, event, *_)] = exchange(messages.TriggerStateChanges(events=[entry])).events
    return event


def stored_for_a_deferred_task(payload):
    task = SimpleNamespace(next_kwargs=None)
    session = SimpleNamespace(flush=lambda: None)
    handle_event_submit(through_the_triggerer(payload), task_instance=task, session=session)
    return in_the_database(TaskInstance.__table__.c.next_kwargs, task.next_kwargs)


def through_a_deferral(payload):
    return deserialize_next_kwargs(over_http(stored_for_a_deferred_task(payload)))["event"]


def through_an_asset(payload):
    extra = {"from_trigger": True, "payload": through_the_triggerer(payload).payload}
    sent = exchange(
        AssetEventDagRunReference(
            asset={"name": "a", "uri": "a", "extra": {}},
            extra=over_http(in_the_database(AssetEvent.__table__.c.extra, extra)),
            source_task_id=None,
            source_dag_id=None,
            source_run_id=None,
            source_map_index=None,
            source_aliases=[],
            timestamp=datetime(2026, 11, 3, tzinfo=UTC),
        )
    )
    return sent.extra["payload"]


WAYS = [through_xcom, through_a_deferral, through_an_asset]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)

# -- what is changed, and into what

CHANGED = {
    "an integer beyond 64 bits": ({"limit": 10**20}, {"limit": "100000000000000000000"}),
    "the first integer beyond 64 bits": ({"x": 2**63}, {"x": "9223372036854775808"}),
    "the first below": ({"x": -(2**63) - 1}, {"x": "-9223372036854775809"}),
    "an integer of 4,000 digits": ({"x": int("9" * 4_000)}, {"x": "9" * 4_000}),
    "a float that jsonb makes such an integer": ({"usage": 1e21}, {"usage": "1e+21"}),
    "a float that JSON does not hold": ({"x": [math.inf, -math.inf]}, {"x": ["inf", "-inf"]}),
    "no number": ({"x": math.nan}, {"x": "nan"}),
    "names that look like a timedelta": (
        {"__type": "timedelta", "__var": 1.0},
        {"field__type": "timedelta", "field__var": 1.0},
    ),
    "names that look like an object": (
        {"name": {"__classname__": "builtins.set", "__version__": 1, "__data__": [1]}},
        {"name": {"field__classname__": "builtins.set", "field__version__": 1, "field__data__": [1]}},
    ),
    "the name of a schema": ({"a": [{"__id__": "x"}]}, {"a": [{"field__id__": "x"}]}),
    "a name, and what it would become": (
        {"__id__": 1, "field__id__": 2, "fieldfield__id__": 3},
        {"field__id__": 1, "fieldfield__id__": 2, "fieldfieldfield__id__": 3},
    ),
    "more levels than are taken": (nested(300), nested(LEVELS, json.dumps(nested(300 - LEVELS)))),
    "more lists than are taken": (
        {"a": nested(300, kind=list)},
        {"a": nested(LEVELS - 1, json.dumps(nested(301 - LEVELS, kind=list)), kind=list)},
    ),
    "reserved names too deep to matter": (
        nested(LEVELS, {"__id__": 10**20}),
        nested(LEVELS, '{"__id__": 100000000000000000000}'),
    ),
    "what no database holds": ({"name": "a\0b"}, {"name": "a\ufffdb"}),
    "what no UTF-8 holds": ({"name": "a\ud800b"}, {"name": "a\ufffdb"}),
    "what no UTF-8 holds, too deep": (nested(LEVELS, ["\ud800"]), nested(LEVELS, '["\ufffd"]')),
    "what no UTF-8 holds, in a name": ({"é\udfff": 1}, {"é\ufffd": 1}),
}
KEPT = {
    "a key": key("é", 0.5, disabled=False, limit_reset=None, limit=5),
    "the largest integers": {"x": [2**63 - 1, -(2**63)]},
    "large floats": {"x": [9.2e18, -9.2e18, 5e-324, -0.0]},
    "names with underscores": {"_a": 1, "a__b": 2, "_": 3, "field_a": 4, "fields__a": 5, "afield__b": 6},
    "as many levels as are taken": nested(LEVELS, "a"),
    "as many lists as are taken": {"a": nested(LEVELS - 1, 1, kind=list)},
    "nothing": {"a": {}, "b": [], "c": "", "": None},
    "text that JSON escapes": {"a": 'a"\\\n\u2028\x1b 😀'},
    "templates": {"name": "{{ 7 * 7 }}{% raw %}"},
    "a long name and a long text": {"f" * 10_000: "x" * 100_000},
}


@pytest.mark.parametrize(("sent", "expected"), CHANGED.values(), ids=CHANGED)
def test_what_airflow_cannot_carry_stays_readable(sent, expected):
    assert fit(sent) == expected


@pytest.mark.parametrize("sent", KEPT.values(), ids=KEPT)
def test_what_airflow_can_carry_stays_the_same_object(sent):
    assert fit(sent) is sent


@ways
@pytest.mark.parametrize("sent", [sent for sent, _ in CHANGED.values()] + [*KEPT.values()], ids=[*CHANGED, *KEPT])
def test_each_case_arrives_as_it_left(way, sent):
    assert_same(way(fit(sent)), fit(sent))


@ways
@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("other", RESERVED)
def test_each_pair_of_reserved_names_arrives(way, name, other):
    value = fit({name: "dict", other: {name: {other: 1}}, "c": [{name: "set"}]})
    assert_same(way(value), value)


@pytest.mark.parametrize("depth", [100, 300, 800])
def test_what_python_could_read_is_written_in_any_stack(depth):
    value = json.loads('{"a":' * depth + "1" + "}" * depth)

    def from_deep_down(calls):
        return from_deep_down(calls - 1) if calls else fit(value)

    fitted = from_deep_down(500)
    for _ in range(LEVELS):
        fitted = fitted["a"]
    assert json.loads(fitted) == nested(depth - LEVELS)


# -- any JSON

PREFIXED = st.builds(lambda times, name: "field" * times + name, st.integers(0, 2), st.sampled_from(RESERVED))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
NAMES = PREFIXED | TEXT | st.sampled_from(["hash", "name", "limit", "limit_remaining", "observed_at"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**63 - 2, 2**64 + 2).flatmap(lambda number: st.sampled_from([number, -number]))
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(NAMES, values, max_size=4)
        | st.builds(nested, st.integers(0, 80), values, kind=st.sampled_from([dict, list]))
    ),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, JSON, max_size=8)


def assert_same(arrived, left):
    """Compare types too: JSON writes 1, 1.0 and true differently."""
    assert json.dumps(arrived, sort_keys=True) == json.dumps(left, sort_keys=True)


def assert_readable(sent, fitted, levels=LEVELS):
    """Check that nothing was changed that need not be, and that what was sent can be read from the rest."""
    if isinstance(sent, dict | list) and not levels:
        assert json.loads(fitted) == sent
    elif isinstance(sent, dict):
        marked = [name.replace("field", "").startswith("__") and "__" in name for name in fitted]
        names = [name.removeprefix("field") if mark else name for name, mark in zip(fitted, marked, strict=True)]
        assert names == list(sent)
        for name, inner in zip(sent, fitted.values(), strict=True):
            assert_readable(sent[name], inner, levels - 1)
    elif isinstance(sent, list):
        assert len(sent) == len(fitted)
        for one, other in zip(sent, fitted, strict=True):
            assert_readable(one, other, levels - 1)
    elif isinstance(fitted, str) and not isinstance(sent, str):
        assert abs(sent) >= 2**63
        assert type(sent)(fitted) == sent
    else:
        assert type(fitted) is type(sent)
        assert fitted == sent


@ways
@fuzz
@given(RECORDS)
def test_any_record_arrives_as_it_left(way, record):
    assert_same(way(fit(record)), fit(record))


@fuzz
@given(RECORDS)
@example({"a": 2**63})
def test_any_record_is_changed_only_where_it_must_be(record):
    sent = deepcopy(record)
    fitted = fit(record)
    assert_same(record, sent)
    assert_readable(record, fitted)
    assert fitted != record or fitted is record


def low_event_of(records):
    return {"version": 1, "status": "low", "keys": records}


@fuzz
@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_any_low_keys_arrive_through_a_deferral(records):
    event = low_event_of(list(map(fit, records)))
    assert_same(read_keys(through_a_deferral(event)), event["keys"])


def levels(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


def test_an_event_has_no_more_levels_than_mysql_takes():
    event = low_event_of([fit(nested(300))])
    assert LEVELS < levels(stored_for_a_deferred_task(event)) < 100


def test_numbers_come_back_from_jsonb_as_numbers_of_64_bits(postgresql):
    numbers = [10.0**exponent * sign for exponent in range(-320, 309, 4) for sign in (1, -1)]
    value = fit({"x": [*numbers, 2**63 - 1, -(2**63), 10**30]})
    engine = create_engine(postgresql)
    with engine.connect() as connection:
        written = {"value": json.dumps(value)}
        stored = connection.execute(text("SELECT CAST(CAST(:value AS jsonb) AS text)"), written).scalar_one()
    engine.dispose()
    assert exchange(XComResult(key="a", value=json.loads(stored))).value == value


# -- every exit

HOSTILE = {
    "hash": "a",
    "name": {"__classname__": "builtins.set", "__version__": 1, "__data__": [1]},
    "label": "a\0b",
    "limit": 10**20,
    "limit_remaining": 1e19,
    "usage": 10**200,
    "__type": "timedelta",
    "__var": 1e9,
    "x": nested(300),
}
FIT = fit(HOSTILE)
LOW = FIT | {
    "observed_at": "2026-11-03T06:30:00+00:00",
    "reason": "limit",
    "threshold": "1e+20",
    "next_reset_at": None,
}


@pytest.fixture
def check():
    return LimitRule(threshold=1e20).check(listing(HOSTILE))


def test_the_low_keys_of_a_check_are_fit(check):
    assert check.records == [LOW]


def test_the_event_of_an_asset_is_fit(check):
    event = low_event(check, check.low, connection="a")
    assert event["keys"] == [LOW]
    assert_same(through_an_asset(event), event)


def test_the_event_of_an_error_is_fit():
    event = error_event(AirflowException("a\0b \udcff"))
    assert event["message"] == "a\ufffdb \ufffd"
    assert_same(through_a_deferral(event), event)


@pytest.fixture
def hostile(monkeypatch):
    """The connection of an account with a key that Airflow could not carry."""
    with Server(lambda request: data([HOSTILE][request.offset :])) as server:
        connection = {"conn_type": "openrouter", "host": server.base_url, "password": TOKEN}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(connection))
        yield


def without_the_time(records):
    return [{name: value for name, value in record.items() if name != "observed_at"} for record in records]


@pytest.mark.usefixtures("hostile", "outside_the_task_runner")
def test_records_and_summary_of_the_operator_are_fit():
    context = Context()
    operator = OpenRouterListKeysOperator(task_id="a", xcom_format="records")
    assert operator.execute(context) == [FIT]
    [lowest] = context.xcoms["summary"]["lowest"]
    assert (lowest["limit"], lowest["limit_remaining"]) == ("1e+20", "1e+19")
    assert context.xcoms["summary"]["usage"] == "1e+200"
    assert_same(through_xcom(context.xcoms["summary"]), context.xcoms["summary"])


@needs_frames_in_xcom
@pytest.mark.usefixtures("hostile", "outside_the_task_runner")
def test_the_frame_of_the_operator_is_as_before():
    frame = OpenRouterListKeysOperator(task_id="a").execute(Context())
    assert frame["limit"].tolist() == [1e20]
    assert {"__type", "__var", "x"} <= set(frame.columns)
    assert frame["x"].tolist() == [json.dumps(nested(300))]


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_returns_the_same_whatever_its_mode(deferrable):
    sensor = OpenRouterKeyLimitSensor(task_id="a", threshold=1e20, deferrable=deferrable)
    assert without_the_time(sensor.poke({}).xcom_value) == without_the_time([LOW])


@pytest.mark.usefixtures("hostile")
def test_a_deferred_sensor_returns_the_same_as_one_that_pokes():
    async def first_event():
        async with asyncio.timeout(20), aclosing(OpenRouterKeyLimitTrigger(threshold=1e20).run()) as events:
            return (await anext(events)).payload

    event = through_a_deferral(asyncio.run(first_event()))
    sensor = OpenRouterKeyLimitSensor(task_id="a", threshold=1e20)
    assert without_the_time(sensor.execute_complete(Context(), event)) == without_the_time([LOW])
    assert without_the_time(sensor.poke({}).xcom_value) == without_the_time([LOW])


@pytest.mark.usefixtures("hostile", "outside_the_task_runner")
def test_what_is_said_of_a_file_is_fit(tmp_path):
    context, asset = Context(), Asset("a")
    path = str(tmp_path / "a.jsonl")
    operator = OpenRouterListKeysOperator(task_id="a", output_path=path, outlets=[asset])
    returned = operator.execute(context)
    extra = context["outlet_events"][asset].extra
    assert returned == extra["path"] == path
    assert_same(through_an_asset(extra), extra)


@pytest.mark.usefixtures("hostile", "outside_the_task_runner")
def test_what_is_said_of_a_table_is_fit(tmp_path, monkeypatch):
    database = {"conn_type": "sqlite", "host": str(tmp_path / "a.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(database))
    operator = OpenRouterKeysToSqlOperator(task_id="a", sql_conn_id="warehouse", table="keys", source="é")
    returned = operator.execute(Context())
    assert returned["rows"] == 1
    assert_same(through_xcom(returned), returned)
