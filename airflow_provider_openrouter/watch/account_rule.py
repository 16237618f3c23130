"""When an account's credits are low, as records and as lines of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.watch import words
from airflow_provider_openrouter.watch.account_source import AccountLeft, AccountSource
from airflow_provider_openrouter.watch.check import Check, Finding, Rule, find_low
from airflow_provider_openrouter.watch.threshold import PercentThreshold, Threshold, TimeThreshold


class AccountRule(Rule[AccountLeft]):
    """
    An account is low if its balance is strictly below an amount, or is gone within a time at the account's pace.

    :param threshold: USD such as ``25``, or a time such as ``"3 days"``.
    :raises OpenRouterRequestError: if it is neither.
    """

    def __init__(self, *, threshold: Any) -> None:
        self.threshold = read_account_threshold(threshold)
        self.thresholds = (self.threshold,)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as JSON; equal rules have equal arguments."""
        return {"threshold": self.threshold.argument}

    def source(self, openrouter_conn_id: str) -> AccountSource:
        """Return what must be read for it: the pace only if the threshold is a time."""
        return AccountSource(
            openrouter_conn_id=openrouter_conn_id, with_pace=isinstance(self.threshold, TimeThreshold)
        )

    def check(self, reading: AccountLeft) -> AccountCheck:
        """Compare what is left of the account with the threshold."""
        return AccountCheck(
            observed_at=reading.observed_at,
            thresholds=self.thresholds,
            watched=[reading],
            low=find_low(self.thresholds, [reading]),
        )

    def __str__(self) -> str:
        return f"credits {self.threshold.condition}"


def read_account_threshold(value: Any, *, name: str = "threshold") -> Threshold:
    """
    Read ``25``, ``"3 days"`` or a ``timedelta``.

    :param name: what it is called in the error.
    :raises OpenRouterRequestError: if it is none of them.
    """
    try:
        threshold = Threshold.read(value)
    except OpenRouterRequestError:
        threshold = None
    if threshold is None or isinstance(threshold, PercentThreshold):
        raise OpenRouterRequestError(
            f'{name} must be USD such as 25 or a time such as "3 days", not {value!r}. USD must be 0 or more; a '
            "time is in hours, days or weeks, above 0 and 366 days at most. A percentage cannot be used, because "
            "an account has no limit."
        )
    return threshold


@dataclass(frozen=True, kw_only=True)
class AccountCheck(Check[AccountLeft]):
    """What a rule found in a reading of an account."""

    def event(self, found: Sequence[Finding[AccountLeft]]) -> dict[str, Any]:
        """Return the record of the account."""
        return self.record(found[0])

    def count(self, found: Sequence[Finding[AccountLeft]]) -> str:
        """Return what was found: there is one account."""
        return "the account"

    def report(self, log: Any) -> None:
        """Log what is left, how long it lasts if that is known, and whether that is low."""
        [left], [threshold] = self.watched, self.thresholds
        record = self.record(Finding(left, threshold))
        said = ", ".join(filter(None, (f"{words.balance(record)} left", words.forecast(record))))
        log.info("Credits: %s; %s %s", said, "low:" if self.low else "not", threshold.condition)

    def _sent(self, left: AccountLeft) -> dict[str, Any]:
        totals = {name: left.credits.record[name] for name in ("total_credits", "total_usage")}
        unknown = {"pace_usd_per_day": None, "runs_dry_at": None}  # unless the threshold is a time
        return totals | {"balance": left.remaining} | unknown
