"""The account is the same at every start, and its active keys spend as time goes by."""

import time

import pytest

from airflow_provider_openrouter.sandbox import TOKEN
from airflow_provider_openrouter.sandbox.account import Account


def account(keys=0, workspaces=1, drain=0.0):
    return Account(keys=keys, workspaces=workspaces, drain=drain, token=TOKEN)


def keys_of(account, workspace=0):
    return account.list_keys(
        account.workspaces[workspace]["id"],
        include_disabled=True,
        include_expired=True,
        offset=0,
        limit=1000,
    )


def test_an_account_is_the_same_at_every_start():
    one, other = account(keys=25, workspaces=2), account(keys=25, workspaces=2)
    assert one.workspaces == other.workspaces
    for workspace in (0, 1):
        assert keys_of(one, workspace) == keys_of(other, workspace)


@pytest.mark.parametrize("nonsense", [{"keys": -1}, {"workspaces": 0}, {"drain": -0.5}])
def test_an_impossible_account_is_refused(nonsense):
    with pytest.raises(ValueError, match="There must be"):
        account(**nonsense)


def test_workspaces_have_names_and_the_first_is_the_default():
    names = [workspace["name"] for workspace in account(workspaces=3).workspaces]
    assert names == ["Default", "Workspace 1", "Workspace 2"]


def test_a_record_that_was_returned_does_not_change():
    made_up = account()
    hash_ = made_up.create_key(disabled=True, limit_remaining=5.0)
    before = made_up.get_key(hash_)
    made_up.update_key(hash_, limit_remaining=1.0)
    assert before["limit_remaining"] == 5.0
    assert made_up.get_key(hash_)["limit_remaining"] == 1.0


def test_active_keys_spend_until_nothing_is_left():
    made_up = account(drain=600)
    limited = made_up.create_key(limit=1e6, limit_remaining=1e6, usage=1.0)
    unlimited = made_up.create_key(limit=None, limit_remaining=None, usage=1.0)
    nearly_dry = made_up.create_key(limit=1.0, limit_remaining=0.01)
    in_debt = made_up.create_key(limit=1.0, limit_remaining=-0.5)
    disabled = made_up.create_key(disabled=True, limit_remaining=5.0)
    expired = made_up.create_key(expires_at="2026-01-01T00:00:00Z", limit_remaining=5.0)
    made_up.start_spending()
    time.sleep(0.05)
    before = {key["hash"]: key for key in keys_of(made_up)}
    time.sleep(0.05)
    after = {key["hash"]: key for key in keys_of(made_up)}

    assert after[limited]["limit_remaining"] < before[limited]["limit_remaining"] < 1e6
    for hash_ in (limited, unlimited):
        for usage in ("usage", "usage_daily", "usage_weekly", "usage_monthly"):
            assert after[hash_][usage] > before[hash_][usage]
    assert after[unlimited]["limit_remaining"] is None
    assert after[nearly_dry]["limit_remaining"] == 0.0
    assert after[in_debt]["limit_remaining"] == -0.5
    assert after[disabled]["limit_remaining"] == after[expired]["limit_remaining"] == 5.0
    assert (after[disabled], after[expired]) == (before[disabled], before[expired])


def test_spending_that_has_started_does_not_start_again():
    made_up = account(drain=600)
    hash_ = made_up.create_key(limit=1e6, limit_remaining=1e6)
    made_up.start_spending()
    time.sleep(0.05)
    before = made_up.get_key(hash_)["limit_remaining"]
    made_up.start_spending()
    assert made_up.get_key(hash_)["limit_remaining"] <= before
