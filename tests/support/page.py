"""The page's own server without an Airflow around it, and what a browser says of the page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import playwright.sync_api as playwright
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from starlette.applications import Starlette
from starlette.routing import Mount

AXE = Axe()
MAY_FAIL = r"/openrouter/(api/|static/plotly\.min\.js)"


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an app where Airflow mounts the page, and return its address."""
    mounted = Starlette(routes=[Mount("/openrouter", app)])
    server = uvicorn.Server(uvicorn.Config(mounted, host="127.0.0.1", port=0, log_level="warning"))
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "The page's server has ended."
            time.sleep(0.01)
        [port] = [each.getsockname()[1] for each in server.servers[0].sockets]
        yield f"http://127.0.0.1:{port}/openrouter/"
    finally:
        server.should_exit = True
        thread.join()


def faults_of(page: playwright.Page) -> list[str]:
    """Return a list to which each fault of the page is added: of its scripts, and of its security policy."""
    faults: list[str] = []

    def hear(message: playwright.ConsoleMessage) -> None:
        address = message.location["url"]
        # Chromium says so of each such response; of data and of what need not be installed, it is no fault.
        is_response = message.text.startswith("Failed to load resource") and re.search(MAY_FAIL, address)
        if message.type == "error" and "/openrouter/" in address and not is_response:
            faults.append(f"{message.text} ({address})")

    def fail(error: playwright.WebError) -> None:
        if "/openrouter/" in (error.error.stack or ""):
            faults.append(str(error.error))

    page.on("console", hear)
    page.context.on("weberror", fail)
    return faults


def barriers(page: playwright.Page) -> str:
    """Return what axe-core finds that keeps people from using a page; no text if it finds nothing."""
    page.emulate_media(reduced_motion="reduce")  # what fades has less contrast
    found = AXE.run(page)
    return found.generate_report() if found.violations_count else ""


def is_too_wide(page: playwright.Page) -> bool:
    """Return whether a page must be scrolled sideways."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return wide
