"""What is read of an account at each poll: its credits and, for a threshold in time, its pace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.watch.account_pace import Growth, mean_of_days
from airflow_provider_openrouter.watch.metrics import record_credits
from airflow_provider_openrouter.watch.pace import Forecast, runs_dry_at
from airflow_provider_openrouter.watch.sources import Stop

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient


@dataclass(frozen=True, kw_only=True)
class AccountLeft:
    """
    What is left of an account.

    :param credits: its credits.
    :param pace: what it spends in USD a day, or None if that was not asked for.
    """

    credits: Credits
    pace: float | None = None

    @property
    def id(self) -> str:
        """The id under which the alert state remembers it: a rule watches one account."""
        return "account"

    @property
    def remaining(self) -> float:
        """The balance, in USD. It can be negative."""
        return float(self.credits.balance)

    @property
    def limit(self) -> None:
        """None: an account has no limit."""
        return None

    @property
    def observed_at(self) -> datetime:
        """When it was read, in UTC."""
        return self.credits.observed_at

    @property
    def forecast(self) -> Forecast:
        """When it runs dry; nothing resets it."""
        pace = self.pace or 0.0
        return Forecast(pace, None, runs_dry_at(self.remaining, pace, self.observed_at))


@dataclass(frozen=True, kw_only=True)
class AccountSource:
    """
    The credits of an account.

    :param openrouter_conn_id: the connection to OpenRouter.
    :param with_pace: whether to read the pace as well, which needs ``GET /activity``.
    """

    openrouter_conn_id: str
    with_pace: bool

    @property
    def scope(self) -> None:
        """None: it is the account that is read."""
        return None

    @property
    def arguments(self) -> dict[str, Any]:
        """None: the rule's threshold says whether the pace is read."""
        return {}

    def reader(self) -> AccountReader:
        """Return a reader that has read nothing yet."""
        return AccountReader(self)

    def __str__(self) -> str:
        return f"connection {self.openrouter_conn_id!r}"


class AccountReader:
    """Reads the credits each time, and the activity once for each UTC day, or again if that failed."""

    def __init__(self, source: AccountSource) -> None:
        self._source = source
        self._growth = Growth()
        self._mean: Decimal | None = None
        self._read_on: date | None = None

    def read(self, client: OpenRouterClient, stop: Stop) -> AccountLeft:
        """Read the credits, and with them the pace if the source has it."""
        credits_ = client.read_credits(stopped=stop.event())
        pace = self._read_pace(client, stop, credits_) if self._source.with_pace else None
        left = AccountLeft(credits=credits_, pace=pace)
        days_left = max(0.0, left.remaining / pace) if pace else None
        record_credits(self._source.openrouter_conn_id, balance=left.remaining, days_left=days_left)
        return left

    def _read_pace(self, client: OpenRouterClient, stop: Stop, credits_: Credits) -> float:
        today, growth = credits_.observed_at.date(), self._growth.per_day(credits_)
        if self._read_on != today:
            self._mean = mean_of_days(client.list_activity(stopped=stop.event()), today)
            self._read_on = today
        return float(growth if self._mean is None else max(self._mean, growth))
