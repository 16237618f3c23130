"""The base of every Airflow that a script starts: a home, free ports, DAG files, and a sure end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.request import Request, urlopen

import psutil
from sessions import Guard, kill, session
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

T = TypeVar("T")


class Airflow:
    """
    An Airflow with its own home, whose components run in their own processes.

    :param home: an empty folder.
    :param dags: the DAG files: their sources by name, or paths of files to copy.
    :param environment: more environment variables, such as connections.
    :param python: the interpreter of the virtual environment that Airflow is in.
    """

    commands: dict[str, list[str]]
    """The Airflow command of each component, by the component's name."""
    scheduler: str = "scheduler"
    """The name of the component that schedules."""

    def __init__(
        self,
        home: Path,
        dags: dict[str, str] | list[Path],
        environment: dict[str, str],
        *,
        python: str = sys.executable,
    ) -> None:
        self.home = home
        self._python = python
        self._dags = dags
        self._dags_folder = home / "dags"
        self._dags_folder.mkdir(parents=True)
        port, triggerer, worker = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(triggerer),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker),
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
            # On a busy machine the API server may take longer to respond than the default of five seconds.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
            **environment,
        }
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._guard = Guard()
        try:
            self._start_all()
            # Only now: a task that starts before the API server fails.
            self.add(self._dags)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        kill(self.processes)
        for process in self._started.values():
            process.wait()
        self._guard.close()

    def add(self, dags: dict[str, str] | list[Path]) -> None:
        """Add DAG files: sources by name, or paths of files to copy."""
        if isinstance(dags, dict):
            for name, source in dags.items():
                (self._dags_folder / f"{name}.py").write_text(source)
        else:
            for path in dags:
                shutil.copy(path, self._dags_folder)

    def start(self, name: str) -> None:
        """Start a component, such as one that was killed."""
        if name in self._started:
            assert not session(self._started[name].pid), f"{name} is already running."
            self._started[name].wait()
        self._start(name, [self._python, "-m", "airflow", *self.commands[name]])

    def kill(self, name: str) -> None:
        """Kill a component and its children, as if their machine was switched off."""
        leader = self._started[name].pid
        assert session(leader), f"There is no {name} to kill."
        kill(lambda: session(leader))

    def process(self, name: str) -> psutil.Process:
        """Return the process of a component."""
        return psutil.Process(self._started[name].pid)

    def processes(self) -> list[psutil.Process]:
        """Return the living processes of all components, including their children."""
        return [each for process in self._started.values() for each in session(process.pid)]

    def run(self, *command: str) -> str:
        """Run an Airflow command and return what it prints."""
        return subprocess.run(
            [self._python, "-m", "airflow", *command],
            env=self._environment, check=True, stdout=subprocess.PIPE, text=True, timeout=180,
        ).stdout  # fmt: skip

    def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Query Airflow's database; ``:name`` is a placeholder for a value."""
        with self._database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def run_states(self, dag_id: str) -> list[str]:
        """Return the states of a DAG's runs, oldest first."""
        runs = self.query("select state from dag_run where dag_id = :dag_id order by id", dag_id=dag_id)
        return [state for (state,) in runs]

    def task_states(self, dag_id: str) -> dict[str, str]:
        """Return the states of the tasks of a DAG's only run."""
        return dict(self.query("select task_id, state from task_instance where dag_id = :dag_id", dag_id=dag_id))

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task returned last, or pushed under another key, as stored in the database."""
        (value,), *_ = self.query(
            "select cast(value as text) from xcom where dag_id = :dag_id and task_id = :task_id and key = :key "
            "order by dag_run_id desc, map_index",
            dag_id=dag_id,
            task_id=task_id,
            key=key,
        )
        return json.loads(value)

    def get(self, path: str) -> Any:
        """Return what the REST API responds to a GET."""
        return self._request(path)

    def trigger(self, dag_id: str, **conf: Any) -> None:
        """Start a run of a DAG with a ``dag_run.conf``."""
        self._request(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})

    def wait_for(self, condition: Callable[[], T], what: str, *, seconds: float = 120) -> T:
        """Return the condition's first true value; fail with Airflow's output if there is none."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := condition():
                return answer
            time.sleep(0.2)
        outputs = (f"--- {path.name}\n{read_log(path)[-8_000:]}" for path in sorted(self.home.glob("*.log")))
        raise AssertionError("\n".join([f"Waited {seconds} s for {what}, but it did not happen.", *outputs]))

    def wait_for_waits(self, dag_id: str, task_id: str, *, instances: int = 1, seconds: float = 120) -> None:
        """
        Wait until so many instances of a task wait, and the scheduler has read that their workers are done.

        Until it has, Airflow can fail a task that resumes: the scheduler takes what it then reads for the end of
        the task. See https://github.com/apache/airflow/issues/72716.
        """
        find = (
            "select run_id, map_index, try_number from task_instance "
            "where dag_id = :dag_id and task_id = :task_id and state in ('deferred', 'awaiting_input')"
        )

        def is_read(run_id: str, map_index: int, try_number: int) -> bool:
            instance = f": {dag_id=!s}, {task_id=!s}, {run_id=!s}, {map_index=!s}, "
            lines = [line for line in self.scheduler_log().splitlines() if "TaskInstance Finished" in line]
            return any(instance in line and f" {try_number=}," in line for line in lines)

        def wait() -> bool:
            waiting = self.query(find, dag_id=dag_id, task_id=task_id)
            return len(waiting) == instances and all(is_read(*each) for each in waiting)

        self.wait_for(wait, f"{task_id} of {dag_id} to wait", seconds=seconds)

    def scheduler_log(self) -> str:
        """Return what the scheduler has printed."""
        return read_log(self.home / f"{self.scheduler}.log")

    def logs(self) -> str:
        """Return the logs of all components and tasks."""
        return "\n".join(map(read_log, self.home.rglob("*.log")))

    def files_with(self, text: str) -> list[Path]:
        """Return the files of the home that contain a text."""
        return [path for path in self.home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]

    def _start(self, name: str, command: list[str]) -> None:
        with (self.home / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started[name] = process
        self._guard.watch(process.pid)

    def _start_all(self) -> None:
        raise NotImplementedError

    def _request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what the REST API responds to a GET, or to a POST if there is a body."""
        with urlopen(f"{self.url}/auth/token", timeout=30) as answer:
            token = json.load(answer)["access_token"]
        request = Request(
            f"{self.url}/api/v2/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def _health(self) -> dict[str, Any]:
        """Return the health of the components; it is empty while the API server does not respond."""
        try:
            with urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}

    @cached_property
    def _database(self) -> Engine:
        return create_engine(self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=NullPool)


def allowing_updates(connection: str) -> str:
    """Return a sandbox's connection as one that allows updates."""
    return json.dumps(json.loads(connection) | {"extra": {"allow_updates": True}})


def read_log(path: Path) -> str:
    """Return the content of a file that is still being written, and may end within a character."""
    return path.read_text("utf-8", "replace")


def free_ports(count: int) -> list[int]:
    """Return free ports on loopback."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
