"""Writers at once, and writers that are killed: each leaves a whole partition."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import support.databases
from support.databases import KILLED, Database, at_once, keys, killable_writer, make_schema
from support.polling import eventually

from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.dialects.sqlite import ROWS_A_BATCH

database = support.databases.database
FILE_COLUMNS = kinds.KEYS.columns
MANY = ROWS_A_BATCH + 1


@pytest.mark.parametrize("attempt", range(2))
def test_three_workspaces_at_once_create_one_table(attempt, database):
    writers = [Database(database.url) for _ in range(3)]
    at_once(
        *(
            lambda writer=writer, number=number: writer.write(
                keys(*range(300)), workspace_id=f"workspace-{number}"
            )
            for number, writer in enumerate(writers)
        )
    )
    for number in range(3):
        assert len(database.rows(workspace_scope=f"workspace-{number}")) == 300


@pytest.mark.parametrize("table", ["a new one", "one without a primary key", "one that lacks columns"])
def test_a_partition_written_by_three_at_once_is_there_once(table, database):
    if table == "one that lacks columns":
        database.do("CREATE TABLE keys (hash TEXT, name TEXT)")
    if table == "one without a primary key":
        real = "DOUBLE PRECISION" if database.name == "postgresql" else "FLOAT"
        moment = "TIMESTAMPTZ" if database.name == "postgresql" else "DATETIME"
        types = {"string": "TEXT", "boolean": "BOOLEAN", "number": real, "timestamp": moment}
        columns = ", ".join(f'"{name}" {types[kind]}' for name, kind in FILE_COLUMNS.items())
        database.do(f"CREATE TABLE keys ({columns})")
    writers = [Database(database.url) for _ in range(3)]
    at_once(*(lambda writer=writer: writer.write(keys(*range(300))) for writer in writers))
    rows = database.rows()
    assert len(rows) == len({row["hash"] for row in rows}) == 300


def turns(connection):
    """Return of each writer that has begun whether it is its turn."""
    query = "SELECT granted FROM pg_locks WHERE locktype = 'advisory'"
    return sorted(connection.exec_driver_sql(query).scalars())


@pytest.mark.parametrize(
    ("schemas", "expected"), [((None, "public"), [False, True]), ((None, "other"), [True, True])], ids=str
)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_writes_to_the_same_table_takes_turns(schemas, expected, database, tmp_path):
    make_schema(database, "other", tmp_path)
    for schema in schemas:
        database.write(keys(1), schema=schema)
    with ThreadPoolExecutor(2) as writers, database.engine.begin() as connection:
        for schema in schemas:  # so that no writer comes to an end
            connection.exec_driver_sql(f"LOCK TABLE {schema or 'public'}.keys IN EXCLUSIVE MODE")
        writes = [writers.submit(database.write, keys(2), schema=schema) for schema in schemas]
        assert eventually(lambda: len(turns(connection)) == 2)
        assert turns(connection) == expected
    assert [write.result() for write in writes] == ["public", schemas[1]]


@pytest.mark.xdist_group("killed writers")
def test_a_writer_killed_at_any_moment_leaves_a_whole_partition(database, writing_process):
    others, seed = keys(1, 2, 3), random.randrange(1_000_000)
    rows = MANY if database.name == "sqlite" else 500  # two batches there; elsewhere statements are larger
    chance = random.Random(seed)

    def version_of_the_partition():
        if "keys" not in database.tables:
            return 0
        query = "SELECT usage, count(*) FROM keys WHERE source = 'team' GROUP BY usage"
        with database.engine.connect() as connection:
            ((version, count),) = connection.exec_driver_sql(query)
        assert count == rows, seed
        return version

    write = killable_writer(writing_process, database, rows)
    to_create, to_replace = write(1, "measure"), write(1, "measure")
    for last in range(1, to_create + 1):
        assert write(2, last=last) == KILLED
        assert version_of_the_partition() == 0
    assert write(3) == to_create
    database.write(others, source="other")
    for last in range(1, to_replace + 1):
        assert write(4, last=last) == KILLED
        assert version_of_the_partition() == 3
    before = 3
    for version in range(5, 9):  # amid a statement
        fate = write(version, last=chance.randint(1, to_replace), seconds=chance.uniform(0, 0.1))
        after = version_of_the_partition()
        assert before <= after <= version, seed
        assert fate == KILLED or after == version, seed
        before = after
    database.write(keys(*range(rows)))
    for source, sent in (("other", others), ("team", keys(*range(rows)))):
        database.write(sent, source=source, table="clean")
    assert database.rows() == database.rows(table="clean")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_writers_take_turns_whatever_the_default_isolation(level, database):
    database.do(f"ALTER DATABASE {database.url.database} SET default_transaction_isolation = '{level}'")
    database.engine.dispose()
    at_once(*(partial(database.write, keys(*range(300)), source=f"team-{number}") for number in range(4)))
    assert len(database.rows()) == 1_200
