"""Who may see the page: users who may read its connection in Airflow."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.connection import Connection
from fastapi import Request

from airflow_provider_openrouter.page.problems import Problem


def require_reader(request: Request, user: GetUserDep) -> Any:
    """
    Return the user who asks, if they may see the page. Airflow itself guards no route of a plugin.

    :raises fastapi.HTTPException: if nobody is logged in.
    :raises Problem: if the user may not read the connection.
    """
    conn_id = request.app.state.settings.conn_id
    if not may_read_connection(user, conn_id):
        raise Problem(
            f"You may not see this page. Ask an administrator of Airflow to let you read connections such as "
            f"{conn_id!r}.",
            state="not_allowed",
            status=403,
        )
    return user


def may_read_connection(user: Any, conn_id: str) -> bool:
    """Return whether a user may read a connection; it need not exist."""
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
    return get_auth_manager().is_authorized_connection(method="GET", details=details, user=user)


def readable_dag_ids(user: Any) -> set[str]:
    """Return the ids of the DAGs that a user may read."""
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


def may_read_approvals(user: Any, dag_id: str) -> bool:
    """Return whether a user may read what the tasks of a DAG ask people."""
    return get_auth_manager().is_authorized_dag(
        method="GET", access_entity=DagAccessEntity.HITL_DETAIL, details=DagDetails(id=dag_id), user=user
    )
