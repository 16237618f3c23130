"""The newest snapshot in a table of keys, as a listing."""

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from support.databases import connection_to, database, keys  # noqa: F401
from support.databases import make_schema
from support.listings import OBSERVED_AT, listing_of
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url

from airflow_provider_openrouter import history
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import team
from airflow_provider_openrouter.page.keys import show_keys
from airflow_provider_openrouter.page.snapshot import newest_listing
from airflow_provider_openrouter.scope import WorkspaceScope

HOUR = timedelta(hours=1)


@pytest.fixture
def newest(database, monkeypatch):
    """Return a function that reads the newest snapshot of the account "team"."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(make_url(database.url)))
    return lambda table="keys", of="team": newest_listing("warehouse", table, of)


def hashes(listing):
    return sorted(int(key["hash"].removeprefix("hash-")) for key in listing.keys)


ODD = {
    "label": "sk-or-v1-ü…",
    "disabled": "true",
    "limit": "50",
    "limit_remaining": 0.1 + 0.2,
    "limit_reset": ["monthly"],
    "usage_daily": "much",
    "include_byok_in_limit": False,
    "created_at": "2026-03-01T12:34:56.789+09:00",
    "expires_at": "9999-12-31T23:59:59.999999",
    "last_used_at": None,
    "workspace_id": "w1",
    "new": {"a": 1},
}


def test_a_snapshot_is_shown_as_the_listing_that_it_was(database, newest):
    listed = [*keys(1, 2, usage_daily=1.5, workspace_id="w2"), *keys(3, **ODD)]
    names = {"w1": "Team", "w2": ""}
    database.write(listed, workspace_id="*", workspace_names=names)
    listing = newest()
    assert (listing.observed_at, listing.scope) == (OBSERVED_AT, WorkspaceScope("*"))
    live = show_keys(listing_of(listed, workspace_id="*", workspace_names=names))
    assert show_keys(listing) == live
    assert live["keys"][0]["workspace"] == "w2"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("snapshots", "shown"),
    [
        # The newest, of hours and days.
        ([{"hours": 0}, {"hours": 24}, {"hours": 3}], 2),
        ([{"hours": 0, "granularity": "hour"}, {"hours": 1, "granularity": "hour"}, {"hours": 0}], 2),
        # Of all workspaces, unless that is outdated.
        ([{"hours": 0, "workspace_id": "*"}, {"hours": 24}], 1),
        ([{"hours": 0, "workspace_id": "*"}, {"hours": 48}], 2),
        ([{"hours": 0, "workspace_id": "*"}, {"hours": 24, "workspace_id": "w1"}, {"hours": 48}], 3),
        ([{"hours": 0}, {"hours": 24, "workspace_id": "w1"}], 2),
        # Of the account, which may have another name where it is the only one.
        ([{"hours": 0}, {"hours": 24, "source": "other", "workspace_id": "*"}], 1),
        ([{"hours": 0, "source": "other"}, {"hours": 24, "source": "other"}], 2),
    ],
)
def test_the_newest_snapshot_of_the_account_is_chosen(snapshots, shown, database, newest):
    for number, arguments in enumerate(snapshots, 1):
        observed_at = OBSERVED_AT + arguments.pop("hours") * HOUR
        database.write(keys(number), observed_at=observed_at, **arguments)
    assert hashes(newest()) == [shown]


def test_a_workspace_alone_is_the_scope_of_its_snapshot(database, newest):
    database.write(keys(1), workspace_id="w1")
    assert newest().scope == WorkspaceScope("w1")
    database.write(keys(2), source="default")
    assert newest(of="default").scope == WorkspaceScope()
