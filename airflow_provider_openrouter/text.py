"""Words for logs and errors: text from elsewhere, amounts, times and counts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def plain(text: Any, *, longest: int = 80) -> str:
    """
    Return a text as part of a line: short, and without line breaks or characters that move a cursor.

    :param text: text from elsewhere; None is empty text.
    :param longest: how many characters are kept.
    """
    text = "" if text is None else str(text)
    characters = (character if character.isprintable() else " " for character in text)
    return " ".join("".join(characters).split())[:longest]


def usd(amount: float | Decimal) -> str:
    """Return an amount of USD as people write it, such as ``$4,317.22``."""
    exact = Decimal(str(amount))
    digits = 2 if exact == 0 or abs(exact) >= Decimal("0.01") else 6
    return f"{'-' if exact < 0 else ''}${abs(exact):,.{digits}f}"


def duration(seconds: float) -> str:
    """Return a time in the largest unit that fits, such as ``40 s``, ``1.5 h`` or ``3 days``."""
    units = (("days", 86_400, 2), ("h", 3_600, 1), ("min", 60, 2), ("s", 1, 0))
    unit, size = next((unit, size) for unit, size, least in units if seconds >= least * size)
    return f"{seconds / size:,.1f}".removesuffix(".0") + f" {unit}"


def count(number: int, noun: str, plural: str = "") -> str:
    """
    Return a number with its noun, such as ``1 key`` or ``2,000 keys``.

    :param plural: the noun in the plural, if it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
