"""Run a whole Airflow, which asks a person before it raises the limit of a sandbox's key, and answer it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from airflows import allowing_updates
from standalone import Standalone

from airflow_provider_openrouter.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo" / "approval"
DAG_ID = "openrouter_key_raise_limit"
NEW_LIMIT = 50


def say(line: str) -> None:
    print(f"\n=== {line}", flush=True)


class Person:
    """Somebody who uses Airflow's API, as its pages do."""

    def __init__(self, airflow: Standalone) -> None:
        self._url = airflow.url
        self._token = self._send("/auth/token", "GET")["access_token"]

    def required_actions(self) -> list[dict[str, Any]]:
        """Return what waits for an answer."""
        path = f"/api/v2/dags/{DAG_ID}/dagRuns/~/hitlDetails?response_received=false"
        actions: list[dict[str, Any]] = self._send(path, "GET")["hitl_details"]
        return actions

    def answer(self, action: dict[str, Any], option: str, **entered: Any) -> None:
        """Send an answer to an action."""
        task = action["task_instance"]
        path = f"{task['dag_run_id']}/taskInstances/{task['task_id']}/{task['map_index']}/hitlDetails"
        answer = {"chosen_options": [option], "params_input": entered}
        self._send(f"/api/v2/dags/{DAG_ID}/dagRuns/{path}", "PATCH", answer)

    def _send(self, path: str, method: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "_token"):
            headers["Authorization"] = f"Bearer {self._token}"
        content = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self._url + path, content, headers, method=method), timeout=30) as response:
            return json.load(response)


def main() -> None:
    began = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    with Sandbox(keys=0) as sandbox:
        hash_ = sandbox.create_key(name="billing", limit=5.0, limit_remaining=0.4)
        say("Started a sandbox whose key billing has $0.40 of $5.00 left")
        say("Starting Airflow: a scheduler, a triggerer, a DAG processor and an API server (about half a minute)")
        environment = {
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
            "AIRFLOW_CONN_OPENROUTER_UPDATES": allowing_updates(sandbox.connection),
        }
        with Standalone(HOME, [ROOT / "dags" / f"{DAG_ID}.py"], environment) as airflow:
            person = Person(airflow)
            [action] = airflow.wait_for(person.required_actions, "somebody to be asked")
            airflow.wait_for_waits(DAG_ID, "ask")
            say(f"Airflow asks: {action['subject']}")
            print(f"{action['body']}\nOptions: {', '.join(action['options'])}")
            person.answer(action, "Raise", limit=NEW_LIMIT)
            say(f"A person answers: Raise, to ${NEW_LIMIT}")
            airflow.wait_for(lambda: "success" in airflow.run_states(DAG_ID), "the run to end")
            print(airflow.xcom(DAG_ID, "format_message"))
            key = sandbox.get_key(hash_) or {}
            say(f"The key now has ${key['limit_remaining']:.2f} of ${key['limit']:.2f} left")
    say(f"Done in {time.monotonic() - began:.0f} s; everything is stopped")


if __name__ == "__main__":
    main()
