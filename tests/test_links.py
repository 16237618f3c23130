"""The link from a task to the account's keys, as Airflow stores it."""

import json
from datetime import UTC, datetime
from importlib import import_module

import pytest
from airflow.sdk import DAG, BaseOperator
from support.lines import DagSerialization, needs_links_of_mapped_tasks, needs_people

from airflow_provider_openrouter.connection import KEYS_PAGE
from airflow_provider_openrouter.get_provider_info import get_provider_info
from airflow_provider_openrouter.links import OpenRouterKeysLink
from airflow_provider_openrouter.operators.openrouter import (
    OpenRouterListActivityOperator,
    OpenRouterListKeysOperator,
    OpenRouterRaiseLimitOperator,
    OpenRouterUpdateKeyOperator,
)
from airflow_provider_openrouter.sensors.openrouter import OpenRouterCreditsSensor, OpenRouterKeyLimitSensor
from airflow_provider_openrouter.transfers.openrouter_to_sql import (
    OpenRouterActivityToSqlOperator,
    OpenRouterKeysToSqlOperator,
)

KEY = "sk-or-v1-5ecre7"
TASKS = {
    OpenRouterListKeysOperator: {},
    OpenRouterKeysToSqlOperator: {"sql_conn_id": "sqlite_default", "table": "keys"},
    OpenRouterKeyLimitSensor: {"threshold": 1},
    OpenRouterCreditsSensor: {"threshold": 1},
    OpenRouterListActivityOperator: {},
    OpenRouterActivityToSqlOperator: {"sql_conn_id": "sqlite_default", "table": "activity"},
    OpenRouterUpdateKeyOperator: {"key_hash": "a", "limit": 5},
    OpenRouterRaiseLimitOperator: {"key": {"hash": "a"}, "max_limit": 5},
}
"""Every operator, transfer and sensor, with the arguments that it needs."""
KINDS = {
    kind
    for part in ("operators", "sensors", "transfers")
    for entry in get_provider_info()[part]
    for module in entry.get("python-modules", [entry.get("python-module")])
    for name, kind in vars(import_module(module)).items()
    if name.startswith("OpenRouter") and isinstance(kind, type) and issubclass(kind, BaseOperator)
}
MARKS = {OpenRouterRaiseLimitOperator: needs_people}


def link(**fields):
    [link] = OpenRouterListKeysOperator.operator_extra_links
    return link.get_link(OpenRouterListKeysOperator(task_id="list", **fields), ti_key=None)


@pytest.mark.parametrize(
    ("host", "leads_to"),
    [
        (None, KEYS_PAGE),
        ("openrouter.ai", KEYS_PAGE),
        ("https://openrouter.ai/api/v1", KEYS_PAGE),
        ("https://OpenRouter.ai:443", KEYS_PAGE),
        ("https://llm.example.com/openrouter/api/v1?key=x#y", "https://llm.example.com"),
        ("http://user:secret@llm.example.com:8080/api/v1", "http://llm.example.com:8080"),
        ("llm.example.com", "https://llm.example.com"),
        ("::1", "https://[::1]"),
        ("http://[::1]:8080/api/v1", "http://[::1]:8080"),
        ("https://user:sec/ret@llm.example.com", KEYS_PAGE),
        ("https://us/er:secret@llm.example.com", KEYS_PAGE),
        ("https://llm.example.com:port", KEYS_PAGE),
        (f"https://{KEY}", KEYS_PAGE),
        (KEY, KEYS_PAGE),
        ("https://two words", KEYS_PAGE),
        ("javascript://llm.example.com/%0Aalert(1)", KEYS_PAGE),
        ("http://[::1", KEYS_PAGE),
    ],
)
def test_it_leads_to_the_keys_of_the_connections_host(host, leads_to, monkeypatch):
    connection = {"conn_type": "openrouter", "host": host, "login": KEY, "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps(connection))
    assert link(openrouter_conn_id="team") == leads_to


@pytest.mark.parametrize("conn_id", ["missing", "{{ var.value.team }}", None])
def test_it_leads_to_openrouter_without_a_connection(conn_id):
    assert link(openrouter_conn_id=conn_id) == KEYS_PAGE


def test_a_uri_is_a_connection_too(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", f"openrouter://user:{KEY}@llm.example.com:8443/api?allow_http=true")
    assert link(openrouter_conn_id="team") == "https://llm.example.com:8443"


def test_every_operator_sensor_and_transfer_is_tested():
    assert TASKS.keys() >= KINDS


@needs_links_of_mapped_tasks
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=MARKS.get(kind, ()), id=kind.__name__) for kind in TASKS],
)
def test_every_task_has_it_on_the_api_server_mapped_or_not(kind):
    with DAG("links", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        kind(task_id="one", **TASKS[kind])
        kind.partial(task_id="each", **TASKS[kind]).expand(openrouter_conn_id=["a", "b"])
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    tasks = DagSerialization.from_dict(stored).task_dict
    assert {name: task.extra_links for name, task in tasks.items()} == {
        "one": [OpenRouterKeysLink.name],
        "each": [OpenRouterKeysLink.name],
    }
