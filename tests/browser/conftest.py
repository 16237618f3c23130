"""A browser to look at pages with, and a picture of the page that a test failed on."""

import shutil

import playwright.sync_api as playwright
import pytest

PATIENCE = 60_000  # milliseconds: a machine may be slow


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; not for longer than a module, as its event loop runs meanwhile."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium, "There is no Chromium on the PATH: install the package of your system."
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=chromium, args=["--disable-gpu", "--disable-quic"]) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def expect():
    """What Playwright expects, patiently."""
    playwright.expect.set_options(timeout=PATIENCE)
    return playwright.expect


@pytest.fixture
def page(browser, airflow, tmp_path):
    """An empty page for the module's Airflow; a picture of what is on it when a test fails goes to tmp_path."""
    size = {"width": 1280, "height": 1000}
    with browser.new_context(base_url=airflow.url, locale="en-US", viewport=size) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Have a failure say where its picture is."""
    report = yield
    if call.when == "call" and report.failed and "page" in item.funcargs:
        picture = item.funcargs["tmp_path"] / "page.png"
        try:
            item.funcargs["page"].screenshot(path=picture, full_page=True)
        except playwright.Error as error:
            picture = f"There is none: {error}"
        report.sections.append(("screenshot", str(picture)))
    return report
