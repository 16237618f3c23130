"""
Let many sensors wait in one triggerer of a whole Airflow, wake some of them, and print what that costs.

--sensors wait on one connection, and four on each of --connections more, each with its own rule. The account is a
sandbox in another process. Each sensor starts on a worker, polls once and defers. When all wait, --minutes begin,
in which keys run low at known moments.

Listings and requests are counted at the server; ideal is one listing per interval and connection. A probe that
ticks every 10 ms on the same event loop measures its lag. CPU is in percent of one core, for the triggerer's
processes. Memory is the growth of the process that runs the triggers, from a few of them to all, divided by their
number. As many of Airflow's own DateTimeTriggers, in another Airflow, show what Airflow itself costs.

It fails if a sensor is not woken by its key, or gets another key; if any other sensor is woken or fails; or if
there are more than one and a half times as many listings as ideal. No measured time makes it fail, but it stops
waiting after some minutes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from accounts import Account, Accounts
from plan import ONE, SENSORS_OF_EACH, Key, Plan, Sensor
from triggerers import Cluster, Cost, airflow, cost_of_waiting, running_triggers

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from machine import machine

TOO_MANY = 1.5
WAKING = 30.0
"""Seconds, besides the interval, that the sensors of the last crossing have before the minutes are over."""
LOST = 300.0
"""Seconds after the minutes; a sensor that has not been woken by then never will be."""
SETTLE, BASELINE = 10.0, 60.0
"""Seconds before the measurement of Airflow's own triggers, and seconds that it takes."""
FAR_AWAY = "2100-01-01T00:00:00+00:00"
OUTCOMES = """
    select task_instance.map_index, state, extract(epoch from end_date)::float, value
    from task_instance left join xcom
    on (xcom.dag_id, xcom.task_id, xcom.run_id, xcom.map_index, xcom.key)
    = (task_instance.dag_id, task_instance.task_id, task_instance.run_id, task_instance.map_index, 'return_value')
    where task_instance.dag_id = 'waiting'
"""


@dataclass
class Crossings:
    """Lets keys run low one after another within some seconds, and records when."""

    account: Account
    plan: Plan
    hashes: dict[Key, str]
    seconds: float
    began: float = 0.0
    moments: dict[Key, float] = field(default_factory=dict)

    def __call__(self, began: float) -> None:
        self.began = began
        for number, (key, remaining) in enumerate(self.plan.crossings):
            moment = began + self.seconds * number / max(1, len(self.plan.crossings) - 1)
            time.sleep(max(0.0, moment - time.time()))
            self.moments[key] = self.account.lower(self.hashes[key], remaining)


@dataclass
class Outcome:
    """
    What happened to the sensors.

    :param wrong: what is not as it must be.
    :param listed: for each sensor that was woken, seconds from the crossing to the listing that showed it.
    :param ended: for each of them, seconds from the crossing to the end of the task.
    """

    wrong: list[str] = field(default_factory=list)
    listed: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)


def judged(cluster: Cluster, sensors: list[Sensor], crossings: Crossings, interval: float) -> Outcome:
    """Compare what happened to each sensor with what should have happened."""
    woken = [crossings.plan.woken_by(sensor) for sensor in sensors]
    waiting = woken.count(None)
    deadline = time.time() + LOST
    while time.time() < deadline and (running_triggers(cluster) > waiting or _busy(cluster)):
        time.sleep(1)
    time.sleep(interval)  # for those that must not be woken

    result = Outcome()
    if (running := running_triggers(cluster)) != waiting:
        result.wrong.append(f"{running} triggers run, not {waiting}.")
    became: dict[int, Any] = {number: what for number, *what in cluster.query(OUTCOMES)}
    for number, (sensor, key) in enumerate(zip(sensors, woken, strict=True)):
        state, ended_at, records = became[number]
        low = None if records is None else [record["hash"] for record in records]
        should = ("deferred", None) if key is None else ("success", [crossings.hashes[key]])
        if (state, low) != should:
            result.wrong.append(f"Sensor {number}, {sensor.arguments}: {state}, low {low}, not {should}.")
        elif key is not None:
            crossed = crossings.moments[key]
            result.listed.append(datetime.fromisoformat(records[0]["observed_at"]).timestamp() - crossed)
            result.ended.append(ended_at - crossed)
    return result


def _busy(cluster: Cluster) -> bool:
    """Return whether some sensors neither wait nor have ended."""
    return bool(
        cluster.query(
            "select 1 from task_instance where dag_id = 'waiting' and state in ('scheduled', 'queued', 'running')"
        )
    )


def print_requests(asked: list[tuple[str, str]], plan: Plan, minutes: float, interval: float) -> list[str]:
    """Print how many listings and requests there were, and return what is wrong with that."""
    wrong = []
    requests = Counter(name for name, _ in asked)
    listings = Counter(name for name, target in asked if target.endswith("offset=0"))
    print("\n| | sensors | listings a minute | ideal | of the ideal | requests a minute |")
    print("|---|--:|--:|--:|--:|--:|")
    for connections, sensors in (([ONE], plan.on_one), (plan.many, SENSORS_OF_EACH * len(plan.many))):
        if not connections:
            continue
        name = f"{len(connections)} connection{'s' * (len(connections) > 1)}"
        ideal = len(connections) * 60 / interval
        listed, sent = (sum(counts[each] for each in connections) / minutes for counts in (listings, requests))
        print(f"| {name} | {sensors:,} | {listed:.1f} | {ideal:.1f} | {listed / ideal:.2f} | {sent:.1f} |")
        if not 0 < listed <= TOO_MANY * ideal:
            wrong.append(f"{name}: {listed:.1f} listings a minute where {ideal:.1f} are ideal.")
    return wrong


def print_waking(plan: Plan, result: Outcome) -> None:
    print(f"\n| {len(plan.crossings)} crossings | tasks | median s | max s |\n|---|--:|--:|--:|")
    for name, seconds in (("to the listing", result.listed), ("to the task's end", result.ended)):
        if seconds:
            print(f"| {name} | {len(seconds)} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |")


def print_cost(name: str, cost: Cost) -> None:
    lags = " | ".join(f"{cost.lag[each]:.1f}" for each in ("p50", "p99", "max"))
    print(
        f"| {name} | {cost.triggers:,} | {cost.deferring:.0f} | {cost.cpu:.1f} | {cost.runner_cpu:.1f} "
        f"| {lags} | {cost.kilobytes:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sensors", type=int, default=1000, metavar="N", help="on one connection (default: 1000)"
    )
    parser.add_argument("--connections", type=int, default=50, metavar="N", help="more connections (default: 50)")
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="(default: 10)")
    parser.add_argument(
        "--interval", type=float, default=60, metavar="S", help="seconds between polls (default: 60)"
    )
    options = parser.parse_args()
    # The triggerer keeps a file open for each trigger.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    with Accounts() as accounts:
        account = accounts.Account()
        account.start()
        plan = Plan(sensors=options.sensors, connections=options.connections)
        hashes = {
            key: account.create_key(
                name=key.name, limit=100.0, limit_remaining=50.0, disabled=False, expires_at=None
            )
            for key in plan.keys
        }
        sensors = list(plan.sensors(hashes))
        seconds, interval = options.minutes * 60, options.interval
        crossings = Crossings(account, plan, hashes, max(0.0, seconds - interval - WAKING))

        rules = [sensor.arguments for sensor in sensors]
        connections = {f"AIRFLOW_CONN_{name.upper()}": account.connection_of(name) for name in [ONE, *plan.many]}
        with airflow({"ours": rules, "interval": interval, "seconds": seconds}, connections) as cluster:
            cost = cost_of_waiting(cluster, len(sensors), settle=interval, seconds=seconds, meanwhile=crossings)
            result = judged(cluster, sensors, crossings, interval)
        asked = account.asked(crossings.began, crossings.began + seconds)

    print(f"{machine()}; {options.minutes:g} minutes, {interval:g} s between polls, {len(plan.keys)} keys")
    wrong = result.wrong + print_requests(asked, plan, options.minutes, interval)
    print_waking(plan, result)
    print("\n| | triggers | s until all wait | CPU % | of it the loop's process", end=" ")
    print("| p50 lag, ms | p99 lag, ms | max lag, ms | kB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    print_cost("the provider's", cost)
    if wrong:
        sys.exit("\n".join(["", *wrong]))

    seconds = min(seconds, BASELINE)
    with airflow({"airflows": [FAR_AWAY] * len(sensors), "ours": None, "seconds": seconds}, {}) as cluster:
        own = cost_of_waiting(cluster, len(sensors), settle=SETTLE, seconds=seconds, meanwhile=lambda _: None)
    print_cost("Airflow's DateTimeTrigger", own)


if __name__ == "__main__":
    main()
