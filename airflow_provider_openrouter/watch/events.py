"""
The events of triggers: plain JSON with a version, as another process, maybe of another release, reads it.

Each has ``version`` and ``status``, and a ``message`` that people can read.

- ``low``: ``keys`` has the low keys, at most a hundred, the lowest first: the API's own dicts, with what
  :meth:`~airflow_provider_openrouter.watch.check.Check.record` adds. ``total`` says how many they are, and
  ``low_count`` how many are low in all: for an asset, ``keys`` are those that newly crossed the threshold. A key
  of more than 40,000 characters lacks its longest fields, and ``fields_left_out`` says how many. If the account's
  credits are low, the event has the fields of its record instead: ``balance`` and others.
- ``error``: why a wait ended, as ``error``, ``message`` and ``status_code``; or that a watch for an asset fails,
  with the reason as ``cause``, with ``failing_since``, ``failures``, ``connection`` and ``rule``.
- ``recovered``: that such a watch works again, with ``failing_since``, ``observed_at``, ``connection`` and
  ``rule``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import OpenRouterError, without_task_retries
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.watch.check import Check, Finding
from airflow_provider_openrouter.watch.left import L
from airflow_provider_openrouter.watch.messages import format_message

VERSION = 1

ENVELOPE = {"version", "status", "message"}
"""The fields of every event."""

NOT_UNDERSTOOD = "The trigger's event has neither what is low nor an error. Run the task again."


def low_event(check: Check[L], found: Sequence[Finding[L]], *, connection: str) -> dict[str, Any]:
    """Return the event of some of what is low, the lowest first; its message names the connection."""
    event = {"version": VERSION, "status": "low", **check.event(found)}
    return event | {"message": format_message(event | {"connection": connection})}


def error_event(error: Exception) -> dict[str, Any]:
    """Return the event of an error that ended a wait."""
    return _error(error) | {"message": text_of(error, f"{type(error).__name__} ended the wait.")}


def failing_event(
    error: Exception, *, failing_since: str, failures: int, watched: dict[str, Any]
) -> dict[str, Any]:
    """
    Return the event of a watch that fails.

    :param error: what the last poll failed with.
    :param failing_since: when the first one of them failed (ISO 8601, UTC).
    :param failures: how many polls in a row have failed.
    :param watched: the fields that say what is watched.
    """
    event = _error(error) | {
        "cause": text_of(error),
        "failing_since": failing_since,
        "failures": failures,
        **watched,
    }
    return event | {"message": format_message(event)}


def recovered_event(*, failing_since: str, watched: dict[str, Any]) -> dict[str, Any]:
    """
    Return the event of a watch that works again.

    :param failing_since: when the first poll failed (ISO 8601, UTC).
    :param watched: the fields that say what is watched.
    """
    event = {
        "version": VERSION,
        "status": "recovered",
        "failing_since": failing_since,
        "observed_at": datetime.now(UTC).isoformat(),
        **watched,
    }
    return event | {"message": format_message(event)}


def _error(error: Exception) -> dict[str, Any]:
    """Return what the event of an error has beside its text."""
    return {
        "version": VERSION,
        "status": "error",
        "error": type(error).__name__,
        "status_code": error.status_code if isinstance(error, OpenRouterError) else None,
    }


def text_of(error: Exception, otherwise: str = "") -> str:
    """
    Return the text of an error, unless it is neither Airflow's nor ours: that may contain anything.

    :param error: the error.
    :param otherwise: what is said of such an error instead; empty text names its class.
    """
    if isinstance(error, AirflowException):
        return fit(str(error))
    return f"{otherwise or f'An unexpected {type(error).__name__}.'} The triggerer's log has the traceback."


def read_event(event: Any) -> dict[str, Any]:
    """
    Return the event of what is low.

    :raises OpenRouterError: the error of the event; without task retries, unless the key was refused.
    :raises AirflowException: if the event has an error that is not ours, or cannot be understood.
    """
    if not isinstance(event, dict) or event.get("version") != VERSION:
        version = event.get("version") if isinstance(event, dict) else None
        raise AirflowException(
            f"The trigger's event is of version {version!r}, not {VERSION}. Run the same version of "
            "airflow-provider-openrouter on triggerers and workers."
        )
    if event.get("status") == "low":
        return event
    message = event.get("message")
    if event.get("status") != "error" or not isinstance(message, str):
        raise AirflowException(NOT_UNDERSTOOD)
    kind = getattr(exceptions, str(event.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, OpenRouterError)):
        raise AirflowException(message)
    raise without_task_retries(kind(message, status_code=event.get("status_code")))


def read_keys(event: Any) -> list[Key]:
    """
    Return the low keys of an event.

    :raises OpenRouterError: as :func:`read_event` does.
    :raises AirflowException: as :func:`read_event` does, and if the event has no low keys.
    """
    keys = read_event(event).get("keys")
    if not (isinstance(keys, list) and keys and all(isinstance(key, dict) for key in keys)):
        raise AirflowException(NOT_UNDERSTOOD)
    return keys


def read_account(event: Any) -> dict[str, Any]:
    """
    Return the record of the account in an event of low credits.

    :raises OpenRouterError: as :func:`read_event` does.
    :raises AirflowException: as :func:`read_event` does, and if the event has no account.
    """
    account = {name: value for name, value in read_event(event).items() if name not in ENVELOPE}
    if "balance" not in account:
        raise AirflowException(NOT_UNDERSTOOD)
    return account
