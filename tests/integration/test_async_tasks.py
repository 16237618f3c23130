"""The hook in ``async def`` tasks, in a real Airflow: in dag.test() a task does not talk to another process."""

import json
import re
from pathlib import Path

import pytest
from standalone import Standalone

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "hook.md").read_text()
[ON_THE_PAGE] = re.findall(r"```python\n(import asyncio\n.*?)```", PAGE, re.DOTALL)
BESIDE = """
import asyncio

from airflow.sdk import DAG, BaseHook, task

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook


async def ask_airflow(done):
    while not done.is_set():
        await BaseHook.aget_connection("other")


with DAG(dag_id="beside", schedule=None):

    @task
    async def list_keys_while_airflow_is_asked():
        done = asyncio.Event()
        asking = asyncio.create_task(ask_airflow(done))
        await asyncio.sleep(0.005)
        try:
            return [len(await asyncio.to_thread(OpenRouterHook().list_keys, workspace_id="*")) for _ in range(5)]
        finally:
            done.set()
            await asking

    list_keys_while_airflow_is_asked()
"""


@pytest.mark.airflow(">=3.3")
@pytest.mark.xdist_group("airflow standalone")
@pytest.mark.timeout(600)
def test_the_hook_works_in_async_tasks(tmp_path):
    stored = tmp_path / "connections.json"
    dags = {"openrouter_async_task": ON_THE_PAGE, "beside": BESIDE}
    with Sandbox(keys=60, workspaces=3) as sandbox, Standalone(tmp_path / "home", {}, {}) as airflow:
        # Not in the environment, so that a task asks Airflow for them.
        connection = json.loads(sandbox.connection)
        stored.write_text(json.dumps(dict.fromkeys(("openrouter_default", "other"), connection)))
        airflow.run("connections", "import", str(stored))
        airflow.add({name: source.replace("schedule=None", "schedule='@once'") for name, source in dags.items()})
        for dag_id in dags:
            airflow.wait_for(lambda dag_id=dag_id: airflow.run_states(dag_id) == ["success"], f"{dag_id} to end")
        keys = len(OpenRouterClient(sandbox.token, base_url=sandbox.base_url).list_keys(workspace_id="*"))
        assert airflow.xcom("openrouter_async_task", "count_keys") == {"keys": keys, "workspaces": 3}
        assert airflow.xcom("beside", "list_keys_while_airflow_is_asked") == [keys] * 5
