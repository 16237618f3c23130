"""Run a whole Airflow, whose page OpenRouter shows the keys of a sandbox, until it is interrupted."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from airflows import allowing_updates
from page_account import interesting_account
from standalone import Standalone

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo" / "page"
NAMES = ("credits_alert", "key_low_event", "key_raise_limit", "keys_snapshot")
DAGS = [ROOT / "dags" / f"openrouter_{name}.py" for name in NAMES]
PASSWORDS = "simple_auth_manager_passwords.json.generated"
REFUSED = """
from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

trigger = OpenRouterKeyLimitEventTrigger(
    threshold="10%", poll_interval=15, report_failures_after=3, openrouter_conn_id="openrouter_refused"
)
asset = Asset("openrouter_keys_of_another_account", watchers=[AssetWatcher(name="keys", trigger=trigger)])

with DAG("watch_another_account", schedule=[asset]):
    pass
"""
"""A DAG whose watcher fails, because its key is refused."""


def say(line: str) -> None:
    print(f"\n=== {line}", flush=True)


def run() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    with interesting_account() as sandbox:
        say("Started a sandbox with 60 keys; some are about to run dry or to expire")
        say("Starting Airflow: a scheduler, a triggerer, a DAG processor and an API server (about half a minute)")
        connection = sandbox.connection
        environment = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "false",
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": connection,
            "AIRFLOW_CONN_OPENROUTER_UPDATES": allowing_updates(connection),
            "AIRFLOW_CONN_OPENROUTER_REFUSED": json.dumps(
                json.loads(connection) | {"password": "sk-or-v1-revoked"}
            ),
            "AIRFLOW_VAR_OPENROUTER_LAKE": (HOME / "lake").as_uri(),
        }
        with Standalone(HOME, DAGS, environment) as airflow:
            airflow.add({"watch_another_account": REFUSED})
            [(user, password)] = json.loads((HOME / PASSWORDS).read_text()).items()
            say(f"The page is at {airflow.url}/plugin/openrouter")
            print(f"Log in as {user} with the password {password}. Press Ctrl+C to stop.", flush=True)
            signal.pause()


def main() -> None:
    with suppress(KeyboardInterrupt):
        run()
    say("Everything is stopped")


if __name__ == "__main__":
    main()
