"""An Airflow whose package is upgraded, and all that its DAGs read and write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from standalone import Standalone
from support.databases import Database
from support.sandboxes import Flaky

OLD, REPEATED, NEW = "2026-11-01T13:20:00+00:00", "2026-11-02T13:20:00+00:00", "2026-11-03T00:20:00+00:00"
"""Moments that are kept: by the early checkout, by both, and by the present one, in the first hour of a day."""
WAITS = ("usd", "percent", "meanwhile", "never", "rescheduled")
"""The sensors, each of which waits for the key of its name."""
ALERTS = ("tenth", "dollars")
"""The DAGs that start when a key runs low."""
TABLE = "openrouter_keys"


@dataclass
class Home:
    """
    An Airflow with the DAGs beside this module.

    :param airflow: the Airflow.
    :param accounts: the accounts by the connections that lead to them.
    :param databases: the databases by the connections that lead to them.
    :param lake: the folder to which files are written.
    """

    airflow: Standalone
    accounts: dict[str, Flaky]
    databases: dict[str, Database]
    lake: Path

    def create_key(self, account: str, name: str) -> None:
        """Create a key of which $50 are left."""
        fields = {"limit": 100.0, "limit_remaining": 50.0, "disabled": False, "expires_at": None}
        self.accounts[account].create_key(name=name, **fields)

    def set_left(self, account: str, name: str, left: float) -> None:
        """Let so many USD be left of a key."""
        self.accounts[account].update_key(self.hash_of(account, name), limit_remaining=left)

    def spend(self, account: str, name: str, usd: float) -> None:
        """Spend so many USD with a key."""
        hash_ = self.hash_of(account, name)
        usage = self.accounts[account].get_key(hash_)["usage"]
        self.accounts[account].update_key(hash_, usage=usage + usd)

    def hash_of(self, account: str, name: str) -> str:
        """Return the hash of a key."""
        sandbox = self.accounts[account]
        [found] = [hash_ for hash_ in sandbox.hashes if sandbox.get_key(hash_)["name"] == name]
        return found

    def listed(self, account: str, times: int = 4) -> None:
        """Wait until an account has been listed so many times more."""
        listings = self.accounts[account].listings
        wanted = len(listings) + times
        self.airflow.wait_for(lambda: len(listings) >= wanted, f"{times} listings of {account}")

    def keep(self, moment: str, *, runs: int) -> None:
        """Write the keys to files and tables as a moment's, in the run of this number."""
        parsed = "select 1 from dag where dag_id = 'keeps'"
        self.airflow.wait_for(lambda: self.airflow.query(parsed), "the DAG to be parsed")
        self.airflow.trigger("keeps", moment=moment)
        self.ends("keeps", runs=runs)

    def ends(self, dag_id: str, *, runs: int) -> None:
        """Wait until a DAG has so many runs and all of them have succeeded."""
        self.airflow.wait_for(
            lambda: self.airflow.run_states(dag_id) == ["success"] * runs,
            f"{runs} good runs of {dag_id}",
            seconds=240,
        )

    def reaches(self, task_id: str, state: str) -> None:
        """Wait until a sensor has a state."""
        self.airflow.wait_for(lambda: self.sensors().get(task_id) == state, f"{task_id} to be {state}")

    def sensors(self) -> dict[str, str]:
        """Return the states of the sensors."""
        return self.airflow.task_states("waits")

    def stored(self, prefix: str) -> dict[str, str]:
        """Return what the watchers have stored with their assets under keys that begin so, by asset and key."""
        states = "select asset.name || ' ' || key, value from asset_state_store join asset on id = asset_id"
        return {name: value for name, value in self.airflow.query(states) if f" {prefix}:" in name}

    def watchers(self) -> list[tuple[Any, ...]]:
        """Return the rows of the watchers' triggers in Airflow's database."""
        return self.airflow.query(
            "select id, classpath, kwargs from trigger where classpath like '%Event%' order by id"
        )

    def rows(self, database: str) -> list[dict[str, Any]]:
        """Return the rows of the table in a database."""
        return self.databases[database].rows(TABLE)

    def run(self, database: str, script: str) -> None:
        """Run statements in a database."""
        self.databases[database].do(*DbApiHook.split_sql_string(script))

    def files(self) -> dict[Path, bytes]:
        """Return the contents of all files that were written."""
        return {path: path.read_bytes() for path in self.lake.rglob("*") if path.is_file()}
