"""
Print how long it takes to see the page OpenRouter in Chromium, beside Airflow's own list of DAGs.

A whole Airflow runs with the example DAGs and a sandbox that takes LATENCY for each response. A look is from
opening an address until the first row can be seen, in a browser that was never there. Before the first reading
the API server has read nothing yet; for a later look it has. Memory is what the API server grows by.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import playwright.sync_api as playwright
import psutil
from machine import machine

from airflow_provider_openrouter.sandbox import Sandbox

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from airflows import Airflow
from pages import empty_page, running_chromium
from standalone import Standalone

COUNTS = (1_000, 10_000)
LATENCY = 0.05
LOOKS = 5
MOVES = 50
ROOT = Path(__file__).parents[2]
ROW = "[role=row][data-hash]"
DAGS = sorted((ROOT / "dags").glob("*.py"))
SEEN = """(row) => {
    const look = () => {
        const found = document.querySelector(row);
        if (found && found.getBoundingClientRect().height) window.seen = performance.now();
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
"""Notes after how many milliseconds the first row could be seen."""
MOVED = """async (steps) => {
    const drawn = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const search = document.querySelector("input[type=search]");
    const took = {scroll: [], search: []};
    for (let step = 0; step < steps; step++) {
        let began = performance.now();
        scrollTo(0, Math.random() * document.documentElement.scrollHeight);
        await drawn();
        took.scroll.push(performance.now() - began);
        began = performance.now();
        search.value = String(step % 10);
        search.dispatchEvent(new Event("input", {bubbles: true}));
        await drawn();
        took.search.push(performance.now() - began);
    }
    return took;
}"""
"""Scrolls and searches, and returns how many milliseconds each took until it was drawn."""


class Slow(Sandbox):
    """A sandbox that takes its time to respond."""

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        time.sleep(LATENCY)
        return super().answer(target, authorization)


def look(browser: playwright.Browser, airflow: Airflow, address: str, row: str) -> float:
    """Return the seconds from opening an address to the first row that can be seen."""
    with empty_page(browser, airflow.url, width=1280, height=900) as page:
        page.add_init_script(f"({SEEN})({json.dumps(row)})")
        page.goto(address, wait_until="commit")
        page.locator(row).first.wait_for()
        milliseconds: float = page.evaluate("seen")
        return milliseconds / 1000


def memory(airflow: Airflow) -> float:
    """Return the memory of the API server in MB."""
    servers = [each for each in airflow.processes() if "api" in " ".join(each.cmdline()[:4])]
    return sum(each.memory_info().rss for each in servers if isinstance(each, psutil.Process)) / 1e6


@contextmanager
def running(keys: int) -> Iterator[Airflow]:
    with tempfile.TemporaryDirectory() as folder, Slow(keys=keys) as sandbox:
        connection = {"AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection}
        paused = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "true"}
        with Standalone(Path(folder) / "home", DAGS, connection | paused) as airflow:
            airflow.wait_for(lambda: len(airflow.query("select dag_id from dag")) >= len(DAGS), "the DAGs")
            yield airflow


def measure(browser: playwright.Browser, keys: int) -> None:
    with running(keys) as airflow:
        dag = "a[href*='/dags/openrouter']"
        dags = [look(browser, airflow, "/dags", dag) for _ in range(LOOKS)]
        before = memory(airflow)
        first = look(browser, airflow, "/openrouter/", ROW)
        grown = memory(airflow) - before
        again = [look(browser, airflow, "/openrouter/", ROW) for _ in range(LOOKS)]
        print(f"| {keys:,} keys: first reading | {first:.2f} s | {first / statistics.median(dags):.2f} |")
        print(f"| {keys:,} keys: a later look | {statistics.median(again):.2f} s "
              f"| {statistics.median(again) / statistics.median(dags):.2f} |")  # fmt: skip
        print(f"| the {len(DAGS)} DAGs in Airflow's own list | {statistics.median(dags):.2f} s | 1.00 |")
        print(f"| {keys:,} keys: memory of the API server | + {grown:.0f} MB | |")
        with empty_page(browser, airflow.url, width=1280, height=900) as page:
            page.goto("/openrouter/")
            page.locator(ROW).first.wait_for()
            for name, took in page.evaluate(MOVED, MOVES).items():
                median = statistics.median(took)
                print(f"| {keys:,} keys: a {name} | {median:.0f} ms, {max(took):.0f} ms at most | |")


def main() -> None:
    print(json.dumps({"machine": machine(), "latency": LATENCY}), flush=True)
    with running_chromium() as browser:
        for keys in COUNTS:
            measure(browser, keys)


if __name__ == "__main__":
    main()
