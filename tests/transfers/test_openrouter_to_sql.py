"""The operator that writes keys into a table: what it writes, returns, reports and refuses."""

import json
import logging
import time
import traceback
from datetime import UTC, datetime, timedelta
from inspect import signature

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, Asset
from airflow.sdk import AssetAlias
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from support.databases import connection_to
from support.tasks import Context

from airflow_provider_openrouter.exceptions import OpenRouterAuthError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.sandbox import TOKEN, Sandbox
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

FILE_COLUMNS = kinds.KEYS.columns
IDENTITY = kinds.KEYS.identity

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

PASSWORD = "a-database-password-never-to-be-shown"
NAME = "a-key-name-never-to-be-shown"


@pytest.fixture
def log(capfd, caplog):
    """Return everything that is logged, down to what SQLAlchemy and requests say at DEBUG."""
    for logger in (
        None,
        "sqlalchemy",
        "sqlalchemy.engine",
        "airflow",
        "urllib3",
        "airflow_provider_openrouter",
        "airflow.task",
    ):
        caplog.set_level(logging.DEBUG, logger)
    # With SQLAlchemy 1.4 Airflow's own hooks log their URL here, and mask its password only in a task.
    caplog.set_level(logging.INFO, "airflow.task.hooks.airflow.providers")

    def read():
        printed = capfd.readouterr()
        return printed.out + printed.err + caplog.text + "".join(repr(record.args) for record in caplog.records)

    return read


def run(context=None, **arguments):
    """Render the operator's templates and execute it."""
    context = Context() if context is None else context
    operator = OpenRouterKeysToSqlOperator(
        **{"task_id": "write", "sql_conn_id": "warehouse", "table": "keys"} | arguments
    )
    operator.render_template_fields(context)
    return operator.execute(context)


empty_database = support.databases.database


@pytest.fixture
def database(empty_database, monkeypatch):
    """A database that the Airflow connection ``warehouse`` leads to."""
    lead_to(make_url(empty_database.url), monkeypatch)
    return empty_database


def lead_to(url, monkeypatch):
    secret = {} if url.get_backend_name() == "sqlite" else {"password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(url.set(**secret)))


def hashes(rows):
    return sorted(row["hash"] for row in rows)


def listed(**what):
    return OpenRouterHook().list_keys(**({"include_disabled": True, "include_expired": True} | what))


# -- what it writes and returns


def test_it_writes_every_key_and_returns_what_it_wrote(connection, database):
    before = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    returned = run()
    snapshot = datetime.fromisoformat(returned.pop("snapshot"))
    assert returned == {
        "rows": 25,
        "table": "keys",
        "granularity": "day",
        "source": connection,
        "workspace_scope": "default",
    }
    assert before <= snapshot <= datetime.now(UTC)
    rows = database.rows()
    assert list(rows[0]) == list(FILE_COLUMNS)
    assert hashes(rows) == sorted(key["hash"] for key in listed())
    assert {(row["snapshot"], row["source"]) for row in rows} == {(snapshot.replace(tzinfo=None), connection)}
    by_hash = {row["hash"]: row for row in rows}
    for key in listed():
        row = by_hash[key["hash"]]
        assert (row["name"], row["usage"], row["disabled"]) == (key["name"], key["usage"], key["disabled"])


def test_what_it_returns_fits_into_xcom(connection, database):
    returned = run()
    assert json.loads(json.dumps(returned)) == returned


@pytest.mark.parametrize("times", [2, 3])
def test_running_again_is_as_running_once(times, sandbox, connection, database):
    for _ in range(times):
        returned = run(snapshot="2026-11-03")
    assert returned["rows"] == 25
    run(snapshot="2026-11-03", table="clean")
    moments = {"observed_at": None}
    assert [row | moments for row in database.rows()] == [row | moments for row in database.rows("clean")]
    assert {row["observed_at"] for row in database.rows()} == {database.rows()[0]["observed_at"]}


def test_a_key_deleted_before_the_next_run_is_not_in_it(monkeypatch, database):
    for keys in (9, 4):
        with Sandbox(keys=keys) as sandbox:
            monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
            run(snapshot="2026-11-03")
    assert len(database.rows()) == 4


def test_an_account_without_keys_empties_its_partition(sandbox, connection, monkeypatch, database):
    run(snapshot="2026-11-02")
    run(snapshot="2026-11-03")
    with Sandbox(keys=0) as empty:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", empty.connection)
        assert run(snapshot="2026-11-03")["rows"] == 0
        assert run(table="other")["rows"] == 0
    assert {row["snapshot"] for row in database.rows()} == {datetime(2026, 11, 2)}
    assert database.rows("other") == []


def test_a_field_new_to_the_api_is_in_the_extra_fields(sandbox, connection, database):
    hash_ = sandbox.create_key(budget={"usd": 5})
    run()
    (row,) = database.rows(hash=hash_)
    assert row["extra_fields"] == '{"budget": {"usd": 5}}'


def test_each_workspace_and_all_of_them_are_partitions(monkeypatch, database):
    with Sandbox(keys=30, workspaces=3) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        ids = [workspace["id"] for workspace in OpenRouterHook().list_workspaces()]
        for _ in range(2):
            written = [run(workspace_id=workspace, snapshot="2026-11-03") for workspace in (None, "*", *ids)]
    assert [each["workspace_scope"] for each in written] == ["default", "*", *ids]
    assert [each["rows"] for each in written] == [10, 30, 10, 10, 10]
    for each in written:
        assert len(database.rows(workspace_scope=each["workspace_scope"])) == each["rows"]


def test_two_accounts_are_two_partitions(monkeypatch, database):
    with Sandbox(keys=5) as one, Sandbox(keys=7) as two:
        monkeypatch.setenv("AIRFLOW_CONN_ONE", one.connection)
        monkeypatch.setenv("AIRFLOW_CONN_TWO", two.connection)
        for _ in range(2):
            run(openrouter_conn_id="one")
            run(openrouter_conn_id="two")
    assert len(database.rows(source="one")) == 5
    assert len(database.rows(source="two")) == 7


def test_a_given_source_is_used_whatever_the_connection(sandbox, monkeypatch, database):
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", sandbox.connection)
    for connection in ("one", "two"):
        assert run(openrouter_conn_id=connection, source="team")["source"] == "team"
    assert {row["source"] for row in database.rows()} == {"team"}
    assert len(database.rows()) == 25


def test_an_hourly_snapshot_is_of_the_hour(connection, database):
    snapshot = datetime.fromisoformat(run(granularity="hour")["snapshot"])
    (observed_at,) = {row["observed_at"].replace(tzinfo=UTC) for row in database.rows()}
    assert snapshot == observed_at.replace(minute=0, second=0, microsecond=0)
    assert abs(datetime.now(UTC) - observed_at) < timedelta(minutes=5)


def test_a_day_and_its_first_hour_are_two_partitions(connection, database):
    for granularity in ("day", "hour", "day"):
        written = run(granularity=granularity, snapshot="2026-11-03")
        assert (written["granularity"], written["snapshot"]) == (granularity, "2026-11-03T00:00:00+00:00")
    assert [row["granularity"] for row in database.rows()] == ["day"] * 25 + ["hour"] * 25


def test_names_of_workspaces_are_written_where_they_are_read(monkeypatch, database):
    with Sandbox(keys=4, workspaces=2) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        names = {each["id"]: each["name"] for each in OpenRouterHook().list_workspaces()}
        ids = list(names)
        for workspace_id in ("*", names[ids[1]], ids[1], None):
            sandbox.requests.clear()
            run(workspace_id=workspace_id)
            asked = any("/workspaces" in each for each in sandbox.requests)
            assert asked == (workspace_id in ("*", names[ids[1]]))
    for scope in ("*", names[ids[1]]):
        rows = database.rows(workspace_scope=scope)
        assert rows
        assert all(row["workspace_name"] == names[row["workspace_id"]] for row in rows)
    for scope in (ids[1], "default"):
        assert {row["workspace_name"] for row in database.rows(workspace_scope=scope)} == {None}


def test_two_hours_of_one_day_are_two_partitions(connection, database):
    for hour in ("06:10", "07:50", "06:59"):
        run(granularity="hour", snapshot=f"2026-11-03T{hour}+00:00")
    rows = database.rows()
    assert {row["snapshot"] for row in rows} == {datetime(2026, 11, 3, 6), datetime(2026, 11, 3, 7)}
    assert len(rows) == 50


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        ("2026-11-03T06:30:00+00:00", "2026-11-03T00:00:00+00:00"),
        ("2026-11-03T06:30:00+09:00", "2026-11-02T00:00:00+00:00"),
        ("{{ params.moment }}", "2025-01-31T00:00:00+00:00"),
    ],
)
def test_a_given_snapshot_dates_the_rows_back(snapshot, said, connection, database):
    context = Context(params={"moment": "2025-01-31T23:00:00"})
    assert run(context, snapshot=snapshot)["snapshot"] == said
    for row in database.rows():
        assert row["snapshot"] == datetime.fromisoformat(said).replace(tzinfo=None)
        assert abs(datetime.now(UTC) - row["observed_at"].replace(tzinfo=UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize("nothing", [None, "", "{{ none or '' }}"])
def test_an_empty_snapshot_source_or_schema_is_none(nothing, connection, database):
    returned = run(snapshot=nothing, source=nothing, schema=nothing)
    assert datetime.fromisoformat(returned["snapshot"]).date() == datetime.now(UTC).date()
    assert (returned["source"], returned["table"]) == (connection, "keys")


def test_a_run_cleared_a_week_later_leaves_older_rows_alone(sandbox, connection, database):
    week_ago = datetime.now(UTC) - timedelta(days=7)
    context = Context(logical_date=week_ago, ds=f"{week_ago:%Y-%m-%d}")
    run(context, snapshot=week_ago.isoformat())
    before = database.rows()
    sandbox.create_key()
    returned = run(context)
    assert returned["rows"] == 26
    assert datetime.fromisoformat(returned["snapshot"]).date() == datetime.now(UTC).date()
    assert database.rows()[:25] == before
    assert len(database.rows()) == 25 + 26


def test_a_schema_is_used_and_returned(connection, database):
    schema = {"postgresql": "lake", "sqlite": "main"}[database.name]
    if database.name == "postgresql":
        database.do("CREATE SCHEMA lake")
    for _ in range(2):
        assert run(schema=schema)["table"] == f"{schema}.keys"
    assert len(database.rows(schema=schema)) == 25


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("select", '"select"'),
        ("Keys", '"Keys"'),
        ("'; drop table keys; --", """"'; drop table keys; --\""""),
        ('a "b"', '"a ""b"""'),
        ("100%", '"100%"'),
        ("one\ntwo", '"one\ntwo"'),
    ],
)
def test_a_table_of_any_name_is_returned_as_sql_has_it(table, said, connection, database):
    for _ in range(2):
        assert run(table=table)["table"] == said
    assert database.tables == [table]
    with database.engine.connect() as opened:
        assert opened.execute(text(f"SELECT count(*) FROM {said}")).scalar() == 25


@pytest.mark.parametrize(
    ("arguments", "schema", "table", "said"),
    [
        ({"table": "main.keys"}, "main", "keys", "main.keys"),
        ({"table": "main.keys", "schema": "main"}, "main", "main.keys", 'main."main.keys"'),
        ({"table": '"a.b"', "schema": "main"}, "main", '"a.b"', 'main."""a.b"""'),
    ],
)
def test_a_dot_ends_the_schema_unless_one_is_given(arguments, schema, table, said, connection, database):
    if database.name == "postgresql":
        database.do("CREATE SCHEMA main")
    context = Context()
    returned = run(context, outlets=[Asset("keys")], **arguments)
    assert returned["table"] == said
    assert [event.extra["table"] for event in context["outlet_events"].values()] == [said]
    assert inspect(database.engine).get_table_names(schema) == [table]


@pytest.mark.parametrize("table", ["a.b.c", ".keys", "lake.", '"a.b"', "`lake`.keys"])
def test_a_name_with_other_dots_is_refused(table, sandbox, connection, database):
    with pytest.raises(AirflowFailException, match=r"^table must be a name or schema\.name, not "):
        run(table=table)
    assert sandbox.requests == []


# -- what it reports


def test_summary_and_report_are_those_of_the_list_operator(connection, database):
    context = Context()
    run(context)
    summary, report = context.xcoms["summary"], context.xcoms["report"]
    assert f"| {summary['lowest'][0]['name']} |" in report
    assert (summary["keys"], summary["workspace"]) == (25, "default only")
    assert summary["usage"] == pytest.approx(sum(row["usage"] for row in database.rows()))
    (observed_at,) = {row["observed_at"] for row in database.rows()}
    assert datetime.fromisoformat(summary["observed_at"]).replace(tzinfo=None) == observed_at


def test_no_xcom_is_pushed_where_none_is_wanted(connection, database):
    context = Context()
    run(context, do_xcom_push=False)
    assert context.xcoms == {}


@pytest.mark.parametrize("schema", [None, "main"])
def test_each_outlet_asset_gets_the_rows_and_their_partition(schema, connection, database):
    if schema and database.name == "postgresql":
        database.do("CREATE SCHEMA main")
    context = Context()
    outlets = [Asset("keys"), Asset("spend"), AssetAlias("some_keys")]
    returned = run(context, outlets=outlets, schema=schema, workspace_id="*", source="team")
    extra = returned | {"observed_at": context.xcoms["summary"]["observed_at"]}
    assert extra["table"] == ("main.keys" if schema else "keys")
    assert {asset.name: event.extra for asset, event in context["outlet_events"].items()} == {
        "keys": extra,
        "spend": extra,
    }


def test_a_run_that_fails_reports_nothing(connection, database):
    context = Context()
    with pytest.raises(AirflowFailException):
        run(context, outlets=[Asset("keys")], create_table=False)
    assert (context.xcoms, dict(context["outlet_events"])) == ({}, {})


# -- what it refuses


@pytest.mark.parametrize("conn_type", ["http", "openrouter", "fs"])
def test_a_connection_to_no_database_is_refused(conn_type, sandbox, connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": conn_type, "password": PASSWORD}))
    with pytest.raises(AirflowFailException) as caught:
        run()
    said = (
        f"Connection 'warehouse' is of type {conn_type!r}, which is no SQL database. "
        "Set sql_conn_id to a connection to one."
    )
    assert str(caught.value) == said
    assert sandbox.requests == []


UNSUPPORTED = (
    "which is not supported: write a file with OpenRouterListKeysOperator and load it, as docs/warehouses.md "
    "shows."
)
UNKNOWN = "whose provider is not installed. Install the Airflow provider of that type, or correct the type."


@pytest.mark.parametrize(
    ("conn_type", "said"),
    [("nonsense", UNKNOWN), ("snowflake", UNSUPPORTED), ("mssql", UNSUPPORTED), ("redshift", UNSUPPORTED)],
)
def test_another_database_is_refused_before_the_first_request(conn_type, said, sandbox, connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": conn_type, "password": PASSWORD}))
    with pytest.raises(AirflowFailException) as caught:
        run()
    assert str(caught.value) == f"Connection 'warehouse' is of type '{conn_type}', {said}"
    assert sandbox.requests == []


def test_a_missing_connection_fails_before_the_first_request(sandbox, connection, airflow_database):
    with pytest.raises(Exception, match=r"no_such_warehouse.* isn't defined|no_such_warehouse.*not found"):
        run(sql_conn_id="no_such_warehouse")
    assert sandbox.requests == []


@pytest.mark.parametrize("table", [None, "", 5, "{{ none or '' }}"])
def test_a_table_without_a_name_is_refused(table, sandbox, connection, database):
    with pytest.raises(AirflowFailException, match=r"^table must be the name of a table, not "):
        run(table=table)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("argument", "value"), [("granularity", "week"), ("snapshot", "yesterday"), ("include_disabled", "maybe")]
)
def test_nonsense_of_a_template_is_refused(argument, value, sandbox, connection, database):
    with pytest.raises(AirflowFailException, match=argument):
        run(Context(params={"value": value}), **{argument: "{{ params.value }}"})
    assert sandbox.requests == []
    assert database.tables == []


def test_nonsense_is_refused_when_the_dag_is_parsed():
    for nonsense in ({"granularity": "week"}, {"workspace_id": 5}):
        with pytest.raises(AirflowFailException, match=next(iter(nonsense))):
            OpenRouterKeysToSqlOperator(task_id="write", sql_conn_id="warehouse", table="keys", **nonsense)


@pytest.mark.parametrize("argument", ["sql_conn_id", "table"])
def test_where_to_write_must_be_said(argument):
    arguments = {"sql_conn_id": "warehouse", "table": "keys"}
    del arguments[argument]
    with pytest.raises(TypeError, match=argument):
        OpenRouterKeysToSqlOperator(task_id="write", **arguments)


def test_a_missing_table_that_is_not_to_be_created_is_an_error(connection, database):
    with pytest.raises(
        AirflowFailException, match=r"^There is no table keys\. Create it, or set create_table=True\.$"
    ):
        run(create_table=False)
    assert database.tables == []


def test_a_listing_that_fails_leaves_the_table_as_it_was(sandbox, connection, monkeypatch, database):
    run()
    before = database.rows()
    wrong = json.loads(sandbox.connection) | {"password": "wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(wrong))
    with pytest.raises(OpenRouterAuthError):
        run()
    assert database.rows() == before


# -- what it keeps to itself


def refuse_the_rows(database):
    database.do("CREATE TABLE keys (hash TEXT, name TEXT NOT NULL, team TEXT NOT NULL)")


def no_database(database, monkeypatch, tmp_path):
    nowhere, url = str(tmp_path / "nowhere" / "w.db"), make_url(database.url)
    is_file = url.get_backend_name() == "sqlite"
    lead_to(url.set(database=nowhere) if is_file else url.set(query={"host": nowhere}), monkeypatch)


@pytest.mark.parametrize("fate", ["it works", "the database refuses", "there is no database", "the API refuses"])
def test_secrets_and_values_are_never_shown(fate, log, sandbox, connection, monkeypatch, tmp_path, database):
    token = TOKEN
    sandbox.create_key(label=NAME, name=NAME, more=NAME, limit=None)
    context, shown = Context(), ""
    if fate == "the database refuses":
        refuse_the_rows(database)
    if fate == "there is no database":
        no_database(database, monkeypatch, tmp_path)
    if fate == "the API refuses":
        token = "sk-or-v1-unknown-and-never-to-be-shown"
        wrong = json.loads(sandbox.connection) | {"password": token}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(wrong))
    outlets = [Asset("keys")]
    try:
        shown += repr(run(context, outlets=outlets))
    except AirflowException as error:
        assert fate != "it works"
        shown += "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    else:
        assert fate == "it works"
    logged = log()
    assert ("DELETE FROM keys" in logged) == (fate in ("it works", "the database refuses"))
    shown += logged + repr(context.xcoms) + repr([event.extra for event in context["outlet_events"].values()])
    for secret in (token, PASSWORD, NAME):
        assert secret not in shown


def connections_of(database):
    with database.engine.connect() as connection:
        return connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).scalar()


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("fate", ["it works", "there is no table", "the database refuses", "the API refuses"])
def test_no_connection_to_the_database_is_left(fate, sandbox, connection, monkeypatch, database):
    if fate == "the database refuses":
        refuse_the_rows(database)
    if fate == "the API refuses":
        wrong = json.loads(sandbox.connection) | {"password": "wrong"}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(wrong))
    if fate == "it works":
        run()
    else:
        with pytest.raises(AirflowException):
            run(create_table=fate != "there is no table")
    deadline = time.monotonic() + 20
    while connections_of(database):  # a backend takes a moment to leave, also that of whoever counts
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- its templates


def test_every_argument_but_create_table_is_a_template_field():
    parameters = set(signature(OpenRouterKeysToSqlOperator.__init__).parameters) - {"self", "kwargs"}
    assert set(OpenRouterKeysToSqlOperator.template_fields) == parameters - {"create_table"}


def test_every_template_field_is_rendered():
    fields = OpenRouterKeysToSqlOperator.template_fields
    operator = OpenRouterKeysToSqlOperator(
        task_id="write", **{name: f"{{{{ params.{name} }}}}" for name in fields}
    )
    operator.render_template_fields(Context(params={name: f"a {name}" for name in fields}))
    assert {name: getattr(operator, name) for name in fields} == {name: f"a {name}" for name in fields}


def test_rendered_arguments_are_used(sandbox, monkeypatch, database):
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", sandbox.connection)
    returned = run(
        Context(ds="2026-11-03", params={"team": "team", "granularity": "hour"}),
        openrouter_conn_id="{{ params.team }}_keys",
        sql_conn_id="{{ 'ware' + 'house' }}",
        table="{{ params.team }}",
        granularity="{{ params.granularity }}",
        source="{{ params.team }} of {{ ds }}",
        snapshot="{{ ds }}T06:30",
    )
    assert returned == {
        "rows": 25,
        "table": "team",
        "snapshot": "2026-11-03T06:00:00+00:00",
        "granularity": "hour",
        "source": "team of 2026-11-03",
        "workspace_scope": "default",
    }
    assert len(database.rows("team")) == 25
