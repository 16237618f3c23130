"""A browser for the tests, and a screenshot of the page when a test fails."""

import playwright.sync_api as playwright
import pytest
from pages import PATIENCE, empty_page, running_chromium


@pytest.fixture(scope="module")
def browser():
    """A browser for one module only, because its event loop runs all the time."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def expect():
    """Playwright's ``expect``, with a long timeout."""
    playwright.expect.set_options(timeout=PATIENCE)
    return playwright.expect


@pytest.fixture
def page(browser, airflow, tmp_path):
    """An empty page of the module's Airflow; when a test fails, a screenshot of it goes to tmp_path."""
    with empty_page(browser, airflow, width=1280, height=1000) as page:
        yield page


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
