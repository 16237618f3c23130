"""The operator that lists keys: what it returns, writes, sums up and refuses."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from inspect import signature

import pandas as pd
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset
from airflow.sdk import AssetAlias
from support.lines import needs_frames_in_xcom
from support.servers import TOKEN, Account, Server, error
from support.tasks import Context

from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, Sandbox
from airflow_provider_openrouter.snapshots import kinds

FILE_COLUMNS = kinds.KEYS.columns

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

EVERYTHING = {"include_disabled": True, "include_expired": True}
FRAME = pytest.param("frame", marks=needs_frames_in_xcom)
READERS = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
}


def run(context=None, **arguments):
    """Render the operator's templates and execute it; it returns records, which every Airflow can hand on."""
    context = Context() if context is None else context
    if "output_path" not in arguments:
        arguments = {"xcom_format": "records"} | arguments
    operator = OpenRouterListKeysOperator(task_id="list_keys", **arguments)
    operator.render_template_fields(context)
    return operator.execute(context)


def summary_of(**arguments):
    context = Context()
    run(context, **arguments)
    return context.xcoms["summary"]


# -- what it returns


@needs_frames_in_xcom
def test_by_default_it_returns_a_typed_frame_of_every_key(sandbox, connection):
    frame = OpenRouterListKeysOperator(task_id="list_keys").execute(Context())
    assert sandbox.requests[0] == "/api/v1/keys?include_disabled=true&include_expired=true&offset=0"
    assert list(frame) == [*FIELDS, "workspace_name", "observed_at"]
    assert frame["hash"].tolist() == [key["hash"] for key in OpenRouterHook().list_keys(**EVERYTHING)]
    assert len(frame) == 25


def test_records_are_the_apis_own_dicts(connection):
    records = run(xcom_format="records")
    assert records == OpenRouterHook().list_keys(**EVERYTHING)
    assert json.loads(json.dumps(records, allow_nan=False)) == records


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("form", ["path", "URL"])
def test_with_an_output_path_it_writes_a_file(suffix, form, connection, tmp_path):
    path = tmp_path / "day=2026-11-03" / f"keys{suffix}"
    output_path = str(path) if form == "path" else f"file://{path}"
    assert run(output_path=output_path) == output_path
    frame = READERS[suffix](path)
    assert list(frame) == list(FILE_COLUMNS)
    assert frame["hash"].tolist() == [key["hash"] for key in OpenRouterHook().list_keys(**EVERYTHING)]


def test_with_an_output_path_the_format_for_xcom_does_not_matter(connection, tmp_path):
    path = str(tmp_path / "keys.parquet")
    assert run(output_path=path, xcom_format="records") == path


@needs_frames_in_xcom
@pytest.mark.parametrize("nothing", [None, "", "{{ none or '' }}"])
def test_an_empty_output_path_is_none(nothing, connection):
    assert len(run(output_path=nothing)) == 25


@needs_frames_in_xcom
def test_an_account_without_keys_is_an_empty_frame_and_file(monkeypatch, tmp_path):
    with Sandbox(keys=0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        assert run(xcom_format="frame").empty
        assert run(xcom_format="records") == []
        assert pd.read_parquet(run(output_path=str(tmp_path / "keys.parquet"))).empty


@needs_frames_in_xcom
def test_a_field_new_to_the_api_is_in_frame_records_and_file(sandbox, connection, tmp_path):
    hash_ = sandbox.create_key(budget={"usd": 5})
    assert run(xcom_format="frame").set_index("hash")["budget"][hash_] == '{"usd": 5}'
    assert run(xcom_format="records")[0]["budget"] == {"usd": 5}
    path = run(output_path=str(tmp_path / "keys.parquet"))
    assert pd.read_parquet(path).set_index("hash")["extra_fields"][hash_] == '{"budget": {"usd": 5}}'


@pytest.mark.airflow("<3.3", "limits of older Airflows", pandas=">=3")
@pytest.mark.parametrize("arguments", [{}, {"xcom_format": "{{ params.format }}"}], ids=["default", "template"])
def test_a_frame_that_this_airflow_cannot_hand_on_is_refused(arguments, sandbox, connection):
    operator = OpenRouterListKeysOperator(task_id="list_keys", **arguments)
    context = Context(params={"format": "frame"})
    operator.render_template_fields(context)
    with pytest.raises(AirflowFailException, match="cannot put a frame of pandas 3"):
        operator.execute(context)
    assert sandbox.requests == []


def test_a_frame_that_is_not_pushed_is_returned_by_every_airflow(connection):
    assert len(run(xcom_format="frame", do_xcom_push=False)) == 25


# -- what it lists


@pytest.mark.parametrize(
    ("include_disabled", "include_expired", "query", "count"),
    [
        (True, True, "include_disabled=true&include_expired=true", 25),
        ("True", "true", "include_disabled=true&include_expired=true", 25),
        (False, "false", "include_disabled=false&include_expired=false", 22),
        (" False ", True, "include_disabled=false&include_expired=true", 23),
        ("{{ params.yes }}", "{{ params.no }}", "include_disabled=true&include_expired=false", 24),
        (True, None, "include_disabled=true", 24),
    ],
)
def test_flags_may_be_templates_and_text(include_disabled, include_expired, query, count, sandbox, connection):
    context = Context(params={"yes": True, "no": False})
    frame = run(context, include_disabled=include_disabled, include_expired=include_expired)
    assert sandbox.requests[0] == f"/api/v1/keys?{query}&offset=0"
    assert len(frame) == count


@pytest.mark.parametrize("name", ["include_disabled", "include_expired"])
@pytest.mark.parametrize("value", ["yes", "", 1, "{{ params.missing }}"])
def test_a_nonsense_flag_fails_before_the_first_request(name, value, sandbox, connection):
    with pytest.raises(AirflowFailException, match=f"^{name} must be true or false, not "):
        run(Context(params={}), **{name: value})
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("workspace", "said", "count"),
    [
        (None, "default only", 10),
        ("", "default only", 10),
        ("*", "all workspaces", 30),
        ("{second}", "{second}", 10),
        ("Workspace 1", "Workspace 1 ({second})", 10),
        (" {{{{ params.name }}}} ", "Workspace 1 ({second})", 10),
    ],
)
def test_the_summary_says_whose_keys_they_are(workspace, said, count, monkeypatch, log):
    with Sandbox(keys=30, workspaces=3) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        second = OpenRouterHook().list_workspaces()[1]["id"]
        context = Context(params={"name": "Workspace 1"})
        run(context, workspace_id=workspace and workspace.format(second=second))
    summary = context.xcoms["summary"]
    assert f"| {summary['lowest'][0]['name']} |" in context.xcoms["report"].splitlines()[2]
    assert summary["workspace"] == said.format(second=second)
    assert summary["keys"] == count
    assert f"{count} keys (workspace: {summary['workspace']}): " in log()


@pytest.fixture
def two_workspaces(monkeypatch):
    """An account that the default connection leads to, with one key in each of two workspaces."""
    account = Account(2, workspaces=2)
    with Server(account) as server:
        fields = {"conn_type": "openrouter", "host": server.base_url, "password": TOKEN}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(fields))
        yield account


def test_a_file_keeps_the_name_and_its_rows_the_id(two_workspaces, tmp_path):
    context = Context()
    path = run(context, workspace_id="Workspace 1", output_path=f"{tmp_path}/{{workspace_scope}}.parquet")
    assert path == f"{tmp_path}/Workspace 1.parquet"
    (row,) = pd.read_parquet(path).to_dict("records")
    assert (row["workspace_scope"], row["workspace_id"], row["workspace_name"]) == (
        "Workspace 1",
        "workspace-1",
        "Workspace 1",
    )
    assert context.xcoms["summary"]["workspace"] == "Workspace 1 (workspace-1)"


@pytest.mark.parametrize(
    ("workspace", "names"),
    [
        (None, [None]),
        ("workspace-1", ["Workspace 1"]),
        ("Workspace 1", ["Workspace 1"]),
        ("*", ["Workspace 0", "Workspace 1"]),
    ],
)
def test_a_frame_has_the_names_that_are_known(workspace, names, two_workspaces):
    frame = run(workspace_id=workspace, xcom_format="frame", do_xcom_push=False)
    assert [None if pd.isna(name) else name for name in frame["workspace_name"]] == names


def test_an_odd_name_stays_in_its_line_and_moves_no_cursor(two_workspaces, log):
    name = "a\n\x1b[31mERROR\u202e b" + "x" * 200
    two_workspaces.workspaces[1]["name"] = name
    for key in two_workspaces.keys:
        key |= {"limit": 5, "limit_remaining": 1, "name": "key", "label": "sk"}
    context = Context()
    run(context, workspace_id=name)
    assert re.fullmatch(r"a \[31mERROR bx{60,} \(workspace-1\)", context.xcoms["summary"]["workspace"])
    text = log()
    assert f"1 key (workspace: {context.xcoms['summary']['workspace']}): 0 disabled" in text
    assert re.search(r"\$1\.00 of \$5\.00 left: key \(sk, a \[31mERROR bx+\)", text)
    assert not re.search(r"\u202e|\x1b\[31mERROR", text)


def test_an_unknown_name_is_refused_with_those_that_exist(two_workspaces):
    with pytest.raises(OpenRouterRequestError) as caught:
        run(workspace_id="workspace 1")
    assert str(caught.value) == "No workspace is called 'workspace 1'. There are: 'Workspace 0', 'Workspace 1'."


@pytest.mark.parametrize("name", ["default", "all", " all "])
def test_a_reserved_name_is_refused_when_the_dag_is_parsed(name):
    with pytest.raises(OpenRouterRequestError, match=rf"^workspace_id must not be '{name.strip()}'\."):
        OpenRouterListKeysOperator(task_id="list_keys", workspace_id=name)


def test_a_reserved_name_of_a_template_is_refused_in_time(sandbox, connection):
    with pytest.raises(OpenRouterRequestError, match=r"^workspace_id must not be 'all'\."):
        run(Context(params={"workspace": "all"}), workspace_id="{{ params.workspace }}")
    assert sandbox.requests == []


class ServerWithoutExpiry(Sandbox):
    """A server from before ``include_expired``, which it refuses."""

    def answer(self, target, authorization):
        if "include_expired" in target:
            self.requests.append(target)
            return 400, {"error": {"code": 400, "message": "Unrecognized key: include_expired"}}
        return super().answer(target, authorization)


@pytest.mark.parametrize("xcom_format", [FRAME, "records"])
def test_a_server_that_refuses_include_expired_is_asked_without(xcom_format, monkeypatch, log):
    with ServerWithoutExpiry() as server:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", server.connection)
        assert len(run(xcom_format=xcom_format)) == 24
    assert server.requests[:2] == [
        "/api/v1/keys?include_disabled=true&include_expired=true&offset=0",
        "/api/v1/keys?include_disabled=true&offset=0",
    ]
    (said,) = (line for line in log().splitlines() if "listing again without include_expired" in line)
    assert "warning" in said.lower()


def test_a_400_for_another_reason_fails(sandbox, connection):
    with pytest.raises(OpenRouterRequestError, match="Invalid workspace_id"):
        run(workspace_id="00000000-0000-4000-8000-000000000000")


# -- what it leaves beside


def test_the_summary_counts_and_adds_up(sandbox, connection):
    keys = OpenRouterHook().list_keys(**EVERYTHING)
    before = datetime.now(UTC)
    summary = summary_of()
    assert before <= datetime.fromisoformat(summary.pop("observed_at")) <= datetime.now(UTC)
    expired = [key for key in keys if key["expires_at"] and datetime.fromisoformat(key["expires_at"]) <= before]
    limited = [key for key in keys if key["limit"] is not None and not key["disabled"] and key not in expired]
    assert summary == {
        "workspace": "default only",
        "keys": 25,
        "disabled": 2,
        "expired": 1,
        "unlimited": 3,
        "never_used": 5,
        **{
            window: pytest.approx(sum(key[window] for key in keys))
            for window in ("usage", "usage_daily", "usage_weekly", "usage_monthly")
        },
        "lowest": [
            {name: key[name] for name in ("name", "label", "limit_remaining", "limit")}
            for key in sorted(limited, key=lambda key: key["limit_remaining"])[:5]
        ],
    }


@pytest.mark.parametrize("xcom_format", [FRAME, "records", None])
def test_the_summary_is_json_and_the_same_whatever_is_returned(xcom_format, connection, tmp_path):
    arguments = {"xcom_format": xcom_format} if xcom_format else {"output_path": str(tmp_path / "keys.csv")}
    summary = summary_of(**arguments)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary | {"observed_at": ""} == summary_of() | {"observed_at": ""}


def test_the_log_says_what_the_summary_says(connection, log):
    run()
    text = log()
    assert "25 keys (workspace: default only): 2 disabled, 1 expired, 3 without limit, 5 never used" in text
    lines = [line for line in text.splitlines() if " left: " in line]
    assert len(lines) == 5
    assert re.search(r"\$[\d.]+ of \$[\d.]+ left: [a-z]+-[a-z]+-\d+ \(sk-or-v1-", lines[0])


def test_keys_without_limit_do_not_trouble_the_log(monkeypatch, log):
    with Sandbox(keys=0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        sandbox.create_key(limit=None, limit_remaining=None)
        assert summary_of()["lowest"] == []
    text = log()
    assert "1 key (workspace: default only)" in text
    assert " left" not in text


def test_no_xcom_is_pushed_where_none_is_wanted(connection):
    context = Context()
    run(context, do_xcom_push=False)
    assert context.xcoms == {}


def test_each_outlet_asset_is_told_of_the_listing(connection):
    context = Context()
    outlets = [Asset("keys"), Asset("spend"), AssetAlias("some_keys")]
    run(context, outlets=outlets)
    observed_at = context.xcoms["summary"]["observed_at"]
    assert {asset.name: event.extra for asset, event in context["outlet_events"].items()} == {
        "keys": {"rows": 25, "observed_at": observed_at},
        "spend": {"rows": 25, "observed_at": observed_at},
    }


def test_an_outlet_asset_is_told_of_the_file(connection, tmp_path):
    context = Context()
    path = tmp_path / "keys.parquet"
    run(context, outlets=[Asset("keys")], output_path=str(path))
    (event,) = context["outlet_events"].values()
    assert event.extra == {
        "rows": 25,
        "observed_at": context.xcoms["summary"]["observed_at"],
        "path": str(path),
        "bytes": path.stat().st_size,
    }


# -- what it refuses

BAD = [
    *(("output_path", path, "must be absolute") for path in ("keys.parquet", "data/keys.csv", "./keys.jsonl")),
    ("output_path", "/data/keys", "must end in .parquet, .csv, .jsonl"),
    *(("output_path", path, "must end in") for path in ("/data/keys.xlsx", "/data/.parquet", "s3://lake/keys")),
    ("xcom_format", "json", "must be 'frame' or 'records', not 'json'"),
]


@pytest.mark.parametrize(("argument", "value", "said"), BAD)
def test_a_bad_argument_is_refused_when_the_dag_is_parsed(argument, value, said):
    with pytest.raises(AirflowFailException, match=said):
        OpenRouterListKeysOperator(task_id="list_keys", **{argument: value})


@pytest.mark.parametrize(("argument", "value", "said"), [*BAD, ("xcom_format", None, "must be 'frame' or")])
def test_a_bad_argument_of_a_template_is_refused_at_once(argument, value, said, sandbox, connection):
    with pytest.raises(AirflowFailException, match=said):
        run(Context(params={"value": value}), **{argument: value and "{{ params.value }}"})
    assert sandbox.requests == []


def test_an_output_path_that_is_no_text_is_refused_when_parsed(tmp_path):
    with pytest.raises(AirflowFailException, match="must be text"):
        OpenRouterListKeysOperator(task_id="list_keys", output_path=tmp_path / "keys.csv")


OF_A_FILE = {"granularity": "hour", "source": "team", "snapshot": "2026-11-03"}


@pytest.mark.parametrize(("name", "value"), OF_A_FILE.items())
def test_what_only_a_file_takes_is_refused_without_one(name, value):
    with pytest.raises(AirflowFailException, match=f"^{name} has no effect without output_path. Set output_path"):
        OpenRouterListKeysOperator(task_id="list_keys", **{name: value})


@pytest.mark.parametrize(("name", "value"), OF_A_FILE.items())
def test_what_a_file_takes_is_refused_once_rendered(name, value, sandbox, connection):
    with pytest.raises(AirflowFailException, match=f"^{name} has no effect without output_path"):
        run(Context(params={"value": value}), **{name: "{{ params.value }}"})
    assert sandbox.requests == []


@pytest.mark.parametrize(("name", "value"), {"granularity": "day", "source": "", "snapshot": ""}.items())
def test_a_template_that_renders_the_default_needs_no_file(name, value, connection):
    assert len(run(Context(params={"value": value}), **{name: "{{ params.value }}"})) == 25


def test_an_argument_that_nobody_knows_is_refused_by_airflow():
    with pytest.raises(TypeError, match="granularty"):
        OpenRouterListKeysOperator(task_id="list_keys", granularty="hour")


def test_another_400_is_not_blamed_on_include_expired(monkeypatch, log):
    with Server(lambda request: error(400, "Invalid workspace_id")) as server:
        fields = {"conn_type": "openrouter", "password": "key", "host": server.base_url}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(fields))
        with pytest.raises(OpenRouterRequestError, match="answered 400"):
            run(workspace_id="1f")
    assert len(server.requests) == 1
    assert "include_expired" not in log()


@pytest.mark.parametrize("password", [INFERENCE_TOKEN, "wrong"])
def test_a_refused_key_is_not_retried_but_task_retries_apply(password, sandbox, monkeypatch):
    connection = json.loads(sandbox.connection) | {"password": password}
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(connection))
    with pytest.raises(OpenRouterAuthError) as caught:
        run()
    assert not isinstance(caught.value, AirflowFailException)
    assert isinstance(caught.value, OpenRouterError)
    assert not caught.value.transient
    assert len(sandbox.requests) == 1


def test_a_listing_that_fails_leaves_no_file_and_no_summary(sandbox, monkeypatch, tmp_path):
    connection = json.loads(sandbox.connection) | {"password": "wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(connection))
    context = Context()
    with pytest.raises(OpenRouterAuthError):
        run(context, output_path=str(tmp_path / "keys.csv"), outlets=[Asset("keys")])
    assert (context.xcoms, dict(context["outlet_events"])) == ({}, {})
    assert list(tmp_path.iterdir()) == []


# -- its templates


def test_every_argument_of_its_own_is_a_template_field():
    parameters = signature(OpenRouterListKeysOperator.__init__).parameters.keys() - {"self", "kwargs"}
    assert set(OpenRouterListKeysOperator.template_fields) == parameters


def test_every_template_field_is_rendered():
    fields = OpenRouterListKeysOperator.template_fields
    operator = OpenRouterListKeysOperator(
        task_id="list_keys", **{name: f"{{{{ params.{name} }}}}" for name in fields}
    )
    operator.render_template_fields(Context(params={name: f"a {name}" for name in fields}))
    assert {name: getattr(operator, name) for name in fields} == {name: f"a {name}" for name in fields}


def test_a_rendered_connection_and_path_are_used(sandbox, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", sandbox.connection)
    path = run(
        Context(ds="2026-11-03", params={"team": "team"}),
        openrouter_conn_id="{{ params.team }}_keys",
        output_path=f"{tmp_path}/{{{{ ds }}}}/keys.jsonl",
    )
    assert path == f"{tmp_path}/2026-11-03/keys.jsonl"
    assert len(pd.read_json(path, lines=True)) == 25


# -- its price


def test_records_are_listed_without_pandas(sandbox):
    code = (
        "import os, sys\n"
        f"os.environ['AIRFLOW_CONN_OPENROUTER_DEFAULT'] = {sandbox.connection!r}\n"
        "from airflow.sdk.bases.operator import ExecutorSafeguard\n"
        "ExecutorSafeguard.test_mode = True\n"
        "from unittest.mock import MagicMock\n"
        "from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator\n"
        "operator = OpenRouterListKeysOperator(task_id='x', xcom_format='records')\n"
        "keys = operator.execute({'ti': MagicMock(), 'outlet_events': {}})\n"
        "print('listed:', len(keys), *sorted({'pandas', 'pyarrow', 'numpy'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "listed: 25"
