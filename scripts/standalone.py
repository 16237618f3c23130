"""A whole Airflow, as ``airflow standalone`` starts it: own home, free ports, stopped whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.request import urlopen

import psutil

T = TypeVar("T")


class Standalone:
    """
    Airflow with a scheduler, a triggerer, a DAG processor and an API server.

    :param home: an empty folder for it.
    :param dags: the DAG files, by name, or as paths of files to copy.
    :param environment: what else its environment holds, such as connections.
    """

    def __init__(self, home: Path, dags: dict[str, str] | list[Path], environment: dict[str, str]) -> None:
        self.home = home
        self.output = home / "standalone.log"
        self._dags = dags
        self._dags_folder = home / "dags"
        self._dags_folder.mkdir(parents=True)
        api, *logs = _free_ports(3)
        self._health = f"http://localhost:{api}/api/v2/monitor/health"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__PORT": str(api),
            "AIRFLOW__API__BASE_URL": f"http://localhost:{api}",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(logs[0]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(logs[1]),
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
            **environment,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._start("standalone")
        try:
            self.wait_for(
                lambda: "Airflow is ready" in self.output.read_text(), "Airflow to be ready", seconds=150
            )
            self.wait_for(self._api_answers, "the API server to answer", seconds=150)
        except BaseException:
            self.__exit__()
            raise
        # Only now, for a task that starts before the API server does fails.
        if isinstance(self._dags, dict):
            for name, source in self._dags.items():
                (self._dags_folder / f"{name}.py").write_text(source)
        else:
            for path in self._dags:
                shutil.copy(path, self._dags_folder)
        return self

    def __exit__(self, *error: object) -> None:
        _kill(self._processes())
        for process in self._started:
            process.wait()

    def kill_triggerer(self) -> None:
        """Kill the triggerer, as a machine that is switched off does."""
        triggerers = [process for process in self._processes() if "triggerer" in _command(process)]
        assert triggerers, "There is no triggerer to kill."
        _kill([*triggerers, *(child for each in triggerers for child in each.children(recursive=True))])

    def start_triggerer(self) -> None:
        """Start a triggerer in place of the one that was killed."""
        self._start("triggerer")

    def run(self, *command: str) -> None:
        """Run an Airflow command."""
        subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            env=self._environment, check=True, capture_output=True, timeout=120,
        )  # fmt: skip

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask Airflow's database."""
        with closing(sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(sql, values).fetchall()

    def run_states(self, dag_id: str) -> list[str]:
        """Answer the states of a DAG's runs, the oldest first."""
        return [
            state for (state,) in self.query("select state from dag_run where dag_id = ? order by id", dag_id)
        ]

    def task_states(self, dag_id: str) -> dict[str, str]:
        """Answer the states of the tasks of a DAG's only run."""
        return dict(self.query("select task_id, state from task_instance where dag_id = ?", dag_id))

    def xcom(self, dag_id: str, task_id: str) -> Any:
        """Answer what a task returned last."""
        ((value,),) = self.query(
            "select value from xcom where dag_id = ? and task_id = ? and key = 'return_value' "
            "order by dag_run_id desc limit 1",
            dag_id,
            task_id,
        )
        return json.loads(value)

    def wait_for(self, condition: Callable[[], T], what: str, *, seconds: float = 120) -> T:
        """Answer what the condition does once it is something; fail with Airflow's output if it never is."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := condition():
                return answer
            time.sleep(0.2)
        raise AssertionError(f"Waited {seconds} s for {what} in vain.\n{self.output.read_text()[-20_000:]}")

    def logs(self) -> str:
        """Answer all that was logged: by the components and by the tasks."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self.home.rglob("*.log"))

    def files_with(self, text: str) -> list[Path]:
        """Answer the files of the home, the database among them, that hold a text."""
        return [path for path in self.home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]

    def _api_answers(self) -> bool:
        try:
            with urlopen(self._health, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _processes(self) -> list[psutil.Process]:
        roots = [psutil.Process(each.pid) for each in self._started if psutil.pid_exists(each.pid)]
        return [*roots, *(child for root in roots for child in root.children(recursive=True))]

    def _start(self, component: str) -> None:
        with self.output.open("ab") as output:
            self._started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "airflow", component],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return ""


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        if process.is_running():
            process.kill()
    psutil.wait_procs(processes, timeout=30)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
