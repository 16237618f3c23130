"""The present checkout takes over what an early one has stored, and what waits, in a whole Airflow."""

import io
from collections import Counter
from datetime import datetime

import duckdb
import pandas as pd
import pytest
from homes import ALERTS, NEW, OLD, REPEATED

from airflow_provider_openrouter import history

pytestmark = pytest.mark.timeout(1200)

KEYS = 25


@pytest.fixture(scope="module")
def kept(upgrade):
    """The upgrade, after a day that was written before has been written again, and then a new one."""
    upgrade.home.keep(REPEATED, runs=3)
    upgrade.home.spend("stored", "chatbot-staging-1", 7)
    upgrade.home.keep(NEW, runs=4)
    return upgrade


def test_waits_end_when_their_keys_cross(upgrade):
    home = upgrade.home
    home.reaches("meanwhile", "success")
    home.listed("watched", 6)
    waiting = home.sensors()
    assert waiting.pop("rescheduled") in ("up_for_reschedule", "scheduled", "queued", "running")
    assert (waiting["usd"], waiting["percent"]) == ("deferred", "deferred")
    for name, left in {"usd": 4.5, "percent": 9, "rescheduled": 4.5}.items():
        home.set_left("watched", name, left)
        home.reaches(name, "success")
        [low] = home.airflow.xcom("waits", name)
        assert (low["name"], low["limit_remaining"], low["reason"]) == (name, left, "limit")
        assert name in home.airflow.xcom("waits", name, "message")
    home.reaches("never", "skipped")
    home.ends("waits", runs=1)


def test_what_was_reported_is_not_reported_again(upgrade):
    home = upgrade.home
    home.listed("alerting", 5)
    assert [home.airflow.run_states(dag_id) for dag_id in ALERTS] == [["success"]] * 2
    assert home.stored("openrouter_low") == upgrade.alert_states
    assert len(home.stored("openrouter_status")) == 2, "The present checkout does not watch."
    assert home.watchers() == upgrade.watchers

    home.set_left("alerting", "alert-1", 2)
    reports(home, "alert-1", runs=2)
    home.set_left("alerting", "alert-0", 50)
    home.listed("alerting")
    home.set_left("alerting", "alert-0", 2)
    reports(home, "alert-0", runs=3)
    assert home.stored("openrouter_low").keys() == upgrade.alert_states.keys()


def reports(home, key, *, runs):
    """Wait until each watcher has reported a key, in the run of this number of its DAG."""
    for dag_id in ALERTS:
        home.ends(dag_id, runs=runs)
        assert home.airflow.xcom(dag_id, "list_low_keys") == [key]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_rows_keep_their_meaning(kept, database):
    before, after = kept.rows[database], kept.home.rows(database)
    assert Counter((f"{row['snapshot']:%d %H}", row["granularity"]) for row in after) == {
        (hour, granularity): KEYS
        for hours, granularity in ((("01 00", "02 00", "03 00"), "day"), (("01 13", "02 13", "03 00"), "hour"))
        for hour in hours
    }
    old = [row for row in after if is_of(OLD, row)]
    assert [{name: row[name] for name in before[0]} for row in old] == [row for row in before if is_of(OLD, row)]
    assert {row["workspace_name"] for row in old} == {None}
    new = [row for row in after if not is_of(OLD, row)]
    assert min(row["observed_at"] for row in new) > kept.at
    assert len({row["workspace_name"] for row in new} - {None}) == 2


def is_of(moment, row):
    """Return whether a row is of the day of a moment."""
    return row["snapshot"].date() == datetime.fromisoformat(moment).date()


def test_files_are_replaced_by_their_own_partition(kept):
    before, after = kept.files, kept.home.files()
    old = {path for path in after if OLD[:10] in str(path)}
    repeated = {path for path in after if REPEATED[:10] in str(path)}
    assert before.keys() == old | repeated
    assert len(old) == len(repeated) == len(after.keys() - before.keys()) == 4
    assert all(after[path] == before[path] for path in old)
    for path in after.keys() - old:
        read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
        rows = read(io.BytesIO(after[path]))
        assert len(rows) == KEYS
        assert pd.to_datetime(rows["observed_at"]).min() > pd.Timestamp(kept.at, tz="UTC")
        assert set(rows["granularity"]) == {"hour" if "T" in path.parent.parent.name else "day"}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "duckdb"])
def test_the_history_is_of_both(kept, dialect):
    home, question = kept.home, history.sql("spend_per_day", dialect=dialect)
    if dialect == "duckdb":
        with duckdb.connect() as database:
            database.execute(history.sql("views", dialect=dialect, folder=str(home.lake / "keys")))
            spend = [(day, name, usd) for _, day, name, _, usd, *_ in database.execute(question).fetchall()]
    else:
        home.run(dialect, history.sql("views", dialect=dialect))
        with home.databases[dialect].engine.connect() as connection:
            spend = [(row.day, row.name, row.spend) for row in connection.exec_driver_sql(question)]
    assert len(spend) == 2 * KEYS
    assert [row for row in spend if row[2]] == [
        (REPEATED[:10], "billing-prod-0", 3),
        (NEW[:10], "chatbot-staging-1", 7),
    ]
