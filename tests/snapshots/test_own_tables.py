"""Tables of PostgreSQL that users made themselves: what their columns take, and what is refused."""

from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import event
from support.databases import Database, database_of, keys
from support.lines import needs_psycopg_3

from airflow_provider_openrouter.snapshots import kinds

FILE_COLUMNS = kinds.KEYS.columns

DRIVERS = ["psycopg2", pytest.param("psycopg", marks=needs_psycopg_3)]
TYPES = {"string": "TEXT", "boolean": "BOOLEAN", "number": "DOUBLE PRECISION", "timestamp": "TIMESTAMPTZ"}
UUID = "0198a3a0-7c5e-7d7a-9b1e-3b8f2f6f1c11"


@pytest.fixture(params=DRIVERS)
def database(request, postgresql):
    with database_of(postgresql) as url:
        database = Database(url.set(drivername=f"postgresql+{request.param}"))
        database.do(
            "CREATE TYPE period AS ENUM ('day', 'hour')",
            "CREATE DOMAIN label AS TEXT CHECK (value <> '-')",
            'CREATE DOMAIN "100%%" AS TEXT',
        )
        yield database


def own_table(database, *ends, table="keys", **types):
    """Create a table whose columns have the types that are given, or else our own."""
    columns = (f'"{column}" {types.get(column, TYPES[kind])}' for column, kind in FILE_COLUMNS.items())
    database.do(f"CREATE TABLE {table} ({', '.join(columns)}) {' '.join(ends)}")


def values(database, *names, table="keys"):
    """Return columns as PostgreSQL shows them in UTC."""
    shown = ", ".join(f'CAST("{name}" AS TEXT)' for name in names)
    with database.engine.connect() as opened:
        opened.exec_driver_sql("SET timezone TO 'UTC'")
        return [tuple(row) for row in opened.exec_driver_sql(f"SELECT {shown} FROM {table} ORDER BY hash")]


HOLDS = {
    "timestamp": [("snapshot", "2026-11-03 00:00:00"), ("expires_at", "2026-12-31 23:30:00")],
    "date": [("snapshot", "2026-11-03"), ("expires_at", "2026-12-31")],
    "text": [
        ("snapshot", "2026-11-03 00:00:00.000000Z"),
        ("usage", "0.25"),
        ("disabled", "true"),
        ("expires_at", "2026-12-31 23:30:00.000000Z"),
    ],
    "varchar(64)": [("source", "team"), ("granularity", "day"), ("usage", "0.25")],
    "char(64)": [("source", "team"), ("name", "key 1")],
    "numeric(12, 1)": [("usage", "0.3"), ("limit", "5.0")],
    "real": [("usage", "0.25")],
    "uuid": [("workspace_id", UUID)],
    "jsonb": [("extra_fields", '{"rank": 1}')],
    "json": [("extra_fields", '{"rank": 1}')],
    "period": [("granularity", "day")],
    "label": [("source", "team"), ("name", "key 1")],
    '"100%%"': [("source", "team"), ("name", "key 1")],
}


@pytest.mark.parametrize("kind", HOLDS)
def test_values_are_read_by_the_type_of_their_column(kind, database):
    database.do(f"ALTER DATABASE {database.url.database} SET timezone TO 'Asia/Kathmandu'")
    own_table(database, **{name: kind for name, _ in HOLDS[kind]})
    sent = keys(1, usage=0.25, limit=5, disabled=True, workspace_id=UUID, rank=1)
    sent[0]["expires_at"] = "2026-12-31T23:30:00Z"
    for _ in range(2):
        database.write(sent, create_table=False)
    assert values(database, *(name for name, _ in HOLDS[kind])) == [tuple(value for _, value in HOLDS[kind])]


REFUSES = {
    "integer": ("usage", "hold every number: it is of type integer. Make it double precision or numeric."),
    "boolean": ("name", "hold every string: it is of type boolean. Make it text."),
    "bytea": ("hash", "hold every string: it is of type bytea. Make it text."),
    "text[]": ("hash", "hold every string: it is of type text[]. Make it text."),
    "smallint": ("disabled", "hold every boolean: it is of type smallint. Make it boolean."),
    "bigint": ("created_at", "hold every timestamp: it is of type bigint. Make it timestamp with time zone."),
}


@pytest.mark.parametrize("kind", REFUSES)
def test_a_column_that_cannot_hold_its_values_is_refused(kind, database):
    name, said = REFUSES[kind]
    own_table(database, **{name: kind})
    with pytest.raises(AirflowFailException) as caught:
        database.write(keys(1), create_table=False)
    assert str(caught.value) == f"Column {name} of table keys cannot {said} Nothing was changed."
    assert values(database, "hash") == []


def test_days_alone_cannot_tell_hours_apart(database):
    own_table(database, snapshot="date")
    database.write(keys(1))
    with pytest.raises(AirflowFailException, match=r"^Column snapshot of table keys cannot hold hours"):
        database.write(keys(1), granularity="hour")
    assert len(database.rows()) == 1


@pytest.mark.parametrize("kind", ["timestamp", "date", "text", "timestamptz"])
def test_old_days_are_recognised_whatever_the_type(kind, database):
    database.do(
        f"ALTER DATABASE {database.url.database} SET timezone TO 'Asia/Kathmandu'",
        f"CREATE TABLE keys (snapshot {kind}, hash TEXT)",
        "INSERT INTO keys VALUES ('2026-11-01 00:00:00Z', 'old')",
    )
    database.write([], create_table=False)
    assert values(database, "granularity") == [("day",)]


# -- what COPY cannot do


def partitioned(database):
    own_table(database, "PARTITION BY RANGE (snapshot)")
    database.do("CREATE TABLE of_2026 PARTITION OF keys FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")


def view(database):
    own_table(database, table="base")
    database.do("CREATE VIEW keys AS SELECT * FROM base")


def rule(database):
    own_table(database)
    database.do(
        "CREATE TABLE journal (hash TEXT)",
        "CREATE RULE journal AS ON INSERT TO keys DO ALSO INSERT INTO journal VALUES (new.hash)",
    )


def row_security(database):
    own_table(database)
    role = f"writer_{uuid4().hex}"
    database.do(
        f"CREATE ROLE {role}",
        f"GRANT ALL ON keys TO {role}",
        "ALTER TABLE keys ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON keys USING (source = 'team')",
    )

    @event.listens_for(database.engine, "connect")
    def become(connection, record):
        connection.cursor().execute(f"SET ROLE {role}")
        connection.commit()


KINDS = {
    "an ordinary table": own_table,
    "partitioned": partitioned,
    "a view": view,
    "a rule": rule,
    "row security": row_security,
}
HOSTILE = [
    "",
    '"',
    '""',
    "\\.",
    "one\n\\.\ntwo",
    "\\N",
    "NULL",
    "a,b\r\nc\td",
    "{1,2}",
    "%s %(x)s",
    "🔑",
    None,
]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_of_table_takes_every_value(make, database):
    make(database)
    sent = [key | {"name": text, "label": text} for key, text in zip(keys(*range(12)), HOSTILE, strict=True)]
    for _ in range(2):
        database.write(sent, create_table=False)
    assert values(database, "name", "label") == [(text, text) for text in HOSTILE]


def test_a_rule_is_followed(database):
    rule(database)
    database.write(keys(1, 2))
    assert values(database, "hash", table="journal") == [("hash-00001",), ("hash-00002",)]


def test_a_trigger_fires_for_each_row(database):
    own_table(database)
    database.do(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN new.name := upper(new.name); RETURN new; END'",
        "CREATE TRIGGER shout BEFORE INSERT ON keys FOR EACH ROW EXECUTE FUNCTION shout()",
    )
    database.write(keys(1, 2))
    assert values(database, "name") == [("KEY 1",), ("KEY 2",)]


def test_a_policy_against_a_row_changes_nothing(database):
    row_security(database)
    database.write(keys(1))
    with pytest.raises(AirflowException, match="row-level security"):
        database.write(keys(1), source="other")
    assert values(database, "source") == [("team",)]


@pytest.mark.parametrize(("make", "where"), [(own_table, " in column name"), (rule, "")])
def test_a_text_longer_than_its_column_is_never_cut(make, where, database):
    make(database)
    database.do("ALTER TABLE keys ALTER COLUMN name TYPE VARCHAR(5)")
    with pytest.raises(AirflowException) as caught:
        database.write(keys(10))
    assert str(caught.value).endswith(f"Database error: StringDataRightTruncation 22001{where}")
    assert values(database, "name") == []
