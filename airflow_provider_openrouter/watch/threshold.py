"""How little may be left of something before it is low: USD, a percentage of its limit, or a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal
from itertools import count, takewhile
from numbers import Real
from typing import Any, ClassVar

from airflow_provider_openrouter.arguments import find_span, span_text
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.text import rounded, usd
from airflow_provider_openrouter.watch.left import Amounts, L, Left

_EXACT = Context(prec=60)


class Threshold(ABC):
    """How little may be left of something before it is low."""

    reason: ClassVar[str]
    """What a record says of why something is low."""

    kind: ClassVar[str]
    """What it is called in errors."""

    @staticmethod
    def read(value: Any, *, name: str = "threshold") -> Threshold:
        """
        Read ``5``, ``"5.00"``, ``"10%"``, ``"3 days"`` or a ``timedelta``.

        :param name: what it is called in the error.
        :raises OpenRouterRequestError: if it is none of them.
        """
        span = find_span(value)
        threshold = _read_amount(value) if span is None else TimeThreshold(span)
        if threshold is None:
            raise OpenRouterRequestError(
                f'{name} must be USD such as 5, "10%" or "3 days", not {value!r}. USD must be 0 or more; a '
                "percentage is of the key's own limit, from 0 to 100; a time is in hours, days or weeks, above 0 "
                "and 366 days at most."
            )
        return threshold

    @property
    @abstractmethod
    def argument(self) -> float | str:
        """The threshold as an argument; equal thresholds have equal arguments."""

    @property
    def condition(self) -> str:
        """What is true of something that is low, such as ``below $5.00``."""
        return f"below {self}"

    def measures(self, left: Amounts) -> bool:
        """Return whether something can be compared with it."""
        return True

    def digits_of(self, left: Amounts) -> int:
        """Return how many digits after the point amounts need."""
        return 2

    @abstractmethod
    def is_low(self, left: Left) -> bool:
        """Return whether something is low."""

    @abstractmethod
    def find_low(self, lefts: Sequence[L]) -> list[L]:
        """Return what is low of what it measures, which is sorted: the lowest first."""

    @abstractmethod
    def is_armed(self, left: Left, *, margin: Threshold, lowest: float | None) -> bool:
        """
        Return whether something that was reported is armed again.

        :param margin: how far above the threshold it must be.
        :param lowest: the least that was left of it since, in USD, if that is known.
        """

    def details(self, left: Left) -> dict[str, Any]:
        """Return what a record says besides the reason and the threshold."""
        return {}


class AmountThreshold(Threshold):
    """A threshold that what remains is compared with, in decimals. A margin of either kind can be added."""

    reason = "limit"

    @abstractmethod
    def usd(self, limit: float | None) -> Decimal:
        """Return the threshold of something with this limit, in USD."""

    def is_low(self, left: Left) -> bool:
        """Return whether strictly less remains than this."""
        return self._is_below(left.remaining, left.limit)

    def is_armed(self, left: Left, *, margin: Threshold, lowest: float | None) -> bool:
        """Return whether no less remains than this and the margin."""
        extra = margin.usd(left.limit) if isinstance(margin, AmountThreshold) else Decimal(0)
        return Decimal(str(left.remaining)) >= _EXACT.add(self.usd(left.limit), extra)

    def digits_of(self, left: Amounts) -> int:
        """Return how many digits after the point amounts need, to read as low only if they are."""
        is_low = self._is_below(left.remaining, left.limit)

        def reads_right(digits: int) -> bool:
            limit = None if left.limit is None else float(rounded(left.limit, digits=digits))
            return self._is_below(float(rounded(left.remaining, digits=digits)), limit) == is_low

        return next(filter(reads_right, count(2)))

    def _is_below(self, remaining: float, limit: float | None) -> bool:
        return Decimal(str(remaining)) < self.usd(limit)


@dataclass(frozen=True, order=True)
class UsdThreshold(AmountThreshold):
    """
    An amount.

    :param amount: USD.
    """

    amount: Decimal
    kind = "USD"

    @property
    def argument(self) -> float:
        """The amount."""
        return float(self.amount)

    def usd(self, limit: float | None) -> Decimal:
        """Return the amount."""
        return self.amount

    def find_low(self, lefts: Sequence[L]) -> list[L]:
        """Return what is low of what is sorted by what remains."""
        return list(takewhile(self.is_low, lefts))

    def __str__(self) -> str:
        exact = self.amount.normalize()
        return usd(exact, digits=max(2, -int(exact.as_tuple().exponent)))


@dataclass(frozen=True, order=True)
class PercentThreshold(AmountThreshold):
    """
    A percentage of each limit.

    :param percent: of a hundred.
    """

    percent: Decimal
    kind = "a percentage"

    @property
    def argument(self) -> str:
        """The percentage as text."""
        return f"{float(self.percent)!r}%".replace(".0%", "%")

    def measures(self, left: Amounts) -> bool:
        """Return whether the limit is above 0."""
        return left.limit is not None and left.limit > 0

    def usd(self, limit: float | None) -> Decimal:
        """Return the percentage of a limit; nothing of none."""
        exact = Decimal(str(max(0.0, limit or 0.0)))
        return _EXACT.multiply(exact, self.percent).scaleb(-2, _EXACT)

    def find_low(self, lefts: Sequence[L]) -> list[L]:
        """Return what is low, in the same order."""
        # Floats preselect, because comparing decimals takes forty times as long.
        generous = float(self.percent) * 1.000001 / 100
        near = (left for left in lefts if left.limit is not None and left.remaining <= left.limit * generous)
        return [left for left in near if self.is_low(left)]

    def __str__(self) -> str:
        return f"{self.percent.normalize():f}% of the limit"


@dataclass(frozen=True, order=True)
class TimeThreshold(Threshold):
    """
    A time within which something runs dry at its pace, and before its next reset.

    :param span: the time.
    """

    span: timedelta
    reason = "runway"
    kind = "a time"

    @property
    def argument(self) -> str:
        """The time as text."""
        return span_text(self.span)

    @property
    def condition(self) -> str:
        """What is true of something that is low."""
        return f"dry within {self}"

    def is_low(self, left: Left) -> bool:
        """Return whether nothing is left, or it runs dry within the time and before its next reset."""
        return left.forecast.runs_dry_within(self.span, left.observed_at)

    def find_low(self, lefts: Sequence[L]) -> list[L]:
        """Return what is low of what is sorted by when it runs dry."""
        return list(takewhile(self.is_low, lefts))

    def is_armed(self, left: Left, *, margin: Threshold, lowest: float | None) -> bool:
        """
        Return whether it was reset or topped up and is not low, or lasts longer than this and the margin.

        Here the next reset does not count: what runs dry about then would be reported again and again. A margin
        that is no time is half of the threshold.
        """
        if lowest is not None and left.remaining > lowest:
            return not self.is_low(left)
        dry = left.forecast.runs_dry_at
        extra = margin.span if isinstance(margin, TimeThreshold) else self.span / 2
        return dry is None or dry - left.observed_at > self.span + extra

    def details(self, left: Left) -> dict[str, Any]:
        """Return the pace and when it runs dry."""
        dry = left.forecast.runs_dry_at
        return {"pace_usd_per_day": left.forecast.pace, "runs_dry_at": dry and dry.isoformat()}

    def __str__(self) -> str:
        return self.argument


def _read_amount(value: Any) -> AmountThreshold | None:
    if not isinstance(value, str | Real | Decimal):
        return None
    try:
        amount = float(Decimal(str(value).strip().removesuffix("%")))
    except (ArithmeticError, ValueError):
        return None
    is_percent = isinstance(value, str) and value.rstrip().endswith("%")
    if not 0 <= amount < math.inf or (is_percent and amount > 100):
        return None
    exact = Decimal(str(abs(amount)))
    return PercentThreshold(exact) if is_percent else UsdThreshold(exact)


def read_steps(value: Any) -> tuple[Threshold, ...]:
    """
    Read a threshold, or a list of them: the largest first, each once.

    :raises OpenRouterRequestError: if one makes no sense, or they are not of one kind.
    """
    if not isinstance(value, list | tuple):
        return (Threshold.read(value),)
    steps: set[Any] = {Threshold.read(each) for each in value}
    if len({step.kind for step in steps}) != 1:
        raise OpenRouterRequestError(
            f"threshold must be steps of one kind, not {value!r}. Use amounts of USD, percentages or times."
        )
    return tuple(sorted(steps, reverse=True))


def read_margin(value: Any, threshold: Threshold) -> Threshold:
    """
    Read a ``rearm_margin``. 0, its default, is half of a threshold that is a time.

    :param threshold: what it is the margin of.
    :raises OpenRouterRequestError: if it makes no sense, or only one of both is a time.
    """
    margin = Threshold.read(value, name="rearm_margin")
    is_default = isinstance(margin, UsdThreshold) and not margin.amount
    if isinstance(margin, TimeThreshold) == isinstance(threshold, TimeThreshold) or is_default:
        return margin
    kind = "a time" if isinstance(threshold, TimeThreshold) else "USD or a percentage"
    raise OpenRouterRequestError(f"rearm_margin must be {kind} like the threshold, not {value!r}.")
