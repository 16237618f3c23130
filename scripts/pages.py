"""A browser, and the ways to the pages of an Airflow, for the tests and the pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import playwright.sync_api as playwright
from airflows import Airflow

PATIENCE = 60_000
"""Milliseconds for which is waited for what should show: a machine may be slow."""


@contextmanager
def running_chromium() -> Iterator[playwright.Browser]:
    """Run Chromium without a window."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium, "There is no Chromium on the PATH. Install your system's package."
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=chromium, args=["--disable-gpu", "--disable-quic"]) as browser,
    ):
        yield browser


@contextmanager
def empty_page(
    browser: playwright.Browser, url: str | None = None, *, width: int, height: int
) -> Iterator[playwright.Page]:
    """Open a page in a browser in which nobody has been before; paths belong to a URL, such as an Airflow's."""
    size = playwright.ViewportSize(width=width, height=height)
    with browser.new_context(base_url=url, locale="en-US", viewport=size) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


def add_connection(page: playwright.Page, connection_id: str) -> playwright.Locator:
    """Open the form of a new connection, and return it."""
    page.goto("/")
    page.get_by_role("button", name="Admin").click()
    page.get_by_role("menuitem", name="Connections").click()
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(connection_id)
    form.get_by_label("Connection Type").fill("OpenRouter")
    page.get_by_role("option", name="OpenRouter", exact=True).click()
    return form


def open_task(page: playwright.Page, airflow: Airflow, dag_id: str, task_id: str, tab: str = "") -> None:
    """Open the page of a task in the first run of its DAG."""
    find = "select run_id from dag_run where dag_id = :dag_id order by id"
    (run_id,), *_ = airflow.query(find, dag_id=dag_id)
    page.goto(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/{tab}")


def open_openrouter(page: playwright.Page, tab: str = "Keys") -> playwright.FrameLocator:
    """Open the page OpenRouter by Airflow's menu, wait until a tab of it is read, and return its frame."""
    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="OpenRouter").click()
    frame = page.frame_locator("iframe")
    frame.locator("#overview[aria-busy=false]").wait_for()  # before that, a tab does nothing yet
    frame.get_by_role("tab", name=tab).click()
    frame.get_by_role("tabpanel", name=tab).locator(".loading").wait_for(state="hidden")
    return frame


def choose_appearance(page: playwright.Page, mode: str) -> None:
    """Choose "Light" or "Dark" in Airflow's menu."""
    page.get_by_role("button", name="User").click()
    page.get_by_role("menuitem", name="Appearance").click()
    page.get_by_text(f"{mode} Mode").click()


def open_required_action(page: playwright.Page, subject: str) -> None:
    """Open the form of a task that asks a person, by the beginning of what it asks."""
    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Required Actions").click()
    page.get_by_role("link", name=subject).click()
