"""The tables that are printed."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict

from outcomes import Waking
from plan import ONE, REASONS, Plan, Sensor
from triggerers import Cost

PAGE = 100
TOO_MANY = 1.5


def print_requests(
    asked: list[tuple[str, str]],
    plan: Plan,
    sensors: list[Sensor],
    wakings: list[Waking],
    *,
    began: float,
    minutes: float,
    interval: float,
) -> list[str]:
    """Print how many polls and requests there were, and return what is wrong with that."""
    wrong = []
    ideals = ideal_polls(sensors, wakings, began=began, polls=minutes * 60 / interval, interval=interval)
    requests, polls = Counter[tuple[bool, str]](), Counter[tuple[bool, str]]()
    for name, target in asked:
        what = name == ONE, "keys" if "/keys" in target else "credits"
        requests[what] += 1
        polls[what] += target.endswith(("offset=0", "/credits"))
    print("\n| | sensors | polls a minute | ideal | of the ideal | requests a minute | ideal |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for what, waiting in sorted(Counter((each.connection == ONE, each.task) for each in sensors).items())[::-1]:
        connections = 1 if what[0] else len(plan.many)
        name = f"{what[1]}, {connections} connection{'s' * (connections > 1)}"
        ideal, polled = ideals[what] / minutes, polls[what] / minutes
        needed = ideal * (math.ceil(len(plan.keys) / PAGE) if what[1] == "keys" else 1)
        print(
            f"| {name} | {waiting:,} | {polled:.1f} | {ideal:.1f} | {polled / ideal:.2f} "
            f"| {requests[what] / minutes:.1f} | {needed:.1f} |"
        )
        if not 0 < polled <= TOO_MANY * ideal:
            wrong.append(f"{name}: {polled:.1f} polls a minute where {ideal:.1f} are ideal.")
    return wrong


def ideal_polls(
    sensors: list[Sensor], wakings: list[Waking], *, began: float, polls: float, interval: float
) -> dict[tuple[bool, str], float]:
    """Return how many polls are needed: one per interval and source, until none of its sensors waits."""
    ended = {id(waking.sensor): 1 + (waking.polled - began) // interval for waking in wakings}
    needed: dict[tuple[str, str], float] = defaultdict(float)
    for sensor in sensors:
        needed[sensor.source] = max(needed[sensor.source], min(polls, ended.get(id(sensor), polls)))
    ideals: dict[tuple[bool, str], float] = defaultdict(float)
    for (connection, polled), number in needed.items():
        ideals[connection == ONE, polled.partition(",")[0]] += number
    return ideals


def print_waking(plan: Plan, sensors: list[Sensor], wakings: list[Waking]) -> None:
    """Print when those were woken that were, by the kinds of their rules."""
    print("\n| rule | sensors | crossings | woken | to the poll, median s | max s", end=" ")
    print("| to the task's end, median s | max s |\n|---|--:|--:|--:|--:|--:|--:|--:|")
    waiting = Counter(sensor.kind for sensor in sensors)
    crossings = Counter(crossing.kind for crossing in plan.crossings)
    for kind in REASONS:
        of_kind = [waking for waking in wakings if waking.sensor.kind == kind]
        print(f"| {kind} | {waiting[kind]} | {crossings[kind]} | {len(of_kind)}", end=" ")
        for seconds in (
            [waking.polled - waking.crossed for waking in of_kind],
            [waking.ended - waking.crossed for waking in of_kind],
        ):
            print(f"| {statistics.median(seconds):.1f} | {max(seconds):.1f}" if seconds else "| | ", end=" ")
        print("|")


def print_cost(name: str, cost: Cost) -> None:
    lags = " | ".join(f"{cost.lag[each]:.1f}" for each in ("p50", "p99", "max"))
    print(
        f"| {name} | {cost.triggers:,} | {cost.deferring:.0f} | {cost.cpu:.1f} | {cost.runner_cpu:.1f} "
        f"| {lags} | {cost.kilobytes:.1f} |",
        flush=True,
    )
