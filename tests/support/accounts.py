"""An account whose credits change from one poll to the next, as an ``answer`` for a test server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import Any

from support.servers import Answer, Request, Server, data, error


def credits_of(balance: float, *, bought: float = 1000) -> dict[str, float]:
    """Return credits as the API sends them."""
    return {"total_credits": bought, "total_usage": float(Decimal(str(bought)) - Decimal(str(balance)))}


def activity(*usage: float) -> list[dict[str, Any]]:
    """Return a row for each of the days until yesterday."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(len(usage), 0, -1)]
    return [{"date": day.isoformat(), "usage": amount} for day, amount in zip(days, usage, strict=True)]


class CreditAccount:
    """
    An account.

    :param polls: the balance, or the whole response, of each poll of the credits; the last one comes for ever.
    :param activity: the rows of its activity, or the response.
    :param key: what the key says of itself.
    """

    def __init__(
        self, *polls: float | Answer, activity: Iterable[dict[str, Any]] | Answer = (), key: Any = None
    ) -> None:
        self.polls = [*polls]
        self.activity = activity
        self.key = key or {"is_management_key": True}
        self._count = 0
        self._lock = Lock()

    def __call__(self, request: Request) -> Answer:
        match request.path:
            case "/credits":
                with self._lock:
                    now = self.polls[min(self._count, len(self.polls) - 1)]
                    self._count += 1
                return now if isinstance(now, Answer) else data(credits_of(now))
            case "/activity":
                return self.activity if isinstance(self.activity, Answer) else data([*self.activity])
            case "/key":
                return data(self.key)
        return error(404)

    def set(self, poll: float | Answer) -> None:
        """Respond so from now on."""
        self.polls = [poll]


def asked(server: Server, path: str = "/credits") -> int:
    """Count the requests for a path."""
    return sum(request.path == path for request in server.requests)
