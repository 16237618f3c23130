"""What /activity, /credits and /keys say of the same spend agrees."""

from datetime import timedelta

import pytest
from support.sandboxes import keys_of, make_account

from airflow_provider_openrouter.sandbox import TOKEN
from airflow_provider_openrouter.sandbox.api import respond

COUNTS = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
AMOUNTS = ("usage", "byok_usage_inference", *COUNTS)
NAMES = ("date", "model", "model_permaslug", "endpoint_id", "provider_name", *AMOUNTS)


@pytest.fixture(scope="module")
def account():
    return make_account(keys=40, workspaces=2)


def activity(account, status=200, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    returned, body = respond(account, f"/api/v1/activity?{text}", TOKEN)
    assert returned == status, body
    return body["data"] if status == 200 else body["error"]["message"]


def sums(rows):
    return {name: pytest.approx(sum(row[name] for row in rows)) for name in AMOUNTS}


def every_key(account):
    return {
        hash_: key for number in range(len(account.workspaces)) for hash_, key in keys_of(account, number).items()
    }


def test_the_rows_are_of_the_last_30_days_that_are_over(account):
    rows = activity(account)
    days = [(account.now() - timedelta(days=ago)).strftime("%Y-%m-%d") for ago in range(1, 31)]
    assert list(dict.fromkeys(row["date"] for row in rows)) == days
    assert all(tuple(row) == NAMES for row in rows)
    groups = [(row["date"], row["model_permaslug"], row["endpoint_id"]) for row in rows]
    assert len(groups) == len(set(groups))
    assert len({row["provider_name"] for row in rows if row["model"] == "openai/gpt-4.1"}) == 2
    assert all(row["requests"] > 0 for row in rows)
    assert any(row["cached_tokens"] > row["prompt_tokens"] for row in rows)


def test_one_day_is_its_part_of_all_days(account):
    assert activity(account, date="2026-10-20") == [
        row for row in activity(account) if row["date"] == "2026-10-20"
    ]


@pytest.mark.parametrize("date", ["2026-10-28", "2026-10-29", "2026-09-27", "0001-01-01"])
def test_a_day_that_is_not_over_or_too_long_ago_is_refused(account, date):
    assert activity(account, 400, date=date) == "Date must be within the last 30 (completed) UTC days"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"date": "20261020"}, 400),
        ({"date": "2026-10-20T00:00:00Z"}, 400),
        ({"date": "yesterday"}, 400),
        ({"date": ""}, 400),
        ({"date": "2026-02-30"}, 400),
        ({"group_by": "model"}, 400),
        ({"group_by": ""}, 400),
        ({"workspace_id": "*"}, 400),
        ({"workspace_id": ""}, 400),
        ({"api_key_hash": "f01d"}, 404),
        ({"user_id": "user_nobody"}, 404),
    ],
)
def test_what_the_api_does_not_know_is_refused(account, query, status):
    assert activity(account, status, **query)


def test_workspaces_and_members_add_up_to_the_account(account):
    whole = sums(activity(account))
    grouped = activity(account, group_by="workspace")
    assert sums(grouped) == whole
    for workspace in account.workspaces:
        of_it = activity(account, workspace_id=workspace["id"])
        assert of_it
        assert "workspace_id" not in of_it[0]
        assert sums(of_it) == sums([row for row in grouped if row["workspace_id"] == workspace["id"]])
    by_member = [row for member in account.members for row in activity(account, user_id=member["id"])]
    of_no_member = [
        row
        for key in every_key(account).values()
        if key["creator_user_id"] is None
        for row in activity(account, api_key_hash=key["hash"])
    ]
    assert of_no_member
    assert sums(by_member + of_no_member) == whole


def test_the_account_spends_more_than_its_keys_that_are_left(account):
    of_keys = [row for hash_ in every_key(account) for row in activity(account, api_key_hash=hash_)]
    assert 0 < sum(row["usage"] for row in of_keys) < sum(row["usage"] for row in activity(account))


def test_a_keys_windows_are_sums_of_its_days(account):
    for hash_, key in every_key(account).items():
        rows = activity(account, api_key_hash=hash_)
        for first, window in (("2026-10-26", "weekly"), ("2026-10-01", "monthly")):
            for amount, kind in (("usage", "usage"), ("byok_usage_inference", "byok_usage")):
                over = sum(row[amount] for row in rows if row["date"] >= first)
                assert key[f"{kind}_{window}"] == pytest.approx(over + key[f"{kind}_daily"], abs=1e-8)


def test_what_a_key_spent_stays_the_accounts_when_it_is_deleted():
    account = make_account(keys=10)
    account.now.set("2026-10-29 12:00")
    before = activity(account), account.get_credits()
    hash_ = next(hash_ for hash_ in every_key(account) if activity(account, api_key_hash=hash_))
    account.delete_key(hash_)
    assert (activity(account), account.get_credits()) == before
    assert activity(account, 404, api_key_hash=hash_)


def test_what_a_key_spent_stays_in_the_workspace_that_it_left():
    account = make_account(keys=1, workspaces=2, drain=0.1)
    one, other = (workspace["id"] for workspace in account.workspaces)
    hash_ = account.create_key(limit=None)
    account.start_spending()
    account.now.set("2026-10-29 00:00")
    account.update_key(hash_, workspace_id=other)
    account.now.set("2026-10-30 00:00")
    grouped = activity(account, api_key_hash=hash_, group_by="workspace")
    assert {(row["date"], row["workspace_id"]) for row in grouped} == {("2026-10-28", one), ("2026-10-29", other)}


def test_credits_are_spent_by_keys_and_by_what_is_not_listed(account):
    credits = account.get_credits()
    of_keys = sum(key["usage"] for key in every_key(account).values())
    assert of_keys < credits["total_usage"] < credits["total_credits"]
    unlisted = make_account(keys=0, balance=12.5).get_credits()
    assert credits["total_usage"] == pytest.approx(of_keys + unlisted["total_usage"])
    assert unlisted["total_credits"] - unlisted["total_usage"] == pytest.approx(12.5)
