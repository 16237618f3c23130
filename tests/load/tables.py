"""The tables that are printed."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict

from outcomes import Crossings, Waking
from plan import ONE, REASONS, Group, Plan, Sensor
from triggerers import Cost

PAGE_SIZE = 100
TOO_MANY = 1.5


def print_requests(
    asked: list[tuple[str, str]],
    crossings: Crossings,
    sensors: list[Sensor],
    wakings: list[Waking],
    *,
    seconds: float,
    interval: float,
) -> list[str]:
    """Print how many polls and requests there were, and return what is wrong with that."""
    wrong = []
    waiting = Counter(sensor.group for sensor in sensors)
    requests, polls = Counter[Group](), Counter[Group]()
    for name, target in asked:
        group = name == ONE, "keys" if "/keys" in target else "credits"
        requests[group] += 1
        polls[group] += target.endswith(("offset=0", "/credits"))
    ideals = ideal_polls(sensors, wakings, began=crossings.began, seconds=seconds, interval=interval)
    pages = {"keys": math.ceil(len(crossings.plan.keys) / PAGE_SIZE), "credits": 1}
    minutes = seconds / 60

    print("\n| | sensors | polls a minute | ideal | of the ideal | requests a minute | ideal |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for group in sorted(waiting, reverse=True):
        is_one, task = group
        count = 1 if is_one else len(crossings.plan.many)
        name = f"{task}, {count} connection{'s' * (count > 1)}"
        polled, ideal = polls[group] / minutes, ideals[group] / minutes
        print(f"| {name} | {waiting[group]:,} | {polled:.1f} | {ideal:.1f} | {polled / ideal:.2f}", end=" ")
        print(f"| {requests[group] / minutes:.1f} | {ideal * pages[task]:.1f} |")
        if not 0 < polled <= TOO_MANY * ideal:
            wrong.append(f"{name}: {polled:.1f} polls a minute where {ideal:.1f} are ideal.")
    return wrong


def ideal_polls(
    sensors: list[Sensor], wakings: list[Waking], *, began: float, seconds: float, interval: float
) -> dict[Group, float]:
    """Return how many polls are needed: one per interval and source, until none of its sensors waits."""
    woken = {id(waking.sensor): 1 + (waking.polled - began) // interval for waking in wakings}
    most = seconds / interval
    needed = defaultdict[tuple[Group, str, str], float](float)
    for sensor in sensors:
        needed[sensor.source] = max(needed[sensor.source], min(most, woken.get(id(sensor), most)))
    ideals = defaultdict[Group, float](float)
    for (group, *_), polls in needed.items():
        ideals[group] += polls
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
