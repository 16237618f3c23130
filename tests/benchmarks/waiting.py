"""
Print what it costs to wait for a low key many times over, beside the alternatives in the same run.

TRIGGERS triggers of one connection look for SECONDS seconds, one second after each look, at keys that are never
low: the provider's trigger, one of it and all of them, with an amount or with a time as threshold, and triggers
that each list for themselves, in threads of asyncio or in sync_to_async's one. Each contender runs in a process
of its own, with the server in another, in turn, ROUNDS times; the figures are medians, the ratios those to one
trigger, round by round. All write a line to the log for each look, as the provider does. The event loop's lag
is that of a 10 ms ticker; CPU is of one core, without the server's; memory is the growth of resident memory
from one running trigger to all of them, a trigger.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from listing import serving
from machine import machine

CONTENDERS = ("one", "provider", "provider, time", "to_thread", "sync_to_async")
SCENES = (("25 keys", "--keys=25"), ("1,000 keys", "--keys=1000"))
WARM_UP = 3.0
TICK = 0.01
FIGURES = "figures.json"


def naive_trigger(how: str):
    """Return a trigger as one writes it first: it lists for itself, and checks in the same thread."""
    from airflow.triggers.base import BaseTrigger, TriggerEvent
    from asgiref.sync import sync_to_async

    from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook

    def in_thread(function):
        return asyncio.to_thread(function) if how == "to_thread" else sync_to_async(function)()

    class NaiveTrigger(BaseTrigger):
        def serialize(self):
            raise NotImplementedError

        async def run(self):
            client = await sync_to_async(OpenRouterHook().get_conn)()
            while True:
                check = await in_thread(lambda: self.rule.check(client.get_key_listing()))
                check.report(self.log)
                if check.low:
                    break
                await asyncio.sleep(1)
            yield TriggerEvent(check.records)

    return NaiveTrigger


def contend(contender: str, url: str, triggers: int, seconds: float) -> None:
    import psutil

    from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitTrigger
    from airflow_provider_openrouter.watch.rule import LimitRule

    looked = itertools.count()

    class Counting(LimitRule):
        def check(self, *arguments, **options):
            next(looked)
            return super().check(*arguments, **options)

    ours = contender in ("one", "provider", "provider, time")
    threshold = "1 hour" if contender == "provider, time" else 0
    naive = None if ours else naive_trigger(contender)

    async def watch() -> None:
        trigger = OpenRouterKeyLimitTrigger(threshold=threshold, poll_interval=1) if ours else naive()
        trigger.rule = Counting(threshold=threshold)
        async for event in trigger.run():
            raise AssertionError(event)

    async def run() -> dict[str, float]:
        tasks = [asyncio.create_task(watch())]
        await asyncio.sleep(WARM_UP)
        memory = psutil.Process().memory_info().rss
        tasks += [asyncio.create_task(watch()) for _ in range(triggers - 1)]
        await asyncio.sleep(WARM_UP)
        await asyncio.to_thread(figures, url)
        looks, cpu, began = next(looked), time.process_time(), time.monotonic()
        lags = []
        while (now := time.monotonic()) < began + seconds:
            await asyncio.sleep(TICK)
            lags.append(time.monotonic() - now - TICK)
        took = time.monotonic() - began
        cpu, looks = time.process_time() - cpu, next(looked) - looks - 1
        memory = psutil.Process().memory_info().rss - memory
        requests = (await asyncio.to_thread(figures, url))["requests"]
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lags.sort()
        return {
            "requests": requests / took,
            "looks": looks / took / triggers,
            "p99": lags[len(lags) * 99 // 100] * 1000,
            "max": lags[-1] * 1000,
            "cpu": cpu / took * 100,
            "memory": memory / 1024 / max(1, triggers - 1),
        }

    # Not printed: a listing that is given up may log after this.
    Path(os.environ["AIRFLOW_HOME"], FIGURES).write_text(json.dumps(asyncio.run(run())))


def figures(url: str) -> dict[str, int]:
    with urlopen(f"{url}/figures") as answer:
        return json.load(answer)


def measure(contender: str, keys: str, triggers: int, seconds: float) -> dict[str, float]:
    with serving(keys) as url, tempfile.TemporaryDirectory() as home:
        connection = {"conn_type": "openrouter", "host": url, "password": "key"}
        environment = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": json.dumps(connection),
        }
        arguments = [contender, url, "1" if contender == "one" else str(triggers), str(seconds)]
        subprocess.run(
            [sys.executable, Path(__file__), "--contend", *arguments],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return json.loads(Path(home, FIGURES).read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=int, default=300, metavar="N", help="(default: 300)")
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="(default: 20)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    parser.add_argument("--contend", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        contender, url, triggers, seconds = options.contend
        contend(contender, url, int(triggers), float(seconds))
        return
    print(
        f"{machine()}; {options.triggers} triggers, one second between polls, {options.seconds:g} s; "
        f"medians of {options.rounds} rounds\n"
    )
    print(
        "| | | requests/s | of one trigger's | polls per trigger per s | p99 lag, ms | max lag, ms | CPU % | kB |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for scene, keys in SCENES:
        runs = [
            {name: measure(name, keys, options.triggers, options.seconds) for name in CONTENDERS}
            for _ in range(options.rounds)
        ]
        for name in CONTENDERS:
            figures = {key: statistics.median(run[name][key] for run in runs) for key in runs[0][name]}
            ratio = statistics.median(run[name]["requests"] / run["one"]["requests"] for run in runs)
            memory = "" if name == "one" else f"{figures['memory']:.1f}"
            print(
                f"| {scene} | {name} | {figures['requests']:.1f} | {ratio:.2f} | {figures['looks']:.2f} "
                f"| {figures['p99']:.1f} | {figures['max']:.1f} | {figures['cpu']:.0f} | {memory} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
