"""The parts of a task's context that an operator needs, and the log of a trigger."""

import logging
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow.sdk.execution_time.context import OutletEventAccessors

T = TypeVar("T")


class Context(dict[str, Any]):
    """A context that keeps what a task pushes to XCom and to its outlets."""

    def __init__(self, **values: Any) -> None:
        self.xcoms: dict[str, Any] = {}
        ti = SimpleNamespace(
            dag_id="dag",
            run_id="run",
            task_id="task",
            map_index=-1,
            xcom_push=lambda key, value: self.xcoms.update({key: value}),
        )
        super().__init__(ti=ti, outlet_events=OutletEventAccessors(), **values)


def logging_kind(kind: type[T], logger: str = "trigger") -> type[T]:
    """Return a kind of trigger whose log caplog sees: it does not see what Airflow's own logger prints."""
    same = {name: getattr(kind, name) for name in ("__module__", "__qualname__")}
    return type(kind.__name__, (kind,), {"log": logging.getLogger(logger), **same})
