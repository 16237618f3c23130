"""One cluster for all tests of this folder, the accounts that its connections lead to, and what was measured."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import Cluster
from scenes import EXAMPLES, FERNET_KEY, TOKEN
from sqlalchemy import create_engine
from support.sandboxes import Flaky

KEYS = {"default": 25, "slow": 1_000, "stored": 0, "flaky": 0, "steps": 0, "updates": 0}
"""The accounts by the names of their connections, and how many keys each has at first."""


@pytest.fixture(scope="session")
def accounts():
    """An account for each scenario, all with the same management key, which must not be found anywhere."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Flaky(keys=keys, token=TOKEN)) for name, keys in KEYS.items()}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, accounts):
    home = tmp_path_factory.mktemp("cluster") / "home"
    # A request is not given up, and so not repeated, while a test holds its response.
    updates = json.loads(accounts["updates"].connection) | {"extra": {"allow_updates": True, "timeout": 600}}
    environment = {
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
        "AIRFLOW_VAR_OPENROUTER_LAKE": (home / "lake").as_uri(),
        "AIRFLOW_CONN_OPENROUTER_UPDATES": json.dumps(updates),
    }
    for name in ("default", "slow", "flaky", "steps"):
        environment[f"AIRFLOW_CONN_OPENROUTER_{name.upper()}"] = accounts[name].connection
    with Cluster(home, EXAMPLES, environment) as cluster:
        cluster.run(
            "connections", "add", "openrouter_stored", "--conn-type", "openrouter",
            "--conn-host", accounts["stored"].base_url, "--conn-password", TOKEN,
        )  # fmt: skip
        cluster.add(sorted((Path(__file__).parent / "dags").glob("*.py")))
        yield cluster


@pytest.fixture(scope="session")
def warehouse(cluster):
    engine = create_engine(cluster.warehouse)
    yield engine
    engine.dispose()


def pytest_terminal_summary(terminalreporter):
    """Print at the end what the tests measured."""
    terminalreporter.section("measured")
    for report in terminalreporter.stats.get("passed", []):
        for what, value in report.user_properties:
            terminalreporter.write_line(f"{what}: {value}")
