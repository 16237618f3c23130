"""What the API returns as one object: the key that sends the requests, and the credits of its account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_openrouter.api.transport import Transport
from airflow_provider_openrouter.connection import MANAGEMENT_KEYS_PAGE
from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterResponseError
from airflow_provider_openrouter.keys import is_management_key


def get_object(transport: Transport, path: str) -> dict[str, Any]:
    """
    Return the object under ``data`` in the response to ``GET path``.

    :raises OpenRouterResponseError: if it is no object.
    """
    record: Any = transport.get(path, {})
    if not isinstance(record, dict):
        raise OpenRouterResponseError(
            f"{path} answered no object under 'data'. Check that the base URL is the API's.", about="base_url"
        )
    return record


def get_credits(transport: Transport) -> Credits:
    """
    Return the account's credits.

    :raises OpenRouterAuthError: if both totals are 0, and the key is an inference key: such keys have been shown
        zeros instead of an error.
    """
    observed_at = datetime.now(UTC)
    credits_ = Credits.read(get_object(transport, "/credits"), observed_at=observed_at)
    shows_nothing = not credits_.total_credits and not credits_.total_usage
    if shows_nothing and is_management_key(get_object(transport, "/key")) is False:
        raise OpenRouterAuthError(
            "The key is an inference key, to which the API shows credits of 0. Create a management key at "
            f"{MANAGEMENT_KEYS_PAGE}.",
            about="management_key",
        )
    return credits_
