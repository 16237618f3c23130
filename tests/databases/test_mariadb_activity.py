"""Writing activity to MariaDB: what a new table is, what looks alike, and what is written again."""

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import inspect
from support.activity import day_of, row

from airflow_provider_openrouter.snapshots.kinds import ACTIVITY


def test_a_new_table_holds_every_value_exactly(database):
    odd = row(None, usage=0.1 + 0.2, requests=2**62 + 1, new="x" * 70_000)
    for _ in range(3):
        database.write_activity(day_of(row(), row(), odd, of_key={"f01d": [row("ünï"), row("free", usage=0)]}))
    rows = database.rows("activity")
    assert list(rows[0]) == list(ACTIVITY.columns)
    assert [each["model"] for each in rows].count("vendor/model") == 2
    [stored] = [each for each in rows if each["model"] is None]
    assert (stored["usage"], stored["requests"], len(stored["extra_fields"])) == (0.1 + 0.2, 2**62 + 1, 70_011)
    [index] = inspect(database.engine).get_indexes("activity")
    assert index["column_names"] == ["date", "source", "grouped_by"]


@pytest.mark.parametrize("other", ["TEAM", "team ", "téam", "te\u00adam"])
def test_sources_that_look_alike_are_two(other, database):
    for source in ("team", other, "team"):
        database.write_activity(day_of(row(source)), source=source)
    assert sorted(each["model"] for each in database.rows("activity")) == sorted(["team", other])


@pytest.mark.parametrize(
    ("column", "declared", "said"),
    [
        ("source", "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "source varchar"),
        ("date", "TIMESTAMP", "date timestamp"),
        ("observed_at", "DATETIME", "observed_at datetime"),
    ],
)
def test_a_column_that_is_not_exact_is_refused(column, declared, said, database):
    database.write_activity(day_of())
    database.do(f"ALTER TABLE activity MODIFY {column} {declared}")
    with pytest.raises(AirflowFailException, match=f"cannot hold every value exactly: {said}"):
        database.write_activity(day_of(row()))
