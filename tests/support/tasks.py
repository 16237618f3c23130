"""As much of a task's context as an operator needs."""

from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.context import OutletEventAccessors


class Context(dict[str, Any]):
    """A context, and what a task left in it: its XComs, and what it told its outlets."""

    def __init__(self, **values: Any) -> None:
        self.xcoms: dict[str, Any] = {}
        push = SimpleNamespace(xcom_push=lambda key, value: self.xcoms.update({key: value}))
        super().__init__(ti=push, outlet_events=OutletEventAccessors(), **values)
