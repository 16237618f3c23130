"""A whole Airflow, started by ``airflow standalone``: its own home, free ports, and a sure end."""

from __future__ import annotations

import psutil
from airflows import Airflow
from sessions import kill


class Standalone(Airflow):
    """Airflow with a scheduler, a triggerer, a DAG processor and an API server."""

    commands = {"standalone": ["standalone"], "triggerer": ["triggerer"]}  # noqa: RUF012
    scheduler = "standalone"

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

    def _triggerer(self) -> list[psutil.Process]:
        """Return the living processes of the first triggerer; other components are in the same session."""
        processes = self.processes()
        parents = {each.pid for each in processes if "triggerer" in _command(each)}
        return [each for each in processes if not parents.isdisjoint(_line(each))]

    def _start_all(self) -> None:
        self.start("standalone")
        self.wait_for(lambda: "Airflow is ready" in self.scheduler_log(), "Airflow to be ready", seconds=150)
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
