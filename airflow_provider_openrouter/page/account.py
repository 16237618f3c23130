"""The credits of an account as the page shows them: the balance, the pace, and how long it lasts."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.exceptions import OpenRouterError
from airflow_provider_openrouter.text import usd
from airflow_provider_openrouter.watch.account_pace import DAYS, mean_of_days
from airflow_provider_openrouter.watch.account_source import AccountLeft
from airflow_provider_openrouter.watch.stops import time_left

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient
    from airflow_provider_openrouter.watch.sources import Stop


def show_credits(client: OpenRouterClient, stop: Stop) -> dict[str, Any]:
    """
    Return the balance (USD), the pace (USD a day), when the account runs dry, and how long it lasts in words.

    The pace is the mean of the last seven completed days. If the activity cannot be read it is null, and the
    notice says why.

    :param client: reads the account.
    :param stop: ends the read.
    :raises OpenRouterError: if the credits cannot be read.
    :raises concurrent.futures.CancelledError: if it was stopped before they were.
    """
    credits_ = client.read_credits(stopped=stop.event())
    pace, notice = None, None
    try:
        mean = mean_of_days(client.list_activity(stopped=stop.event()), credits_.observed_at.date())
        pace = float(mean or 0)
    except OpenRouterError as error:
        notice = f"The pace is not known. {error}"
    except CancelledError:
        notice = "The pace is not known. Reading the activity took too long."
    left = AccountLeft(credits=credits_, pace=pace)
    dry = left.forecast.runs_dry_at
    return {
        "observed_at": left.observed_at.isoformat(timespec="seconds"),
        "balance": left.remaining,
        "pace": None if pace is None else round(pace, 6),
        "runs_dry_at": dry.isoformat(timespec="seconds") if dry else None,
        "text": _how_long(left),
        "notice": notice,
    }


def _how_long(left: AccountLeft) -> str:
    dry = left.forecast.runs_dry_at
    if left.remaining <= 0:
        return "nothing left"
    if left.pace is None:
        return ""
    if not left.pace:
        return f"nothing spent in the last {DAYS} days"
    lasts = time_left(dry, left.observed_at) if dry else "thousands of years"
    return f"lasts {lasts} at {usd(left.pace)} a day"
