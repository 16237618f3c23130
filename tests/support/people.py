"""People who answer what tasks ask, in a process in which a DAG is tested: its database is the only way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import Any

READING = timedelta(seconds=2)
"""How long a person takes to read a form."""

Answer = tuple[str, dict[str, Any]]


@contextmanager
def answering(decide: Callable[[str], Answer]) -> Iterator[None]:
    """
    Answer each task that waits for a person, unless Airflow is older than 3.1.

    :param decide: given the subject, returns the option and what is entered.
    """
    ended = Event()

    def answer() -> None:
        while not ended.wait(0.2):
            _answer_all(decide)

    person = Thread(target=answer)
    person.start()
    try:
        yield
    finally:
        ended.set()
        person.join()


def _answer_all(decide: Callable[[str], Answer]) -> None:
    try:
        from airflow.models.hitl import HITLDetail
    except ImportError:  # before 3.1
        return
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.sdk.timezone import utcnow
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        for detail in session.scalars(select(HITLDetail).where(HITLDetail.responded_at.is_(None))):
            waiting = session.get(TaskInstance, detail.ti_id)
            resumes = hasattr(detail, "as_resume_event_payload")  # from 3.3; before it a trigger looks
            # An answer at once would be lost: dag.test() stores the state of a task that has begun to wait again.
            if (resumes and waiting.state != "awaiting_input") or utcnow() - detail.created_at < READING:
                continue
            option, entered = decide(detail.subject)
            detail.chosen_options, detail.params_input = [option], entered
            detail.responded_at, detail.responded_by = utcnow(), {"id": "ada", "name": "Ada"}
            if resumes:
                event = TriggerEvent(detail.as_resume_event_payload())
                handle_event_submit(event, task_instance=waiting, session=session)
