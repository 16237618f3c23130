"""What is read of an account at each poll: its credits and, for who asks how long they last, its pace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from threading import Event
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.watch.account_pace import Growth, mean_of_days

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient


@dataclass(frozen=True, kw_only=True)
class AccountReading:
    """
    What was read of an account.

    :param credits: its credits.
    :param pace: what it spends in USD a day, or None if that was not asked for.
    """

    credits: Credits
    pace: Decimal | None = None


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

    def read(self, client: OpenRouterClient, *, stopped: Event | None = None) -> AccountReading:
        """Read the credits, and with them the pace if the source has it."""
        credits_ = client.read_credits(stopped=stopped)
        if not self._source.with_pace:
            return AccountReading(credits=credits_)
        today, growth = credits_.observed_at.date(), self._growth.per_day(credits_)
        if self._read_on != today:
            self._mean = mean_of_days(client.list_activity(stopped=stopped), today)
            self._read_on = today
        return AccountReading(credits=credits_, pace=growth if self._mean is None else max(self._mean, growth))
