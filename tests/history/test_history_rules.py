"""What the history says, one rule at a time."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from support.databases import connection_to
from support.histories import HISTORY, NIGHT, ask, row, text_of, views
from support.year import DAY, next_reset


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


def test_a_prefix_is_what_stands_before_the_first_dash(history_of):
    names = ("billing-prod-eu", "plain", "-x", "", None, "żółw-ß")
    history = history_of(
        *(row(str(name), NIGHT + day * DAY, usage=1.0 * day, name=name) for name in names for day in range(2))
    )
    answer = ask(history, "spend_per_prefix")
    expected = {("billing", 1), ("plain", 1), ("", 3), ("żółw", 1)}
    assert {(found["prefix"], found["key_count"]) for found in answer} == expected
    assert all(found["spend"] == found["key_count"] for found in answer)


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
        row("used since 2025", NIGHT, **used(None)),
        row("no usage", NIGHT, **used(None, usage=None)),
        row("on own keys", NIGHT, **used(None, usage=0.0, byok_usage=2.0)),
        row("enabled", NIGHT, **used(40, disabled=False)),
    )
    assert hashes(ask(history, "dormant_keys")) == ["never, and old", "no usage", "enabled", "beyond"]
    assert hashes(ask(history, "dormant_keys", days=99)) == ["never, and old", "no usage"]


def test_a_used_key_without_a_time_is_unused_since_2025(history_of):
    old = {"created_at": datetime(2025, 12, 31, 23, tzinfo=UTC)}
    history = history_of(
        row("used", NIGHT, usage=3.0, **old),
        row("used by own keys", NIGHT, byok_usage=3.0, **old),
        row("created later", NIGHT, usage=3.0, created_at=datetime(2026, 1, 1, tzinfo=UTC)),
        row("spends", NIGHT - 9 * DAY, usage=3.0, **old),
        row("spends", NIGHT, usage=4.0, **old),
        row("spends by own keys", NIGHT - 9 * DAY, byok_usage=3.0, **old),
        row("spends by own keys", NIGHT, byok_usage=4.0, **old),
        row("has spent", NIGHT - 60 * DAY, usage=3.0, **old),
        row("has spent", NIGHT - 31 * DAY, usage=4.0, **old),
        row("has spent", NIGHT, usage=4.0, **old),
    )
    unused = {"used", "used by own keys", "has spent"}
    assert set(hashes(ask(history, "dormant_keys"))) == unused
    assert set(hashes(ask(history, "dormant_keys", days=306))) == {"used", "used by own keys"}
    assert hashes(ask(history, "dormant_keys", days=307)) == []


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


RUNS_DRY = [
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
]
"""Fields of a key, when it runs dry, and in how many days."""


def test_a_key_runs_dry_unless_its_limit_resets_before(history_of):
    """Noon on a Tuesday, the third: two dollars a day, and two more with own provider keys in some cases."""
    noon = NIGHT.replace(hour=12, minute=0)
    before = {"limit": 100.0, "usage": 10.0, "byok_usage": 0.0}
    history = history_of(
        *(row(str(fields), noon - 10 * DAY, **before) for fields, *_ in RUNS_DRY),
        *(row(str(fields), noon, **before | {"usage": 30.0} | fields) for fields, *_ in RUNS_DRY),
    )
    found = {each["hash"]: each for each in ask(history, "days_until_dry")}
    for fields, outcome, days in RUNS_DRY:
        assert found[str(fields)]["outcome"] == outcome, fields
        assert found[str(fields)]["days_until_dry"] == (None if days is None else pytest.approx(days)), fields


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


def test_the_views_are_replaced_when_their_files_run_again(history_of):
    history = history_of(*(row("key", NIGHT + day * DAY, usage=2.0 * day) for day in range(2)))
    for script in (*views(history.dialect), "days", "spend", "spend"):
        history.run(text_of(script))
    assert spend_of(history, "key") == [("2026-11-04", 2, 1)]


def test_airflow_runs_the_files_as_the_readme_says(keep, table_dialect, monkeypatch):
    history = keep(table_dialect, [row("key", NIGHT + day * DAY, usage=2.0 * day) for day in range(2)])
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(history.url))

    def run(*names, **arguments):
        sql = "".join((HISTORY / f"{name}.sql").read_text() for name in names)
        return SQLExecuteQueryOperator(task_id="ask", conn_id="warehouse", sql=sql, **arguments).execute({})

    run(*views(table_dialect), split_statements=True)
    assert [tuple(found)[:6] for found in run("top_spenders")] == [(1, "prod", "key", "key", 2, 0)]
