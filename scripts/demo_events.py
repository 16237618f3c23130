"""Run a whole Airflow, which starts a DAG by itself when a sandbox's key runs low, and show its message."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from standalone import Standalone

from airflow_provider_openrouter.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo" / "events"
DAG_ID = "openrouter_key_low_event"


def say(line: str) -> None:
    print(f"\n=== {line}", flush=True)


def main() -> None:
    began = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    with Sandbox(keys=25, drain=0.6) as sandbox:
        say(f"Started a sandbox with 25 keys that spend $0.60 a minute each at {sandbox.base_url}")
        say("Starting Airflow: a scheduler, a triggerer, a DAG processor and an API server (about half a minute)")
        environment = {"AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection}
        with Standalone(HOME, [ROOT / "dags" / f"{DAG_ID}.py"], environment) as airflow:
            say("The triggerer watches; no DAG run exists")
            airflow.wait_for(lambda: airflow.run_states(DAG_ID), "a key to run low")
            say(f"A key ran low, and Airflow started {DAG_ID} by itself")
            airflow.wait_for(lambda: "success" in airflow.run_states(DAG_ID), "the run to end")
            print(airflow.xcom(DAG_ID, "format_message"))
    say(f"Done in {time.monotonic() - began:.0f} s; everything is stopped")


if __name__ == "__main__":
    main()
