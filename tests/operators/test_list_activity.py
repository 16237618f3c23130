"""The operator that lists a day's activity: what it returns, writes, logs and refuses."""

import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from support.lines import needs_frames_in_xcom
from support.tasks import Context

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.operators.openrouter import OpenRouterListActivityOperator
from airflow_provider_openrouter.snapshots.kinds import ACTIVITY

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


def run(context=None, **arguments):
    """Render the operator's templates and execute it; it returns records, which every Airflow can hand on."""
    if "output_path" not in arguments:
        arguments = {"xcom_format": "records"} | arguments
    context = Context() if context is None else context
    operator = OpenRouterListActivityOperator(task_id="list_activity", **arguments)
    operator.render_template_fields(context)
    return operator.execute(context)


def test_records_are_the_apis_own_rows(sandbox, connection):
    assert run() == sandbox.list_activity(days=[YESTERDAY], by_workspace=True)
    assert run(by="account", date=str(TODAY - timedelta(days=7))) == sandbox.list_activity(
        days=[TODAY - timedelta(days=7)]
    )


def test_records_by_key_say_whose_they_are(sandbox, connection):
    records = run(by="key")
    for hash_ in {each["key_hash"] for each in records} - {None}:
        name = sandbox.get_key(hash_)["name"]
        own = sandbox.list_activity(days=[YESTERDAY], key_hash=hash_, by_workspace=True)
        expected = [each | {"key_hash": hash_, "key_name": name} for each in own]
        assert [each for each in records if each["key_hash"] == hash_] == expected
    usage = sum(each["usage"] for each in sandbox.list_activity(days=[YESTERDAY]))
    assert sum(each["usage"] for each in records) == pytest.approx(usage)
    assert json.loads(json.dumps(records)) == records


@needs_frames_in_xcom
@pytest.mark.parametrize("by", ["workspace", "key", "account"])
def test_by_default_it_returns_a_frame_with_the_columns_of_files(by, sandbox, connection):
    frame = OpenRouterListActivityOperator(task_id="list", by=by).execute(Context())
    assert list(frame) == list(ACTIVITY.columns)
    assert set(frame["grouped_by"]) == {by}
    assert frame["usage"].sum() == pytest.approx(
        sum(each["usage"] for each in sandbox.list_activity(days=[YESTERDAY]))
    )


def test_a_file_has_the_partition_in_its_path(sandbox, connection, tmp_path):
    path = f"{tmp_path}/{{source}}/{{date}}/{{grouped_by}}.parquet"
    for _ in range(2):
        written = run(output_path=path, by="key", source="a/b")
    assert written == f"{tmp_path}/a%2Fb/{YESTERDAY}/key.parquet"
    frame = pd.read_parquet(written)
    assert list(frame) == list(ACTIVITY.columns)
    assert set(frame["source"]) == {"a/b"}
    assert len(list(tmp_path.rglob("*.*"))) == 1


def test_the_log_says_what_the_day_cost(sandbox, connection, log):
    run(by="key")
    said = log()
    rows = sandbox.list_activity(days=[YESTERDAY])
    assert f"Spend on {YESTERDAY} (UTC): ${sum(each['usage'] for each in rows):,.2f}" in said
    assert said.count("Model ") == said.count("Key ") == 5
    assert said.count("No key accounts for: $") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"date": str(TODAY)}, "last 30 completed UTC days"),
        ({"date": "{{ 'some' }}day"}, "must be a day such as"),
        ({"by": "{{ 'team' }}"}, "by must be"),
        ({"source": 7}, "source must be text"),
        ({"xcom_format": "{{ 'csv' }}"}, "xcom_format must be"),
        ({"output_path": "{{ 'activity' }}.csv"}, "must be absolute.*file:///data/activity.parquet"),
        ({"output_path": "/lake/{snapshot}{{ '' }}.csv"}, r"There are \{date\}, \{source\}, \{grouped_by\}"),
        ({"output_path": "/lake/%Y{{ '' }}.csv"}, r"Use \{date\}, the UTC day"),
    ],
)
def test_nonsense_is_refused_before_the_first_request(arguments, message, sandbox, connection):
    with pytest.raises(OpenRouterRequestError, match=message):
        run(**arguments)
    assert sandbox.requests == []


@pytest.mark.parametrize("name", ["date", "by", "output_path", "xcom_format"])
def test_a_senseless_literal_is_refused_as_it_is_written(name):
    with pytest.raises(OpenRouterRequestError):
        OpenRouterListActivityOperator(task_id="list", **{name: "nonsense"})
