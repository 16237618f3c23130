"""
Let many sensors wait in one triggerer of a whole Airflow, wake some of them, and print what that costs.

--sensors wait on one connection, and four on each of --connections more, each with its own rule: for keys below
an amount of USD or a percentage, for keys that run dry or expire within a time, or for low credits. The account
is a sandbox in another process. Each sensor starts on a worker, polls once and defers. When all wait, --minutes
begin, in which keys and credits become low at known moments, each by one kind of rule.

Polls and requests are counted at the server. Everything that waits for the keys of a connection, for its credits
in USD, or for its credits in time, ideally shares one poll per interval until the last of it is woken, and a poll
is one request per page. A probe that ticks every 10 ms on the same event loop measures its lag. CPU is in percent
of one core, for the triggerer's processes. Memory is the growth of the process that runs the triggers, from a few
of them to all, divided by their number. As many of Airflow's own DateTimeTriggers, in another Airflow, show what
Airflow itself costs.

It fails if a sensor is not woken by what it waits for, or gets anything else; if any other sensor is woken or
fails; or if there are more than one and a half times as many polls as ideal. No measured time makes it fail, but
it stops waiting after some minutes.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path

from accounts import Accounts
from outcomes import Crossings, judged
from plan import ONE, Plan
from tables import print_cost, print_requests, print_waking
from triggerers import airflow, cost_of_waiting

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from machine import machine

WAKING = 30.0
"""Seconds, besides the interval, that the sensors of the last crossing have before the minutes are over."""
SETTLE, BASELINE = 10.0, 60.0
"""Seconds before the measurement of Airflow's own triggers, and seconds that it takes."""
FAR_AWAY = "2100-01-01T00:00:00+00:00"


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
        hashes = {key: account.create_key(**key.fields) for key in plan.keys}
        sensors = list(plan.sensors(hashes))
        seconds, interval = options.minutes * 60, options.interval
        crossings = Crossings(account, plan, hashes, max(0.0, seconds - interval - WAKING))

        rules = {
            task: [sensor.arguments for sensor in sensors if sensor.task == task] for task in ("keys", "credits")
        }
        connections = {f"AIRFLOW_CONN_{name.upper()}": account.connection_of(name) for name in [ONE, *plan.many]}
        with airflow({"ours": rules, "interval": interval, "seconds": seconds}, connections) as cluster:
            cost = cost_of_waiting(cluster, len(sensors), settle=interval, seconds=seconds, meanwhile=crossings)
            wakings, wrong = judged(cluster, sensors, crossings, interval)
        asked = account.asked(crossings.began, crossings.began + seconds)

    print(f"{machine()}; {options.minutes:g} minutes, {interval:g} s between polls, {len(plan.keys)} keys")
    wrong += print_requests(asked, crossings, sensors, wakings, seconds=seconds, interval=interval)
    print_waking(plan, sensors, wakings)
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
