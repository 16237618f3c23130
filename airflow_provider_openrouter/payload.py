"""
Values for Airflow (results, XComs, events and extras), in a form that every part of it can carry.

On its way a value passes Airflow's serialisers, the frames between its processes, its API and its database. Each
of them stops at something that JSON allows, and an event that one of them cannot carry ends the whole triggerer.
Such values are changed here; all others are passed on unchanged.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import to_json

T = TypeVar("T")

NUMBERS = (-(2.0**63), 2.0**63)
"""
Numbers from the first up to, but not including, the second stay numbers.

Airflow's processes talk in msgpack, which holds integers of 64 bits. Floats must be as small, because jsonb of
PostgreSQL, in which Airflow keeps XComs, turns 1e21 into an integer.
"""

LEVELS = 32
"""
How deeply dicts and lists may be nested.

MySQL takes 100 levels of JSON, pydantic 255. Up to Airflow 3.1 a deferral doubles those of an event.
"""

_RESERVED = re.compile(r"(?:field)*__")


def fit(value: T) -> T:
    """
    Return a value of JSON that all of Airflow can carry: the same object, unless something in it must be changed.

    - A number beyond 64 bits becomes text.
    - A name that begins with two underscores, with which Airflow marks what it has serialised, begins with
      ``field__``. One that begins so already gets one more ``field``, so that no two names become one.
    - What is nested more than 32 levels deep becomes text, as JSON.
    - Characters that UTF-8 or a database cannot hold are replaced.

    Never call it on its own result: names would be changed once more.
    """
    return value if _is_plain(value) else _fit(value, LEVELS)


def _is_plain(value: Any) -> bool:
    """Return whether a value is a flat dict in which nothing must be changed, as most are."""
    if not isinstance(value, dict) or "__" in (names := "".join(value)) or not _is_plain_text(names):
        return False
    lowest, beyond = NUMBERS
    for inner in value.values():
        kind = type(inner)
        if kind is str:
            if not _is_plain_text(inner):
                return False
        elif kind is float or kind is int:
            if not lowest <= inner < beyond:
                return False
        elif inner is not None and kind is not bool:
            return False
    return True


def _fit(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return _fit_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        lowest, beyond = NUMBERS
        return value if lowest <= value < beyond else str(value)
    if not levels:
        return _fit_text(_to_json(value))
    fitted: Any
    if isinstance(value, dict):
        fitted = {_fit_name(name): _fit(inner, levels - 1) for name, inner in value.items()}
    else:
        fitted = [_fit(inner, levels - 1) for inner in value]
    return value if fitted == value else fitted


def _fit_name(name: str) -> str:
    return _fit_text(f"field{name}" if "__" in name and _RESERVED.match(name) else name)


def _is_plain_text(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _fit_text(text: str) -> str:
    if _is_plain_text(text):
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _to_json(value: Any) -> str:
    try:
        return to_json(value)
    except OpenRouterResponseError:
        # A thread has the whole stack to itself, so it can write whatever could be read.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(to_json, value).result()
