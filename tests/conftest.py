"""Airflow for the tests: each process has its own home, set before Airflow is imported."""

import atexit
import gc
import json
import logging
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from coverage import Coverage
from postgresql import running_postgresql
from support.versions import exists

HOME = Path(tempfile.mkdtemp(prefix="airflow-provider-openrouter-"))
DAGS = Path(__file__).parent.parent / "dags"
OURS = "airflow_provider_openrouter|.*openrouter_(key|credits|spend)"
"""Modules whose deprecation warnings are errors: the package, and the DAG files as DagBag names them."""

ABSENT = pytest.StashKey[dict[str, str]]()
"""Which tests are of something that is not there, and of what."""

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

import airflow.configuration  # noqa: E402, F401  # so that its warning filters are older than ours

from airflow_provider_openrouter.sandbox import Sandbox  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "airflow(versions, what, pandas=…, or_pandas=…): run the test of this only with these versions",
    )
    # Set here, because pytest's filters take precedence over the interpreter's, which also match a module by its
    # exact name only. Deprecations of Airflow, pandas and SQLAlchemy are of these three kinds.
    for category in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
        config.addinivalue_line("filterwarnings", f"error::{category}:{OURS}")


def pytest_xdist_auto_num_workers() -> int:
    """Return four more than there are cores, because tests often wait."""
    return (os.cpu_count() or 1) + 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of what this Airflow lacks, so that they are counted: no test is skipped."""
    absent = {
        item.nodeid: next(mark.args[1] for mark in item.iter_markers("airflow") if not exists(mark))
        for item in items
        if not all(map(exists, item.iter_markers("airflow")))
    }
    if hasattr(config, "workeroutput"):
        config.workeroutput["absent"] = absent
    else:
        _deselect(config, absent)
    items[:] = sorted((item for item in items if item.nodeid not in absent), key=_turn)


def pytest_collection_finish() -> None:
    """Keep Python's garbage collector from looking at all that is imported again and again."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # else duckdb complains of what is not deleted in the end


def _deselect(config: pytest.Config, absent: dict[str, str]) -> None:
    config.stash[ABSENT] = absent
    config.hook.pytest_deselected(items=[SimpleNamespace(nodeid=name) for name in absent])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say of what there were tests that this Airflow, or what is installed with it, cannot run."""
    counts = Counter(config.stash.get(ABSENT, {}).values()).most_common()
    if counts:
        terminalreporter.write_line(f"Absent: {', '.join(f'{what} {count}' for what, count in counts)}")


def _turn(item: pytest.Item) -> int:
    """Sort the tests of a group, which only one worker runs, before all others, and the longest group first."""
    mark = item.get_closest_marker("xdist_group")
    return 0 if mark and mark.args == ("airflow standalone",) else 1 if mark else 2


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage of tests that take the paths of other tests many times over: that makes them slow."""
    coverage = Coverage.current()
    # The page's tests have groups too, for what they read, but take paths of their own.
    is_grouped = item.get_closest_marker("xdist_group") and "page" not in item.path.parts
    if not coverage or not (item.get_closest_marker("hypothesis") or is_grouped):
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Count in the summary what xdist's workers deselected, which xdist does not; all deselect the same."""
    if node.gateway.id == "gw0":
        _deselect(node.config, getattr(node, "workeroutput", {}).get("absent", {}))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def connection(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default connection, which leads to the sandbox."""
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
    return "openrouter_default"


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a pause where the server asks for none."""
    monkeypatch.setattr("airflow_provider_openrouter.api.retries.BACKOFF", tenacity.wait_none())


@pytest.fixture
def outside_the_task_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop Airflow from warning that a test calls execute()."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return what was logged since the last call: newer Airflows print it, older ones use logging."""
    caplog.set_level(logging.INFO)

    def read() -> str:
        printed = "".join(capfd.readouterr())
        logged = [record for record in caplog.records if record.getMessage() not in printed]
        caplog.clear()
        return "\n".join([printed, *map(caplog.handler.format, logged)])

    return read


@pytest.fixture(autouse=True)
def handlers_of_the_tasks_log() -> Iterator[None]:
    """Remove the handler that dag.test() of Airflow 3.0 leaves behind; it writes to that test's output."""
    yield
    handlers = logging.getLogger("airflow.task").handlers
    handlers[:] = [handler for handler in handlers if type(handler) is not logging.StreamHandler]


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """A migrated database, which dag.test() needs."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def dag_folder(airflow_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose DAGs dag.test() can run."""
    bundle = {
        "name": tmp_path.name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    return tmp_path


def pytest_sessionfinish() -> None:
    import shutil

    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The SQLAlchemy URL of a PostgreSQL that only this process uses."""
    with running_postgresql() as server:
        yield server.get_uri(driver=os.environ.get("TESTS_POSTGRESQL_DRIVER", "psycopg2"))


@pytest.fixture(scope="session")
def writing_process() -> Iterator[subprocess.Popen[str]]:
    """A process for :func:`support.databases.killable_writer`: one for all tests, because it starts slowly."""
    from support.databases import writing_process

    with writing_process() as process:
        yield process
