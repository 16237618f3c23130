"""
The Python of the README and the docs, run as pasted.

As a program it runs the snippets of a folder, in a home of its own and against a sandbox: ``dag_….py`` as Airflow
runs a DAG, ``test_….py`` by pytest, all others as scripts. It writes what became of each to ``results.json``.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
import traceback
from pathlib import Path

from sqlalchemy.engine import make_url

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {"warehouses.md"}
"""Pages whose snippets need other providers; ``make test-warehouse-docs`` runs those."""
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def snippets() -> dict[str, str]:
    """Return each snippet by the name that its file gets."""
    found = {}
    for page in PAGES:
        if page.name in ELSEWHERE:
            continue
        for number, text in enumerate(PYTHON.findall(page.read_text(encoding="utf-8")), 1):
            kind = "dag" if "with DAG(" in text else "test" if "\ndef test_" in text else "script"
            found[f"{kind}_{page.stem.replace('-', '_')}_{number}"] = text
    return found


def run_dags(path: Path) -> str:
    from support.lines import DagBag
    from support.people import answering

    bag = DagBag(path)
    if bag.import_errors:
        return str(bag.import_errors)
    with answering(lambda subject: ("Raise", {"limit": 25})):
        states = {dag.dag_id: str(dag.test().state) for dag in bag.dags.values()}
    return "success" if states and set(states.values()) == {"success"} else str(states)


def run(path: Path) -> str:
    kind = path.stem.partition("_")[0]
    if kind == "dag":
        return run_dags(path)
    if kind == "test":
        import pytest

        code = pytest.main([str(path), "-q", "-p", "no:xdist", "-p", "no:randomly", "-c", os.devnull])
        return "success" if code == 0 else f"pytest ended with {code!r}"
    runpy.run_path(str(path), run_name="__main__")
    return "success"


def main(home: Path) -> None:
    from postgresql import running_postgresql

    from airflow_provider_openrouter.sandbox import Sandbox

    with Sandbox(balance=20.0) as sandbox, running_postgresql() as server:
        warehouse = make_url(server.get_uri())
        low = sandbox.create_key(name="nearly-spent", expires_at=None)
        sandbox.create_key(name="newest", limit=10.0)  # for those that change the first key of a listing
        os.environ |= {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
            "AIRFLOW_CONN_OPENROUTER_UPDATES": json.dumps(
                json.loads(sandbox.connection) | {"extra": {"allow_updates": True}}
            ),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(
                {
                    "conn_type": "postgres",
                    "host": warehouse.query["host"],
                    "login": warehouse.username,
                    "schema": warehouse.database,
                }
            ),
            "AIRFLOW_VAR_OPENROUTER_LAKE": (home / "lake").as_uri(),
        }
        from airflow.utils.db import initdb

        initdb()
        results = {}
        for path in sorted((home / "dags").glob("*.py")):
            sandbox.update_key(low, limit=10.0, limit_remaining=0.25)
            try:
                results[path.stem] = run(path)
            except BaseException:  # what a script raises is its result, SystemExit included
                results[path.stem] = traceback.format_exc()
            (home / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
