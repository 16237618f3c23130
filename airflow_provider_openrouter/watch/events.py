"""
The events of triggers: plain JSON with a version, as another process, maybe of another release, reads it.

``{"version": 1, "status": "low", "keys": […]}`` has the low keys, the lowest first, and
``{"version": 1, "status": "error", "error": "OpenRouterAuthError", "message": "…", "status_code": 401}`` why the
wait ended. For an asset, ``{"version": 1, "status": "low", "keys": […], "low_count": 7}`` has the keys that newly
crossed the threshold, and how many are low in all. Keys are the API's own dicts, with ``observed_at`` (ISO 8601,
UTC) added, with ``workspace_name`` where that was read, and for an asset with ``threshold``. Only in an event of
more than 4 MB a long key lacks its longest fields, and ``fields_left_out`` says how many.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import OpenRouterError, without_task_retries
from airflow_provider_openrouter.keys import FIELDS, Key
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.watch.check import Check
from airflow_provider_openrouter.watch.messages import format_message
from airflow_provider_openrouter.watch.threshold import L

VERSION = 1

LARGEST = 4_000_000
"""
Characters of JSON up to which the keys of an event are kept whole.

A triggerer logs each event before it goes on, and reads that line 4 kB at a time, between its other work. On
Airflow 3.3.2 two events of 50 MB kept it for 160 seconds; after 30 it counts as dead, and another one takes over.
"""

SHARE = 2_000
"""Characters that each key of a larger event may have in any case: a usual key has 700."""

NOT_UNDERSTOOD = "The trigger's event has neither low keys nor an error. Run the task again."

KEPT_FIRST = FIELDS.keys() | {"observed_at", "workspace_name", "threshold"}


def low_event(check: Check[L], found: Sequence[L]) -> dict[str, Any]:
    """Return the event of some of what is low, the lowest first."""
    event = {"version": VERSION, "status": "low", **check.event(found)}
    return event | {"message": format_message(event)}


def shorten(keys: list[Key]) -> list[Key]:
    """Return the keys of an event, without their longest fields if it would be too long."""
    if len(json.dumps(keys)) <= LARGEST:
        return keys
    share = max(LARGEST // len(keys), SHARE)
    return [_shorten(key, share) for key in keys]


def _shorten(key: Key, share: int) -> Key:
    """Return what there is room for of a key: known fields and short ones first."""
    sizes = {name: len(json.dumps({name: value})) for name, value in key.items()}
    kept = set()
    for name in sorted(sizes, key=lambda name: (name not in KEPT_FIRST, sizes[name])):
        if sizes[name] <= share:
            kept.add(name)
            share -= sizes[name]
    left_out = len(key) - len(kept)
    return {name: key[name] for name in key if name in kept} | {"fields_left_out": left_out} if left_out else key


def error_event(error: Exception) -> dict[str, Any]:
    """
    Return the event of an error.

    The text of errors that are neither Airflow's nor ours is left out, as it may contain anything.
    """
    kind = type(error).__name__
    known = isinstance(error, AirflowException)
    message = str(error) if known else f"{kind} ended the wait. The triggerer's log has the traceback."
    return {
        "version": VERSION,
        "status": "error",
        "error": kind,
        "message": fit(message),
        "status_code": error.status_code if isinstance(error, OpenRouterError) else None,
    }


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
