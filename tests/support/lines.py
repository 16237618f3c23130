"""What differs between the lines of Airflow that the tests run on."""

import re
from importlib.metadata import version
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before 3.2
    from airflow.models.dagbag import DagBag
try:
    from airflow.sdk.serde import deserialize
except ImportError:  # before 3.2
    from airflow.serialization.serde import deserialize
try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # before 3.2
    from airflow.exceptions import AirflowRescheduleException
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
try:
    from airflow.jobs.triggerer_job_runner import TriggerEventEntry
except ImportError:  # before 3.3
    TriggerEventEntry = lambda trigger_id, event, seq: (trigger_id, event)  # noqa: E731
try:
    import msgspec
    from airflow.sdk.execution_time.comms import _RequestFrame
except ImportError:  # before 3.0.3
    _RequestFrame = None

__all__ = [
    "AIRFLOW_3_0",
    "BEFORE_AIRFLOW_3_3",
    "AirflowRescheduleException",
    "DagBag",
    "DagSerialization",
    "TriggerEventEntry",
    "deserialize",
    "deserialize_next_kwargs",
    "exchange",
    "needs_answers_in_dag_test",
    "needs_async_tasks",
    "needs_dag_test",
    "needs_frames_in_xcom",
    "needs_links_of_mapped_tasks",
    "needs_newer_requests",
    "needs_page",
    "needs_people",
    "needs_psycopg_3",
    "needs_state_store",
    "plain",
    "without_what_airflow_masks",
]

AIRFLOW_3_0 = version("apache-airflow").startswith("3.0.")
BEFORE_AIRFLOW_3_2 = version("apache-airflow") in SpecifierSet("<3.2")
BEFORE_AIRFLOW_3_3 = version("apache-airflow") in SpecifierSet("<3.3")

needs_links_of_mapped_tasks = pytest.mark.airflow(">=3.0.1", "links of mapped tasks")
needs_dag_test = pytest.mark.airflow(">=3.0.2", "dag.test()")
needs_answers_in_dag_test = pytest.mark.airflow(">=3.3", "answers in dag.test()")
needs_async_tasks = pytest.mark.airflow(">=3.2", "async tasks")
needs_people = pytest.mark.airflow(">=3.1", "approvals")
needs_page = pytest.mark.airflow(">=3.1", "page")
needs_state_store = pytest.mark.airflow(">=3.3", "state store")
needs_frames_in_xcom = pytest.mark.airflow(">=3.3", "frames of pandas 3 in XCom", or_pandas="<3")
needs_newer_requests = pytest.mark.airflow(">=3.0", "whole names in no_proxy", requests=">=2.33")
needs_psycopg_3 = pytest.mark.airflow(">=3.0", "psycopg 3", psycopg=">=3", sqlalchemy=">=2")


def without_what_airflow_masks(shown: str) -> str:
    """Drop the lines in which Airflow 3.0 logs what it should mask, which it does only in dag.test()."""
    return "\n".join(line for line in shown.splitlines() if not AIRFLOW_3_0 or "MaskSecret(value=" not in line)


def plain(shown: str) -> str:
    """Return text without the colours and line breaks with which Airflow 3.0 shows errors."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m", "", shown).split())


def exchange(message: Any) -> Any:
    """Return what another process of Airflow gets of a message."""
    if _RequestFrame is None:
        return type(message).model_validate_json(message.model_dump_json(exclude_none=True))
    frame = _RequestFrame(id=1, body=message.model_dump()).as_bytes()
    return type(message).model_validate(msgspec.msgpack.Decoder(_RequestFrame).decode(frame[4:]).body)


def deserialize_next_kwargs(stored: Any) -> Any:
    """Return the arguments with which a worker resumes a task."""
    if BEFORE_AIRFLOW_3_2:
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.deserialize(stored)
    return deserialize(stored)
