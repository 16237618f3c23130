"""The credits of an account as the page shows them."""

from concurrent.futures import CancelledError
from datetime import timedelta

import pytest
from support.accounts import CreditAccount, activity
from support.servers import HANGS, TOKEN, Server, data, error

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterServerError
from airflow_provider_openrouter.keys import read_time
from airflow_provider_openrouter.page.account import show_credits
from airflow_provider_openrouter.watch.sources import Stop


def shown(balance, rows=(), *, stop=None, stops_at=None):
    """Return what is shown of an account; the read is stopped when the server is asked for a path."""
    stop, account = stop or Stop(), CreditAccount(balance, activity=rows)

    def answer(request):
        if request.path == stops_at:
            stop.set()
        return account(request)

    with Server(answer) as server:
        return show_credits(OpenRouterClient(TOKEN, base_url=server.base_url, max_retries=0), stop)


@pytest.mark.parametrize(
    ("balance", "spent", "pace", "text"),
    [
        (54.5, [9.0] * 7, 9.0, "lasts 6 days at $9.00 a day"),
        (54.5, [99.0, *[9.0] * 7], 9.0, "lasts 6 days at $9.00 a day"),
        (54.5, [7.0, 11.0], 9.0, "lasts 6 days at $9.00 a day"),
        (12, [9.0] * 7, 9.0, "lasts 32 h at $9.00 a day"),
        (0.1, [9.0] * 7, 9.0, "lasts under an hour at $9.00 a day"),
        (9000, [9.0] * 7, 9.0, "lasts 2 years at $9.00 a day"),
        (900, [1e-7] * 7, 0.0, "lasts thousands of years at $0.000000 a day"),
        (54.5, [], 0.0, "nothing spent in the last 7 days"),
        (54.5, [9.0, *[0.0] * 7], 0.0, "nothing spent in the last 7 days"),
        (0, [9.0], 9.0, "nothing left"),
        (-0.5, [], 0.0, "nothing left"),
    ],
)
def test_a_balance_lasts_at_the_mean_pace_of_a_week(balance, spent, pace, text):
    account = shown(balance, activity(*spent))
    assert (account["balance"], account["pace"], account["text"]) == (balance, pace, text)
    assert account["notice"] is None


def test_the_time_when_it_runs_dry_is_that_of_the_pace():
    account = shown(27, activity(*[9.0] * 7))
    assert read_time(account["runs_dry_at"]) - read_time(account["observed_at"]) == timedelta(days=3)
    assert shown(27)["runs_dry_at"] is None


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (error(500), "http"),
        (data([{"date": "soon"}]), "/activity answered 1 row without a date"),
    ],
)
def test_without_activity_the_balance_is_shown_and_says_why(response, why):
    account = shown(27, response)
    assert account["notice"].startswith(f"The pace is not known. {why}")
    assert {name: account[name] for name in ("balance", "pace", "runs_dry_at", "text")} == {
        "balance": 27,
        "pace": None,
        "runs_dry_at": None,
        "text": "",
    }


def test_activity_that_takes_too_long_is_left_out():
    account = shown(27, HANGS, stops_at="/activity")
    assert (account["balance"], account["pace"]) == (27, None)
    assert account["notice"] == "The pace is not known. Reading the activity took too long."


def test_without_credits_there_is_nothing_to_show():
    with pytest.raises(OpenRouterServerError):
        shown(error(500))
    stop = Stop()
    stop.set()
    with pytest.raises(CancelledError):
        shown(27, stop=stop)
