"""The plugin: what it adds to Airflow, and that it costs a task nothing."""

import asyncio
import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from support.lines import AIRFLOW_3_0, needs_page

from airflow_provider_openrouter.plugins.openrouter import LazyApp, OpenRouterPlugin

LOADED = """
import importlib, json, sys
import airflow.sdk.execution_time.task_runner
import airflow.providers.common.compat.sdk as sdk
sdk.AirflowPlugin  # as the task runner loads all plugins
before = set(sys.modules)
importlib.import_module("airflow_provider_openrouter.plugins.openrouter").OpenRouterPlugin()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_a_task_imports_nothing_but_the_plugin_itself():
    run = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    package = "airflow_provider_openrouter"
    loaded = set(json.loads(run.stdout.splitlines()[-1])) - {package}
    assert loaded == {f"{package}.plugins", f"{package}.plugins.openrouter"}


def test_airflow_finds_it_by_its_entry_point_alone():
    (found,) = (each for each in entry_points(group="airflow.plugins") if each.name == "openrouter")
    assert found.load() is OpenRouterPlugin


@needs_page
def test_it_adds_a_page_and_the_entry_of_the_menu():
    (view,), (app,) = OpenRouterPlugin().external_views, OpenRouterPlugin().fastapi_apps
    assert view["href"] == f"{app['url_prefix']}/".removeprefix("/")
    assert view["destination"] == "nav"  # one that Airflow does not know drops all of the plugin


@pytest.mark.parametrize("conn_id", ["", " ", *(["openrouter_default"] if AIRFLOW_3_0 else [])])
def test_there_is_no_page_without_a_connection_or_before_3_1(monkeypatch, conn_id):
    monkeypatch.setenv("AIRFLOW__OPENROUTER__PAGE_CONN_ID", conn_id)
    assert OpenRouterPlugin().external_views == OpenRouterPlugin().fastapi_apps == []


@needs_page
def test_options_that_cannot_be_read_turn_the_page_off(monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW__OPENROUTER__PAGE_TABLE_CMD", "false")
    from airflow.configuration import conf

    monkeypatch.setattr(
        conf, "sensitive_config_values", conf.sensitive_config_values | {("openrouter", "page_table")}
    )
    assert OpenRouterPlugin().external_views == OpenRouterPlugin().fastapi_apps == []
    assert "[openrouter] cannot be read (AirflowConfigException)" in caplog.text


def test_it_starts_and_stops_with_the_server():
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    sent = []

    async def receive():
        return {"type": next(messages)}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(LazyApp()({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@needs_page
def test_first_requests_that_come_together_make_one_app():
    app = LazyApp()
    scope = {"type": "http", "method": "GET", "path": "/api/nothing", "headers": [], "query_string": b""}
    apps = []

    async def receive():
        return {"type": "http.request"}

    async def ask():
        of_this = dict(scope)

        async def send(message):
            if message["type"] == "http.response.start":
                apps.append((message["status"], of_this["app"]))

        await app(of_this, receive, send)

    async def ask_together():
        await asyncio.gather(*(ask() for _ in range(8)))

    asyncio.run(ask_together())
    assert {status for status, _ in apps} == {404}
    assert len({id(each) for _, each in apps}) == 1
