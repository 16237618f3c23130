"""A browser for the tests, and a screenshot of the page when a test fails."""

import shutil

import playwright.sync_api as playwright
import pytest

PATIENCE = 60_000  # milliseconds: a machine may be slow


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; for one module only, because its event loop runs all the time."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium, "There is no Chromium on the PATH. Install your system's package."
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=chromium, args=["--disable-gpu", "--disable-quic"]) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def expect():
    """Playwright's ``expect``, with a long timeout."""
    playwright.expect.set_options(timeout=PATIENCE)
    return playwright.expect


@pytest.fixture
def page(browser, airflow, tmp_path):
    """An empty page for the module's Airflow; when a test fails, a screenshot of it goes to tmp_path."""
    size = {"width": 1280, "height": 1000}
    with browser.new_context(base_url=airflow.url, locale="en-US", viewport=size) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add to a failure's report where its screenshot is."""
    report = yield
    if call.when == "call" and report.failed and "page" in item.funcargs:
        screenshot = item.funcargs["tmp_path"] / "page.png"
        try:
            item.funcargs["page"].screenshot(path=screenshot, full_page=True)
        except playwright.Error as error:
            screenshot = f"There is no screenshot: {error}"
        report.sections.append(("screenshot", str(screenshot)))
    return report
