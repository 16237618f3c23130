"""Raises of limits that wait for a person, from Airflow's own database. It needs Airflow 3.1 or newer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow.models.hitl import HITLDetail
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import and_, select

from airflow_provider_openrouter.links import required_actions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

OPERATOR = "OpenRouterRaiseLimitOperator"
WAITING = ("deferred", "awaiting_input")
"""The states of a task that waits for an answer: the first before Airflow 3.3, the second since."""


def list_approvals(session: Session, *, dag_ids: Collection[str]) -> list[dict[str, Any]]:
    """
    List the raises that wait for an answer, the oldest first.

    :param session: a session of Airflow's database.
    :param dag_ids: the DAGs whose raises are shown.
    """
    fields = RenderedTaskInstanceFields
    same_task = [
        getattr(fields, name) == getattr(TaskInstance, name)
        for name in ("dag_id", "task_id", "run_id", "map_index")
    ]
    waiting = (
        select(HITLDetail.subject, HITLDetail.created_at, TaskInstance, fields.rendered_fields)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .outerjoin(fields, and_(*same_task))
        .where(
            HITLDetail.responded_at.is_(None),
            TaskInstance.operator == OPERATOR,
            TaskInstance.state.in_(WAITING),
        )
        .order_by(HITLDetail.created_at)
    )
    return [
        {
            "subject": subject,
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
            "key": _hash(rendered),
            "since": since.isoformat(),
            "url": required_actions(task),
        }
        for subject, since, task, rendered in session.execute(waiting)
        if task.dag_id in dag_ids
    ]


def _hash(rendered: Any) -> str | None:
    """Return the hash of a task's key, unless Airflow has cut the key or does not keep it any more."""
    key = rendered.get("key") if isinstance(rendered, Mapping) else None
    hash_ = key.get("hash") if isinstance(key, Mapping) else None
    return hash_ if isinstance(hash_, str) else None
