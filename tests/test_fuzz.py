"""
Whatever a server, a connection or a stored row holds: a right result or one of our errors, in time.

``FUZZ_EXAMPLES=20000 .venv/bin/python -m pytest tests/test_fuzz.py --timeout=0`` looks longer than a change must
wait for.
"""

import csv
import io
import json
import logging
import os
import time
import traceback
from datetime import datetime

import pandas as pd
import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import AirflowException
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.keys import lines, listing
from support.servers import TOKEN, Answer, Server, data
from support.tasks import Context

from airflow_provider_openrouter.api.client import OpenRouterClient
from airflow_provider_openrouter.api.transport import Transport
from airflow_provider_openrouter.exceptions import (
    OpenRouterError,
    OpenRouterRequestError,
    OpenRouterResponseError,
)
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.files import write_file
from airflow_provider_openrouter.snapshots.frame import keys_file_frame, keys_frame
from airflow_provider_openrouter.snapshots.partition import Partitioning
from airflow_provider_openrouter.snapshots.summary import summarize
from airflow_provider_openrouter.text import plain
from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterKeyLimitEventTrigger,
    OpenRouterKeyLimitTrigger,
)
from airflow_provider_openrouter.watch.events import read_keys
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.threshold import Threshold

FILE_COLUMNS = kinds.KEYS.columns

SECONDS = 20
DTYPES = {
    "string": pd.StringDtype(),
    "boolean": pd.BooleanDtype(),
    "number": "float64",
    "timestamp": "datetime64[us, UTC]",
}
fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


# -- what may be sent

TEXT = st.text(max_size=20) | st.sampled_from(
    [TOKEN, "", " ", "a\0b", "NaN", "inf", "1e999", "TRUE", "null", "=1+1", 'a"b\r\n,c', "\ud800", "\udfff\ud83d"]
)
TIMES = st.datetimes(timezones=st.timezones() | st.none()).map(datetime.isoformat) | st.sampled_from(
    ["0001-01-01T00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-02-30", "2025-W01-1", "24:00"]
)
NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e300, 1.7e308, -1.7e308, 5e-324, 2**63, -(2**63) - 1, 10**400])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT | TIMES
JSON = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*FIELDS, "observed_at", "extra_fields", "snapshot", "source"]) | TEXT
HASHES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
RECORDS = st.lists(
    st.builds(lambda record, hash_: record | {"hash": hash_}, st.dictionaries(NAMES, JSON, max_size=8), HASHES),
    max_size=12,
    unique_by=lambda record: record["hash"],
)
BYTES = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [TOKEN.encode(), b"\r\n", b'{"data": [', b'{"hash": "a"}', b"]}", b"\x1f\x8b\x08", b"\xff", b"0\r\n\r\n"]
    ),
    max_size=6,
).map(b"".join)
DIGITS = st.integers(1, 400).flatmap(lambda count: st.just("7" * count))
NUMERALS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.builds("{}{}".format, st.sampled_from(["e", "E+", "e-", "e0"]), st.integers(0, 5_000)),
)
HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": HEADER | st.sampled_from(["text/html", "application/json; charset=utf-16"]),
        "Content-Encoding": HEADER | st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity"]),
        "Content-Length": HEADER | st.integers(-5, 100).map(str) | st.sampled_from(["9" * 5_000, "1, 1", "1, 2"]),
        "Transfer-Encoding": HEADER | st.sampled_from(["chunked", "gzip, chunked"]),
        "Retry-After": HEADER | st.integers().map(str) | st.floats().map(str),
        "Location": HEADER | st.sampled_from([f"https://{TOKEN}/", "http://[", "//"]),
        "Set-Cookie": HEADER | st.sampled_from([f"{TOKEN}={TOKEN}; Max-Age=9; Version=x", "a=b; expires=0"]),
        "Connection": HEADER | st.sampled_from(["close", "keep-alive", "upgrade"]),
    },
)
STATUSES = st.integers(200, 599) | st.sampled_from([200, 200, 200, 0, 99, 100, 101, 199, 204, 304, 600, 999])


# -- the road from a server to a listing


class Log(logging.Handler):
    """Everything that is said, however low."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.said += self.format(record) + repr(record.args)


class Road:
    """A server that says what it is told to, and one who lists its keys and workspaces."""

    def __init__(self, server: Server, log: Log) -> None:
        self._server = server
        self.log = log

    def connection(self, answer) -> str:
        """Let the server answer so, and return a connection to it."""
        self._server.answer = answer
        self.log.said = ""
        return json.dumps({"conn_type": "openrouter", "host": self._server.base_url, "password": TOKEN})

    def lists(self, answer, *, workspaces: bool = False, timeout: float = 10) -> list[dict] | OpenRouterError:
        """List in time, and return what there is or one of our errors; neither error nor log shows the key."""
        client = OpenRouterClient(TOKEN, base_url=self._server.base_url, timeout=timeout, max_retries=0)
        self._server.answer = answer
        self.log.said = ""
        began = time.monotonic()
        try:
            listed = client.list_workspaces() if workspaces else client.list_keys()
        except OpenRouterError as error:
            listed = error
            self.log.said += "".join(traceback.format_exception(error)) + repr(vars(error))
        assert time.monotonic() - began < SECONDS
        assert TOKEN not in self.log.said
        return listed


@pytest.fixture(scope="module")
def road():
    log = Log()
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    with Server(lambda request: data([])) as server:
        yield Road(server, log)
    root.removeHandler(log)
    root.setLevel(level)


def slices(records, page_size):
    return lambda request: data(records[request.offset :][:page_size])


def as_sent(value):
    """Return what is kept of a value: all, but what no UTF-8 or no database holds."""
    if isinstance(value, dict):
        return {as_sent(name): as_sent(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_sent(inner) for inner in value]
    if isinstance(value, str):
        joined = json.loads(json.dumps(value))  # two halves that are a pair
        return joined.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def assert_right(listed, identity="hash") -> None:
    """Whatever was listed: records, each once by what identifies it, which any JSON and any UTF-8 can hold."""
    if isinstance(listed, OpenRouterError):
        return
    identities = [record[identity] for record in listed]
    assert all(isinstance(each, str) and each for each in identities)
    assert len(set(identities)) == len(identities)
    assert json.loads(json.dumps(listed, ensure_ascii=False, allow_nan=False).encode()) == listed


@fuzz
@given(BYTES | JSON | JSON.map(lambda value: {"data": value}), st.booleans())
def test_any_body_is_a_right_answer_or_an_error(road, body, workspaces):
    assert_right(
        road.lists(lambda request: Answer(body=body), workspaces=workspaces), "id" if workspaces else "hash"
    )


@fuzz
@given(BYTES | st.builds(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b".__mod__, st.tuples(BYTES, BYTES)))
@example(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n{}" % TOKEN.encode())
def test_any_bytes_are_a_right_answer_or_an_error(road, raw):
    assert_right(road.lists(lambda request: Answer(raw=raw), timeout=0.3))


@fuzz
@given(STATUSES, HEADERS, JSON | BYTES, st.integers(-1, 40) | st.just(1_000) | st.none())
def test_any_status_and_headers_are_a_right_answer_or_an_error(road, status, headers, body, cut):
    assert_right(road.lists(lambda request: Answer(status, body, headers, cut=cut), timeout=0.3))


@fuzz
@given(RECORDS, JSON.filter(lambda hash_: not isinstance(hash_, str) or not hash_), st.data())
def test_a_record_without_a_hash_among_any_others_is_an_error(road, records, hash_, drawn):
    records.insert(drawn.draw(st.integers(0, len(records))), {"hash": hash_})
    assert type(road.lists(slices(records, 100))) is OpenRouterResponseError


@fuzz
@given(RECORDS, st.integers(1, 100))
@example([{"hash": r"\u0000"}], 1)
def test_any_records_are_listed_as_they_were_sent(road, records, page_size):
    assert road.lists(slices(records, page_size)) == as_sent(records)


NAMES_BUT_HASH = st.sampled_from([*FIELDS.keys() - {"hash"}, "unknown"])


@fuzz
@given(NUMERALS, NAMES_BUT_HASH)
@example(f"{'7' * 400}.5", "limit_remaining")
def test_any_numeral_is_held_by_json_frame_and_file(road, tmp_path_factory, numeral, name):
    listed = road.lists(one_record(f'"{name}": {numeral}'))
    assert_right(listed)
    go_on(listed, tmp_path_factory)


@fuzz
@given(st.integers(1, 2_000), st.sampled_from([("[", "]"), ('{"a":', "}")]), NAMES_BUT_HASH)
@example(900, ("[", "]"), "unknown")
def test_any_depth_is_held_by_frame_and_file_or_an_error(road, tmp_path_factory, depth, pair, name):
    opening, closing = pair
    listed = road.lists(one_record(f'"{name}": {opening * depth}1{closing * depth}'))
    try:
        if isinstance(listed, OpenRouterError):
            raise listed
        go_on(listed, tmp_path_factory)
    except OpenRouterResponseError:
        assert depth > 300


def one_record(field):
    body = f'{{"data": [{{"hash": "a", {field}}}]}}'
    return lambda request: data([]) if request.offset else Answer(body=body)


# -- the road from a listing on


def go_on(keys, tmp_path_factory) -> None:
    frame = keys_frame(listing(*keys))
    unknown = {name for key in keys for name in key} - FIELDS.keys()
    assert frame["hash"].tolist() == hashes(keys)
    assert len(frame.columns) == len(FIELDS) + 2 + len(unknown)
    assert {name: frame[name].dtype for name in FIELDS} == {name: DTYPES[kind] for name, kind in FIELDS.items()}

    summary = summarize(listing(*keys))
    assert summary["keys"] == len(keys)
    json.dumps(summary, allow_nan=False).encode()

    partition = Partitioning(granularity="day", source="team_keys").partition(listing(*keys))
    file_frame = keys_file_frame(listing(*keys), partition)
    for suffix, read in READERS.items():
        path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
        assert write_file(file_frame, str(path), kind=kinds.KEYS) == path.stat().st_size
        columns, read_hashes = read(path)
        assert columns == list(FILE_COLUMNS)
        assert read_hashes == hashes(keys)


def hashes(keys) -> list[str]:
    return [key["hash"] for key in keys]


def read_parquet(path):
    table = pyarrow.parquet.read_table(path)
    return table.column_names, table["hash"].to_pylist()


def read_csv(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, [row[header.index("hash")] for row in rows]


def read_jsonl(path):
    rows = [json.loads(line) for line in io.StringIO(path.read_text(), newline="\n")]
    assert all(list(row) == list(FILE_COLUMNS) for row in rows)
    return list(FILE_COLUMNS), [row["hash"] for row in rows]


READERS = {".parquet": read_parquet, ".csv": read_csv, ".jsonl": read_jsonl}


@fuzz
@given(RECORDS)
@example([{"hash": "a", "usage": 1.7e308}, {"hash": "b", "usage": 1.7e308}])
def test_any_listed_records_go_on_into_frame_summary_and_files(road, tmp_path_factory, records):
    go_on(road.lists(slices(records, 100)), tmp_path_factory)


THRESHOLDS = st.sampled_from([0, 5, "10%", "0.1%", 1e299, "100%", "3 days", "366 days"])
TIMES = st.sampled_from([None, "7 days", "366 days"])


@fuzz
@given(RECORDS, THRESHOLDS, st.none() | TEXT, st.none() | st.lists(HASHES), st.booleans(), TIMES)
def test_any_listed_records_can_be_checked_by_any_rule(
    road, records, threshold, pattern, key_hashes, disabled, within
):
    keys = road.lists(slices(records, 100))
    try:
        rule = LimitRule(
            threshold=threshold,
            name_pattern=pattern,
            key_hashes=key_hashes,
            include_disabled=disabled,
            expires_within=within,
        )
    except OpenRouterRequestError:
        return
    check = rule.check(listing(*keys))
    assert within or all(finding.left in check.watched for finding in check.low)
    assert all(limited.key in keys for limited in check.watched)
    assert all(line.isprintable() for line in lines(check))
    assert check.warning.isprintable()
    json.dumps(check.records, allow_nan=False)


@fuzz
@given(st.text(), st.text())
@example("one\ntwo", "\x1b[2Jthree\u2028four")
@pytest.mark.usefixtures("outside_the_task_runner")
def test_any_name_stays_within_its_line_of_the_log(road, log, name, label):
    key = as_sent({"hash": "a", "name": name, "label": label, "limit": 5, "limit_remaining": 1})
    operator = OpenRouterListKeysOperator(task_id="list_keys", xcom_format="records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", road.connection(slices([key], 100)))
        operator.execute(Context())
    shown = plain(key["label"])
    left = f"$1.00 of $5.00 left: {plain(key['name'])}" + (f" ({shown})" if shown else "")
    assert any(left in line for line in log().splitlines())


# -- what else is read from outside


@fuzz
@given(
    st.text()
    | st.builds(
        "{}{}".format, st.decimals() | st.floats() | st.integers(), TEXT | st.sampled_from(["%", " days"])
    )
)
@example("9" * 5_000)
def test_any_threshold_is_refused_or_reads_again_as_the_same(text):
    try:
        threshold = Threshold.read(text)
    except OpenRouterRequestError:
        return
    json.dumps(threshold.argument, allow_nan=False)
    assert not str(threshold.argument).startswith("-")
    assert Threshold.read(threshold.argument) == threshold


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(["version", "status", "keys", "error", "message", "status_code"]),
        JSON | st.sampled_from([1, "low", "error", "OpenRouterServerError", "__loader__", [{"hash": "a"}]]),
    )
    | JSON
)
def test_any_event_is_low_keys_or_an_error(event):
    try:
        keys = read_keys(event)
    except AirflowException as error:
        str(error)  # an error that cannot be shown is none
        return
    assert keys == event["keys"]


@fuzz
@given(
    st.sampled_from([OpenRouterKeyLimitTrigger, OpenRouterKeyLimitEventTrigger]),
    st.fixed_dictionaries(
        {"threshold": JSON | THRESHOLDS},
        optional={
            "poll_interval": JSON | st.floats(0.1, 100),
            "key_hashes": JSON | st.lists(HASHES),
            "name_pattern": JSON,
            "include_disabled": JSON | st.booleans(),
            "workspace_id": JSON,
        },
    ),
)
def test_any_row_is_refused_or_written_again_as_the_same(kind, row):
    try:
        made = kind(**row)
    except OpenRouterRequestError:
        return
    _, written = made.serialize()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert kind(**written).serialize() == made.serialize()


@fuzz
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "password": TEXT | st.just(TOKEN),
            "host": TEXT | st.text("htps:/[]@.1%#? é", max_size=20),
            "port": st.integers(-1, 99_999),
            "schema": TEXT,
            "extra": JSON
            | st.dictionaries(
                st.sampled_from(["timeout", "max_retries", "max_concurrency", "allow_http"]),
                JSON | st.sampled_from([1, 5, "7", True, "false", 10**12]),
            ),
        },
    )
)
@example({"password": "a", "extra": {"max_concurrency": 101}})
@example({"password": "a", "extra": {"max_retries": "101"}})
def test_any_connection_is_a_client_or_refused(connection):
    connection = as_sent({"conn_type": "openrouter"} | connection)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(connection))
        patch.setattr(Transport, "get", lambda *request: [])  # wherever the connection leads
        began = time.monotonic()
        try:
            client = OpenRouterHook().get_conn()
            client.list_keys()
            assert max(client.max_concurrency, client.max_retries) <= 100
            said = ""
        except AirflowException as error:
            said = str(error)
        assert TOKEN not in said
        assert time.monotonic() - began < SECONDS


HTTP_DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Wed", "", "x"]),
    *(st.integers(-1, 100_000) | st.integers(0, 60), st.sampled_from(["Oct", "Feb", "", "10"])),
    *[st.integers(-1, 10**20) | st.integers(0, 60)] * 4,
    st.sampled_from(["GMT", "+2400", "-9999", "+99999999999999999999", "", "é"]) | HEADER,
)


@fuzz
@given(st.sampled_from([429, 503]), HTTP_DATES | HEADER | st.floats().map(str) | st.integers().map(str))
def test_any_retry_after_is_a_time_to_wait_or_none(road, status, value):
    error = road.lists(lambda request: Answer(status, headers={"Retry-After": value}))
    assert error.status_code == status
    assert error.retry_after is None or error.retry_after >= 0
