"""
Print how long it takes to see the page OpenRouter in Chromium, beside Airflow's own list of DAGs.

A whole Airflow runs with the example DAGs and a sandbox that takes LATENCY for each response. A look is from
opening an address until the first row can be seen, in a browser that was never there; its request is the one for
the keys, to the API server. At the first look the API server has read nothing yet; at a later one it has. Memory
is what the API server grows by.
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
from typing import Any, Self

import playwright.sync_api as playwright
import psutil
from machine import machine

from airflow_provider_openrouter.sandbox import Sandbox

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from airflows import Airflow
from pages import empty_page, running_chromium
from standalone import Standalone

ACTIVITY = "/api/v1/activity"
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
LOOKED = """() => {
    const [request] = performance.getEntriesByType("resource").filter(({name}) => name.endsWith("/api/keys"));
    return {seconds: seen / 1000, request: request?.duration / 1000, MB: request?.transferSize / 1e6};
}"""
"""Returns when the first row could be seen, how long the request for the keys took, and how much came."""
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
    """A sandbox that takes LATENCY to respond. The activity, which takes it longer, it has made up before."""

    def __enter__(self) -> Self:
        self._activity = super().answer(ACTIVITY, f"Bearer {self.token}")
        return super().__enter__()

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        time.sleep(LATENCY)
        return self._activity if target == ACTIVITY else super().answer(target, authorization)


def look(browser: playwright.Browser, airflow: Airflow, address: str, row: str) -> dict[str, float]:
    """Open an address, wait until the first row can be seen, and return the figures of this look."""
    with empty_page(browser, airflow.url, width=1280, height=900) as page:
        page.add_init_script(f"({SEEN})({json.dumps(row)})")
        page.goto(address, wait_until="commit")
        page.locator(row).first.wait_for()
        figures: dict[str, float] = page.evaluate(LOOKED)
        return figures


def memory(airflow: Airflow) -> float:
    """Return the memory of the API server in MB."""
    servers = [each for each in airflow.processes() if "api" in " ".join(each.cmdline()[:4])]
    return sum(each.memory_info().rss for each in servers if isinstance(each, psutil.Process)) / 1e6


def median(looks: list[dict[str, float]], figure: str) -> float:
    return statistics.median(each[figure] for each in looks)


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
        dags = [look(browser, airflow, "/dags", "a[href*='/dags/openrouter']") for _ in range(LOOKS)]
        before = memory(airflow)
        first = look(browser, airflow, "/openrouter/", ROW)
        grown = memory(airflow) - before
        again = [look(browser, airflow, "/openrouter/", ROW) for _ in range(LOOKS)]
        listed = median(dags, "seconds")
        print(f"\n| {keys:,} keys | seconds | / Airflow's list | of it the request | MB sent |")
        print("|---|--:|--:|--:|--:|")
        for name, looks in ("the first look", [first]), ("a later look", again):
            seconds, request, sent = (median(looks, figure) for figure in ("seconds", "request", "MB"))
            print(f"| {name} | {seconds:.2f} | {seconds / listed:.2f} | {request:.2f} | {sent:.2f} |")
        print(f"| the {len(DAGS)} DAGs in Airflow's own list | {listed:.2f} | 1.00 | | |")
        print(f"\nThe API server grew by {grown:.0f} MB.")
        with empty_page(browser, airflow.url, width=1280, height=900) as page:
            page.goto("/openrouter/")
            page.locator(ROW).first.wait_for()
            for name, took in page.evaluate(MOVED, MOVES).items():
                print(f"A {name} is drawn in {statistics.median(took):.0f} ms, {max(took):.0f} ms at most.")


def main() -> None:
    print(f"{machine()}; {LATENCY * 1000:.0f} ms per response; medians of {LOOKS} looks", flush=True)
    with running_chromium() as browser:
        for keys in COUNTS:
            measure(browser, keys)


if __name__ == "__main__":
    main()
