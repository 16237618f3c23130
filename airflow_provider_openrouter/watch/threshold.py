"""How little may remain of a key before it is low."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import count, takewhile
from numbers import Real
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import LimitedKey
from airflow_provider_openrouter.text import rounded, usd

_EXACT = Context(prec=60)


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

    def measures(self, key: LimitedKey) -> bool:
        """Return whether a key can be compared with it: for a percentage, the key needs a limit above 0."""
        return not self.of_limit or (key.limit is not None and key.limit > 0)

    def find_low(self, keys: list[LimitedKey]) -> list[LimitedKey]:
        """Return the low keys among keys that it measures, which are sorted by what remains."""
        if not self.of_limit:
            return list(takewhile(self.is_low, keys))
        # Floats preselect, because comparing decimals takes forty times as long.
        generous = float(self.amount) * 1.000001 / 100
        near = (key for key in keys if key.limit is not None and key.remaining <= key.limit * generous)
        return [key for key in near if self.is_low(key)]

    def is_low(self, key: LimitedKey, *, margin: Threshold | None = None) -> bool:
        """Return whether less remains of a key than this, and than the margin on top of it if there is one."""
        bound = self._usd(key) if margin is None else _EXACT.add(self._usd(key), margin._usd(key))
        return Decimal(str(key.remaining)) < bound

    def _usd(self, key: LimitedKey) -> Decimal:
        if not self.of_limit:
            return self.amount
        limit = Decimal(str(max(0.0, key.limit or 0.0)))
        return _EXACT.multiply(limit, self.amount).scaleb(-2, _EXACT)

    def digits_of(self, key: LimitedKey) -> int:
        """Return how many digits after the point a key's amounts need, to read as low only if the key is."""
        is_low = self.is_low(key)

        def reads_right(digits: int) -> bool:
            limit = None if key.limit is None else float(rounded(key.limit, digits=digits))
            remaining = float(rounded(key.remaining, digits=digits))
            return self.is_low(LimitedKey(key.key, remaining, limit)) == is_low

        return next(filter(reads_right, count(2)))

    def __str__(self) -> str:
        exact = self.amount.normalize(_EXACT)
        if self.of_limit:
            return f"{exact:f}% of the limit"
        return usd(exact, digits=max(2, -int(exact.as_tuple().exponent)))
