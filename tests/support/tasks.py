"""The parts of a task's context that an operator needs."""

from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.context import OutletEventAccessors


class Context(dict[str, Any]):
    """A context that keeps what a task pushes to XCom and to its outlets."""

    def __init__(self, **values: Any) -> None:
        self.xcoms: dict[str, Any] = {}
        push = SimpleNamespace(xcom_push=lambda key, value: self.xcoms.update({key: value}))
        super().__init__(ti=push, outlet_events=OutletEventAccessors(), **values)
