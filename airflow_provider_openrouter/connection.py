"""
The fields of an Airflow connection to OpenRouter, with their defaults and bounds.

The form, the hook and the client take them from here. Airflow reads this at every start, so that nothing else is
imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CONN_TYPE = "openrouter"
DEFAULT_CONN_ID = "openrouter_default"
DEFAULT_BASE_URL = "https://openrouter.ai/api/v1"
MANAGEMENT_KEYS_PAGE = "https://openrouter.ai/settings/management-keys"


def _true_or_false(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


@dataclass(frozen=True, kw_only=True)
class Extra:
    """
    An extra of the connection, which is an argument of the client of the same name.

    :param name: its name.
    :param label: what the form calls it.
    :param description: what the form says about it, without its bounds and its default.
    :param read: makes a value of text.
    :param default: what holds if it is not set.
    :param bounds: the least and the most that it may be; None for a flag.
    :param above: whether the least itself is too little.
    :param unit: what a number counts.
    """

    name: str
    label: str
    description: str
    read: Callable[[str], Any]
    default: Any
    bounds: tuple[int, int] | None = None
    above: bool = False
    unit: str = ""

    @property
    def rule(self) -> str:
        """What it must be, in words."""
        if self.bounds is None:
            return "true or false"
        least, most = self.bounds
        kind = "a whole number" if self.read is int else "a number"
        unit = f" of {self.unit}" if self.unit else ""
        return f"{kind}{unit} {f'above {least}, at most' if self.above else f'from {least} to'} {most:,}"

    def allows(self, value: Any) -> bool:
        """Return whether a value is within the bounds."""
        if self.bounds is None:
            return isinstance(value, bool)
        least, most = self.bounds
        return bool((least < value if self.above else least <= value) and value <= most)

    @property
    def form_field(self) -> dict[str, Any]:
        """The field of the form, as ``airflow/provider.yaml.schema.json`` has it."""
        kind = "boolean" if self.bounds is None else "integer" if self.read is int else "number"
        schema: dict[str, Any] = {"type": [kind, "null"]}
        if self.bounds is not None:
            least, most = self.bounds
            schema |= {"exclusiveMinimum" if self.above else "minimum": least, "maximum": most}
        rule = f"{self.rule[0].upper()}{self.rule[1:]}"
        return {
            "label": self.label,
            "description": f"{self.description} {rule}; default: {json.dumps(self.default)}.",
            "schema": schema,
        }


TIMEOUT = Extra(
    name="timeout",
    label="Timeout (seconds)",
    description="For one request, its body included.",
    read=float,
    default=30,
    bounds=(0, 86_400),
    above=True,
    unit="seconds",
)
MAX_RETRIES = Extra(
    name="max_retries",
    label="Retries",
    description="How often a request is tried again after a temporary error.",
    read=int,
    default=5,
    bounds=(0, 100),
)
MAX_CONCURRENCY = Extra(
    name="max_concurrency",
    label="Concurrency",
    description="Requests of one listing under way at once.",
    read=int,
    default=8,
    bounds=(1, 100),  # urllib3 makes room for all of them at the start
)
ALLOW_HTTP = Extra(
    name="allow_http",
    label="Allow plain HTTP",
    description="Send the key unencrypted to a host other than this machine.",
    read=_true_or_false,
    default=False,
)
EXTRAS = {extra.name: extra for extra in (TIMEOUT, MAX_RETRIES, MAX_CONCURRENCY, ALLOW_HTTP)}

PLACES = {
    "management_key": "the password",
    "base_url": "the host",
    **{name: f"the extra {name}" for name in EXTRAS},
}
"""Where the connection keeps each argument of the client."""

FORM: dict[str, Any] = {
    "hidden-fields": ["login", "schema"],
    "relabeling": {"host": "Base URL", "password": "Management API key"},  # nosec B105  # a label
    "placeholders": {
        "host": DEFAULT_BASE_URL,
        "port": "443, unless the base URL names another",
        "password": f"sk-or-v1-… from {MANAGEMENT_KEYS_PAGE}",  # nosec B105
    },
}
"""How the form shows the fields that every connection has."""
