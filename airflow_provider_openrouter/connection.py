"""
The fields of an Airflow connection to OpenRouter, with their defaults and bounds.

The form, the hook and the client take them from here. Airflow reads this at every start, so it imports nothing
heavy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

CONN_TYPE = "openrouter"
DEFAULT_CONN_ID = "openrouter_default"
DEFAULT_BASE_URL = "https://openrouter.ai/api/v1"
KEYS_PAGE = "https://openrouter.ai/settings/keys"
MANAGEMENT_KEYS_PAGE = "https://openrouter.ai/settings/management-keys"
CREDITS_PAGE = "https://openrouter.ai/settings/credits"
STATUS_PAGE = "https://status.openrouter.ai"


@dataclass(frozen=True, kw_only=True)
class Extra:
    """
    An extra of the connection: an argument of the client with the same name.

    :param name: its name.
    :param label: its label in the form.
    :param description: its description in the form, without bounds and default.
    :param kind: the type of its values; a float may be a whole number.
    :param default: the value if it is not set.
    :param bounds: the lowest and highest number allowed.
    :param unit: the unit of a number.
    """

    name: str
    label: str
    description: str
    kind: type[bool] | type[int] | type[float]
    default: Any
    bounds: tuple[float, float] | None = None
    unit: str = ""

    @property
    def rule(self) -> str:
        """The allowed values, in words."""
        if self.bounds is None:
            return "true or false"
        least, most = self.bounds
        number = "a whole number" if self.kind is int else "a number"
        unit = f" of {self.unit}" if self.unit else ""
        return f"{number}{unit} from {least} to {most:,}"

    def allows(self, value: Any) -> bool:
        """Return whether a value is of its kind and within its bounds."""
        if self.bounds is None or isinstance(value, bool):
            return self.bounds is None and isinstance(value, bool)
        least, most = self.bounds
        return isinstance(value, int if self.kind is int else int | float) and least <= value <= most

    @property
    def form_field(self) -> dict[str, Any]:
        """The field of the form, as ``airflow/provider.yaml.schema.json`` defines it."""
        schema: dict[str, Any] = {"type": [JSON_TYPES[self.kind], "null"]}
        if self.bounds is not None:
            schema["minimum"], schema["maximum"] = self.bounds
        rule = f"{self.rule[0].upper()}{self.rule[1:]}"
        return {
            "label": self.label,
            "description": f"{self.description} {rule}; default: {json.dumps(self.default)}.",
            "schema": schema,
        }


JSON_TYPES = {bool: "boolean", int: "integer", float: "number"}

TIMEOUT = Extra(
    name="timeout",
    label="Timeout (seconds)",
    description="For one request, its body included.",
    kind=float,
    default=30,
    bounds=(0.1, 86_400),
    unit="seconds",
)
MAX_RETRIES = Extra(
    name="max_retries",
    label="Retries",
    description="How often a request is tried again after a temporary error.",
    kind=int,
    default=5,
    bounds=(0, 100),
)
MAX_CONCURRENCY = Extra(
    name="max_concurrency",
    label="Concurrency",
    description="Requests of one listing under way at once.",
    kind=int,
    default=8,
    bounds=(1, 100),  # urllib3 allocates a slot for each at the start
)
ALLOW_HTTP = Extra(
    name="allow_http",
    label="Allow plain HTTP",
    description="Send the key unencrypted to a host other than this machine.",
    kind=bool,
    default=False,
)
ALLOW_UPDATES = Extra(
    name="allow_updates",
    label="Allow updates",
    description="Let tasks with this connection change keys: limit, reset, name, and whether they are disabled.",
    kind=bool,
    default=False,
)
EXTRAS = {extra.name: extra for extra in (TIMEOUT, MAX_RETRIES, MAX_CONCURRENCY, ALLOW_HTTP, ALLOW_UPDATES)}

PLACES = {
    "management_key": "The management key is the password",
    "base_url": "The base URL is the host",
    **{name: f"The setting is the extra {name}" for name in EXTRAS},
}
"""Where the connection keeps each argument of the client."""

FORM: dict[str, Any] = {
    "hidden-fields": ["login", "schema"],
    "relabeling": {"host": "Base URL", "password": "Management API key"},  # nosec B105  # a label
    "placeholders": {
        "host": DEFAULT_BASE_URL,
        "port": '443. "Test" needs it on Airflow 3.3.1 and 3.3.2',
        "password": f"sk-or-v1-… from {MANAGEMENT_KEYS_PAGE}",  # nosec B105
    },
}
"""How the form shows the fields that every connection has."""
