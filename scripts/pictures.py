"""Take the pictures of the docs in a whole Airflow, with the browser of the tests."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import playwright.sync_api as playwright
from airflows import allowing_updates
from page_account import interesting_account
from pages import (
    PATIENCE,
    add_connection,
    choose_appearance,
    empty_page,
    open_openrouter,
    open_required_action,
    open_task,
    running_chromium,
)
from standalone import Standalone

from airflow_provider_openrouter.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
NAMES = ("keys_snapshot", "key_limit_alert", "key_low_event", "key_raise_limit")
DAGS = [ROOT / "dags" / f"openrouter_{name}.py" for name in NAMES]
RAISING = "openrouter_key_raise_limit"
WIDTH = 1280
LARGEST = 150_000
"""Bytes of a picture."""


def connection_form(page: playwright.Page, airflow: Standalone) -> None:
    form = add_connection(page, "openrouter_default")
    form.get_by_label("Management API key").fill("sk-or-v1-0123456789")


def waiting_sensor(page: playwright.Page, airflow: Standalone) -> None:
    airflow.wait_for_waits("openrouter_key_limit_alert", "wait_for_low_key")
    open_task(page, airflow, "openrouter_key_limit_alert", "wait_for_low_key")
    page.get_by_text("keys watched").nth(2).wait_for()


def summary(page: playwright.Page, airflow: Standalone) -> None:
    airflow.wait_for(lambda: airflow.run_states("openrouter_keys_snapshot") == ["success"], "the snapshot")
    open_task(page, airflow, "openrouter_keys_snapshot", "write_snapshot", "xcom")
    page.get_by_role("button", name="Expand all").click()
    # Playwright's own scrolling waits for the page to stand still, which it does not while a report is drawn.
    page.get_by_text('"usage_monthly"').evaluate("element => element.scrollIntoView({block: 'center'})")


def alert(page: playwright.Page, airflow: Standalone) -> None:
    airflow.wait_for(lambda: "success" in airflow.run_states("openrouter_key_low_event"), "the alert")
    open_task(page, airflow, "openrouter_key_low_event", "report_low_keys")
    page.get_by_text("OpenRouter key is low").first.wait_for()


def approval(page: playwright.Page, airflow: Standalone) -> None:
    airflow.wait_for_waits(RAISING, "ask")
    open_required_action(page, "Raise the limit of key billing-eu")
    page.get_by_label("New limit (USD)").wait_for()


def approved(page: playwright.Page, airflow: Standalone) -> None:
    approval(page, airflow)
    page.get_by_role("button", name="Raise", exact=True).click()
    page.get_by_text("Response received at").wait_for()
    airflow.wait_for(
        lambda: "success" in airflow.run_states("openrouter_key_raise_limit"), "the limit to be raised"
    )
    open_task(page, airflow, "openrouter_key_raise_limit", "format_message")
    page.get_by_text("was raised from").first.wait_for()


def page(page: playwright.Page, airflow: Standalone) -> None:
    open_openrouter(page)


def page_dark(page: playwright.Page, airflow: Standalone) -> None:
    frame = open_openrouter(page)
    choose_appearance(page, "Dark")
    frame.locator("html[data-theme=dark]").wait_for()


def page_spend(page: playwright.Page, airflow: Standalone) -> None:
    open_openrouter(page, "Spend").locator(".chart .main-svg").first.wait_for()


def take(
    show: Callable[[playwright.Page, Standalone], None],
    browser: playwright.Browser,
    airflow: Standalone,
    height: int,
) -> None:
    """Take a picture, of the name of the function that shows it."""
    with empty_page(browser, airflow.url, width=WIDTH, height=height) as page:
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        show(page, airflow)
        page.wait_for_load_state("networkidle", timeout=PATIENCE)
        page.mouse.move(0, 0)  # so that it points at nothing
        path = IMAGES / f"{show.__name__.replace('_', '-')}.png"
        page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    assert size < LARGEST, f"{path} has {size:,} bytes; the most is {LARGEST:,}."
    print(f"{path.relative_to(ROOT)}: {size:,} bytes", flush=True)


def main() -> None:
    began = time.monotonic()
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="airflow-") as folder,
        Sandbox(keys=25) as sandbox,
        interesting_account() as account,
    ):
        home = Path(folder) / "home"
        environment = {
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
            "AIRFLOW_CONN_OPENROUTER_UPDATES": allowing_updates(sandbox.connection),
            "AIRFLOW_CONN_OPENROUTER_PAGE": account.connection,
            "AIRFLOW__OPENROUTER__PAGE_CONN_ID": "openrouter_page",
            "AIRFLOW_VAR_OPENROUTER_LAKE": (home / "lake").as_uri(),
        }
        print("Starting Airflow", flush=True)
        with Standalone(home, DAGS, environment) as airflow, running_chromium() as browser:
            take(page, browser, airflow, height=720)
            take(page_dark, browser, airflow, height=720)
            take(page_spend, browser, airflow, height=900)
            take(connection_form, browser, airflow, height=900)
            take(waiting_sensor, browser, airflow, height=560)
            take(summary, browser, airflow, height=700)
            low = {"limit": 50.0, "limit_remaining": 3.4, "limit_reset": "monthly"}
            sandbox.create_key(name="billing-eu", disabled=False, expires_at=None, **low)
            take(alert, browser, airflow, height=500)
            take(approval, browser, airflow, height=650)
            take(approved, browser, airflow, height=500)
    print(f"Done in {time.monotonic() - began:.0f} s; everything is stopped", flush=True)


if __name__ == "__main__":
    main()
