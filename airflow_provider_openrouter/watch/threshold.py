"""How little may remain of a key before it is low."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import count, takewhile
from numbers import Real
from typing import Any, NamedTuple, Protocol, TypeVar

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.text import rounded, usd

_EXACT = Context(prec=60)


class Left(Protocol):
    """What is left of something that is watched."""

    @property
    def id(self) -> str:
        """By what alert state remembers it; no two that are watched have the same."""

    @property
    def remaining(self) -> float:
        """What is left of it, in USD. It can be negative."""

    @property
    def limit(self) -> float | None:
        """Its limit in USD, or None."""


L = TypeVar("L", bound=Left)


class Amounts(NamedTuple):
    """The amounts of something, as they are shown."""

    id: str
    remaining: float
    limit: float | None


@dataclass(frozen=True)
class Threshold:
    """
    An amount of USD, or a percentage of each key's own limit. Amounts are compared in decimals.

    :param amount: USD, or percent.
    :param of_limit: whether it is a percentage.
    """

    amount: Decimal
    of_limit: bool = False

    @classmethod
    def read(cls, value: Any, *, name: str = "threshold") -> Threshold:
        """
        Read ``5``, ``"5.00"`` or ``"10%"``.

        :param name: what it is called in the error.
        :raises OpenRouterRequestError: if it is neither an amount nor a percentage, both of 0 or more.
        """
        try:
            text = (
                str(value).strip()
                if isinstance(value, str | Real | Decimal) and not isinstance(value, bool)
                else ""
            )
            amount = float(Decimal(text.removesuffix("%").strip()))
        except (ArithmeticError, ValueError):
            amount = math.nan
        of_limit = isinstance(value, str) and value.rstrip().endswith("%")
        if not 0 <= amount < math.inf or (of_limit and amount > 100):
            raise OpenRouterRequestError(
                f'{name} must be USD such as 5, or a percentage such as "10%", not {value!r}. USD must be 0 or '
                "more; a percentage is of the key's own limit, from 0 to 100."
            )
        return cls(Decimal(str(abs(amount))), of_limit)

    @property
    def argument(self) -> float | str:
        """The threshold as an argument, normalized."""
        amount = float(self.amount)
        return f"{amount!r}%".replace(".0%", "%") if self.of_limit else amount

    def measures(self, left: Left) -> bool:
        """Return whether a key can be compared with it: for a percentage, the key needs a limit above 0."""
        return not self.of_limit or (left.limit is not None and left.limit > 0)

    def find_low(self, lefts: Sequence[L]) -> list[L]:
        """Return the low keys among keys that it measures, which are sorted by what remains."""
        if not self.of_limit:
            return list(takewhile(self.is_low, lefts))
        # Floats preselect, because comparing decimals takes forty times as long.
        generous = float(self.amount) * 1.000001 / 100
        near = (left for left in lefts if left.limit is not None and left.remaining <= left.limit * generous)
        return [left for left in near if self.is_low(left)]

    def is_low(self, left: Left, *, margin: Threshold | None = None) -> bool:
        """Return whether less remains of a key than this, and than the margin on top of it if there is one."""
        bound = self._usd(left) if margin is None else _EXACT.add(self._usd(left), margin._usd(left))
        return Decimal(str(left.remaining)) < bound

    def _usd(self, left: Left) -> Decimal:
        if not self.of_limit:
            return self.amount
        limit = Decimal(str(max(0.0, left.limit or 0.0)))
        return _EXACT.multiply(limit, self.amount).scaleb(-2, _EXACT)

    def digits_of(self, left: Left) -> int:
        """Return how many digits after the point a key's amounts need, to read as low only if the key is."""
        is_low = self.is_low(left)

        def reads_right(digits: int) -> bool:
            limit = None if left.limit is None else float(rounded(left.limit, digits=digits))
            remaining = float(rounded(left.remaining, digits=digits))
            return self.is_low(Amounts(left.id, remaining, limit)) == is_low

        return next(filter(reads_right, count(2)))

    def __str__(self) -> str:
        exact = self.amount.normalize(_EXACT)
        if self.of_limit:
            return f"{exact:f}% of the limit"
        return usd(exact, digits=max(2, -int(exact.as_tuple().exponent)))
