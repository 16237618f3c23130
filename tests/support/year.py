"""A simulated year of two accounts: what was spent, when it was listed, and what is to be answered."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from random import Random

DAY = timedelta(days=1)

START = date(2026, 1, 1)
MISSED = {45, 46, 47, 48}
RARE = {day for day in range(220, 320) if day % 4}
"""Days of a season in which only every fourth is listed."""
HOURLY = {200, 201, 363, 364}
TEAMS = ("billing", "search", "support", "équipe")
END_OF_2025 = date(2025, 12, 31)
"""A key that was not used since then has no ``last_used_at``."""
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
            missed = MISSED | RARE | set(random.sample(range(5, 360), 10))
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

    def top_spenders(self, days, places):
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
            for place, (key, spend, byok_spend) in enumerate(spenders[:places], 1)
        ]

    def spend_per_prefix(self, days):
        teams = defaultdict(list)
        for row in self.recent(days):
            teams[row["source"], (row["name"] or "").partition("-")[0]].append(row)
        return [
            {
                "source": source,
                "prefix": prefix,
                "key_count": len({row["hash"] for row in rows}),
                "spend": sum(row["spend"] for row in rows),
                "byok_spend": sum(row["byok_spend"] for row in rows),
            }
            for (source, prefix), rows in teams.items()
        ]

    def dormant_keys(self, days):
        for key, day, at in self.active():
            used = [when for when, *_ in key.ledger if when <= at]
            unused_since = END_OF_2025 if key.before else key.created_at.date()
            if (day - (used[-1].date() if used else unused_since)).days > days:
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
                "spending_limit": key.limit,
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
