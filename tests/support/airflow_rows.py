"""Rows of Airflow's own database, for the tests of what is read from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest


@pytest.fixture
def session(airflow_database: None) -> Iterator[Any]:
    """A session whose rows are gone after the test."""
    from airflow.utils.session import create_session

    with create_session() as session:
        yield session
        session.rollback()


def add_dag(session: Any, dag_id: str) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel

    session.merge(DagBundleModel(name="tests"))
    session.flush()
    session.add(DagModel(dag_id=dag_id, bundle_name="tests", fileloc=f"{dag_id}.py"))
    session.flush()


def add_asset(session: Any, name: str, *, dag_ids: Iterable[str]) -> Any:
    """Return an asset that starts DAGs."""
    from airflow.models.asset import AssetModel, DagScheduleAssetReference

    session.add(asset := AssetModel(name=name, uri=name))
    session.flush()
    session.add_all(DagScheduleAssetReference(asset_id=asset.id, dag_id=dag_id) for dag_id in dag_ids)
    session.flush()
    return asset


def add_trigger(session: Any, trigger: Any, *assets: Any, triggerer: Any = None) -> Any:
    """
    Return the row of a trigger that watches for assets.

    :param triggerer: the row of the triggerer that runs it.
    """
    from airflow.models.trigger import Trigger

    session.add(row := Trigger.from_object(trigger))
    row.triggerer_id = triggerer and triggerer.id
    session.flush()
    for asset in assets:
        if hasattr(asset, "add_trigger"):
            asset.add_trigger(row, "watcher")
        else:  # before Airflow 3.2
            asset.triggers.append(row)
    session.flush()
    session.expire_all()
    return row


def add_triggerer(session: Any, *, silent: timedelta = timedelta(0)) -> Any:
    """
    Return the row of a triggerer.

    :param silent: how long ago its last heartbeat was.
    """
    from airflow.jobs.job import Job

    job = Job(job_type="TriggererJob", state="running")
    job.latest_heartbeat = datetime.now(UTC) - silent
    session.add(job)
    session.flush()
    return job


def add_event(session: Any, asset: Any, extra: dict[str, Any], **fields: Any) -> None:
    from airflow.models.asset import AssetEvent

    session.add(AssetEvent(asset_id=asset.id, extra=extra, **fields))
    session.flush()


def add_task(session: Any, *, dag_id: str, map_index: int = -1, **fields: Any) -> Any:
    """Return the id of a task instance; its run is added as well, unless it is there."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert, select

    if not session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id)):
        session.add(
            DagRun(dag_id=dag_id, run_id="run", run_type="manual", state="running", run_after=datetime.now(UTC))
        )
        session.flush()
    id_ = TaskInstance.id.type.python_type(str(uuid4()))  # text before Airflow 3.2
    row = {"id": id_, "dag_id": dag_id, "run_id": "run", "task_id": "ask", "map_index": map_index}
    defaults = {"pool": "default_pool", "pool_slots": 1, "try_number": 1, "max_tries": 0, "queue": "default"}
    session.execute(insert(TaskInstance).values(row | defaults | fields))
    return id_
