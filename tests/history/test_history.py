"""The SQL of the history, on each database that it is for, compared with a ledger in Python."""

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from itertools import pairwise
from random import Random
from urllib.parse import urlencode
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_openrouter.snapshots.frame import FILE_COLUMNS
from airflow_provider_openrouter.snapshots.schema import IDENTITY, OLD_IDENTITY, keys_table, prepare_table

HISTORY = files("airflow_provider_openrouter") / "history"
DATABASES = ("postgresql", "sqlite", "duckdb")
QUESTIONS = {
    "spend_per_day",
    "top_spenders",
    "spend_per_prefix",
    "dormant_keys",
    "expiring_keys",
    "days_until_dry",
}
DAY = timedelta(days=1)
KINDS = {
    **dict.fromkeys(("granularity", "source", "workspace_scope", "hash", "name", "label", "limit_reset"), str),
    **dict.fromkeys(("workspace_id", "workspace_name", "creator_user_id", "external_user", "extra_fields"), str),
    **dict.fromkeys(("disabled", "include_byok_in_limit"), bool),
    **dict.fromkeys(("limit", "limit_remaining"), float),
    **{
        f"{kind}{period}": float
        for kind in ("usage", "byok_usage")
        for period in ("", "_daily", "_weekly", "_monthly")
    },
    **dict.fromkeys(
        ("snapshot", "observed_at", "created_at", "updated_at", "expires_at", "last_used_at"), datetime
    ),
}
SQL_TYPES = {str: sa.Text, bool: sa.Boolean, float: sa.Float(53), datetime: sa.DateTime(timezone=True)}
PARQUET_TYPES = {str: pa.string(), bool: pa.bool_(), float: pa.float64(), datetime: pa.timestamp("us", tz="UTC")}
NEWER = {"granularity", "workspace_name"}
"""Columns that the first tables and files did not have."""

EACH_DATABASE = [
    pytest.param(dialect, marks=pytest.mark.xdist_group(f"history {dialect}")) for dialect in DATABASES
]

# -- the databases, each in a time zone that is not UTC


def views(dialect):
    return f"observations_{dialect}", "days", "spend"


class Table:
    """A history in a table."""

    def __init__(self, dialect, url, rows, old=False):
        self.dialect = dialect
        self.url = url
        self.engine = sa.create_engine(url)
        names = [name for name in KINDS if name not in NEWER] if old else list(KINDS)
        columns = (sa.Column(name, SQL_TYPES[KINDS[name]]) for name in names)
        keys = [sa.PrimaryKeyConstraint(*OLD_IDENTITY)] if old else []
        table = sa.Table("openrouter_keys", sa.MetaData(), *columns, *keys)
        with self.engine.begin() as connection:
            table.create(connection)
            connection.execute(table.insert(), [{name: row.get(name) for name in names} for row in rows])
        for script in views(dialect):
            self.run(text_of(script))

    def run(self, script):
        with self.engine.begin() as connection:
            for statement in DbApiHook.split_sql_string(script):
                connection.exec_driver_sql(statement)

    def upgrade(self):
        with self.engine.begin() as connection:
            prepare_table(connection, keys_table("openrouter_keys", None, connection), create_table=True)
        inspector = sa.inspect(self.engine)
        key = inspector.get_pk_constraint("openrouter_keys")["constrained_columns"]
        assert tuple(key) == IDENTITY
        assert {column["name"] for column in inspector.get_columns("openrouter_keys")} == KINDS.keys()

    def query(self, sql):
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(sql).mappings()]

    def close(self):
        self.engine.dispose()


class Lake:
    """A history in a folder: a file for each partition, in every third of them a column that the others lack."""

    dialect = "duckdb"

    def __init__(self, folder, rows, old=False):
        """Write the files; those before a day may be older ones, or all if that is True."""
        self.folder = folder
        partitions = defaultdict(list)
        for row in rows:
            place = [row[name] for name in ("source", "workspace_scope", "snapshot", "granularity")]
            partitions[tuple(place)].append(row)
        for number, ((source, scope, snapshot, granularity), partition) in enumerate(partitions.items()):
            scope = "all" if scope == "*" else scope
            hive = f"source={source}/{granularity}={snapshot:%Y-%m-%dT%H}/workspace_scope={scope}"
            path = folder / "lake/keys" / hive / "keys.parquet"
            path.parent.mkdir(parents=True)
            is_old = old is True or (old and snapshot < old)
            kinds = {name: kind for name, kind in KINDS.items() if not (is_old and name in NEWER)}
            schema = pa.schema([(name, PARQUET_TYPES[kind]) for name, kind in kinds.items()])
            table = pa.Table.from_pylist(partition, schema=schema)
            if number % 3 == 1:
                table = table.append_column("day_number", pa.array(["not ours"] * len(table)))
            pa.parquet.write_table(table, path)
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'Pacific/Auckland'")
        for script in views("duckdb"):
            self.run(text_of(script))

    def run(self, script):
        self.connection.execute(script.replace("'lake/keys", f"'{self.folder}/lake/keys"))

    def query(self, sql):
        result = self.connection.execute(sql)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def close(self):
        self.connection.close()


def text_of(name, **settings):
    """The text of a file, with its settings edited as a reader would."""
    text = (HISTORY / f"{name}.sql").read_text(encoding="utf-8")
    for setting, value in settings.items():
        text, found = re.subn(
            rf"(?m)^(WITH settings AS \(SELECT .*)\b\d+ AS {setting}\b", rf"\g<1>{value} AS {setting}", text
        )
        assert found == 1
    return text


def ask(history, question, **settings):
    return history.query(text_of(question, **settings))


@pytest.fixture(scope="module")
def keep(request, tmp_path_factory):
    """Keep rows as a history in a database of their own."""
    kept = []

    def keep(dialect, rows, **how):
        folder = tmp_path_factory.mktemp("history")
        if dialect == "duckdb":
            history = Lake(folder, rows, **how)
        elif dialect == "sqlite":
            history = Table(dialect, f"sqlite:///{folder}/history.db", rows, **how)
        else:
            url, schema = request.getfixturevalue("postgresql"), f"history_{uuid4().hex}"
            engine = sa.create_engine(url)
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
            engine.dispose()
            options = {"options": f"-csearch_path={schema} -ctimezone=Pacific/Auckland"}
            history = Table(dialect, f"{url}&{urlencode(options)}", rows, **how)
        kept.append(history)
        return history

    yield keep
    for history in kept:
        history.close()


@pytest.fixture(params=EACH_DATABASE)
def history_of(request, keep):
    """Keep rows in each of the databases."""
    return lambda *rows: keep(request.param, rows)


# -- a simulated year


START = date(2026, 1, 1)
MISSED = {45, 46, 47, 48}
HOURLY = {*range(200, 206), 363, 364}
TEAMS = ("billing", "search", "support", "équipe")
CENT = 1 / 64
"""The least that is spent, so that sums of floats are exact."""


def moment(day, hours=0.0):
    return datetime.combine(START, time(), UTC) + timedelta(days=day, hours=hours)


@dataclass
class Key:
    """A key, and the ledger of what it spent."""

    source: str
    hash: str
    names: list
    """Pairs of when and what."""
    scopes: set
    created_at: datetime
    deleted_at: datetime | None = None
    hidden: tuple | None = None
    """Since when and until when it is disabled, and not listed for that."""
    disabled: bool = False
    expires_at: datetime | None = None
    limit: float | None = None
    limit_reset: str | None = None
    include_byok_in_limit: bool = False
    before: float = 0.0
    """What it had spent before the year."""
    ledger: list = field(default_factory=list)
    """Triples of when, how much and how much with own provider keys, in the order of time."""

    def is_listed(self, scope, at):
        return (
            scope in self.scopes
            and self.created_at <= at
            and not (self.deleted_at and self.deleted_at <= at)
            and not (self.hidden and self.hidden[0] <= at < self.hidden[1])
        )

    def spent(self, since, until):
        """What the ledger has after `since`, if that is given, up to `until`: of both kinds."""
        times = [entry[0] for entry in self.ledger]
        entries = self.ledger[bisect_right(times, since) if since else 0 : bisect_right(times, until)]
        return (0.0 if since else self.before) + sum(entry[1] for entry in entries), sum(
            entry[2] for entry in entries
        )

    def name_at(self, at):
        return [name for since, name in self.names if since <= at][-1]

    def remaining(self, at):
        if self.limit is None:
            return None
        today = at.replace(hour=0, minute=0, second=0, microsecond=0)
        since = {
            None: None,
            "daily": today,
            "weekly": today - at.weekday() * DAY,
            "monthly": today.replace(day=1),
        }[self.limit_reset]
        spent, byok_spent = self.spent(since and since - timedelta(microseconds=1), at)
        return self.limit - spent - (byok_spent if self.include_byok_in_limit else 0)

    def row(self, scope, snapshot, at):
        usage, byok_usage = self.spent(None, at)
        used = [when for when, *_ in self.ledger if when <= at]
        return {
            "snapshot": snapshot,
            "granularity": "hour" if (snapshot.date() - START).days in HOURLY else "day",
            "source": self.source,
            "workspace_scope": scope,
            "hash": self.hash,
            "name": self.name_at(at),
            "disabled": self.disabled,
            "limit": self.limit,
            "limit_remaining": self.remaining(at),
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": self.include_byok_in_limit,
            "usage": usage,
            "byok_usage": byok_usage,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "last_used_at": used[-1] if used else None,
            "observed_at": at,
        }


class Year:
    """Two accounts for a year: what was spent, when it was listed, and what is to be answered."""

    def __init__(self):
        random = Random(2026)
        self.listings = sorted(self._listings(random), key=lambda listing: listing[3])
        self.keys = [self._key(random, number) for number in range(30)]
        self._strike_special_keys()
        for key in self.keys:
            self._spend(random, key)
        self.rows = [
            key.row(scope, snapshot, at)
            for source, scope, snapshot, at in self.listings
            for key in self.keys
            if key.source == source and key.is_listed(scope, at)
        ]
        self.newest = {}
        for source, _, snapshot, at in self.listings:
            self.newest[source] = (snapshot.date(), at)
        self.sightings = {key.hash: self._sightings(key) for key in self.keys}
        self.spend = [row for key in self.keys for row in self._key_spend(key)]

    def _listings(self, random):
        """Source, scope, snapshot and moment of each listing: daily or hourly, some missed, some failed."""
        for source, scopes, days in (("prod", ("default", "*"), 365), ("research", ("ws-a", "ws-b"), 362)):
            missed = MISSED | set(random.sample(range(5, 360), 10))
            for day in range(days):
                if day in missed - HOURLY:
                    continue
                for hour in range(24) if day in HOURLY else (0,):
                    for scope in scopes:
                        if scope == "*" and day < 120:
                            continue
                        if (scope == "ws-b" and day in (100, 101)) or (day in HOURLY and random.random() < 0.1):
                            continue
                        at = moment(day, hour) + timedelta(seconds=300 + random.random() * 1800)
                        yield source, scope, moment(day, hour if day in HOURLY else 0), at

    def _key(self, random, number):
        source = "prod" if number < 14 else "research"
        scopes = (
            random.choice([{"default", "*"}, {"default", "*"}, {"*"}])
            if source == "prod"
            else {random.choice(["ws-a", "ws-b"])}
        )
        old = random.random() < 0.5
        created_at = moment(random.uniform(-300, -1) if old else random.uniform(1, 350))
        key = Key(
            source=source,
            hash=f"{number:02x}{random.getrandbits(64):016x}",
            names=[(created_at, f"{random.choice(TEAMS)}-{random.choice(['prod', 'dev'])}-{number}")],
            scopes=scopes,
            created_at=created_at,
            before=random.randrange(6400) * CENT if old else 0.0,
            limit=random.choice([None, 2.0, 20.0, 60.0, 300.0]),
            limit_reset=random.choice([None, "daily", "weekly", "monthly"]),
            include_byok_in_limit=random.random() < 0.3,
        )
        if key.limit and key.limit_reset is None:
            key.limit += key.before + 900
        if random.random() < 0.2:
            key.deleted_at = created_at + random.uniform(20, 300) * DAY
        if random.random() < 0.4:
            key.expires_at = moment(random.uniform(300, 480))
        return key

    def _strike_special_keys(self):
        keys = self.keys
        keys[0].hidden, keys[0].deleted_at = (moment(80.5), moment(95.5)), None
        keys[0].created_at = moment(-20)
        keys[0].names = [(moment(-20), "search-old"), (moment(180.3), "billing-renamed")]
        keys[1].names, keys[1].disabled, keys[1].deleted_at = [(keys[1].created_at, "no dash")], True, None
        keys[2].names = [(keys[2].created_at, None)]
        keys[3].names = [(keys[3].created_at, "'; DROP TABLE openrouter_keys --")]
        keys[4].scopes, keys[4].deleted_at = {"default", "*"}, moment(364, 10.5)
        keys[5].scopes, keys[5].before, keys[5].created_at = {"*"}, 100.0, moment(-50)
        keys[5].names = [(moment(-50), "-first")]
        keys[14].scopes, keys[14].created_at, keys[14].before = {"ws-b"}, moment(99.5), 0.0
        keys[14].names, keys[14].deleted_at = [(moment(99.5), "support-while-failing")], None
        keys[15].created_at, keys[15].before, keys[15].deleted_at = moment(46.5), 0.0, None
        keys[15].names = [(moment(46.5), "support-while-missed")]

    def _spend(self, random, key):
        rate = random.choice([0, 0.2, 2, 8])
        last_day = random.choice([364, 364, 355, 335, 250])
        end = min(key.deleted_at or moment(365), key.expires_at or moment(365), moment(last_day))
        at = max(key.created_at, moment(0))
        while rate and (at := at + timedelta(days=random.expovariate(rate))) < end:
            if not (key.hidden and key.hidden[0] <= at < key.hidden[1]):
                byok = random.randrange(64) * CENT if random.random() < 0.3 else 0.0
                key.ledger.append((at, random.randrange(1, 128) * CENT, byok))

    def _sightings(self, key):
        """The last sighting of each day: scope and moment."""
        return {
            snapshot.date(): (scope, at)
            for source, scope, snapshot, at in self.listings
            if source == key.source and key.is_listed(scope, at)
        }

    def _key_spend(self, key):
        """What the ledger says for each day on which the key was seen."""
        days = sorted(self.sightings[key.hash])
        if not days:
            return
        scope, first_seen = self.sightings[key.hash][days[0]]
        earlier = [
            listing for listing in self.listings if listing[0] == key.source and listing[2].date() < days[0]
        ]
        of_scope = [listing for listing in earlier if listing[1] == scope]
        if earlier and key.created_at > (of_scope or earlier)[-1][3]:
            covered = max((days[0] - key.created_at.date()).days, 1)
            yield self._costs(key, days[0], key.spent(None, first_seen), covered)
        for before, day in pairwise(days):
            since, until = self.sightings[key.hash][before][1], self.sightings[key.hash][day][1]
            yield self._costs(key, day, key.spent(since, until), (day - before).days)

    def _costs(self, key, day, spent, covered):
        return {
            "source": key.source,
            "day": day.isoformat(),
            "hash": key.hash,
            "name": key.name_at(self.sightings[key.hash][day][1]),
            "spend": spent[0],
            "byok_spend": spent[1],
            "days": covered,
        }

    def recent(self, days):
        return [
            row
            for row in self.spend
            if (self.newest[row["source"]][0] - date.fromisoformat(row["day"])).days < days
        ]

    def in_newest(self, key):
        day, _ = self.newest[key.source]
        last = {
            scope: at
            for source, scope, snapshot, at in self.listings
            if source == key.source and snapshot.date() == day
        }
        return any(key.is_listed(scope, at) for scope, at in last.items())

    def active(self):
        """Keys of the newest snapshot that can be used, with the day and the moment of their last sighting."""
        for key in self.keys:
            day, _ = self.newest[key.source]
            if self.in_newest(key) and not key.disabled:
                _, at = self.sightings[key.hash][day]
                if not (key.expires_at and key.expires_at <= at):
                    yield key, day, at

    def top_spenders(self, days, keys):
        sums = defaultdict(lambda: [0.0, 0.0])
        for row in self.recent(days):
            sums[row["hash"]][0] += row["spend"]
            sums[row["hash"]][1] += row["byok_spend"]
        spenders = [(key, *sums[key.hash]) for key in self.keys if sums[key.hash][0] > 0]
        spenders.sort(key=lambda spender: (-spender[1], spender[0].source, spender[0].hash))
        return [
            {
                "place": place,
                "source": key.source,
                "hash": key.hash,
                "name": key.name_at(max(self.sightings[key.hash].values(), key=lambda sighting: sighting[1])[1]),
                "spend": spend,
                "byok_spend": byok_spend,
                "listed": int(self.in_newest(key)),
            }
            for place, (key, spend, byok_spend) in enumerate(spenders[:keys], 1)
        ]

    def spend_per_prefix(self, days):
        teams = defaultdict(list)
        for row in self.recent(days):
            teams[row["source"], (row["name"] or "").partition("-")[0]].append(row)
        return [
            {
                "source": source,
                "prefix": prefix,
                "keys": len({row["hash"] for row in rows}),
                "spend": sum(row["spend"] for row in rows),
                "byok_spend": sum(row["byok_spend"] for row in rows),
            }
            for (source, prefix), rows in teams.items()
        ]

    def dormant_keys(self, days):
        for key, day, at in self.active():
            used = [when for when, *_ in key.ledger if when <= at]
            if not used and key.before:
                continue
            if (day - (used[-1] if used else key.created_at).date()).days > days:
                yield key.hash, used[-1].date().isoformat() if used else None

    def expiring_keys(self, days):
        for key, day, _ in self.active():
            if key.expires_at and (left := (key.expires_at.date() - day).days) <= days:
                yield {
                    "source": key.source,
                    "hash": key.hash,
                    "name": key.names[-1][1],
                    "expires_day": key.expires_at.date().isoformat(),
                    "days_until_expiry": left,
                }

    def days_until_dry(self, days):
        for key, day, at in self.active():
            if (remaining := key.remaining(at)) is None:
                continue
            rows = [row for row in self.recent(days) if row["hash"] == key.hash]
            kinds = ("spend", "byok_spend") if key.include_byok_in_limit else ("spend",)
            pace = (
                sum(row[kind] for row in rows for kind in kinds) / sum(row["days"] for row in rows)
                if rows
                else None
            )
            reset = next_reset(key.limit_reset, day)
            dry = at + remaining / pace * DAY if pace else None
            if remaining <= 0:
                outcome, left = "dry", 0
            elif pace is None:
                outcome, left = "not known", None
            elif not pace:
                outcome, left = "not spending", None
            elif reset and reset <= dry:
                outcome, left = "resets before", None
            else:
                outcome, left = "runs dry", remaining / pace
            yield {
                "source": key.source,
                "hash": key.hash,
                "name": key.names[-1][1],
                "limit": key.limit,
                "limit_remaining": remaining,
                "limit_reset": key.limit_reset,
                "spend_per_day": pace,
                "outcome": outcome,
                "days_until_dry": left,
                "days_until_reset": reset and (reset - at) / DAY,
            }


def next_reset(limit_reset, day):
    """The next day on which a limit is restored, as its midnight."""
    if limit_reset is None:
        return None
    day += DAY
    while (limit_reset == "weekly" and day.weekday() != 0) or (limit_reset == "monthly" and day.day != 1):
        day += DAY
    return datetime.combine(day, time(), UTC)


@pytest.fixture(scope="module")
def year():
    return Year()


@pytest.fixture(scope="module", params=EACH_DATABASE)
def history(request, keep, year):
    return keep(request.param, year.rows)


def by_hash(rows):
    return sorted(rows, key=lambda row: (row["hash"], row.get("day")))


def test_the_year_has_all_that_is_hard(year):
    listed = {key.hash for key in year.keys if year.in_newest(key)}
    assert len(year.rows) > 5_000
    assert 5 < len(listed) < len(year.keys)
    assert {row["days"] for row in year.spend} >= {1, 2, 5}
    assert any(row["days"] > 14 for row in year.spend if row["hash"] == year.keys[0].hash)
    assert {row["outcome"] for row in year.days_until_dry(30)} >= {"runs dry", "resets before", "not spending"}
    assert list(year.dormant_keys(10))
    assert list(year.expiring_keys(120))
    seen = [(row["source"], row["hash"], row["snapshot"]) for row in year.rows]
    assert len(set(seen)) < len(seen), "no key is in two scopes at once"


def test_a_key_has_one_row_a_day_and_it_is_the_last(history, year):
    answer = history.query("SELECT hash, day, name, usage FROM openrouter_key_days")
    assert by_hash(answer) == [
        {"hash": key.hash, "day": day.isoformat(), "name": key.name_at(at), "usage": key.spent(None, at)[0]}
        for key in sorted(year.keys, key=lambda key: key.hash)
        for day, (_, at) in sorted(year.sightings[key.hash].items())
    ]


@pytest.mark.parametrize("days", [1, 30, 400])
def test_spend_per_day_is_what_the_ledger_says(history, year, days):
    answer = ask(history, "spend_per_day", days=days)
    assert answer == sorted(answer, key=lambda row: (row["source"], row["day"], -row["spend"], row["hash"]))
    assert by_hash(answer) == by_hash(year.recent(days))


def test_no_spend_of_the_year_is_lost_or_counted_twice(history, year):
    """The ledger of a key that was created within the year is in the answers, up to its last sighting."""
    answer = ask(history, "spend_per_day", days=400)
    young = [key for key in year.keys if not key.before and "*" not in key.scopes and year.sightings[key.hash]]
    assert len(young) > 4
    for key in young:
        last_seen = max(at for _, at in year.sightings[key.hash].values())
        assert sum(row["spend"] for row in answer if row["hash"] == key.hash) == key.spent(None, last_seen)[0]


@pytest.mark.parametrize(("days", "keys"), [(30, 20), (90, 3), (400, 100)])
def test_top_spenders_are_those_of_the_ledger(history, year, days, keys):
    assert ask(history, "top_spenders", days=days, keys=keys) == year.top_spenders(days, keys)


@pytest.mark.parametrize("days", [7, 200, 400])
def test_spend_per_prefix_is_that_of_the_ledger(history, year, days):
    answer = ask(history, "spend_per_prefix", days=days)
    assert [row["spend"] for row in answer] == sorted((row["spend"] for row in answer), reverse=True)

    def place(row):
        return row["source"], row["prefix"]

    assert sorted(answer, key=place) == sorted(year.spend_per_prefix(days), key=place)


@pytest.mark.parametrize("days", [10, 30, 200])
def test_dormant_keys_have_no_entry_in_the_ledger(history, year, days):
    answer = ask(history, "dormant_keys", days=days)
    assert {(row["hash"], row["last_used_day"]) for row in answer} == set(year.dormant_keys(days))


@pytest.mark.parametrize("days", [60, 120])
def test_expiring_keys_are_those_of_the_year(history, year, days):
    answer = ask(history, "expiring_keys", days=days)
    expected = year.expiring_keys(days)
    assert answer == sorted(expected, key=lambda row: (row["days_until_expiry"], row["source"], row["hash"]))


@pytest.mark.parametrize("days", [3, 30, 365])
def test_days_until_dry_are_those_of_the_ledger(history, year, days):
    answer = ask(history, "days_until_dry", days=days)
    places = [(row["days_until_dry"] is None, row["days_until_dry"] or 0) for row in answer]
    assert places == sorted(places)
    expected = by_hash(year.days_until_dry(days))
    assert len(answer) == len(expected)
    for found, right in zip(by_hash(answer), expected, strict=True):
        assert found == {
            name: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
            for name, value in right.items()
        }


# -- older tables and files


def every_answer(history):
    return {question: ask(history, question, days=400) for question in sorted(QUESTIONS)} | {
        "days": history.query("SELECT * FROM openrouter_key_days ORDER BY source, hash, day")
    }


@pytest.mark.parametrize("dialect", EACH_DATABASE)
def test_a_history_without_the_newer_columns_has_the_same_answers(dialect, keep, year):
    new, old = keep(dialect, year.rows), keep(dialect, year.rows, old=True)
    answers = every_answer(new)
    assert every_answer(old) == answers
    if dialect == "duckdb":
        assert every_answer(keep(dialect, year.rows, old=moment(150))) == answers


@pytest.mark.parametrize("dialect", EACH_DATABASE[:2])
def test_a_history_has_the_same_answers_after_the_upgrade(dialect, keep, year):
    history = keep(dialect, year.rows, old=True)
    answers = every_answer(history)
    history.upgrade()
    assert every_answer(history) == answers
    for script in views(dialect):
        history.run(text_of(script))
    assert every_answer(history) == answers


# -- one rule at a time


NIGHT = datetime(2026, 11, 3, 0, 5, tzinfo=UTC)
"""A Tuesday."""


def row(key, at, *, scope="default", source="prod", hourly=False, **fields):
    """What a listing at a moment says of a key."""
    cut = {"minute": 0, "second": 0, "microsecond": 0} | ({} if hourly else {"hour": 0})
    partition = {
        "snapshot": at.replace(**cut),
        "granularity": "hour" if hourly else "day",
        "source": source,
        "workspace_scope": scope,
    }
    known = {"hash": key, "name": key, "usage": 0.0, "created_at": NIGHT - 100 * DAY, "observed_at": at}
    return partition | known | fields


def spend_of(history, key):
    answer = ask(history, "spend_per_day", days=1000)
    return [(row["day"], row["spend"], row["days"]) for row in answer if row["hash"] == key]


def hashes(answer):
    return [row["hash"] for row in answer]


def test_a_key_counts_in_whole_if_created_after_a_listing(history_of):
    history = history_of(
        row("old", NIGHT),
        row("old", NIGHT + DAY),
        row("new", NIGHT + DAY, usage=7.0, created_at=NIGHT + timedelta(hours=3)),
    )
    assert spend_of(history, "new") == [("2026-11-04", 7, 1)]


def test_a_key_counts_in_whole_on_the_day_of_its_creation(history_of):
    history = history_of(
        row("old", NIGHT, hourly=True),
        row("new", NIGHT + DAY * 1.5, hourly=True, usage=7.0, created_at=NIGHT + DAY * 1.4),
    )
    assert spend_of(history, "new") == [("2026-11-04", 7, 1)]


def test_what_a_key_spent_before_it_could_be_seen_is_not_known(history_of):
    history = history_of(
        row("old", NIGHT),
        row("old", NIGHT + DAY),
        row("shown", NIGHT + DAY, usage=900.0, created_at=NIGHT - timedelta(hours=1)),
        row("shown", NIGHT + 2 * DAY, usage=901.0, created_at=NIGHT - timedelta(hours=1)),
    )
    assert spend_of(history, "shown") == [("2026-11-05", 1, 1)]


def test_the_spend_of_the_first_day_of_a_source_is_not_known(history_of):
    young = NIGHT - timedelta(minutes=1)
    history = history_of(
        row("key", NIGHT, usage=5.0, created_at=young), row("key", NIGHT - 50 * DAY, source="research")
    )
    assert spend_of(history, "key") == []


def test_a_key_created_while_its_scope_failed_counts_in_whole(history_of):
    created_at = NIGHT + timedelta(hours=12)
    history = history_of(
        *(row("a", NIGHT + day * DAY, scope="ws-a") for day in range(4)),
        *(row("b", NIGHT + day * DAY, scope="ws-b") for day in (0, 3)),
        row("new", NIGHT + 3 * DAY, scope="ws-b", usage=6.0, created_at=created_at),
    )
    assert spend_of(history, "new") == [("2026-11-06", 6, 3)]


def test_a_new_scope_does_not_count_what_its_old_keys_spent(history_of):
    history = history_of(
        *(row("a", NIGHT + day * DAY) for day in range(2)),
        row("a", NIGHT + DAY, scope="*"),
        row("elsewhere", NIGHT + DAY, scope="*", usage=900.0),
    )
    assert spend_of(history, "elsewhere") == []
    assert spend_of(history, "a") == [("2026-11-04", 0, 1)]


def test_a_key_that_comes_back_counts_its_spend_once(history_of):
    history = history_of(
        *(row("other", NIGHT + day * DAY) for day in range(10)),
        *(row("key", NIGHT + day * DAY, usage=10.0 + day) for day in (0, 1, 8, 9)),
    )
    assert spend_of(history, "key") == [("2026-11-04", 1, 1), ("2026-11-11", 7, 7), ("2026-11-12", 1, 1)]


def test_a_reset_of_the_limit_does_not_matter_to_the_spend(history_of):
    days = [(10.0, 5.0), (14.0, 1.0), (15.0, 5.0), (18.0, 2.0)]
    history = history_of(
        *(
            row("key", NIGHT + day * DAY, usage=usage, limit=5.0, limit_remaining=remaining, limit_reset="daily")
            for day, (usage, remaining) in enumerate(days)
        )
    )
    assert [spend for _, spend, _ in spend_of(history, "key")] == [4, 1, 3]


def test_a_correction_is_a_negative_spend_and_keeps_the_sum(history_of):
    history = history_of(
        *(row("key", NIGHT + day * DAY, usage=usage) for day, usage in enumerate([10.0, 16.0, 14.0]))
    )
    assert [spend for _, spend, _ in spend_of(history, "key")] == [6, -2]
    assert [found["spend"] for found in ask(history, "top_spenders")] == [4]


def test_a_listing_without_the_usage_is_passed_over(history_of):
    history = history_of(
        *(row("key", NIGHT + day * DAY, usage=usage) for day, usage in enumerate([10.0, None, 14.0]))
    )
    assert spend_of(history, "key") == [("2026-11-05", 4, 2)]


def test_hours_and_scopes_of_one_day_are_one_day(history_of):
    history = history_of(
        *(
            row(
                "key", NIGHT + timedelta(hours=hour, minutes=minute), scope=scope, hourly=True, usage=100.0 + hour
            )
            for hour in range(48)
            for minute, scope in enumerate(("default", "*", "ws-a"))
        )
    )
    assert spend_of(history, "key") == [("2026-11-04", 24, 1)]


@pytest.mark.parametrize("later", ["day", "hour"])
def test_a_day_and_its_first_hour_are_one_day(history_of, later):
    minutes = {"day": 9, "hour": 1} if later == "day" else {"day": 1, "hour": 9}
    history = history_of(
        row("key", NIGHT, usage=1.0),
        *(
            row(
                "key",
                NIGHT + DAY + timedelta(minutes=minute),
                hourly=granularity == "hour",
                usage=10.0 + minute,
                name=granularity,
                limit=50.0,
                limit_remaining=5.0,
            )
            for granularity, minute in minutes.items()
        ),
    )
    assert spend_of(history, "key") == [("2026-11-04", 18, 1)]
    days = history.query("SELECT day, name, still_listed FROM openrouter_key_days ORDER BY day")
    assert [(found["day"], found["name"], found["still_listed"]) for found in days] == [
        ("2026-11-03", "key", 1),
        ("2026-11-04", later, 1),
    ]
    assert hashes(ask(history, "days_until_dry")) == ["key"]


def test_an_hour_that_is_dated_back_does_not_take_over_its_day(history_of):
    """An hour of the day before yesterday is run again today, and shows what is true today."""
    history = history_of(
        row("key", NIGHT, usage=10.0),
        row("key", NIGHT + DAY, usage=20.0),
        row("key", NIGHT + timedelta(hours=23), hourly=True, usage=15.0),
        row("key", NIGHT + DAY * 1.1, hourly=True, usage=21.0, snapshot=NIGHT + timedelta(hours=5)),
    )
    assert [spend for _, spend, _ in spend_of(history, "key")] == [5]


@pytest.mark.parametrize("later", ["day", "hour"])
def test_a_key_deleted_between_a_day_and_its_first_hour_is_gone(history_of, later):
    minutes = {"day": 9, "hour": 1} if later == "day" else {"day": 1, "hour": 9}
    listings = [
        (key, NIGHT + timedelta(minutes=minute), granularity == "hour")
        for granularity, minute in minutes.items()
        for key in ("stays", "is deleted")
        if key == "stays" or granularity != later
    ]
    history = history_of(*(row(key, at, hourly=hourly, expires_at=NIGHT + DAY) for key, at, hourly in listings))
    assert hashes(ask(history, "expiring_keys")) == ["stays"]
    days = history.query("SELECT hash, still_listed FROM openrouter_key_days ORDER BY hash")
    assert [(found["hash"], found["still_listed"]) for found in days] == [("is deleted", 0), ("stays", 1)]


def test_a_key_belongs_to_its_source(history_of):
    history = history_of(
        *(row("key", NIGHT + day * DAY, source="prod", usage=10.0 * day) for day in range(2)),
        *(row("key", NIGHT + day * DAY, source="research", usage=500.0 + day) for day in range(2)),
    )
    answer = ask(history, "spend_per_day")
    assert [(found["source"], found["spend"]) for found in answer] == [("prod", 10), ("research", 1)]


def test_each_source_has_a_newest_day_of_its_own(history_of):
    history = history_of(
        *(row("a", NIGHT + day * DAY, source="prod", usage=1.0 * day) for day in range(40)),
        *(row("b", NIGHT + day * DAY, source="research", usage=1.0 * day) for day in range(5)),
    )
    answer = ask(history, "spend_per_day", days=2)
    assert [(found["hash"], found["day"]) for found in answer] == [
        ("a", "2026-12-11"),
        ("a", "2026-12-12"),
        ("b", "2026-11-06"),
        ("b", "2026-11-07"),
    ]


def test_spend_with_own_provider_keys_is_beside_the_spend(history_of):
    days = ((10.0, None), (11.0, 3.0), (13.0, 8.0))
    history = history_of(
        *(row("key", NIGHT + day * DAY, usage=usage, byok_usage=byok) for day, (usage, byok) in enumerate(days))
    )
    answer = ask(history, "spend_per_day")
    assert [(found["spend"], found["byok_spend"]) for found in answer] == [(1, None), (2, 5)]
    (found,) = ask(history, "spend_per_prefix")
    assert (found["spend"], found["byok_spend"]) == (3, 5)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("billing-prod-eu", "billing"), ("plain", "plain"), ("-x", ""), ("", ""), (None, ""), ("żółw-ß", "żółw")],
)
def test_a_prefix_is_what_stands_before_the_first_dash(history_of, name, prefix):
    history = history_of(*(row("key", NIGHT + day * DAY, usage=1.0 * day, name=name) for day in range(2)))
    (found,) = ask(history, "spend_per_prefix")
    assert (found["prefix"], found["keys"], found["spend"]) == (prefix, 1, 1)


def test_keys_are_dormant_after_more_than_the_days(history_of):
    def used(days, **fields):
        at = None if days is None else datetime.combine(NIGHT.date() - days * DAY, time(23, 59, 59, 999999), UTC)
        return {"last_used_at": at, "usage": 3.0} | fields

    history = history_of(
        row("at the edge", NIGHT, **used(30)),
        row("beyond", NIGHT, **used(31)),
        row("disabled", NIGHT, **used(31, disabled=True)),
        row("expired", NIGHT, **used(31, expires_at=NIGHT - DAY)),
        row("gone", NIGHT - DAY, **used(200)),
        row("never, and old", NIGHT, **used(None, usage=0.0)),
        row("never, and new", NIGHT, **used(None, usage=0.0, created_at=NIGHT - 30 * DAY)),
        row("no time", NIGHT, **used(None)),
        row("no usage", NIGHT, **used(None, usage=None)),
        row("on own keys", NIGHT, **used(None, usage=0.0, byok_usage=2.0)),
        row("enabled", NIGHT, **used(40, disabled=False)),
    )
    assert hashes(ask(history, "dormant_keys")) == ["never, and old", "no usage", "enabled", "beyond"]
    assert hashes(ask(history, "dormant_keys", days=99)) == ["never, and old", "no usage"]


def test_keys_expire_within_the_days(history_of):
    at = NIGHT.replace(hour=12)
    history = history_of(
        row("today, before", at, expires_at=at),
        row("today, later", at, expires_at=at.replace(hour=23, minute=59, second=59, microsecond=999999)),
        row(
            "at the edge",
            at,
            expires_at=(at + 30 * DAY).replace(hour=23, minute=59, second=59, microsecond=999999),
        ),
        row("beyond", at, expires_at=(at + 31 * DAY).replace(hour=0)),
        row("disabled", at, expires_at=at + DAY, disabled=True),
        row("never", at),
        row("gone", at - DAY, expires_at=at + DAY),
    )
    answer = ask(history, "expiring_keys")
    assert [(found["hash"], found["expires_day"], found["days_until_expiry"]) for found in answer] == [
        ("today, later", "2026-11-03", 0),
        ("at the edge", "2026-12-03", 30),
    ]


def test_a_key_that_vanished_during_the_newest_day_is_gone(history_of):
    def listed(key, hour, **fields):
        at = NIGHT + timedelta(hours=hour)
        return row(key, at, hourly=True, expires_at=NIGHT + 5 * DAY, limit=5.0, limit_remaining=1.0, **fields)

    history = history_of(
        *(listed("there", hour) for hour in range(12)),
        *(listed("gone", hour) for hour in range(9)),
        *(listed("in another scope", hour, scope="ws-b") for hour in range(10)),
    )
    assert set(hashes(ask(history, "expiring_keys"))) == {"there", "in another scope"}
    assert set(hashes(ask(history, "dormant_keys"))) == {"there", "in another scope"}
    assert set(hashes(ask(history, "days_until_dry"))) == {"there", "in another scope"}


@pytest.mark.parametrize(
    ("fields", "outcome", "days_until_dry"),
    [
        ({"limit_remaining": 8.0}, "runs dry", 4),
        ({"limit_remaining": 0.0, "limit_reset": "daily"}, "dry", 0),
        ({"limit_remaining": -0.5}, "dry", 0),
        ({"limit_remaining": 1.0, "limit_reset": "daily"}, "resets before", None),
        ({"limit_remaining": 0.4, "limit_reset": "daily"}, "runs dry", 0.2),
        ({"limit_remaining": 10.8, "limit_reset": "weekly"}, "runs dry", 5.4),
        ({"limit_remaining": 11.2, "limit_reset": "weekly"}, "resets before", None),
        ({"limit_remaining": 54.8, "limit_reset": "monthly"}, "runs dry", 27.4),
        ({"limit_remaining": 55.2, "limit_reset": "monthly"}, "resets before", None),
        ({"limit_remaining": 80.0, "limit_reset": "fortnightly"}, "runs dry", 40),
        ({"limit_remaining": 8.0, "byok_usage": 20.0}, "runs dry", 4),
        ({"limit_remaining": 8.0, "byok_usage": 20.0, "include_byok_in_limit": True}, "runs dry", 2),
        ({"limit_remaining": 8.0, "usage": 10.0}, "not spending", None),
    ],
)
def test_a_key_runs_dry_unless_its_limit_resets_before(history_of, fields, outcome, days_until_dry):
    """Noon on a Tuesday, the third: two dollars a day, and two more with own provider keys in some cases."""
    noon = NIGHT.replace(hour=12, minute=0)
    before = {"usage": 10.0, "byok_usage": 0.0}
    history = history_of(
        row("key", noon - 10 * DAY, limit=100.0, **before),
        row("key", noon, **{"limit": 100.0, "usage": 30.0, "byok_usage": 0.0} | fields),
    )
    (found,) = ask(history, "days_until_dry")
    assert found["outcome"] == outcome
    assert found["days_until_dry"] == (None if days_until_dry is None else pytest.approx(days_until_dry))


def test_only_active_keys_with_a_limit_can_run_dry(history_of):
    history = history_of(
        *(
            row("limited", NIGHT + day * DAY, usage=2.0 * day, limit=10.0, limit_remaining=5.0)
            for day in range(-1, 1)
        ),
        row("new", NIGHT, limit=10.0, limit_remaining=5.0),
        row("unlimited", NIGHT),
        row("disabled", NIGHT, limit=10.0, limit_remaining=0.0, disabled=True),
        row("expired", NIGHT, limit=10.0, limit_remaining=0.0, expires_at=NIGHT - DAY),
        row("gone", NIGHT - DAY, limit=10.0, limit_remaining=0.0),
    )
    answer = ask(history, "days_until_dry")
    assert [(found["hash"], found["outcome"]) for found in answer] == [
        ("limited", "runs dry"),
        ("new", "not known"),
    ]


def test_days_are_those_of_the_calendar(history_of):
    days = [date(2027, 12, 1) + day * DAY for day in range(500)]
    history = history_of(*(row("key", datetime.combine(day, time(23, 59, 59, 999999), UTC)) for day in days))
    columns = "day, day_number, days_until_monday, days_until_next_month, days_ago"
    answer = history.query(f"SELECT {columns}, days_since_creation FROM openrouter_key_days ORDER BY day_number")
    assert answer == [
        {
            "day": day.isoformat(),
            "day_number": (day - date(1970, 1, 1)).days,
            "days_until_monday": (next_reset("weekly", day).date() - day).days,
            "days_until_next_month": (next_reset("monthly", day).date() - day).days,
            "days_ago": (days[-1] - day).days,
            "days_since_creation": (day - (NIGHT - 100 * DAY).date()).days,
        }
        for day in days
    ]


# -- the files


def test_the_views_are_replaced_when_their_files_run_again(history_of):
    history = history_of(*(row("key", NIGHT + day * DAY, usage=2.0 * day) for day in range(2)))
    for script in (*views(history.dialect), "days", "spend", "spend"):
        history.run(text_of(script))
    assert spend_of(history, "key") == [("2026-11-04", 2, 1)]


def test_the_columns_are_those_that_the_provider_writes():
    kinds = {str: "string", bool: "boolean", float: "number", datetime: "timestamp"}
    assert {name: kinds[kind] for name, kind in KINDS.items()} == FILE_COLUMNS


def test_databases_differ_only_in_how_they_count_days():
    texts = [text_of(f"observations_{dialect}") for dialect in DATABASES]
    columns = {tuple(re.findall(r" AS (\w+),?$", text, re.MULTILINE)) for text in texts}
    assert len(columns) == 1


def test_every_file_says_what_it_answers_and_runs_as_it_is():
    names = {path.name.removesuffix(".sql") for path in HISTORY.iterdir() if path.name.endswith(".sql")}
    assert names == QUESTIONS | {view for dialect in DATABASES for view in views(dialect)}
    for name in names:
        text = text_of(name)
        assert text.startswith("-- ")
        assert not re.search(r"\{\{|\{%|%|(?<![\w:]):\w", text), "it would be taken for a template or a parameter"
        assert ";" not in "".join(re.findall(r"--.*", text)), "it would be split there"
        assert ("WITH settings AS (SELECT 30 AS days" in text) == (name in QUESTIONS)
        assert max(map(len, text.splitlines())) <= 114


@pytest.mark.parametrize("dialect", EACH_DATABASE[:2])
def test_airflow_runs_the_files_as_the_readme_says(keep, dialect, monkeypatch):
    history = keep(dialect, [row("key", NIGHT + day * DAY, usage=2.0 * day) for day in range(2)])
    if dialect == "sqlite":
        uri = history.url.replace("sqlite:////", "sqlite:///")
    else:
        url = sa.engine.make_url(history.url)
        uri = (
            f"postgres://postgres:@/postgres?{urlencode({name: url.query[name] for name in ('host', 'options')})}"
        )
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", uri)

    def run(*names, **arguments):
        sql = "".join((HISTORY / f"{name}.sql").read_text() for name in names)
        return SQLExecuteQueryOperator(task_id="ask", conn_id="warehouse", sql=sql, **arguments).execute({})

    run(*views(dialect), split_statements=True)
    assert [tuple(found)[:6] for found in run("top_spenders")] == [(1, "prod", "key", "key", 2, 0)]
