"""A whole Airflow with one triggerer, and what many waiting triggers cost it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "scripts"))

from cluster import Cluster  # noqa: E402

FEW = 10


@contextmanager
def airflow(load: dict[str, Any], connections: dict[str, str]) -> Iterator[Cluster]:
    """Start Airflow, with more workers than cores."""
    with tempfile.TemporaryDirectory(prefix="openrouter-load-") as folder:
        path = Path(folder, "load.json")
        path.write_text(json.dumps(load))
        environment = {
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "-1",
            "AIRFLOW__CORE__MAX_MAP_LENGTH": "10000",
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
            "AIRFLOW__TRIGGERER__CAPACITY": "10000",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "60",
            "OPENROUTER_LOAD": str(path),
            "PYTHONPATH": f"{HERE}:{HERE.parents[1]}",  # this package, whatever is installed
            **connections,
        }
        home = Path(folder, "home")
        with Cluster(home, [HERE / "dags.py"], environment, executor="LocalExecutor", triggerers=1) as cluster:
            cluster.wait_for(lambda: cluster.query("select 1 from dag where dag_id = 'probe'"), "the DAGs")
            yield cluster


@dataclass(frozen=True)
class Cost:
    """
    What waiting costs a triggerer.

    :param triggers: how many triggers wait.
    :param deferring: seconds until all of them waited.
    :param cpu: percent of one core that both of the triggerer's processes used.
    :param runner_cpu: the share of the process that runs the triggers.
    :param lag: of the event loop, in milliseconds.
    :param kilobytes: memory per trigger: the growth of the process that runs them, from a few of them to all.
    """

    triggers: int
    deferring: float
    cpu: float
    runner_cpu: float
    lag: dict[str, float]
    kilobytes: float


def cost_of_waiting(
    cluster: Cluster, triggers: int, *, settle: float, seconds: float, meanwhile: Callable[[float], None]
) -> Cost:
    """
    Let all tasks defer, and measure for some seconds while they wait.

    :param settle: seconds between the last deferral and the beginning of the measurement.
    :param meanwhile: called with the moment when the measurement begins.
    """
    began = time.time()
    cluster.trigger("waiting")
    cluster.wait_for(lambda: running_triggers(cluster) >= min(FEW, triggers), "a few triggers", seconds=300)
    few, resident = running_triggers(cluster), _resident(cluster)
    what = f"all {triggers} triggers"
    cluster.wait_for(lambda: running_triggers(cluster) == triggers, what, seconds=300 + 3 * triggers)
    deferring = time.time() - began
    print(f"{what} wait after {deferring:.0f} s", file=sys.stderr, flush=True)
    time.sleep(settle)
    growth = _resident(cluster) - resident

    cluster.trigger("probe")
    cluster.wait_for(lambda: cluster.task_states("probe")["feel"] == "deferred", "the probe", seconds=300)
    began, cpu = time.time(), _cpu_seconds(cluster)
    meanwhile(began)
    time.sleep(max(0.0, began + seconds - time.time()))
    took = time.time() - began
    cpu = [(after - before) / took * 100 for before, after in zip(cpu, _cpu_seconds(cluster), strict=True)]
    cluster.wait_for(lambda: cluster.run_states("probe") == ["success"], "the probe's figures", seconds=300)
    [(lag,)] = cluster.query("select value from xcom where dag_id = 'probe' and key = 'return_value'")
    return Cost(
        triggers=triggers,
        deferring=deferring,
        cpu=sum(cpu),
        runner_cpu=cpu[1],
        lag=lag,
        kilobytes=growth / 1024 / max(1, triggers - few),
    )


def running_triggers(cluster: Cluster) -> int:
    [(count,)] = cluster.query("select count(*) from trigger where triggerer_id is not null")
    return count


def _processes(cluster: Cluster) -> tuple[psutil.Process, psutil.Process]:
    """Return the triggerer's processes: the supervisor, and the one that runs the triggers."""
    supervisor = cluster.process("triggerer-1")
    [runner] = supervisor.children(recursive=True)
    return supervisor, runner


def _resident(cluster: Cluster) -> int:
    _, runner = _processes(cluster)
    return runner.memory_info().rss


def _cpu_seconds(cluster: Cluster) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in _processes(cluster)]
