"""The Python of the README and the docs runs as pasted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.lines import needs_answers_in_dag_test, needs_async_tasks, needs_dag_test, needs_frames_in_xcom
from support.snippets import snippets
from support.versions import exists

TESTS = Path(__file__).parent
PATHS = (str(TESTS), str(TESTS.parent / "scripts"), os.environ.get("PYTHONPATH"))

pytestmark = [pytest.mark.xdist_group("snippets"), pytest.mark.timeout(600), needs_frames_in_xcom]

NEEDS = {
    "with DAG(": needs_dag_test,
    "lake": needs_dag_test,  # which a DAG writes
    "OpenRouterRaiseLimitOperator": needs_answers_in_dag_test,
    "async def": needs_async_tasks,
}
"""What an older Airflow lacks, by the text that needs it."""


def needed(text):
    return [mark for part, mark in NEEDS.items() if part in text]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What became of each snippet; all run in one process, because Airflow starts slowly."""
    home = tmp_path_factory.mktemp("snippets")
    (home / "dags").mkdir()
    for name, text in snippets().items():
        if all(map(exists, needed(text))):  # else it might wait for ever
            (home / "dags" / f"{name}.py").write_text(text)
    program = subprocess.run(
        [sys.executable, "-m", "support.snippets", str(home)],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, PATHS))},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert (home / "results.json").exists(), program.stderr
    return json.loads((home / "results.json").read_text())


@pytest.mark.parametrize("name", [pytest.param(name, marks=needed(text)) for name, text in snippets().items()])
def test_a_snippet_runs_as_pasted(name, results):
    assert results.get(name) == "success"
