"""Run a whole Airflow, which starts DAGs by itself when keys and credits run low, and show their messages."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from standalone import Standalone

from airflow_provider_openrouter.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo" / "events"
REPORTS = {"openrouter_key_low_event": "report_low_keys", "openrouter_credits_alert": "report_low_credits"}
"""The tasks that report, by their DAGs."""


def say(line: str) -> None:
    print(f"\n=== {line}", flush=True)


def main() -> None:
    began = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    with Sandbox(keys=25, drain=0.6, balance=200) as sandbox:
        say(f"Started a sandbox at {sandbox.base_url}: $200 of credits, 25 keys that spend $0.60 a minute each")
        say("Starting Airflow: a scheduler, a triggerer, a DAG processor and an API server (about half a minute)")
        environment = {"AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection}
        with Standalone(HOME, [ROOT / "dags" / f"{dag_id}.py" for dag_id in REPORTS], environment) as airflow:
            say("The triggerer watches keys and credits; no DAG run exists")
            waiting = dict(REPORTS)
            while waiting:
                dag_id = airflow.wait_for(
                    lambda: next((each for each in waiting if "success" in airflow.run_states(each)), None),
                    f"a run of {' and '.join(waiting)}",
                )
                say(f"Something ran low, and Airflow started {dag_id} by itself")
                print(airflow.xcom(dag_id, waiting.pop(dag_id)))
    say(f"Done in {time.monotonic() - began:.0f} s; everything is stopped")


if __name__ == "__main__":
    main()
