"""Paths that files can be written to, and those that would not mean what they seem to."""

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openrouter.snapshots.kinds import ACTIVITY, KEYS
from airflow_provider_openrouter.snapshots.paths import check_output_path

KNOWN = "{snapshot}, {granularity}, {source}, {workspace_scope}"


@pytest.mark.parametrize(
    "path",
    [
        "/data/keys.parquet",
        "file:///data/KEYS.CSV",
        "s3://aws_conn@bucket/date={snapshot}/{source}/{workspace_scope}.jsonl",
        "gs://bucket/{granularity}={snapshot}/{snapshot}.parquet",
        "/data/a%20b/%E4%e4/100%25.csv",
        "/data/100% of them/5%/keys.csv",
    ],
)
def test_a_path_that_can_be_written_to_is_accepted(path):
    check_output_path(path, KEYS)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/keys/{date}.parquet", "{date}"),
        ("/keys/{Snapshot}.parquet", "{Snapshot}"),
        ("/keys/{ snapshot }.parquet", "{ snapshot }"),
        ("/keys/{snapshot}/{ds}/{}/{0}.csv", "{ds}, {}, {0}"),
        ("s3://{bucket}/date={snapshot}/{workspace}.parquet", "{bucket}, {workspace}"),
        ("/keys/{snapshot:%Y}.csv", "{snapshot:%Y}"),
        ("/keys/{snapshot.csv", "{"),
        ("/keys/snapshot}.csv", "}"),
        ("/keys/{{source}}.csv", "{, }"),
    ],
)
def test_an_unknown_placeholder_is_refused(path, named):
    with pytest.raises(AirflowFailException) as caught:
        check_output_path(path, KEYS)
    assert str(caught.value) == f"output_path has an unknown placeholder: {named}. There are {KNOWN}."


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/keys/%Y/%m/%d.parquet", "%Y"),
        ("/keys/%d.parquet", "%d"),
        ("/keys/%Y%m%d.csv", "%Y"),
        ("/keys/%d%m.csv", "%d"),
        ("/keys/{snapshot}/%H.csv", "%H"),
        ("/keys/%-m.csv", "%-m"),
        ("/keys/%20/%j.csv", "%j"),
        ("/keys/%D.csv", "%D"),
        ("/keys/%s.csv", "%s"),
        ("/keys/%e.csv", "%e"),
    ],
)
def test_a_time_directive_is_refused(path, named):
    with pytest.raises(AirflowFailException) as caught:
        check_output_path(path, KEYS)
    assert str(caught.value) == (
        f"output_path has {named}, which is not filled in. Use {{snapshot}}, the UTC day or hour. "
        f"There are {KNOWN}."
    )


def test_a_path_of_activity_is_told_its_own_placeholders():
    with pytest.raises(AirflowFailException) as caught:
        check_output_path("/activity/%d.csv", ACTIVITY)
    assert str(caught.value) == (
        "output_path has %d, which is not filled in. Use {date}, the UTC day. "
        "There are {date}, {source}, {grouped_by}."
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (5, "must be text, not int"),
        ("/data/keys", "must end in .parquet, .csv, .jsonl, unlike '/data/keys'"),
        ("data/keys.csv", "must be absolute, not 'data/keys.csv'"),
        ("file://data/keys.csv", "must be absolute, not 'file://data/keys.csv'"),
        ("file:////data/keys.csv", "must be absolute, not 'file:////data/keys.csv'"),
        ("//data/keys.csv", "must be absolute, not '//data/keys.csv'"),
        ("://keys.csv", "must be absolute, not '://keys.csv'"),
        ("s3:///keys.csv", "must be absolute, not 's3:///keys.csv'"),
        ("/data/keys.csv/", "must end in .parquet, .csv, .jsonl, unlike '/data/keys.csv/'"),
        ("/data/keys.csv/.", "must end in .parquet, .csv, .jsonl, unlike '/data/keys.csv/.'"),
    ],
)
def test_a_path_that_no_file_can_be_written_to_is_refused(path, reason):
    with pytest.raises(AirflowFailException) as caught:
        check_output_path(path, KEYS)
    assert str(caught.value).startswith(f"output_path {reason}.")
