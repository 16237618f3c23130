"""Airflow on this machine as in production: PostgreSQL, Redis, Celery workers and two triggerers."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflows import Airflow, free_ports, read_log
from cryptography.fernet import Fernet
from postgresql import running_postgresql

XCOM_BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"


class Cluster(Airflow):
    """
    Airflow with a process for each component, PostgreSQL and, for Celery, Redis.

    Its components are ``scheduler``, ``dag-processor``, ``api-server``, ``triggerer-1`` and so on, and with the
    CeleryExecutor ``worker-1`` and so on. The connection ``openrouter_warehouse`` leads to a second database, and
    XComs are in object storage in its home.

    :param home: an empty folder.
    :param dags: the DAG files: their sources by name, or paths of files to copy.
    :param environment: more environment variables, such as connections.
    :param executor: ``CeleryExecutor``, or ``LocalExecutor``, which needs neither Redis nor workers.
    :param workers: the number of Celery workers, each for two tasks at a time.
    :param triggerers: the number of triggerers.
    """

    def __init__(
        self,
        home: Path,
        dags: dict[str, str] | list[Path],
        environment: dict[str, str],
        *,
        executor: str = "CeleryExecutor",
        workers: int = 2,
        triggerers: int = 2,
    ) -> None:
        self._celery = executor == "CeleryExecutor"
        self.xcoms = home / "xcoms"
        # Logs are not served, because that would listen on all addresses: all components share one home.
        self.commands = {
            "api-server": ["api-server"],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
        }
        for number in range(1, triggerers + 1):
            self.commands[f"triggerer-{number}"] = ["triggerer", "--skip-serve-logs"]
        for number in range(1, workers + 1 if self._celery else 1):
            name = f"worker-{number}"
            self.commands[name] = ["celery", "worker", "--skip-serve-logs", "--celery-hostname", name]
            self.commands[name] += ["--concurrency", "2", "--pid", str(home / f"{name}.pid")]
        super().__init__(
            home,
            dags,
            {
                "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(),
                "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
                "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": self.xcoms.as_uri(),
                "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
                "AIRFLOW__CORE__EXECUTOR": executor,
                "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
                "AIRFLOW__CORE__XCOM_BACKEND": XCOM_BACKEND,
                # A dead task is noticed after half a minute, and one that no worker takes after two minutes.
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
                "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
                "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
                # At its first trigger's first request a triggerer builds an API, and sends no heartbeat then.
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
                **environment,
            },
        )
        self._services = ExitStack()

    def __exit__(self, *error: object) -> None:
        with self._services:
            super().__exit__(*error)

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task returned last, or pushed under another key, as stored in object storage."""
        return json.loads(self.xcom_file(dag_id, task_id, key).read_bytes())

    def xcom_file(self, dag_id: str, task_id: str, key: str = "return_value") -> Path:
        """Return the file with what a task returned last, or pushed under another key."""
        return Path(super().xcom(dag_id, task_id, key).removeprefix("file://"))

    def triggerers(self, *, since: datetime | None = None) -> list[int]:
        """Return the job ids of triggerers with a heartbeat since then, by default in the last seconds."""
        jobs = self.query(
            "select id from job where job_type = 'TriggererJob' and state = 'running' "
            "and latest_heartbeat > :since order by id",
            since=since or datetime.now(UTC) - timedelta(seconds=5),
        )
        return [number for (number,) in jobs]

    @property
    def metadata_database(self) -> str:
        """The SQLAlchemy URL of Airflow's own database."""
        return self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]

    @property
    def warehouse(self) -> str:
        """The SQLAlchemy URL of the database that the connection ``openrouter_warehouse`` leads to."""
        return self._postgresql.get_uri("warehouse", driver="psycopg2")

    @property
    def redis(self) -> str:
        """The URL of the Redis that passes tasks to the workers."""
        return self._environment["AIRFLOW__CELERY__BROKER_URL"]

    def dump(self, database: str = "airflow") -> str:
        """Return the ``pg_dump`` of a whole database: ``airflow`` or ``warehouse``."""
        command = [self._postgresql.bin_path / "pg_dump", self._postgresql.get_uri(database)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    def _start_all(self) -> None:
        self._postgresql = self._services.enter_context(running_postgresql())
        for database in ("airflow", "warehouse"):
            self._postgresql.psql(f"CREATE DATABASE {database};")
        self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self._postgresql.get_uri(
            "airflow", driver="psycopg2"
        )
        self._environment["AIRFLOW_CONN_OPENROUTER_WAREHOUSE"] = json.dumps(
            {
                "conn_type": "postgres",
                "host": self._postgresql.get_postmaster_info().socket_dir.as_posix(),
                "login": self._postgresql.postgres_user,
                "schema": "warehouse",
            }
        )
        if self._celery:
            self._start_redis()
        self.run("db", "migrate")
        for name in self.commands:
            self.start(name)
        self.wait_for(self._is_healthy, "all components to be healthy", seconds=240)

    def _start_redis(self) -> None:
        server = shutil.which("redis-server")
        if not server:
            raise RuntimeError("CeleryExecutor needs Redis: install Debian's package redis-server.")
        folder = self.home / "redis"
        folder.mkdir()
        [port] = free_ports(1)
        # It keeps every message that passed through it, so that a test can look into old ones.
        keep = ["--dir", str(folder), "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--save", ""]
        self._start("redis", [server, "--bind", "127.0.0.1", "--port", str(port), *keep])
        self._environment["AIRFLOW__CELERY__BROKER_URL"] = f"redis://127.0.0.1:{port}/0"

    def _is_healthy(self) -> bool:
        health = self._health()
        return (
            all(health.get(each, {}).get("status") == "healthy" for each in ("scheduler", "dag_processor"))
            and len(self.triggerers()) == sum(name.startswith("triggerer-") for name in self.commands)
            and all(
                f"{name} ready" in read_log(self.home / f"{name}.log")
                for name in self.commands
                if name.startswith("worker-")
            )
        )
