"""Metrics, as a StatsD server receives them from Airflow."""

import os
import subprocess
import sys
from collections import Counter
from textwrap import dedent

import pytest
from support.statsd import Statsd

from airflow_provider_openrouter.sandbox import Sandbox

PROGRAM = """
from support.keys import key, listing
from support.lines import deserialize  # which sets up Airflow's Stats, as it does in the triggerer

from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.watch.metrics import count_reports, counted_poll, record_credits, record_keys

scope = WorkspaceScope("Büro, Süd=1")
spent = [key("a", usage_daily=1.25), key("b", None, usage_daily="0.1"), key("c", usage_daily=[1]), key("d")]
unused = [key("e", disabled=True, usage_daily=9), key("f", expires_at="2026-11-01T00:00:00Z", usage_daily=9)]
record_keys("team.a", listing(*spent, *unused, workspace_id="*"))
record_credits("team.a", balance=-0.5)
record_credits("team.a", balance=12.5, days_left=3.25)
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


def run(program, environment):
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run(
        [sys.executable, "-c", dedent(program)], env=os.environ | {"PYTHONPATH": path} | environment, check=True
    )


@pytest.mark.parametrize(("influxdb", "received"), [(False, PLAIN), (True, TAGGED)], ids=["plain", "tagged"])
def test_a_server_without_tags_gets_them_in_the_name(influxdb, received):
    with Statsd(influxdb=influxdb) as server:
        run(PROGRAM, server.environment)
    assert server.ours == [f"airflow.{line}" for line in received.split()]


WATCHED = """
import asyncio
from contextlib import aclosing

from support.lines import deserialize

from airflow_provider_openrouter.exceptions import OpenRouterAuthError
from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterCreditsEventTrigger,
    OpenRouterKeyLimitEventTrigger,
)


async def watch(threshold, kind=OpenRouterKeyLimitEventTrigger, **scope):
    trigger = kind(threshold=threshold, openrouter_conn_id="watched", **scope)
    async with aclosing(trigger.run()) as events:
        await anext(events)


async def main():
    every = {"workspace_id": "*"}
    credits = [watch("1 week", OpenRouterCreditsEventTrigger), watch("2 weeks", OpenRouterCreditsEventTrigger)]
    await asyncio.gather(watch(1, **every), watch(1, **every), watch("3 days", **every), *credits)


asyncio.run(main())
for conn_id in ("poked", "missing"):
    try:
        OpenRouterKeyLimitSensor(task_id="wait", threshold=1, openrouter_conn_id=conn_id).poke({})
    except OpenRouterAuthError:
        pass
"""


def test_a_poll_counts_once_however_many_share_it():
    with Sandbox(keys=25, balance=20) as sandbox, Statsd() as server:
        sandbox.create_key(name="low", limit=10.0, limit_remaining=0.5, expires_at=None)
        accounts = {f"AIRFLOW_CONN_{name}": sandbox.connection for name in ("WATCHED", "POKED")}
        run(WATCHED, server.environment | accounts)
    counts = Counter(line.partition(":")[0].removeprefix("airflow.openrouter.") for line in server.ours)
    assert counts == {
        "keys.active.watched.all": 1,
        "keys.spend_today.watched.all": 1,
        "polls.watched.all": 1,
        "reports.watched.all.limit": 2,
        "reports.watched.all.runway": 1,
        "credits.balance.watched.account": 1,
        "credits.days_left.watched.account": 1,
        "polls.watched.account": 1,
        "reports.watched.account.runway": 2,
        "keys.active.poked.default": 1,
        "keys.spend_today.poked.default": 1,
        "polls.poked.default": 1,
        "reports.poked.default.limit": 1,
        "polls.missing.default": 1,
        "poll_failures.missing.default": 1,
    }
