"""The watchers of assets and how they are, from Airflow's own database. It needs Airflow 3.1 or newer."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow.configuration import conf
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.trigger import Trigger
from airflow.providers.common.compat.sdk import AirflowException
from sqlalchemy import select

from airflow_provider_openrouter.keys import read_time
from airflow_provider_openrouter.text import plain, sentence
from airflow_provider_openrouter.watch.events import VERSION
from airflow_provider_openrouter.watch.messages import format_line
from airflow_provider_openrouter.watch.status import LONGEST, MAX_AGE, read_status

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

get_state_backend: Any
try:
    from airflow.state import AssetScope, get_state_backend
except ImportError:  # before Airflow 3.3
    get_state_backend = None

WATCHES = {
    f"airflow_provider_openrouter.triggers.openrouter.OpenRouter{kind}EventTrigger": watches
    for kind, watches in {"KeyLimit": "keys", "Credits": "credits"}.items()
}
"""What is watched, by the class paths of the event triggers."""

STATES = ("failing", "not running", "unknown", "watching")
"""The states of watchers, in the order in which they are shown."""

STATUSES = ("low", "error", "recovered")
"""The statuses of events."""

SEARCHED = 5
"""How many of an asset's newest events are searched for one of a watcher; others may send some as well."""

KEPT_NOWHERE = (
    "Before version 3.3, Airflow does not keep the state of watchers. The page cannot know when they last polled "
    "or whether they fail. What they report starts DAG runs all the same."
)
KEPT_ELSEWHERE = (
    "Airflow keeps the state of watchers outside its database, because [workers] state_store_backend is set. The "
    "page cannot know when they last polled or whether they fail."
)
SHARED = (
    "Several assets share this watcher, so Airflow keeps no state for it. Give each asset a trigger with other "
    "arguments."
)
UNREADABLE = (
    "The arguments of this watcher cannot be read: {} Run the same release of airflow-provider-openrouter, with "
    "the same Fernet key, on the API server and the triggerer."
)


def show_watchers(
    session: Session, *, dag_ids: Collection[str], may_read_connection: Callable[[str], bool]
) -> dict[str, Any]:
    """
    Return the watchers of assets, those that fail first, and a notice about what cannot be known of them.

    :param session: a session of Airflow's database.
    :param dag_ids: the DAGs that are shown, and whose assets are.
    :param may_read_connection: whether a connection, and what watches with it, is shown.
    """
    watchers = [
        {"asset": asset.name, "dags": dags, **shown}
        for row in session.scalars(select(Trigger).where(Trigger.classpath.in_(WATCHES)).order_by(Trigger.id))
        for asset in row.assets
        if (dags := sorted({each.dag_id for each in asset.scheduled_dags} & set(dag_ids)))
        for shown in _show(row, asset, may_read_connection, session)
    ]
    watchers.sort(key=lambda each: (STATES.index(each["state"]), each["asset"]))
    return {"notice": _notice() if watchers else None, "watchers": watchers}


def _notice() -> str | None:
    if get_state_backend is None:
        return KEPT_NOWHERE
    return KEPT_ELSEWHERE if conf.get("workers", "state_store_backend", fallback=None) else None


def _show(
    row: Trigger, asset: AssetModel, may_read_connection: Callable[[str], bool], session: Session
) -> Iterator[dict[str, Any]]:
    """Yield how a trigger watches for an asset, unless its connection is not to be shown."""
    conn_id = trigger = fault = None
    try:
        arguments = row.kwargs
        conn_id = arguments["openrouter_conn_id"]
        trigger = resolve_name(row.classpath)(**arguments)
    except Exception as error:
        fault = UNREADABLE.format(_name(error))
    if conn_id is not None and not may_read_connection(conn_id):
        return
    said: dict[str, Any] = {}
    if trigger:
        said = _read_status(asset, trigger.status_key, session) or {}
        fault = SHARED if get_state_backend and len(list(row.assets)) > 1 else None
    yield {
        "watches": WATCHES[row.classpath],
        "connection": conn_id,
        "scope": str(trigger.source.scope) if trigger and trigger.source.scope else None,
        "rule": str(trigger.rule) if trigger else None,
        "poll_interval": trigger and trigger.poll_interval,
        "state": _state(row, said, trigger),
        **{field: said.get(field) for field in ("looked_at", "failing_since", "watched", "low")},
        "failures": said.get("failures", 0),
        "error": said.get("error") or fault,
        "reported": said.get("reported") or _find_report(asset, session),
    }


def _name(error: Exception) -> str:
    """Return the text of an error as a sentence, or the name of one that may contain anything."""
    known = isinstance(error, AirflowException)
    return sentence(plain(error, longest=LONGEST) if known else type(error).__name__)


def _state(row: Trigger, said: dict[str, Any], trigger: Any) -> str:
    if row.triggerer_job is None or not row.triggerer_job.is_alive():
        return "not running"
    looked_at = read_time(said.get("looked_at"))
    if not looked_at:
        return "unknown"
    if said["failing_since"]:
        return "failing"  # its pauses can be as long as the server asks for
    silent = (datetime.now(UTC) - looked_at).total_seconds()
    return "not running" if silent > MAX_AGE + 3 * trigger.poll_interval else "watching"


def _read_status(asset: AssetModel, key: str, session: Session) -> dict[str, Any] | None:
    """Return what a trigger has stored of itself; None if there is nothing."""
    if get_state_backend is None:
        return None
    value = get_state_backend().get(AssetScope(asset_id=asset.id), key, session=session)
    try:
        return read_status(json.loads(value or "null"))
    except ValueError:
        return None


def _find_report(asset: AssetModel, session: Session) -> dict[str, Any] | None:
    """Return the newest event of an asset that its only trigger has sent."""
    if len(list(asset.triggers)) > 1:  # an event does not say which has sent it
        return None
    events = select(AssetEvent).where(AssetEvent.asset_id == asset.id, AssetEvent.source_task_id.is_(None))
    for event in session.scalars(events.order_by(AssetEvent.timestamp.desc()).limit(SEARCHED)):
        payload = event.extra.get("payload") if event.extra.get("from_trigger") else None
        if _is_ours(payload):
            text = plain(format_line(payload), longest=LONGEST)
            return {"at": event.timestamp.isoformat(), "text": text, "total": payload.get("total")}
    return None


def _is_ours(payload: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether the payload of an event is one of ours."""
    if not isinstance(payload, dict) or payload.get("version") != VERSION:
        return False
    keys = payload.get("keys", [])
    return payload.get("status") in STATUSES and isinstance(keys, list) and all(isinstance(k, dict) for k in keys)
