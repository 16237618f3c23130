"""What an account spent on each day, as the page reads it from the views of the history."""

from collections import defaultdict
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta

import pytest
from support.activity import shown_amounts
from support.autumn import DAYS, START, Autumn, activity_row
from support.databases import connection_to
from support.histories import NIGHT, keep, row  # noqa: F401
from support.year import DAY

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.page.spend import show_spend
from airflow_provider_openrouter.page.spend_days import NO_KEY, SpendQuery
from airflow_provider_openrouter.sandbox import TOKEN
from airflow_provider_openrouter.watch.sources import Stop

CHOICES = ["model", "workspace", "team", "key"]
TODAY = NIGHT.date()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(each, marks=pytest.mark.xdist_group(f"history {each}")) for each in ("postgresql", "sqlite")
    ],
)
def dialect(request):
    return request.param


@pytest.fixture(scope="module")
def autumn():
    return Autumn()


@pytest.fixture(scope="module")
def spent(dialect, keep, autumn):  # noqa: F811
    """Activity and snapshots of two accounts."""
    return keep(dialect, autumn.snapshots, activity=autumn.activity)


@pytest.fixture(scope="module")
def snapshots(dialect, keep, autumn):  # noqa: F811
    return keep(dialect, autumn.snapshots)


@pytest.fixture
def show(monkeypatch, sandbox):
    """Return a function that shows what a history has."""

    def show(history, *, source="prod", stop=None, **query):
        monkeypatch.setenv(
            "AIRFLOW_CONN_WAREHOUSE", history if isinstance(history, str) else connection_to(history.url)
        )
        return show_spend(
            SpendQuery.read(**query),
            openrouter_conn_id=source,
            connect=lambda: OpenRouterClient(TOKEN, base_url=sandbox.base_url, max_retries=0),
            stop=stop or Stop(),
            sql_conn_id="warehouse",
        )

    return show


def summed(entries, name_of):
    """Return the sums of pairs of a day's number and an amount, by name and day."""
    sums = defaultdict(float)
    for entry, day, amount in entries:
        sums[name_of(entry), str(START + timedelta(days=day))] += amount
    return {place: amount for place, amount in sums.items() if amount}


NAMES = {
    "model": lambda entry: entry["model"] or "(no name)",
    "workspace": lambda entry: f"Name of {entry['workspace_id']}" if entry["workspace_id"] else "(no workspace)",
    "team": lambda entry: NO_KEY if entry["hash"] is None else entry["prefix"] or "(no name)",
    "key": lambda entry: entry["hash"] or NO_KEY,
}
READ_AS = {**{f"now-{hash_}": hash_ for hash_ in "abcd"}, NO_KEY: NO_KEY}
"""The hashes of the keys of prod by the names that they had when the activity was read."""
SEEN_AS = {"billing-a": "a", "billing-b": "b", "c": "c"}
"""The same by those of their newest snapshots; c never had a name."""


# -- activity


@pytest.mark.parametrize("by", CHOICES)
@pytest.mark.parametrize("days", [20, 365])
def test_the_days_are_those_of_the_activity(spent, show, autumn, by, days):
    spend = show(spent, by=by, days=days)
    entries = [entry for entry in autumn.entries(days, named=False) if entry["source"] == "prod"]
    found = shown_amounts(spend)
    if by == "key":
        found = {(READ_AS[name], day): amount for (name, day), amount in found.items()}
    assert found == summed(((entry, entry["day"], entry["spend"]) for entry in entries), NAMES[by])
    assert (spend["source"], spend["by"], spend["choices"]) == ("warehouse", by, CHOICES)
    assert (len(spend["days"]), spend["days"][-1]) == (days, str(START + timedelta(days=DAYS - 1)))
    assert sum(group["total"] for group in spend["groups"]) == sum(entry["spend"] for entry in entries)


@pytest.mark.parametrize("by", CHOICES)
def test_the_days_of_a_key_are_its_own(spent, show, autumn, by):
    entries = [
        (entry, entry["day"], entry["spend"]) for entry in autumn.entries(30, named=False) if entry["hash"] == "b"
    ]
    found = {name for name, _ in shown_amounts(show(spent, by=by, key="b"))}
    assert len(found) == len({NAMES[by](entry) for entry, *_ in entries})
    total = sum(group["total"] for group in show(spent, by=by, key="b")["groups"])
    assert total == sum(amount for *_, amount in entries)
    assert show(spent, by=by, key="0e6f")["groups"] == []


def test_teams_are_those_of_when_the_activity_was_read(dialect, keep, show):  # noqa: F811
    seen = [row("k", NIGHT - days * DAY, name="old-name") for days in range(3)]
    names = {"k": "billing-eu", "l": "billing", "m": None, "n": "-first", None: None}
    activity = [activity_row(TODAY, key=key, key_name=name, usage=1.0) for key, name in names.items()]
    groups = show(keep(dialect, seen, activity=activity), by="team")["groups"]
    assert {group["name"]: group["total"] for group in groups} == {"billing": 2, "(no name)": 2, NO_KEY: 1}


def test_other_sources_count_where_the_connection_has_none(spent, show, autumn):
    both = show(spent, source="openrouter_default", by="model", days=365)
    assert sum(group["total"] for group in both["groups"]) == sum(each["spend"] for *_, each in autumn.ledger)
    assert "These are the sums of all sources in the database: prod, research." in both["notice"]
    research = show(spent, source="research", by="team", days=365)
    assert {group["name"] for group in research["groups"]} == {"now"}
    assert research["days"][-1] == str(START + timedelta(days=DAYS - 4))
    assert "sources" not in research["notice"]


def test_what_is_stored_may_be_old(spent, show):
    last = START + timedelta(days=DAYS - 1)
    assert show(spent)["notice"] == f"The history ends on {last}: nothing newer is stored."


def test_days_up_to_the_day_before_yesterday_are_new(dialect, keep, show):  # noqa: F811
    day = datetime.now(UTC).date() - 2 * DAY
    history = keep(dialect, [], activity=[activity_row(day, key="k", usage=2.0)])
    spend = show(history)
    assert (spend["notice"], spend["days"][-1], spend["groups"][0]["total"]) == (None, str(day), 2)


# -- snapshots of keys


def steps(autumn, source):
    """Return what each key spent from one snapshot to the next, on the day before the second."""
    for spender in autumn.spenders:
        days = spender.days_seen() if spender.source == source else []
        for before, day in zip([spender.created if spender.created > 0 else None, *days], days, strict=False):
            if before is not None:
                cost = sum(e["spend"] for s, on, e in autumn.ledger if s is spender and before <= on < day)
                yield (
                    {"hash": spender.hash, "prefix": (spender.name_on(day) or "").partition("-")[0]},
                    day - 1,
                    cost,
                )


@pytest.mark.parametrize("by", ["team", "key"])
def test_a_snapshot_shows_what_the_days_before_it_cost(snapshots, show, autumn, by):
    spend = show(snapshots, by=by, days=365)
    found = shown_amounts(spend)
    if by == "key":
        found = {(SEEN_AS[name], day): amount for (name, day), amount in found.items()}
    assert found == summed(steps(autumn, "prod"), NAMES[by])
    assert (spend["source"], spend["days"][-1]) == ("warehouse", str(START + timedelta(days=DAYS - 1)))


@pytest.mark.parametrize(
    ("hours", "day"), [(0.1, TODAY - DAY), (11.9, TODAY - DAY), (12.1, TODAY), (23.9, TODAY)]
)
def test_a_snapshot_counts_at_the_midnight_nearest_to_it(dialect, keep, show, hours, day):  # noqa: F811
    at = NIGHT.replace(minute=0) + DAY * hours / 24
    history = keep(dialect, [row("k", at - 3 * DAY, usage=1.0), row("k", at, usage=3.0)])
    spend = show(history, by="key", days=3)
    assert shown_amounts(spend) == {("k", str(day)): 2.0}
    assert spend["days"][-1] == str(day)


def test_a_snapshot_may_be_filed_under_the_day_before_it(dialect, keep, show):  # noqa: F811
    filed = [
        row("k", at, snapshot=(at - DAY).replace(minute=0), usage=float(at.day)) for at in (NIGHT - DAY, NIGHT)
    ]
    spend = show(keep(dialect, filed), by="key", days=1)
    assert shown_amounts(spend) == {("k", str(TODAY - DAY)): 1.0}


@pytest.mark.parametrize(
    ("read_by", "asked"),
    [
        ("workspace", {"by": "team"}),
        ("workspace", {"by": "key"}),
        ("workspace", {"by": "workspace", "key": "k"}),
        ("account", {"by": "workspace"}),
    ],
)
def test_snapshots_know_what_activity_does_not(dialect, keep, show, read_by, asked):  # noqa: F811
    seen = [row("k", NIGHT - days * DAY, usage=9.0 - days, workspace_id="w1") for days in range(3)]
    history = keep(dialect, seen, activity=[activity_row(TODAY - DAY, by=read_by, usage=5.0)])
    assert show(history, **asked)["groups"][0]["total"] == 2
    assert show(history, by="model")["groups"][0] == {"name": "m", "spend": [*[0] * 29, 5], "total": 5}


def test_workspaces_of_snapshots_get_the_names_of_today(dialect, keep, show, sandbox):  # noqa: F811
    ids = [sandbox.workspaces[0]["id"], "deleted"]
    seen = [row(id_, NIGHT - ago * DAY, usage=9.0 - ago, workspace_id=id_) for id_ in ids for ago in (0, 1)]
    history = keep(dialect, seen)
    assert [group["name"] for group in show(history, by="workspace")["groups"]] == ["Default", "deleted"]
    sandbox.token = "another"
    assert {group["name"] for group in show(history, by="workspace")["groups"]} == set(ids)


# -- what is not stored is asked of the API


def test_without_snapshots_or_activity_the_api_is_asked(dialect, keep, show):  # noqa: F811
    history = keep(dialect, [row("k", NIGHT)])
    spend = show(history, by="model", days=90)
    assert (spend["source"], len(spend["days"]), bool(spend["groups"])) == ("activity", 30, True)
    assert spend["notice"].startswith("The views of connection 'warehouse' have no rows by model yet.")
    history.run("DELETE FROM openrouter_keys")
    assert show(history, by="team")["source"] == "activity"
    history.run(
        "DROP VIEW openrouter_key_spend; DROP VIEW openrouter_key_days; DROP VIEW openrouter_key_observations"
    )
    notice = show(history)["notice"]
    assert f'Create them with airflow_provider_openrouter.history.sql("views", dialect={dialect!r}, …)' in notice


@pytest.mark.parametrize("broken", ["sqlite:////nowhere/at/all.db", "http://user:secret@nowhere", ""])
def test_a_broken_warehouse_leaves_the_api(show, monkeypatch, broken, log):
    spend = show(broken)
    assert (spend["source"], bool(spend["groups"])) == ("activity", True)
    assert spend["notice"] == "Could not read connection 'warehouse': the API server's log says why."
    assert "Could not read what was spent from connection 'warehouse'" in log()


def test_a_slow_warehouse_is_given_up(snapshots, show, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.page.warehouse.SECONDS", 0.001)
    stop = Stop()
    stop.set()
    with pytest.raises(CancelledError):  # by the client, which is asked instead
        show(snapshots, by="workspace", stop=stop)


def test_too_many_keys_need_the_warehouse_that_is_broken(monkeypatch, show):
    monkeypatch.setattr("airflow_provider_openrouter.page.spend.MOST_KEYS", 1)
    with pytest.raises(OpenRouterRequestError, match="Could not read connection 'warehouse'"):
        show("", by="key")
