"""
What triggers tell: plain JSON with a version, for another process, maybe of another release, will read it.

``{"version": 1, "status": "low", "keys": […]}`` tells the low keys, the lowest first, and
``{"version": 1, "status": "error", "error": "OpenRouterAuthError", "message": "…", "status_code": 401}`` why
there is nothing to tell. To an asset, ``{"version": 1, "status": "low", "keys": […], "low_count": 7}`` tells the
keys that newly crossed the threshold, and how many are low in all. Keys are the API's own dicts, with
``observed_at`` (ISO 8601, UTC) beside, and to an asset with ``threshold``, too.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import OpenRouterError, without_task_retries
from airflow_provider_openrouter.watch.rule import LimitCheck, Record

VERSION = 1


def low_event(keys: list[Record]) -> dict[str, Any]:
    """Tell the low keys, the lowest first."""
    return {"version": VERSION, "status": "low", "keys": keys}


def crossing_event(check: LimitCheck, crossed: list[Record]) -> dict[str, Any]:
    """Tell the keys that newly crossed the threshold, the lowest first, and how many are low in all."""
    beside = {"threshold": check.threshold.argument, "observed_at": check.observed_at.isoformat()}
    return low_event([key | beside for key in crossed]) | {"low_count": len(check.low)}


def error_event(error: Exception) -> dict[str, Any]:
    """Tell an error. Of one that is not Airflow's or ours only the kind is told: its text may hold anything."""
    kind = type(error).__name__
    known = isinstance(error, AirflowException)
    return {
        "version": VERSION,
        "status": "error",
        "error": kind,
        "message": str(error) if known else f"{kind} ended the wait. The log of the triggerer has its traceback.",
        "status_code": error.status_code if isinstance(error, OpenRouterError) else None,
    }


def read_event(event: Any) -> list[Record]:
    """
    Answer the low keys that an event tells.

    :raises OpenRouterError: what the event tells; it fails without task retries.
    :raises AirflowException: if the event tells an error that is not ours, or is not one to be understood.
    """
    if not isinstance(event, dict) or event.get("version") != VERSION:
        version = event.get("version") if isinstance(event, dict) else None
        raise AirflowException(
            f"The trigger's event is of version {version!r}, not {VERSION}: run the same version of "
            "airflow-provider-openrouter on triggerers and workers."
        )
    keys = event.get("keys")
    if (
        event.get("status") == "low"
        and isinstance(keys, list)
        and keys
        and all(isinstance(k, dict) for k in keys)
    ):
        return keys
    message = event.get("message")
    if event.get("status") != "error" or not isinstance(message, str):
        raise AirflowException("The trigger's event tells neither low keys nor an error. Run the task again.")
    kind = getattr(exceptions, str(event.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, OpenRouterError)):
        raise AirflowException(message)
    raise without_task_retries(kind(message, status_code=event.get("status_code")))
