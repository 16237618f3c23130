"""Run the example DAGs through Airflow, against the sandbox or, read-only, against a real account."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo"
LAKE = HOME / "lake"
SHOWN = re.compile(r"\[DAG TEST\] running|airflow_provider_openrouter\.|unusual_prefix|\[error ")
TRAILER = re.compile(r" +\[[\w.]+\] loc=.*| manual__.*")
"""The part of a log line that says where it was logged."""


def say(line: str) -> None:
    print(f"\n=== {line}", flush=True)


def set_up(connection: str) -> None:
    """Give Airflow its own home in the checkout, whatever the shell's environment says, and the connection."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW_CONN_OPENROUTER_DEFAULT": connection,
        "AIRFLOW_VAR_OPENROUTER_LAKE": LAKE.as_uri(),
    }
    say(f"Preparing an Airflow home in {HOME.relative_to(ROOT)}")
    airflow("db", "migrate")


def airflow(*command: str) -> None:
    """Run an Airflow command, and show the lines that the DAGs and this provider log."""
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if SHOWN.search(line):
            print(TRAILER.sub("", line).rstrip(), flush=True)
    if process.wait():
        sys.exit("".join(lines) + f"\nairflow {' '.join(command)} failed; its log is above.")


def show_snapshot() -> None:
    import pandas as pd

    path = max(LAKE.rglob("*.parquet"), key=lambda each: each.stat().st_mtime)
    keys = pd.read_parquet(path).sort_values("limit_remaining")
    say(f"{len(keys)} keys in {path.relative_to(ROOT)}, lowest first")
    columns = ["name", "label", "disabled", "limit", "limit_remaining", "limit_reset", "usage_monthly", "usage"]
    print(keys[columns].head(20).to_string(index=False, na_rep="-"))


def run_snapshot() -> None:
    say("Running the example DAG openrouter_keys_snapshot: it writes every key into a file")
    airflow("dags", "test", "openrouter_keys_snapshot")
    show_snapshot()


def run_alert() -> None:
    say("Running the example DAG openrouter_key_limit_alert: it waits, deferred, until a key runs low")
    airflow("dags", "test", "openrouter_key_limit_alert")


def main() -> None:
    began = time.monotonic()
    if key := os.environ.get("OPENROUTER_MANAGEMENT_KEY", "").strip():
        say("Reading the account of OPENROUTER_MANAGEMENT_KEY; nothing is changed in it")
        set_up(json.dumps({"conn_type": "openrouter", "password": key}))
        run_snapshot()
        say("Skipping openrouter_key_limit_alert: it would wait until one of your keys runs low")
    else:
        from airflow_provider_openrouter.sandbox import Sandbox

        with Sandbox(keys=120, workspaces=2) as sandbox:
            say(f"Started a sandbox with 120 keys at {sandbox.base_url}")
            set_up(sandbox.connection)
            run_snapshot()
        with Sandbox(keys=25, drain=1.2) as sandbox:
            say(f"Started a sandbox with 25 keys that spend $1.20 a minute each at {sandbox.base_url}")
            os.environ["AIRFLOW_CONN_OPENROUTER_DEFAULT"] = sandbox.connection
            run_alert()
    say("Others need more: openrouter_keys_warehouse a database, and those that events start a whole Airflow")
    print("make demo-events runs the latter.")
    say(f"Done in {time.monotonic() - began:.0f} s; everything is stopped")


if __name__ == "__main__":
    main()
