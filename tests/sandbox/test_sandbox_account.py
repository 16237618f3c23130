"""The account is the same at every start at the same time, and its active keys spend as time goes by."""

from datetime import date, datetime, timedelta

import pytest
from support.sandboxes import keys_of, make_account

WINDOWS = ("usage_daily", "usage_weekly", "usage_monthly", "usage")
NOON, FIRST_OF_MONTH, MONDAY = "2026-10-28 12:00", "2026-10-01 00:00", "2026-10-26 00:00"


@pytest.mark.parametrize("drain", [0.0, 0.5])
def test_an_account_is_the_same_at_every_start(drain):
    one, other = (make_account(keys=25, workspaces=2, drain=drain) for _ in range(2))
    for account, looks in ((one, ["2026-10-28 17:00:00.8", "2026-10-28 17:00:07.3"]), (other, [])):
        account.start_spending()
        for now in [*looks, "2026-10-30 08:15"]:
            account.now.set(now)
            account.get_credits()
    assert (one.workspaces, one.members) == (other.workspaces, other.members)
    assert one.get_credits() == other.get_credits()
    assert [keys_of(one, workspace) for workspace in (0, 1)] == [
        keys_of(other, workspace) for workspace in (0, 1)
    ]


@pytest.mark.parametrize("nonsense", [{"keys": -1}, {"workspaces": 0}, {"drain": -0.5}])
def test_an_impossible_account_is_refused(nonsense):
    with pytest.raises(ValueError, match="There must be"):
        make_account(**nonsense)


def test_workspaces_have_names_and_the_first_is_the_default():
    names = [workspace["name"] for workspace in make_account(workspaces=3).workspaces]
    assert names == ["Default", "Workspace 1", "Workspace 2"]


def test_a_record_that_was_returned_does_not_change():
    made_up = make_account()
    hash_ = made_up.create_key(limit_remaining=5.0)
    before = made_up.get_key(hash_)
    made_up.update_key(hash_, limit_remaining=1.0)
    assert before["limit_remaining"] == 5.0
    assert made_up.get_key(hash_)["limit_remaining"] == 1.0


# -- what its keys are


@pytest.mark.parametrize("now", [NOON, FIRST_OF_MONTH, MONDAY, "2026-11-01 00:00:01", "2026-12-31 23:59:59"])
def test_the_amounts_of_each_key_make_sense_together(now):
    made_up = make_account(now=now, keys=400)
    today, month = made_up.now().date(), made_up.now().date().replace(day=1)
    for key in keys_of(made_up).values():
        for kind in ("", "byok_"):
            daily, weekly, monthly, total = (key[kind + window] for window in WINDOWS)
            assert 0 <= daily <= min(weekly, monthly) <= max(weekly, monthly) <= total
            assert weekly <= monthly or today - timedelta(days=today.weekday()) < month
        window = f"usage_{key['limit_reset']}" if key["limit_reset"] else "usage"
        counted = key[window] + key["include_byok_in_limit"] * key[f"byok_{window}"]
        assert key["limit_remaining"] == (key["limit"] and pytest.approx(key["limit"] - counted, abs=1e-8))
        used = key["last_used_at"] and datetime.fromisoformat(key["last_used_at"])
        assert datetime.fromisoformat(key["created_at"]) < made_up.now()
        if used:
            assert datetime.fromisoformat(key["created_at"]) < used < made_up.now()
            assert used.year == 2026
            assert used.date() == today or not key["usage_daily"]
        assert not used or key["usage"]


def test_the_keys_are_of_every_kind():
    made_up = make_account(keys=100)
    keys = keys_of(made_up).values()
    now = made_up.now().isoformat()
    kinds = {
        "active and over its limit": lambda key: (key["limit_remaining"] or 0) < 0 and not key["disabled"],
        "disabled and over its limit": lambda key: (key["limit_remaining"] or 0) < 0 and key["disabled"],
        "without limit": lambda key: key["limit"] is None and key["limit_remaining"] is None and key["usage"],
        "never used": lambda key: key["usage"] == 0 and key["last_used_at"] is None,
        "used before 2026 only": lambda key: key["usage"] and key["last_used_at"] is None,
        "expired": lambda key: key["expires_at"] and key["expires_at"] < now,
        "about to expire": lambda key: key["expires_at"] and key["expires_at"] > now,
        "spends on own provider keys": lambda key: key["byok_usage_daily"] and not key["include_byok_in_limit"],
        "counts that in its limit": lambda key: key["byok_usage_daily"] and key["include_byok_in_limit"],
        "of the workspace itself": lambda key: key["creator_user_id"] is None,
    }
    missing = [kind for kind, matches in kinds.items() if not any(matches(key) for key in keys)]
    assert missing == []
    assert {key["limit_reset"] for key in keys} == {"daily", "weekly", "monthly", None}
    members = {member["id"] for member in made_up.members}
    assert {key["creator_user_id"] for key in keys} == {*members, None}


@pytest.mark.parametrize("now", [NOON, FIRST_OF_MONTH, "2026-10-25 23:59:59", "2026-10-31 23:59:59"])
def test_no_active_key_of_the_first_25_is_low_yet(now):
    keys = keys_of(make_account(keys=25, now=now)).values()
    left = [(key["limit_remaining"], key["limit"]) for key in keys if key["limit"] and not key["disabled"]]
    assert all(remaining > max(1, 0.1 * limit) for remaining, limit in left)
    assert min(remaining / limit for remaining, limit in left) < 0.12


def test_a_new_key_has_spent_nothing_yet():
    made_up = make_account(keys=3)
    key = made_up.get_key(made_up.create_key(limit=9.0))
    assert (key["limit_remaining"], key["usage"], key["last_used_at"]) == (9.0, 0, None)
    assert (key["disabled"], key["expires_at"]) == (False, None)
    assert key["created_at"] == made_up.now().isoformat()


# -- what is set by hand


def test_what_remains_is_set_by_spending_today():
    made_up = make_account()
    hash_ = made_up.create_key(limit=10.0, limit_remaining=4.0, limit_reset="daily")
    key = made_up.get_key(hash_)
    assert [key[window] for window in WINDOWS] == [6.0] * 4
    assert key["last_used_at"] == made_up.now().isoformat()
    before = made_up.get_credits()["total_usage"]
    made_up.update_key(hash_, limit_remaining=0.5)
    assert made_up.get_credits()["total_usage"] == pytest.approx(before + 3.5)
    made_up.update_key(hash_, limit=20.0)
    assert made_up.get_key(hash_)["limit_remaining"] == 10.5
    made_up.update_key(hash_, limit_remaining=20.0)
    assert made_up.get_key(hash_)["usage"] == 0


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"limit": None, "limit_remaining": None}, {"limit_remaining": None}),
        ({"limit": None, "limit_remaining": 5.0}, {"limit_remaining": 5.0}),
        ({"limit": 9.0, "limit_remaining": None}, {"limit_remaining": None}),
        ({"limit": 9.0, "limit_remaining": 12.0}, {"limit_remaining": 12.0}),
        ({"limit": "much", "limit_remaining": 5.0}, {"limit": "much", "limit_remaining": 5.0}),
        ({"limit": 10**20, "limit_remaining": 5.0, "usage": 1e21}, {"limit_remaining": 5.0, "usage": 1e21}),
        ({"usage": None, "usage_daily": "none"}, {"usage": None, "usage_daily": "none"}),
        ({"usage": 7.0}, {"usage": 7.0, "usage_monthly": 0, "last_used_at": None}),
        ({"limit_reset": "hourly", "limit": 3.0}, {"limit_reset": "hourly", "limit_remaining": 3.0}),
        ({"budget": {"usd": 5}}, {"budget": {"usd": 5}}),
    ],
)
def test_odd_and_unknown_fields_are_shown_as_they_are_set(fields, shown):
    made_up = make_account()
    key = made_up.get_key(made_up.create_key(**fields))
    assert {name: key[name] for name in shown} == shown


def test_a_limit_that_is_taken_away_and_given_again_is_derived():
    made_up = make_account()
    hash_ = made_up.create_key(limit=100.0, limit_remaining=4.0)
    for fields in ({"limit": None, "limit_remaining": None}, {"limit": 100.0, "limit_remaining": None}):
        made_up.update_key(hash_, **fields)
        assert made_up.get_key(hash_)["limit_remaining"] is None
    made_up.update_key(hash_, limit=100.0, limit_remaining=90.0)
    assert (made_up.get_key(hash_)["limit_remaining"], made_up.get_key(hash_)["usage"]) == (90.0, 10.0)


# -- as time goes by


def test_active_keys_spend_until_nothing_is_left():
    made_up = make_account(drain=0.5)
    hashes = {
        "limited": made_up.create_key(limit=100.0),
        "unlimited": made_up.create_key(limit=None),
        "nearly dry": made_up.create_key(limit=1.0, limit_remaining=0.01),
        "in debt": made_up.create_key(limit=1.0, limit_remaining=-0.5),
        "disabled": made_up.create_key(disabled=True),
        "expired": made_up.create_key(expires_at="2026-01-01T00:00:00Z"),
        "expires": made_up.create_key(expires_at="2026-10-28T12:04:00Z"),
    }
    made_up.start_spending()
    before, credits = keys_of(made_up), made_up.get_credits()["total_usage"]
    made_up.now.set("2026-10-28 12:10")
    made_up.start_spending()
    after = keys_of(made_up)
    spent = {name: after[hash_]["usage"] - before[hash_]["usage"] for name, hash_ in hashes.items()}
    assert spent == pytest.approx(
        {
            "limited": 5,
            "unlimited": 5,
            "nearly dry": 0.01,
            "in debt": 0,
            "disabled": 0,
            "expired": 0,
            "expires": 2,
        }
    )
    assert made_up.get_credits()["total_usage"] == pytest.approx(credits + 12.01)
    assert after[hashes["nearly dry"]]["limit_remaining"] == 0.0
    used_at = {name: after[hash_]["last_used_at"] for name, hash_ in hashes.items()}
    assert used_at["limited"] == "2026-10-28T12:10:00+00:00"
    assert used_at["nearly dry"].startswith("2026-10-28T12:00:01.2")
    assert used_at["expires"] == "2026-10-28T12:04:00+00:00"
    assert used_at["disabled"] is None


@pytest.mark.parametrize(
    ("reset", "began", "at_midnight", "left_after_it"),
    [
        ("daily", "2026-10-27 23:50", "2026-10-28 00:00", 10.0),
        ("daily", "2026-10-27 23:50", "2026-10-28 00:05", 9.0),
        ("weekly", "2026-10-25 23:50", MONDAY, 10.0),
        ("weekly", "2026-09-30 23:50", FIRST_OF_MONTH, 8.0),
        ("monthly", "2026-09-30 23:50", FIRST_OF_MONTH, 10.0),
        ("monthly", "2026-10-25 23:50", MONDAY, 8.0),
        (None, "2026-09-30 23:50", FIRST_OF_MONTH, 8.0),
    ],
)
def test_limits_are_reset_at_midnight(reset, began, at_midnight, left_after_it):
    made_up = make_account(now=began, drain=0.2)
    hash_ = made_up.create_key(limit=10.0, limit_reset=reset)
    made_up.start_spending()
    made_up.now.set(at_midnight)
    assert made_up.get_key(hash_)["limit_remaining"] == left_after_it


def test_a_dry_key_spends_again_after_its_reset():
    made_up = make_account(drain=1.0)
    hash_ = made_up.create_key(limit=10.0, limit_reset="daily")
    made_up.start_spending()
    made_up.now.set("2026-10-30 00:02")
    key = made_up.get_key(hash_)
    assert (key["limit_remaining"], key["usage_daily"], key["usage_weekly"]) == (8.0, 2.0, 22.0)


def test_windows_end_without_spend_too():
    made_up = make_account(keys=30)
    before = keys_of(made_up)
    made_up.now.set("2026-12-01 00:00")
    for hash_, key in keys_of(made_up).items():
        assert key["usage_daily"] == key["usage_monthly"] == 0
        assert key["usage"] == before[hash_]["usage"]


def test_no_key_spends_once_the_balance_is_gone():
    made_up = make_account(drain=1.0, balance=5.0)
    hashes = [made_up.create_key(limit=None), made_up.create_key(limit=None)]
    made_up.start_spending()
    for now in ("2026-10-28 12:02", "2026-10-28 12:10", "2026-10-29 12:00"):
        made_up.now.set(now)
        credits = made_up.get_credits()
    assert credits["total_credits"] == pytest.approx(credits["total_usage"])
    assert [made_up.get_key(hash_)["usage"] for hash_ in hashes] == [2.5, 2.5]
    made_up.buy_credits(4.0)
    made_up.now.set("2026-10-29 12:01")
    credits = made_up.get_credits()
    assert credits["total_credits"] - credits["total_usage"] == pytest.approx(2.0)


def test_today_is_a_day_of_activity_once_it_is_over():
    made_up = make_account(drain=0.25)
    hash_ = made_up.create_key(limit=None)
    made_up.start_spending()
    made_up.now.set("2026-10-29 09:00")
    rows = made_up.list_activity(days=[date(2026, 10, 28)], key_hash=hash_)
    assert sum(row["usage"] for row in rows) == pytest.approx(0.25 * 60 * 12)
