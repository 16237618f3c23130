"""What the activity says, one rule at a time."""

from datetime import timedelta

import pytest
from support.autumn import activity_row
from support.histories import NIGHT, ask, row, scripts_of, text_of
from support.year import DAY

TODAY = NIGHT.date()


def ago(days, **fields):
    return activity_row(TODAY - timedelta(days=days), **fields)


# -- unusual days

UNUSUAL = {
    # What a key cost so many days ago, of which only today can be unusual; since when it is known to exist.
    "more than 3 times": ({**dict.fromkeys(range(1, 29), 10.0), 0: 30.25}, None, True),
    "3 times": ({**dict.fromkeys(range(1, 29), 10.0), 0: 30.0}, None, False),
    "less than 5 dollars": ({**dict.fromkeys(range(1, 29), 0.25), 0: 5.0}, None, False),
    "5 dollars": ({**dict.fromkeys(range(1, 29), 0.25), 0: 5.25}, None, True),
    "every week": ({0: 50.0, 7: 40.0, 14: 40.0, 21: 40.0, 28: 40.0}, None, False),
    "two outliers": ({**dict.fromkeys(range(3, 29), 10.0), 2: 90.0, 1: 90.0, 0: 40.0}, None, True),
    "three outliers": ({**dict.fromkeys(range(4, 29), 10.0), 3: 90.0, 2: 90.0, 1: 90.0, 0: 40.0}, None, False),
    "more than 28 days ago": ({29: 90.0, 30: 90.0, 31: 90.0, 0: 40.0}, None, True),
    "28 days ago": ({**dict.fromkeys((26, 27, 28), 40.0), 0: 50.0}, None, False),
    "corrected": ({1: -5.0, 2: -5.0, 3: -5.0, 28: 0.0, 0: 40.0}, None, True),
    "young": ({6: 1.0, 0: 40.0}, None, False),
    "a week old": ({7: 1.0, 0: 40.0}, None, True),
    "asleep": ({0: 40.0}, 100, True),
    "asleep, for all that is known": ({0: 40.0}, None, False),
    "created this week": ({0: 40.0}, 6, False),
}


def test_a_day_is_unusual_by_its_own_four_weeks(dialect, keep):
    activity, snapshots = [], [row("keeps the view from being empty", NIGHT)]
    for source, (costs, age, _) in UNUSUAL.items():
        activity += [ago(days, source=source, key="key", usage=cost) for days, cost in costs.items()]
        activity.append(ago(60, source=source, key="older"))
        if age:
            snapshots.append(row("key", NIGHT, source=source, created_at=NIGHT - age * DAY))
    history = keep(dialect, snapshots, activity=activity)
    answer = [found for found in ask(history, "unusual_days", days=1) if found["kind"] == "key"]
    assert {found["source"] for found in answer} == {case for case, (_, _, right) in UNUSUAL.items() if right}
    assert all((found["hash"], found["day"]) == ("key", TODAY.isoformat()) for found in answer)


@pytest.mark.parametrize(("read_for", "kinds"), [(6, set()), (7, {"team"})])
def test_a_team_is_judged_where_its_key_is_too_young(dialect, keep, read_for, kinds):
    old = [ago(days, key="old", key_name="billing-old", usage=1.0) for days in range(1, read_for + 1)]
    new = ago(0, key="new", key_name="billing-new", usage=50.0, byok_usage_inference=10.0)
    history = keep(dialect, [], activity=[*old, new])
    answer = ask(history, "unusual_days")
    assert {found["kind"] for found in answer} == kinds
    assert [(found["name"], found["hash"], found["cost"], found["usual"]) for found in answer] == [
        ("billing", None, 60, 1) for _ in kinds
    ]


# -- whose it was

SEEN = [
    # So many days ago a key had this name, creator and external user.
    (10, "was-a", "u1", "x1"),
    (6, "is-a", "u1", "x1"),
    (5, "is-a", "u2", "x1"),
    (4, "is-a", "u2", "x2"),
    (2, None, None, None),
    (1, "now-a", "u2", "x2"),
]


def test_names_are_those_of_the_last_snapshot_up_to_the_day(dialect, keep):
    names = ("name", "creator_user_id", "external_user")
    snapshots = [row("a", NIGHT - days * DAY, **dict(zip(names, seen, strict=True))) for days, *seen in SEEN]
    activity = [ago(days, key="a", key_name="read-a") for days in range(13)]
    activity += [ago(3, key="unseen", key_name="read-b"), ago(3, model="chat"), ago(3, source="other", key="a")]
    history = keep(dialect, snapshots, activity=activity)
    columns = "source, day, name, prefix, creator_user_id, external_user, hash, model"
    rows = history.query(f"SELECT {columns} FROM openrouter_activity_spend ORDER BY day DESC, source, hash")
    of_a = [found for found in rows if (found["source"], found["hash"]) == ("prod", "a")]
    seen = [next((seen for days, *seen in reversed(SEEN) if days >= ago), list(SEEN[0][1:])) for ago in range(13)]
    assert [[found[name] for name in names] for found in of_a] == seen
    assert [found["prefix"] for found in of_a] == [(name or "").partition("-")[0] for name, *_ in seen]
    others = [found for found in rows if found not in of_a]
    assert {(found["name"], found["prefix"], found["creator_user_id"]) for found in others} == {
        ("read-b", "read", None),
        ("a", "a", None),
        (None, None, None),
    }


@pytest.mark.parametrize("missing", [None, ""])
def test_a_row_without_a_key_belongs_to_nobody(dialect, keep, missing):
    spent = {"key_name": missing, "workspace_id": missing, "workspace_name": missing, "usage": 3.0}
    history = keep(dialect, [], activity=[ago(0, key=missing, **spent), ago(0, key="k", key_name="team-k")])
    answer = ask(history, "spend_attribution")
    nobody = {found["attribute"]: found["spend"] for found in answer if found["value"] is None}
    assert nobody == dict.fromkeys(("creator_user_id", "external_user", "prefix", "workspace_id"), 3)


@pytest.mark.parametrize(
    ("groupings", "counted"),
    [
        (("account",), "account"),
        (("account", "workspace"), "workspace"),
        (("workspace", "account", "key"), "key"),
    ],
)
def test_a_day_that_was_read_twice_counts_once(dialect, keep, groupings, counted):
    amounts = {"account": 1.0, "workspace": 2.0, "key": 4.0}
    activity = [ago(0, by=by, key="k" if by == "key" else None, usage=amounts[by]) for by in groupings]
    (found,) = ask(keep(dialect, [], activity=activity), "spend_per_model")
    assert found["spend"] == amounts[counted]


def test_odd_amounts_and_tokens_do_no_harm(dialect, keep):
    activity = [
        ago(0, key="k", model="free", usage=None, requests=1, prompt_tokens=0, completion_tokens=0),
        ago(0, key="k", model="expensive", usage=2.0, requests=None, prompt_tokens=None, completion_tokens=2_000),
        ago(0, key="k", model="cached", usage=1e-7, prompt_tokens=1_000, cached_tokens=1_500),
    ]
    found = {row["model"]: row for row in ask(keep(dialect, [], activity=activity), "tokens_per_model")}
    assert {model: (row["spend"], row["cost_per_thousand"]) for model, row in found.items()} == {
        "free": (0, None),
        "expensive": (2, 1),
        "cached": (0, 1e-7),
    }
    assert [found[model]["cached_share"] for model in ("free", "expensive")] == [None, None]
    assert float(found["cached"]["cached_share"]) == 1.5


# -- usage and activity

SNAPSHOTS = {
    # When a day's snapshot is made, and the days before today whose activity is between the first and the last.
    "just after midnight": (timedelta(minutes=5), {4: 1.0, 3: 2.0, 2: 4.0, 1: 8.0}),
    "just before midnight": (timedelta(hours=23, minutes=55), {3: 2.0, 2: 4.0, 1: 8.0, 0: 16.0}),
}


@pytest.mark.parametrize("when", SNAPSHOTS)
def test_a_snapshot_counts_at_the_midnight_nearest_to_it(dialect, keep, when):
    hour, between = SNAPSHOTS[when]
    midnight = NIGHT.replace(minute=0)
    costs = {days: 2.0 ** (4 - days) for days in range(5)}
    usage = {days: sum(cost for on, cost in between.items() if on >= days + (hour < DAY / 2)) for days in costs}
    snapshots = [row("k", midnight - days * DAY + hour, usage=100 + usage[days]) for days in costs]
    history = keep(dialect, snapshots, activity=[ago(days, key="k", usage=cost) for days, cost in costs.items()])
    (found,) = ask(history, "reconciliation")
    assert (found["spend_by_usage"], found["difference"], found["days"]) == (sum(between.values()), 0, 4)


def test_only_days_that_both_know_are_compared(dialect, keep):
    snapshots = [row("k", NIGHT - days * DAY, usage=50.0 - days) for days in range(20)]
    activity = [ago(days, key="k", usage=1.0) for days in range(1, 40) if days not in (1, 2)]
    activity += [ago(5, key="no snapshots", usage=7.0), ago(0, by="workspace", usage=9.0)]
    history = keep(dialect, snapshots, activity=activity)
    (found,) = ask(history, "reconciliation", days=10)
    assert (found["days"], found["spend_by_usage"], found["spend_by_activity"]) == (10, 10, 10)
    assert found["last_day"] == (TODAY - timedelta(days=2)).isoformat()


def test_the_views_of_the_activity_are_replaced(dialect, keep):
    activity = [ago(0, key="k", usage=2.0)]
    history = keep(dialect, [row("k", NIGHT)], activity=activity)
    for script in (*scripts_of(dialect, True, True), "days", "spend", "names", "activity", "activity"):
        history.run(text_of(script))
    (found,) = ask(history, "spend_per_model")
    assert found["spend"] == 2
