"""
The credits of an account: what was bought, what is spent, and what is left.

The fields are those of ``GET /credits`` in OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/credits/get-credits) of 2026. What is spent on one's own
provider keys (BYOK) is not paid from credits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import read_amount


@dataclass(frozen=True, kw_only=True)
class Credits:
    """
    One reading of an account's credits. Amounts are USD, in the decimals that were sent.

    :param record: the object as the API sent it.
    :param observed_at: when it was asked for, in UTC.
    :param total_credits: what was bought, ever.
    :param total_usage: what is spent of it, ever.
    """

    record: Mapping[str, Any]
    observed_at: datetime
    total_credits: Decimal
    total_usage: Decimal

    @classmethod
    def read(cls, record: Mapping[str, Any], *, observed_at: datetime | None = None) -> Credits:
        """
        Read the credits from what the API sent, which is what ``get_credits`` of hook and client return.

        :param observed_at: when it was asked for, with its time zone; None for now.
        :raises OpenRouterResponseError: if a total is missing, or is no amount.
        """
        return cls(
            record=record,
            observed_at=observed_at or datetime.now(UTC),
            total_credits=_total(record, "total_credits"),
            total_usage=_total(record, "total_usage"),
        )

    @property
    def balance(self) -> Decimal:
        """What is left, in USD. It can be negative, as requests in flight are charged when they finish."""
        return self.total_credits - self.total_usage


def _total(record: Mapping[str, Any], name: str) -> Decimal:
    amount = read_amount(record.get(name))
    if amount is None:
        raise OpenRouterResponseError(
            f"/credits answered no amount under '{name}'. So the balance is not known, and nothing is reported. "
            "Check that the base URL is the API's; if it is, report it to OpenRouter.",
            about="base_url",
        )
    return Decimal(str(amount))
