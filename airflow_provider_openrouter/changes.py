"""
What of a key can be changed, and to what.

The fields are those of ``PATCH /keys/{hash}`` in OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/api-keys/update) of 2026. Moving a key to another workspace is left out:
a key that moves can be missed by a listing of all workspaces.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from airflow_provider_openrouter.arguments import require_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import Key, read_amount, read_flag, read_text

UNCHANGED: Final = "unchanged"
"""Stands for "leave it as it is" where None has a meaning: no limit, or a limit that never resets."""

LIMIT_RESETS = ("daily", "weekly", "monthly")

READERS = {"name": read_text, "disabled": read_flag, "limit": read_amount, "limit_reset": read_text}
"""How each field that can be changed is read from a key."""

_NONE = ("none", "null")
"""What a template makes of None, in lower case."""


def read_changes(
    *,
    limit: Any = UNCHANGED,
    limit_reset: Any = UNCHANGED,
    disabled: Any = None,
    name: Any = None,
) -> dict[str, Any]:
    """
    Return the fields to change and their new values, read from arguments that may come from templates.

    :param limit: USD, None for no limit.
    :param limit_reset: ``"daily"``, ``"weekly"`` or ``"monthly"``, None for never.
    :param disabled: whether the key is disabled; None leaves it as it is.
    :param name: the name; None leaves it as it is.
    :raises OpenRouterRequestError: if one of them makes no sense.
    """
    changes: dict[str, Any] = {}
    if limit != UNCHANGED:
        changes["limit"] = None if _is_none(limit) else read_usd("limit", limit)
    if limit_reset != UNCHANGED:
        changes["limit_reset"] = None if _is_none(limit_reset) else _read_limit_reset(limit_reset)
    if disabled is not None:
        changes["disabled"] = require_flag("disabled", disabled)
    if name is not None:
        changes["name"] = _read_name(name)
    return changes


def read_usd(name: str, value: Any) -> float:
    """
    Read an amount of USD that may be a rendered template.

    :raises OpenRouterRequestError: if it is not a number of 0 or more.
    """
    amount = read_amount(value.strip() if isinstance(value, str) else value)
    if amount is None or not 0 <= amount < math.inf:
        raise OpenRouterRequestError(f"{name} must be USD of 0 or more, such as 50, not {value!r}.")
    return amount


def changes_of(key: Key) -> dict[str, Any]:
    """Return the fields of a key that can be changed, and what remains of its limit, each as it is read."""
    return {name: read(key.get(name)) for name, read in (READERS | {"limit_remaining": read_amount}).items()}


def limit_for(key: Key, remaining: float) -> float | None:
    """
    Return the limit at which so much remains of a key, or None if that much or more does, or it has no limit.

    It is computed from ``limit_remaining`` and in decimals: ``usage`` is lifetime, and not what the limit counts.

    :raises OpenRouterRequestError: if the key has a limit, and what remains of it is not known.
    """
    limit, left = read_amount(key.get("limit")), read_amount(key.get("limit_remaining"))
    if key.get("limit") is None or (left is not None and left >= remaining):
        return None
    if limit is None or left is None:
        raise OpenRouterRequestError("The server does not say what remains of the key. Set limit, not remaining.")
    return float(Decimal(str(limit)) + Decimal(str(remaining)) - Decimal(str(left)))


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NONE)


def _read_limit_reset(value: Any) -> str:
    if value not in LIMIT_RESETS:
        raise OpenRouterRequestError(
            f"limit_reset must be {', '.join(LIMIT_RESETS)}, or None for never, not {value!r}."
        )
    return str(value)


def _read_name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise OpenRouterRequestError(f"name must be text, not {value!r}.")
    return value
