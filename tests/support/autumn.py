"""The activity of two accounts for two months, with its ledger: what was spent, and what is to be answered."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random

START = date(2026, 9, 1)
DAYS = 60
CENT = 1 / 64
"""The least that is spent, so that sums of floats are exact."""
MODELS = ("openai/gpt-4.1", "anthropic/claude-sonnet-4.5", None)
MEASURES = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
SUMS = (*MEASURES, "spend", "byok_spend")
NOT_BY_KEY = {"prod": {33: "workspace", 50: "workspace", 51: "account"}, "research": {}}
"""Days that were not read by key."""


def activity_row(day, *, key=None, by="key", source="prod", model="m", **fields):
    """A row of the activity: what was spent on a day, given as a date."""
    known = {"key_hash": key, "key_name": key, "workspace_id": "w1", "workspace_name": "Default", "usage": 0.0}
    at = datetime.combine(day + timedelta(days=1), time(2), UTC)
    return {"date": day, "source": source, "grouped_by": by, "model": model, "observed_at": at} | known | fields


@dataclass
class Spender:
    """A key, or what no key accounts for."""

    source: str
    hash: str | None
    names: list
    """Pairs of the first day and the name from then on."""
    creator: str | None = None
    external_user: str | None = None
    created: int = -100

    def name_on(self, day):
        return [name for first, name in self.names if first <= day][-1]

    def days_seen(self):
        """The days of its snapshots: none of a seventh, and none at all of one key."""
        return [
            day for day in range(max(0, self.created), DAYS + 1) if day % 7 != 6 and self.hash not in (None, "d")
        ]

    def name_seen(self, day):
        """The name of the last snapshot up to a day, or of the first one."""
        return self.name_on(([seen for seen in self.days_seen() if seen <= day] or self.days_seen())[-1])


class Autumn:
    """Two accounts: the rows of the activity and of the keys' snapshots, and the ledger of both."""

    def __init__(self):
        self.random = Random(18)
        self.spenders = [
            Spender("prod", "a", [(-100, "billing-a")], "user_1", "acme"),
            Spender("prod", "b", [(-100, "search-b"), (40, "billing-b")], "user_2"),
            Spender("prod", "c", [(-100, None)], "user_1", created=20),
            Spender("prod", "d", [(-100, "no dash")]),
            Spender("prod", None, []),
            Spender(
                "research", "e", [(-100, "billing-e"), (10, "search-e"), (20, "billing-e")], "user_2", "acme"
            ),
            Spender("research", "f", [(-100, "search-f")], "user_3"),
        ]
        self.ledger = [entry for spender in self.spenders for entry in self._entries(spender)]
        self.snapshots = [
            self._snapshot(spender, day) for spender in self.spenders for day in spender.days_seen()
        ]
        self.activity = [row for entry in self.ledger for row in self._rows(entry)]

    def _entries(self, spender):
        for day in range(max(0, spender.created), DAYS if spender.source == "prod" else DAYS - 3):
            if self.random.random() < 0.2 and spender.hash != "a":
                continue
            burst = 60 if self.random.random() < 0.05 else 1
            for model, workspace in ((MODELS[day % 3], "w1"), (MODELS[0], "w2")):
                yield (
                    spender,
                    day,
                    {
                        "model": model,
                        "workspace_id": workspace,
                        "spend": burst * self.random.randrange(1, 64) * CENT,
                        "byok_spend": self.random.choice([0.0, 3 * CENT]),
                        **{name: self.random.randrange(1, 10_000) for name in MEASURES},
                    },
                )

    def _snapshot(self, spender, day):
        """What a listing at five past midnight says of a key."""
        at = datetime.combine(START + timedelta(days=day), time(0, 5), UTC)
        return {
            "snapshot": at.replace(minute=0),
            "granularity": "day",
            "source": spender.source,
            "workspace_scope": "*",
            "hash": spender.hash,
            "name": spender.name_on(day),
            "creator_user_id": spender.creator,
            "external_user": spender.external_user,
            "usage": (100.0 if spender.created < 0 else 0.0)
            + sum(e["spend"] for s, on, e in self.ledger if s is spender and on < day),
            "byok_usage": 0.0,
            "created_at": datetime.combine(START + timedelta(days=spender.created), time(), UTC),
            "observed_at": at,
        }

    def _rows(self, entry):
        """The rows of an entry: by key, or not, and on every fifth day by workspace, too."""
        spender, day, spent = entry
        known = {"source": spender.source, "model": spent["model"], **{name: spent[name] for name in MEASURES}}
        known |= {"usage": spent["spend"], "byok_usage_inference": spent["byok_spend"]}
        known |= {"workspace_id": spent["workspace_id"], "workspace_name": f"Name of {spent['workspace_id']}"}
        finest = NOT_BY_KEY[spender.source].get(day, "key")
        for by in {finest, "workspace" if day % 5 == 0 else finest}:
            key = {"key_hash": spender.hash, "key_name": spender.hash and f"now-{spender.hash}"}
            none = {"key_hash": None, "key_name": None}
            account = {"workspace_id": None, "workspace_name": None} if by == "account" else {}
            of_day = START + timedelta(days=day)
            yield activity_row(of_day, by=by, **known | (key if by == "key" else none) | account)

    # -- the truth

    def newest(self, source):
        return max(day for spender, day, _ in self.ledger if spender.source == source)

    def entries(self, days, named=True):
        """What a question of so many days is about, as dicts; without snapshots names are those of now."""
        for spender, day, spent in self.ledger:
            if self.newest(spender.source) - day >= days:
                continue
            by = NOT_BY_KEY[spender.source].get(day, "key")
            by_key = by == "key" and spender.hash is not None
            seen = named and spender.hash != "d"
            name = (spender.name_seen(day) if seen else f"now-{spender.hash}") if by_key else None
            yield {
                **spent,
                "source": spender.source,
                "day": day,
                "hash": spender.hash if by_key else None,
                "name": name,
                "prefix": (name or "").partition("-")[0] if by_key else None,
                "creator_user_id": spender.creator if by_key and seen else None,
                "external_user": spender.external_user if by_key and seen else None,
                "workspace_id": None if by == "account" else spent["workspace_id"],
                "created": spender.created if by_key and seen else None,
            }

    def sums(self, days, *by, named=True):
        """Sums of the entries by some of their fields, and the hashes of their keys."""
        found = defaultdict(lambda: dict.fromkeys(SUMS, 0) | {"keys": set()})
        for entry in self.entries(days, named):
            group = found[tuple(entry[name] for name in by)]
            group["keys"] |= {entry["hash"]} - {None}
            for name in SUMS:
                group[name] += entry[name]
        return dict(found)

    def unusual_days(self, days):
        """Each day that cost far more than the 28 before it: whose, which, its cost, and what was usual."""
        costs, created = defaultdict(lambda: defaultdict(float)), {}
        for entry in self.entries(1000):
            if entry["hash"]:
                for kind, id_ in (("key", entry["hash"]), ("team", entry["prefix"])):
                    costs[entry["source"], kind, id_][entry["day"]] += entry["spend"] + entry["byok_spend"]
                created[entry["source"], "key", entry["hash"]] = entry["created"]
        for (source, kind, id_), by_day in costs.items():
            first = created.get((source, kind, id_))
            first = min(by_day) if first is None else first
            for day, cost in by_day.items():
                before = sorted((by_day.get(earlier, 0.0) for earlier in range(day - 28, day)), reverse=True)
                is_old = day - first >= 7 and day >= 7
                recent = self.newest(source) - day < days
                if is_old and recent and cost > 3 * before[2] and cost - before[2] >= 5:
                    yield source, kind, id_, day_text(day), cost, before[2]


def day_text(day):
    return (START + timedelta(days=day)).isoformat()
