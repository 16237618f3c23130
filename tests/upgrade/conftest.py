"""A whole Airflow in which an early checkout was at work, and which the present one then takes over."""

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from checkouts import ROOT, Environment, build_wheel, check_out
from homes import ALERTS, OLD, REPEATED, WAITS, Home
from postgresql import running_postgresql
from standalone import Standalone
from support.databases import Database, connection_to
from support.sandboxes import Flaky

COMMIT = "aec2b3a"
"""The early checkout."""

ACCOUNTS = {"watched": {"keys": 0}, "alerting": {"keys": 0}, "stored": {"keys": 25, "workspaces": 2}}
"""The accounts, by the connections that lead to them."""


@dataclass
class Upgrade:
    """
    An Airflow that the present checkout runs, and what the early one had stored in it.

    :param at: when the present checkout was installed, in UTC.
    :param rows: of the table in each database.
    """

    home: Home
    at: datetime
    rows: dict
    files: dict
    alert_states: dict
    watchers: list


@pytest.fixture(scope="session")
def say(request):
    """Print how far it is, while pytest captures what is printed."""
    terminal, capture = map(request.config.pluginmanager.get_plugin, ("terminalreporter", "capturemanager"))
    began = time.monotonic()

    def say(line):
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(f"=== {time.monotonic() - began:3.0f} s: {line}")

    return say


@pytest.fixture(scope="session")
def upgrade(say):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="openrouter-upgrade-")))
        say(f"Building the wheels of {COMMIT} and of this checkout")
        checkout = check_out(COMMIT, folder / "checkout")
        old, new = build_wheel(checkout, folder / "old"), build_wheel(ROOT, folder / "new")
        say(f"Installing Airflow and the wheel of {COMMIT}")
        environment = Environment(folder / "venv")
        environment.install(old)
        home = make_home(folder, environment, stack)
        say(f"Starting Airflow with {COMMIT}")
        with home.airflow:
            keep(home, checkout / "airflow_provider_openrouter" / "history")
            say("It has written files and tables of two days")
            watch(home)
            say("Two watchers have reported a key, and remember it")
            rows = {name: home.rows(name) for name in home.databases}
            before = (rows, home.files(), home.stored("openrouter_low"), home.watchers())
            assert not home.stored("openrouter_status")
            home.airflow.trigger("waits")
            for name in WAITS:
                home.reaches(name, "up_for_reschedule" if name == "rescheduled" else "deferred")
            say("Five sensors wait")
        say("Airflow has ended. A key runs low")
        # Airflow says in it that it is ready, which the next one has yet to say.
        (home.airflow.home / "standalone.log").rename(home.airflow.home / "standalone-before.log")
        home.set_left("watched", "meanwhile", 1)
        say("Installing the wheel of this checkout in place of the other, and starting Airflow")
        at = datetime.now(UTC).replace(tzinfo=None)
        environment.install(new)
        with home.airflow:
            say("Airflow runs")
            yield Upgrade(home, at, *before)
            say("Ending Airflow")


def make_home(folder, environment, stack):
    """Return the home of an Airflow that has not started yet."""
    accounts = {name: stack.enter_context(Flaky(**account)) for name, account in ACCOUNTS.items()}
    server = stack.enter_context(running_postgresql())
    for name in ("airflow", "warehouse"):
        server.psql(f"CREATE DATABASE {name};")
    databases = {
        "sqlite": Database(f"sqlite:///{folder}/warehouse.db"),
        "postgresql": Database(server.get_uri("warehouse", driver="psycopg2")),
    }
    connections = {name: account.connection for name, account in accounts.items() if name != "stored"}
    connections |= {name: connection_to(database.engine.url) for name, database in databases.items()}
    variables = {
        # So that only what is installed is imported, and nothing of this checkout.
        "PYTHONPATH": "",
        "PYTHONSAFEPATH": "1",
        # All parts start at once, and a task that goes on at once may have to wait for the API server.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "20",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.get_uri("airflow", driver="psycopg2"),
        "AIRFLOW_VAR_LAKE": (folder / "lake").as_uri(),
        **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in connections.items()},
    }
    dags = sorted((Path(__file__).parent / "dags").glob("*.py"))
    airflow = Standalone(folder / "home", dags, variables, python=environment.python)
    home = Home(airflow, accounts, databases, folder / "lake")
    for account, names in {"watched": WAITS, "alerting": ("alert-0", "alert-1")}.items():
        for name in names:
            home.create_key(account, name)
    return home


def keep(home, history):
    """Write keys of two days, with a connection in Airflow's database, and create the views of the history."""
    account = json.loads(home.accounts["stored"].connection)
    extra = {"timeout": 20, "max_retries": 3, "max_concurrency": 4, "allow_http": False}
    home.airflow.run(
        "connections", "add", "stored", "--conn-type", "openrouter", "--conn-host", account["host"],
        "--conn-password", account["password"], "--conn-extra", json.dumps(extra),
    )  # fmt: skip
    home.keep(OLD, runs=1)
    home.spend("stored", "billing-prod-0", 3)
    home.keep(REPEATED, runs=2)
    for name in home.databases:
        assert "granularity" not in home.rows(name)[0]
        for view in (f"observations_{name}", "days", "spend"):
            home.run(name, (history / f"{view}.sql").read_text())


def watch(home):
    """Let the watchers report a key, and remember it."""
    home.listed("alerting")
    home.set_left("alerting", "alert-0", 2)
    for dag_id in ALERTS:
        home.ends(dag_id, runs=1)
        assert home.airflow.xcom(dag_id, "list_low_keys") == ["alert-0"]
    low = home.hash_of("alerting", "alert-0")
    home.airflow.wait_for(
        lambda: [low in state for state in home.stored("openrouter_low").values()] == [True] * 2,
        "both alert states",
    )
