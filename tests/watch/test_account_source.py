"""What is read of an account, and how often: of a sandbox whose clock is set."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.accounts import CreditAccount, activity
from support.sandboxes import Clock
from support.servers import Server
from support.statsd import Stats

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterServerError
from airflow_provider_openrouter.sandbox import TOKEN, Sandbox
from airflow_provider_openrouter.watch.account_source import AccountSource
from airflow_provider_openrouter.watch.sources import Stop


class Account(Sandbox):
    """A sandbox with a key to spend with, whose activity can fail."""

    def __init__(self):
        super().__init__(keys=0, now=Clock("2026-03-03 12:00"))
        self.activity_fails = False
        self.left = 1e6
        self.key = self.create_key(limit=self.left, limit_reset=None, expires_at=None)

    def spend(self, amount):
        self.left -= amount
        self.update_key(self.key, limit_remaining=self.left)

    def mean(self):
        """Return the mean of the last seven completed days, as the sandbox knows it."""
        days = [self.now().date() - timedelta(days=ago) for ago in range(1, 8)]
        return sum(row["usage"] for row in self.list_activity(days=days)) / 7

    def asked(self, path):
        return sum(path in request for request in self.requests)

    def answer(self, target, authorization):
        if self.activity_fails and "/activity" in target:
            self.requests.append(target)
            return 500, {"error": {"code": 500, "message": "Internal Server Error"}}
        return super().answer(target, authorization)


class Client(OpenRouterClient):
    """A client on a machine that has the sandbox's clock."""

    def __init__(self, sandbox):
        super().__init__(TOKEN, base_url=sandbox.base_url, max_retries=0)
        self.clock = sandbox.now

    def read_credits(self, **options):
        return replace(super().read_credits(**options), observed_at=self.clock())


@pytest.fixture
def account():
    with Account() as account:
        yield account


@pytest.fixture
def pace(account):
    """Return the pace that a reader finds at a time."""
    reader, client = AccountSource(openrouter_conn_id="x", with_pace=True).reader(), Client(account)

    def pace(at):
        account.now.set(at)
        return reader.read(client, Stop()).pace

    return pace


def test_without_a_pace_the_credits_alone_are_read(account):
    reader = AccountSource(openrouter_conn_id="x", with_pace=False).reader()
    for _ in range(2):
        reading = reader.read(Client(account), Stop())
        assert reading.credits.record == account.get_credits()
        assert reading.pace is None
    assert account.requests == ["/api/v1/credits"] * 2


def test_the_pace_is_the_larger_of_the_mean_and_of_today(account, pace):
    mean = account.mean()
    assert pace("2026-03-03 12:00") == pytest.approx(mean)
    account.spend(mean / 8)
    assert pace("2026-03-03 12:01") == pytest.approx(mean)  # half of the mean, over six hours
    account.spend(mean)
    assert pace("2026-03-03 12:02") == pytest.approx(4.5 * mean)
    assert pace("2026-03-03 21:00") == pytest.approx(3 * mean)


@pytest.mark.parametrize(("balance", "days_left"), [(40, "4.0"), (5, "0.5"), (-5, "0.0")])
def test_metrics_say_what_is_left_and_for_how_many_days(balance, days_left, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.metrics.Stats", stats := Stats())
    with Server(CreditAccount(balance, activity=activity(10))) as server:
        client = OpenRouterClient(TOKEN, base_url=server.base_url)
        for with_pace in (True, False):
            AccountSource(openrouter_conn_id="x", with_pace=with_pace).reader().read(client, Stop())
    left = f"openrouter.credits.balance,connection=x,scope=account:{float(balance)}|g"
    assert stats.lines == [left, f"openrouter.credits.days_left,connection=x,scope=account:{days_left}|g", left]


def test_activity_is_read_once_for_each_utc_day(account, pace):
    for at in ("2026-03-03 12:00", "2026-03-03 23:59", "2026-03-04 00:00", "2026-03-04 00:01"):
        pace(at)
    assert [account.asked(path) for path in ("/credits", "/activity")] == [4, 2]


def test_at_midnight_utc_today_becomes_one_of_seven_days(account, pace):
    pace("2026-03-03 12:00")
    account.spend(7_000)
    assert pace("2026-03-03 23:59") == pytest.approx(14_000, rel=0.01)
    after = pace("2026-03-04 00:00")
    assert after == pytest.approx(account.mean())
    assert after > 1_000
    account.spend(700)
    assert pace("2026-03-04 00:01") == pytest.approx(2_800)


def test_activity_is_read_again_after_a_failure(account, pace):
    account.activity_fails = True
    for at in ("2026-03-03 12:00", "2026-03-03 12:01"):
        with pytest.raises(OpenRouterServerError):
            pace(at)
        account.spend(100_000)
    account.activity_fails = False
    assert pace("2026-03-03 12:02") == pytest.approx(800_000)  # counted from the first poll
    pace("2026-03-03 12:03")
    assert account.asked("/activity") == 3
