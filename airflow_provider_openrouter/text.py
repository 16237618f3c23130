"""Text that came from elsewhere, in the lines of a log and in errors."""

from __future__ import annotations

from typing import Any


def plain(text: Any, *, longest: int = 80) -> str:
    """
    Answer a text as part of a line: short, and without what begins a line or moves a cursor.

    :param longest: how many characters are kept.
    """
    characters = (character if character.isprintable() else " " for character in str(text or ""))
    return " ".join("".join(characters).split())[:longest]
