"""Words for logs, messages and errors: text from elsewhere, amounts, times, counts and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_LONGEST_CELL = 200
_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9])")
"""What Markdown takes as markup within a cell. An underscore within a word is none."""


def plain(text: Any, *, longest: int = 80) -> str:
    """
    Return a text as part of a line: short, and without line breaks or characters that move a cursor.

    :param text: text from elsewhere; None is empty text.
    :param longest: how many characters are kept.
    """
    text = "" if text is None else str(text)
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(text.split())[:longest]


def sentence(text: object) -> str:
    """Return a text with a full stop at its end, unless it has one, or another mark that ends a sentence."""
    said = str(text).rstrip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def usd(amount: float | Decimal, *, digits: int = 2) -> str:
    """
    Return an amount of USD as people write it, such as ``$4,317.22``.

    :param digits: how many digits after the point at least; an amount below a cent has 6.
    """
    shown = rounded(amount, digits=digits)
    return f"{'-' if amount < 0 else ''}${abs(shown):,f}"


def rounded(amount: float | Decimal, *, digits: int = 2) -> Decimal:
    """Return an amount as :func:`usd` shows it."""
    exact = Decimal(str(amount))
    digits = max(digits, 6) if 0 < abs(exact) < Decimal("0.01") else digits
    return Decimal(f"{exact:.{digits}f}")


def duration(seconds: float) -> str:
    """Return a time in the largest unit that fits, such as ``40 s``, ``1.5 h`` or ``3 days``."""
    units = (("days", 86_400, 2), ("h", 3_600, 1), ("min", 60, 2), ("s", 1, 0))
    unit, size = next((unit, size) for unit, size, least in units if seconds >= least * size)
    return f"{seconds / size:,.1f}".removesuffix(".0") + f" {unit}"


def moment(time: datetime) -> str:
    """Return a time as part of a line, such as ``2026-12-01 at 00:00 UTC``; it has its time zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d at %H:%M} UTC"


def count(number: int, noun: str, plural: str = "") -> str:
    """
    Return a number with its noun, such as ``1 key`` or ``2,000 keys``.

    :param plural: the noun in the plural, if it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    Return a table in Markdown, without the columns that are empty in every row.

    :param columns: the heads of the columns.
    :param rows: the cells; whatever they contain is shown as it is, in one line.
    """
    cells = [[_escape(plain(cell, longest=_LONGEST_CELL)) for cell in row] for row in rows]
    kept = [place for place in range(len(columns)) if any(row[place] for row in cells)]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join("| " + " | ".join(line[place] for place in kept) + " |" for line in lines)


def _escape(text: str) -> str:
    """Return a text in which nothing is markup: neither Markdown nor the HTML that Markdown may contain."""
    html = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\g<0>", html)
