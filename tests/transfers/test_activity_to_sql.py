"""The operator that writes a day's activity into a table: what it writes, replaces, reports and refuses."""

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import support.databases
from airflow.providers.common.compat.sdk import Asset
from support.activity import row
from support.databases import connection_to
from support.servers import TOKEN, Server, data
from support.tasks import Context

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterActivityToSqlOperator

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

database = support.databases.database
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
COUNTS = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
AMOUNTS = ("usage", "byok_usage_inference", *COUNTS)
BY = ("workspace", "key", "account")


@pytest.fixture
def account(monkeypatch):
    """A sandbox of two workspaces, which the default connection leads to."""
    with Sandbox(keys=40, workspaces=2) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        yield sandbox


def connection_of(server):
    return json.dumps({"conn_type": "openrouter", "host": server.base_url, "password": TOKEN})


@pytest.fixture
def warehouse(database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(database.engine.url))
    return database


def write(**arguments):
    return OpenRouterActivityToSqlOperator(
        **{"task_id": "write", "sql_conn_id": "warehouse", "table": "activity"} | arguments
    )


def run(context=None, **arguments):
    context = Context() if context is None else context
    operator = write(**arguments)
    operator.render_template_fields(context)
    return operator.execute(context)


def without_times(rows):
    shown = [{name: str(value) for name, value in each.items() if name != "observed_at"} for each in rows]
    return sorted(shown, key=lambda each: list(each.values()))


def sums(rows):
    return {name: math.fsum(each[name] or 0 for each in rows) for name in AMOUNTS}


def truth(sandbox, *names, day=YESTERDAY):
    """Return what the account spent, added up by names, straight from what the sandbox booked."""
    found = {}
    for each in sandbox.list_activity(days=[day], by_workspace=True):
        group = tuple(each[name] for name in names)
        found[group] = {name: found.get(group, Counter())[name] + each[name] for name in AMOUNTS}
    return {group: pytest.approx(amounts) for group, amounts in found.items()}


def stored(rows, *names):
    groups = {tuple(each[name] for name in names) for each in rows}
    return {
        group: sums([each for each in rows if tuple(each[name] for name in names) == group]) for group in groups
    }


# -- what it writes


@pytest.mark.parametrize("by", BY)
def test_its_sums_are_those_of_the_account(by, account, warehouse):
    returned = run(by=by)
    rows = warehouse.rows("activity")
    assert returned == {
        "rows": len(rows),
        "table": "activity",
        "date": str(YESTERDAY),
        "source": "openrouter_default",
        "grouped_by": by,
    }
    names = ("model", "provider_name", "endpoint_id", *(() if by == "account" else ("workspace_id",)))
    assert stored(rows, *names) == truth(account, *names)
    assert {(str(each["date"]), each["source"], each["grouped_by"]) for each in rows} == {
        (str(YESTERDAY), "openrouter_default", by)
    }
    known = {each["id"]: each["name"] for each in account.workspaces} | {None: None}
    assert all(each["workspace_name"] == known[each["workspace_id"]] for each in rows)


def test_by_key_each_key_has_what_it_spent(account, warehouse):
    spenders = (each for each in listed() if account.list_activity(days=[YESTERDAY], key_hash=each["hash"]))
    account.update_key(next(spenders)["hash"], disabled=True)
    account.update_key(next(spenders)["hash"], expires_at=f"{TODAY}T00:00:00Z")
    run(by="key")
    keys = {each["hash"]: each for each in listed()}
    by_key = stored(warehouse.rows("activity"), "key_hash")
    for hash_ in keys:
        expected = sums(account.list_activity(days=[YESTERDAY], key_hash=hash_))
        assert by_key.get((hash_,), sums([])) == pytest.approx(expected)
    assert by_key[None,]["usage"] == pytest.approx(sums(left_over(account))["usage"])
    assert by_key.keys() - {(None,)} <= {(hash_,) for hash_ in keys}
    names = {each["key_hash"]: each["key_name"] for each in warehouse.rows("activity")}
    assert names == {hash_: hash_ and keys[hash_]["name"] for hash_ in names}


def listed():
    return OpenRouterHook().list_keys(include_disabled=True, include_expired=True, workspace_id="*")


def left_over(account):
    """Return the rows of the account, and those of its keys with the opposite sign."""
    rows = account.list_activity(days=[YESTERDAY])
    for key in listed():
        for each in account.list_activity(days=[YESTERDAY], key_hash=key["hash"]):
            rows.append({name: -each[name] for name in AMOUNTS})
    return rows


def test_what_a_key_spent_that_is_deleted_has_no_key(account, warehouse):
    run(by="key")
    before = stored(warehouse.rows("activity"), "key_hash")
    gone = max(filter(all, before), key=lambda group: before[group]["usage"])
    account.delete_key(gone[0])
    run(by="key")
    after = stored(warehouse.rows("activity"), "key_hash")
    assert gone not in after
    assert after[None,]["usage"] == pytest.approx(before[None,]["usage"] + before[gone]["usage"])
    assert stored(warehouse.rows("activity"), "model") == truth(account, "model")


# -- what it replaces


def test_running_again_and_other_partitions_change_nothing(account, warehouse):
    days = [str(YESTERDAY - timedelta(days=ago)) for ago in (0, 29)]
    once = [run(date=day, by=by, table="once") for day in days for by in BY]
    again = [run(date=day, by=by) for day in (days[0], *days, days[0]) for by in BY]
    assert [each | {"table": "once"} for each in again] == [*once[:3], *once, *once[:3]]
    assert without_times(warehouse.rows("activity")) == without_times(warehouse.rows("once"))
    run(source="other")
    assert without_times(warehouse.rows("activity", source="openrouter_default")) == without_times(
        warehouse.rows("once")
    )


@pytest.mark.parametrize("by", BY)
def test_a_day_without_activity_leaves_no_rows_of_it(by, account, warehouse, monkeypatch):
    run(by=by)
    run(by=by, date=str(YESTERDAY - timedelta(days=1)))
    context = Context()
    with Server(lambda request: data([])) as server:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", connection_of(server))
        assert run(context, by=by)["rows"] == 0
    assert {str(each["date"]) for each in warehouse.rows("activity")} == {str(YESTERDAY - timedelta(days=1))}
    assert context.xcoms["summary"]["usage"] == 0


def test_rows_that_are_equal_are_all_written(monkeypatch, warehouse):
    rows = [row(date=str(YESTERDAY)), row(date=str(YESTERDAY)), {}, {}]
    with Server(lambda request: data(rows if request.path == "/activity" else [])) as server:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", connection_of(server))
        for _ in range(2):
            assert run()["rows"] == 4
    assert [each["usage"] for each in warehouse.rows("activity")].count(1.5) == 2


# -- what it reports and refuses


def test_the_summary_says_what_the_day_cost(account, warehouse):
    context = Context()
    run(context, by="key")
    summary = context.xcoms["summary"]
    whole = sums(account.list_activity(days=[YESTERDAY]))
    assert {name: summary[name] for name in ("date", "grouped_by", "usage", "requests")} == {
        "date": str(YESTERDAY),
        "grouped_by": "key",
        "usage": pytest.approx(whole["usage"], abs=1e-6),
        "requests": whole["requests"],
    }
    models = truth(account, "model")
    highest = sorted(models, key=lambda group: -models[group].expected["usage"])[:5]
    assert [each["model"] for each in summary["models"]] == [model for (model,) in highest]
    keys = {
        each["hash"]: sums(account.list_activity(days=[YESTERDAY], key_hash=each["hash"])) for each in listed()
    }
    expensive = sorted(keys, key=lambda hash_: -keys[hash_]["usage"])[:5]
    assert [each["key_hash"] for each in summary["keys"]] == expensive
    assert summary["without_key"]["usage"] == pytest.approx(sums(left_over(account))["usage"], abs=1e-6)
    assert json.loads(json.dumps(summary)) == summary


def test_its_outlet_says_what_was_written(account, warehouse):
    context, outlet = Context(), Asset("activity")
    returned = run(context, outlets=[outlet])
    extra = context["outlet_events"][outlet].extra
    assert datetime.fromisoformat(extra.pop("observed_at")).date() == TODAY
    assert extra == returned


def test_its_lineage_leads_from_the_activity_to_the_table(account, warehouse):
    operator = write()
    operator.execute(Context())
    reported = operator.get_openlineage_facets_on_complete(None)
    [read], [written] = reported.inputs, reported.outputs
    assert read.name == "api/v1/activity"
    assert written.name.endswith("activity")
    columns = {field.name: field.type for field in written.facets["schema"].fields}
    assert columns == kinds.ACTIVITY.columns
    assert written.outputFacets["outputStatistics"].rowCount == len(warehouse.rows("activity"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"date": str(TODAY)}, "last 30 completed UTC days"),
        ({"date": str(TODAY - timedelta(days=31))}, "last 30 completed UTC days"),
        ({"date": "{{ params.day }}"}, "must be a day such as"),
        ({"by": "{{ params.day }}"}, "by must be 'workspace', 'key' or 'account'"),
        ({"table": "{{ params.none }}"}, "table must be the name of a table"),
        ({"table": "a.b.c"}, "table must be a name or schema.name"),
    ],
)
def test_nonsense_is_refused_before_the_first_request(arguments, message, account, warehouse):
    with pytest.raises(OpenRouterRequestError, match=message):
        run(Context(params={"day": "someday", "none": ""}), **arguments)
    assert account.requests == []
    assert warehouse.tables == []


@pytest.mark.parametrize("arguments", [{"date": "someday"}, {"by": "team"}])
def test_a_senseless_literal_is_refused_as_it_is_written(arguments):
    with pytest.raises(OpenRouterRequestError):
        write(**arguments)


def test_its_arguments_are_templated(account, warehouse):
    context = Context(ds=str(TODAY), params={"by": "account"}, macros=Macros())
    returned = run(context, date="{{ macros.ds_add(ds, -3) }}", by="{{ params.by }}", source="{{ ds }}")
    assert (returned["date"], returned["grouped_by"], returned["source"]) == (
        str(TODAY - timedelta(days=3)),
        "account",
        str(TODAY),
    )


class Macros:
    @staticmethod
    def ds_add(day, count):
        return str(datetime.fromisoformat(day).date() + timedelta(days=count))
