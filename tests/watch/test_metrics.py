"""Metrics, as Airflow gets them, and as a StatsD server receives them from it."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from contextlib import aclosing, suppress
from importlib.util import find_spec, module_from_spec

import pytest
from support.statsd import Stats, Statsd

from airflow_provider_openrouter.exceptions import OpenRouterAuthError
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterCreditsEventTrigger,
    OpenRouterKeyLimitEventTrigger,
)

PROGRAM = """
from support.keys import key, listing
from support.lines import deserialize  # which sets up Airflow's Stats, as it does in the triggerer

from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.watch.metrics import count_reports, counted_poll, record_credits, record_keys

scope = WorkspaceScope("Büro, Süd=1")
spent = [key("a", usage_daily=1.25), key("b", None, usage_daily="0.1000004"), key("c", usage_daily=[1]), key("d")]
unused = [key("e", disabled=True, usage_daily=9), key("f", expires_at="2026-11-01T00:00:00Z", usage_daily=9)]
record_keys("team.a", listing(*spent, *unused, workspace_id="*"))
record_credits("team.a", balance=-0.5)
record_credits("team.a", balance=12.5000004, days_left=3.2504)
with counted_poll("team.a", WorkspaceScope()):
    pass
try:
    with counted_poll("team.a", scope):
        raise ValueError
except ValueError:
    pass
with counted_poll("team.a"):
    pass
count_reports("team.a", scope, reasons=["limit", "runway", "limit"])
count_reports("team.a", reasons=["runway"])
"""

PLAIN = """
openrouter.keys.active.team_a.all:4|g
openrouter.keys.spend_today.team_a.all:1.35|g
openrouter.credits.balance.team_a.account:0|g
openrouter.credits.balance.team_a.account:-0.5|g
openrouter.credits.balance.team_a.account:12.5|g
openrouter.credits.days_left.team_a.account:3.25|g
openrouter.polls.team_a.default:1|c
openrouter.poll_failures.team_a.B_ro__S_d_1:1|c
openrouter.polls.team_a.B_ro__S_d_1:1|c
openrouter.polls.team_a.account:1|c
openrouter.reports.team_a.B_ro__S_d_1.limit:2|c
openrouter.reports.team_a.B_ro__S_d_1.runway:1|c
openrouter.reports.team_a.account.runway:1|c
"""

TAGGED = """
openrouter.keys.active,connection=team_a,scope=all:4|g
openrouter.keys.spend_today,connection=team_a,scope=all:1.35|g
openrouter.credits.balance,connection=team_a,scope=account:0|g
openrouter.credits.balance,connection=team_a,scope=account:-0.5|g
openrouter.credits.balance,connection=team_a,scope=account:12.5|g
openrouter.credits.days_left,connection=team_a,scope=account:3.25|g
openrouter.polls,connection=team_a,scope=default:1|c
openrouter.poll_failures,connection=team_a,scope=B_ro__S_d_1:1|c
openrouter.polls,connection=team_a,scope=B_ro__S_d_1:1|c
openrouter.polls,connection=team_a,scope=account:1|c
openrouter.reports,connection=team_a,scope=B_ro__S_d_1,reason=limit:2|c
openrouter.reports,connection=team_a,scope=B_ro__S_d_1,reason=runway:1|c
openrouter.reports,connection=team_a,scope=account,reason=runway:1|c
"""


@pytest.mark.parametrize(("influxdb", "received"), [(False, PLAIN), (True, TAGGED)], ids=["plain", "tagged"])
def test_a_server_without_tags_gets_them_in_the_name(influxdb, received):
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with Statsd(influxdb=influxdb) as server:
        subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | path | server.environment, check=True)
    assert server.ours == [f"airflow.{line}" for line in received.split()]


@pytest.mark.parametrize(("has_tags", "given"), [(False, PLAIN), (True, TAGGED)], ids=["plain", "tagged"])
def test_airflow_gets_each_metric_once(has_tags, given, monkeypatch):
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", str(not has_tags))
    spec = find_spec("airflow_provider_openrouter.watch.metrics")
    spec.loader.exec_module(metrics := module_from_spec(spec))  # as a process begins: it asks once for tags
    monkeypatch.setattr(metrics, "Stats", stats := Stats())
    monkeypatch.setitem(sys.modules, spec.name, metrics)
    exec(PROGRAM, {})
    assert stats.lines == [line for line in given.split() if not line.endswith(":0|g")]


async def watch(threshold, kind=OpenRouterKeyLimitEventTrigger, **scope):
    trigger = kind(threshold=threshold, openrouter_conn_id="watched", **scope)
    async with aclosing(trigger.run()) as events:
        await anext(events)


async def watch_all():
    every = {"workspace_id": "*"}
    credits = [watch("1 week", OpenRouterCreditsEventTrigger), watch("2 weeks", OpenRouterCreditsEventTrigger)]
    async with asyncio.timeout(10):
        await asyncio.gather(watch(1, **every), watch(1, **every), watch("3 days", **every), *credits)


def test_a_poll_counts_once_however_many_share_it(monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.watch.metrics.Stats", stats := Stats())
    with Sandbox(keys=25, balance=20) as sandbox:
        sandbox.create_key(name="low", limit=10.0, limit_remaining=0.5, expires_at=None)
        monkeypatch.setenv("AIRFLOW_CONN_WATCHED", sandbox.connection)
        monkeypatch.setenv("AIRFLOW_CONN_POKED", sandbox.connection)
        asyncio.run(watch_all())
        for conn_id in ("poked", "missing"):
            with suppress(OpenRouterAuthError):
                OpenRouterKeyLimitSensor(task_id="wait", threshold=1, openrouter_conn_id=conn_id).poke({})
    counts = Counter(line.partition(":")[0].removeprefix("openrouter.") for line in stats.lines)
    assert counts == {
        "keys.active,connection=watched,scope=all": 1,
        "keys.spend_today,connection=watched,scope=all": 1,
        "polls,connection=watched,scope=all": 1,
        "reports,connection=watched,scope=all,reason=limit": 2,
        "reports,connection=watched,scope=all,reason=runway": 1,
        "credits.balance,connection=watched,scope=account": 1,
        "credits.days_left,connection=watched,scope=account": 1,
        "polls,connection=watched,scope=account": 1,
        "reports,connection=watched,scope=account,reason=runway": 2,
        "keys.active,connection=poked,scope=default": 1,
        "keys.spend_today,connection=poked,scope=default": 1,
        "polls,connection=poked,scope=default": 1,
        "reports,connection=poked,scope=default,reason=limit": 1,
        "polls,connection=missing,scope=default": 1,
        "poll_failures,connection=missing,scope=default": 1,
    }
