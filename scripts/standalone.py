"""A whole Airflow, started by ``airflow standalone``: its own home, free ports, and a sure end."""

from __future__ import annotations

from pathlib import Path

import psutil
from airflows import Airflow, read_log
from sessions import kill


class Standalone(Airflow):
    """Airflow with a scheduler, a triggerer, a DAG processor and an API server."""

    commands = {"standalone": ["standalone"], "triggerer": ["triggerer"]}  # noqa: RUF012

    def kill_triggerer(self) -> None:
        """Kill the triggerer, as if its machine was switched off."""
        if "triggerer" in self._started:
            self.kill("triggerer")
        else:
            assert self._triggerer(), "There is no triggerer to kill."
            kill(self._triggerer)

    def start_triggerer(self) -> None:
        """Start a triggerer after the other one was killed."""
        self.start("triggerer")

    def wait_for_deferral(self, dag_id: str, task_id: str) -> None:
        """
        Wait until a task is deferred and the scheduler has read that its worker is done.

        Until it has, Airflow fails a task that goes on: it takes that for the news of one that has ended.
        """
        self.wait_for(lambda: self.task_states(dag_id).get(task_id) == "deferred", f"{task_id} to be deferred")
        done = f"state success for task instance TaskInstanceKey(dag_id='{dag_id}', task_id='{task_id}'"
        self.wait_for(lambda: done in read_log(self._output), "the scheduler to know it")

    @property
    def _output(self) -> Path:
        return self.home / "standalone.log"

    def _triggerer(self) -> list[psutil.Process]:
        """Return the living processes of the first triggerer; other components are in the same session."""
        processes = self.processes()
        parents = {each.pid for each in processes if "triggerer" in _command(each)}
        return [each for each in processes if not parents.isdisjoint(_line(each))]

    def _start_all(self) -> None:
        self.start("standalone")
        self.wait_for(lambda: "Airflow is ready" in read_log(self._output), "Airflow to be ready", seconds=150)
        self.wait_for(self._health, "the API server to respond", seconds=150)


def _line(process: psutil.Process) -> set[int]:
    """Return the ids of a process and its ancestors."""
    try:
        return {process.pid, *(each.pid for each in process.parents())}
    except psutil.NoSuchProcess:
        return set()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""
