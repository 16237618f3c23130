"""The table of activity: created, added to, written to in turns, and by writers that are killed."""

import random
from functools import partial

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import inspect
from support.activity import day_of, row
from support.databases import KILLED, at_once, killable_writer

database = support.databases.database


def test_a_new_table_has_an_index_of_its_partitions(database):
    database.write_activity(day_of(row()))
    inspector = inspect(database.engine)
    assert [each["column_names"] for each in inspector.get_indexes("activity")] == [
        ["date", "source", "grouped_by"]
    ]
    assert inspector.get_pk_constraint("activity")["constrained_columns"] == []
    required = {each["name"] for each in inspector.get_columns("activity") if not each["nullable"]}
    assert required == {"date", "source", "grouped_by"}


def test_an_older_table_gets_its_missing_columns(database):
    database.do(
        "CREATE TABLE activity (date DATE, source VARCHAR(99), grouped_by VARCHAR(99), model TEXT, team TEXT)",
        "INSERT INTO activity VALUES ('2026-11-03', 'team', 'key', 'kept', 'mine')",
        "INSERT INTO activity VALUES ('2026-11-03', 'team', 'workspace', 'replaced', NULL)",
    )
    database.write_activity(day_of(row(new=1)))
    rows = {each["model"]: each for each in database.rows("activity")}
    assert rows.keys() == {"kept", "vendor/model"}
    assert (rows["kept"]["team"], rows["kept"]["usage"]) == ("mine", None)
    assert rows["vendor/model"]["extra_fields"] == '{"new": 1}'


def test_a_key_of_the_users_own_that_collides_is_named(database):
    columns = "date DATE, source VARCHAR(99), grouped_by VARCHAR(99)"
    database.do(f"CREATE TABLE activity ({columns}, PRIMARY KEY (date, source, grouped_by))")
    with pytest.raises(AirflowException) as caught:
        database.write_activity(day_of(row(), row("other")))
    assert str(caught.value).startswith(
        "Could not write to table activity; nothing was changed. Its primary key must have none of these "
        "columns. Database error: "
    )


def test_a_table_of_keys_is_left_as_it_was(database):
    database.write([{"hash": "f01d"}])
    before = database.rows()
    with pytest.raises(AirflowException, match="nothing was changed"):
        database.write_activity(day_of(row()), table="keys")
    assert database.rows() == before


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("column", "declared"), [("requests", "integer"), ("date", "timestamptz"), ("usage", "int8")]
)
def test_a_column_that_cannot_hold_its_values_is_refused(column, declared, database):
    database.write_activity(day_of())
    database.do(f"ALTER TABLE activity ALTER COLUMN {column} TYPE {declared}")
    with pytest.raises(AirflowFailException, match=f"Column {column} of table activity cannot hold every"):
        database.write_activity(day_of(row()))


def test_writers_take_turns(database):
    days = [day_of(*[row(usage=number)] * 500, of_key={}) for number in range(4)]
    at_once(*(partial(database.write_activity, day) for day in days))
    assert len({each["usage"] for each in database.rows("activity")}) == 1
    assert len(database.rows("activity")) == 500


@pytest.mark.xdist_group("killed writers")
def test_a_writer_killed_at_any_moment_leaves_a_whole_day(database, writing_process):
    chance, rows = random.Random(), 2_000
    database.write_activity(day_of(row("other")), source="other")
    write = killable_writer(writing_process, database, rows, what="activity")
    statements = write(1, "activity")
    version = 1
    for last in [*range(1, statements + 1), *(chance.randint(1, statements) for _ in range(2))]:
        fate = write(version + 1, "activity", last=last, seconds=chance.choice([0, 0.02]))
        with database.engine.connect() as connection:
            query = "SELECT usage, count(*) FROM activity WHERE source = 'team' GROUP BY usage"
            ((found, count),) = connection.exec_driver_sql(query)
        assert count == rows
        assert found in (version, version + 1)
        assert fate == KILLED or found == version + 1
        version = found
    assert [each["model"] for each in database.rows("activity", source="other")] == ["other"]
