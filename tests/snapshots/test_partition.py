"""Partitions: which rows one run may replace, and what their paths are called."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st
from support.listings import listing_of, partition_of

from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.partition import (
    GRANULARITIES,
    Partition,
    Partitioning,
    read_granularity,
    read_moment,
)

FILE_COLUMNS = kinds.KEYS.columns

MOMENT = datetime(2026, 11, 3, 6, 30, 15, 123456, tzinfo=UTC)


def partition_at(moment=MOMENT, granularity="day", source="team", workspace_id=None):
    listing = listing_of([], workspace_id=workspace_id)
    return partition_of(listing, moment=moment, granularity=granularity, source=source)


# -- when


@pytest.mark.parametrize(
    ("moment", "day", "hour"),
    [
        (MOMENT, (2026, 11, 3), 6),
        (datetime(2026, 11, 3, tzinfo=UTC), (2026, 11, 3), 0),
        (datetime(2026, 11, 3, 23, 59, 59, 999999, tzinfo=UTC), (2026, 11, 3), 23),
        (datetime(2026, 11, 3, 8, 59, tzinfo=ZoneInfo("Asia/Tokyo")), (2026, 11, 2), 23),
        (datetime(2026, 11, 3, 9, 0, tzinfo=ZoneInfo("Asia/Tokyo")), (2026, 11, 3), 0),
        (datetime(2026, 12, 31, 20, 0, tzinfo=ZoneInfo("America/Los_Angeles")), (2027, 1, 1), 4),
        (datetime(2026, 3, 1, 5, 0, tzinfo=ZoneInfo("Asia/Kathmandu")), (2026, 2, 28), 23),
        (datetime(2026, 11, 3, 0, 10, tzinfo=timezone(timedelta(hours=5, minutes=30))), (2026, 11, 2), 18),
        (datetime(2026, 11, 3, 23, 50, tzinfo=timezone(-timedelta(hours=12))), (2026, 11, 4), 11),
    ],
)
def test_a_moment_of_any_time_zone_is_cut_in_utc(moment, day, hour):
    assert partition_at(moment).snapshot == datetime(*day, tzinfo=UTC)
    assert partition_at(moment, "hour").snapshot == datetime(*day, hour, tzinfo=UTC)
    assert partition_at(moment).snapshot.tzinfo is UTC


@pytest.mark.parametrize("fold", [0, 1])
def test_the_hour_that_summer_time_repeats_is_two_hours(fold):
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
    assert partition_at(moment, "hour").snapshot == datetime(2026, 10, 25, fold, tzinfo=UTC)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_moment_of_a_partition_belongs_to_it_alone(granularity):
    length = {"day": timedelta(days=1), "hour": timedelta(hours=1)}[granularity]
    first = partition_at(MOMENT, granularity)
    assert partition_at(first.snapshot, granularity) == first
    assert partition_at(first.snapshot + length - timedelta(microseconds=1), granularity) == first
    assert partition_at(first.snapshot + length, granularity).snapshot == first.snapshot + length


# -- whose


@pytest.mark.parametrize(("workspace_id", "scope"), [(None, "default"), ("*", "*"), ("4d9a-7c", "4d9a-7c")])
def test_the_scope_is_the_choice_of_workspaces(workspace_id, scope):
    assert partition_at(workspace_id=workspace_id).columns["workspace_scope"] == scope


def test_its_columns_are_the_first_ones_of_a_file_and_a_table():
    partition = partition_at(workspace_id="*", granularity="hour")
    assert partition.columns == {
        "snapshot": datetime(2026, 11, 3, 6, tzinfo=UTC),
        "granularity": "hour",
        "source": "team",
        "workspace_scope": "*",
    }
    assert list(partition.columns) == list(FILE_COLUMNS)[:4]


@pytest.mark.parametrize(
    "other",
    [
        {"moment": MOMENT + timedelta(days=1)},
        {"moment": MOMENT + timedelta(hours=1), "granularity": "hour"},
        {"moment": MOMENT.replace(hour=0), "granularity": "hour"},
        {"source": "Team"},
        {"workspace_id": "*"},
        {"workspace_id": "4d9a"},
    ],
)
def test_another_time_account_or_choice_is_another_partition(other):
    assert partition_at(**other) != partition_at()


# -- where


@pytest.mark.parametrize(
    ("granularity", "workspace_id", "path", "filled"),
    [
        ("day", None, "/lake/{snapshot}/{source}/{workspace_scope}.csv", "/lake/2026-11-03/team/default.csv"),
        ("hour", "*", "/lake/{snapshot}/{source}/{workspace_scope}.csv", "/lake/2026-11-03T06/team/all.csv"),
        ("hour", None, "/lake/{granularity}/{snapshot}.csv", "/lake/hour/2026-11-03T06.csv"),
        ("day", None, "/lake/{granularity}={snapshot}.csv", "/lake/day=2026-11-03.csv"),
        ("hour", "4d9a", "s3://c@b/{workspace_scope}-{workspace_scope}.csv", "s3://c@b/4d9a-4d9a.csv"),
        ("day", None, "/lake/{snapshot}/{hash}/{}/{{source}}.csv", "/lake/2026-11-03/{hash}/{}/{team}.csv"),
        ("day", None, "/lake/100%s/{0}/keys.csv", "/lake/100%s/{0}/keys.csv"),
        ("day", None, "", ""),
    ],
)
def test_a_path_is_filled_in(granularity, workspace_id, path, filled):
    assert partition_at(granularity=granularity, workspace_id=workspace_id).fill_in(path) == filled


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("../../outside", "..%2F..%2Foutside"),
        ("/etc/x", "%2Fetc%2Fx"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("a.b", "a.b"),
        ("50%", "50%25"),
        ("a%2Fb", "a%252Fb"),
        ("what?#", "what%3F%23"),
        ("a\\b\n", "a%5Cb%0A"),
        ("Sales EMEA ü", "Sales EMEA ü"),
    ],
)
def test_a_value_stays_within_its_folder(value, written):
    by_source = partition_at(source=value).fill_in("/lake/{source}.csv")
    assert by_source == f"/lake/{written}.csv"
    by_scope = Partition(MOMENT, "day", "team", WorkspaceScope(value)).fill_in("/lake/{workspace_scope}.csv")
    assert by_scope == f"/lake/{written}.csv"


@given(*[st.text(max_size=5) | st.sampled_from([".", "..", "%2E", "a/b", "a%2Fb"])] * 2)
def test_no_two_values_share_a_path(one, other):
    paths = {partition_at(source=value).fill_in("{source}") for value in (one, other)}
    assert len(paths) == len({one, other})
    assert not any("/" in path or path in (".", "..") for path in paths)


def test_paths_of_partitions_sort_as_time_does():
    hours = [partition_at(MOMENT + timedelta(hours=number), "hour") for number in range(60)]
    paths = [partition.fill_in("{snapshot}") for partition in hours]
    assert paths == sorted(set(paths))


def test_a_source_named_as_a_placeholder_is_not_filled_in_again():
    assert (
        partition_at(source="{workspace_scope}").fill_in("/{source}/{workspace_scope}")
        == "/{workspace_scope}/default"
    )


# -- what is refused


@pytest.mark.parametrize("granularity", ["minute", "Day", "hourly", "", None, 1, ["day"], {}])
def test_an_unknown_granularity_is_refused(granularity):
    with pytest.raises(AirflowFailException) as caught:
        read_granularity(granularity)
    assert str(caught.value) == f"granularity must be 'day' or 'hour', not {granularity!r}."
    with pytest.raises(AirflowFailException):
        Partitioning.read(granularity=granularity, source="team", snapshot=None)


@pytest.mark.parametrize("source", [None, 5, ["team"]])
def test_a_source_that_is_no_text_is_refused(source):
    with pytest.raises(AirflowFailException, match=r"^source must be text, not "):
        Partitioning.read(granularity="day", source=source, snapshot=None)


def test_without_a_snapshot_the_listing_says_when():
    listing = listing_of([], MOMENT, workspace_id="Billing")
    partition = Partitioning.read(granularity="hour", source="team", snapshot="").partition(listing)
    assert partition.snapshot == MOMENT.replace(minute=0, second=0, microsecond=0)
    assert partition.scope == WorkspaceScope("Billing")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-03T06:30:15.123456+00:00", MOMENT),
        ("2026-11-03T06:30:15.123456Z", MOMENT),
        ("2026-11-03T06:30:15.123456", MOMENT),
        ("2026-11-03 06:30:15.123456", MOMENT),
        ("2026-11-03T15:30:15.123456+09:00", MOMENT),
        ("2026-11-03", datetime(2026, 11, 3, tzinfo=UTC)),
        (datetime(2026, 11, 3), datetime(2026, 11, 3, tzinfo=UTC)),
        (MOMENT, MOMENT),
    ],
)
def test_a_snapshot_is_in_utc_unless_it_says_otherwise(text, moment):
    assert read_moment(text) == moment
    assert read_moment(text).tzinfo is UTC
    partitioning = Partitioning.read(granularity="day", source="team", snapshot=text)
    later = listing_of([], datetime(2026, 11, 9, tzinfo=UTC))
    assert partitioning.partition(later).snapshot == datetime(2026, 11, 3, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "2026-11-03T25:00", "None", None, 5])
def test_a_snapshot_that_is_no_time_is_refused(text):
    with pytest.raises(AirflowFailException) as caught:
        read_moment(text)
    assert str(caught.value) == f"snapshot must be a time such as 2026-11-03T00:00:00+00:00, not {text!r}."
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_snapshot_out_of_the_calendar_is_refused(text):
    with pytest.raises(AirflowFailException, match="snapshot"):
        partition_at(read_moment(text))
