"""A browser, an Airflow and the page OpenRouter for the tests, and a screenshot when a test fails."""

import itertools
import json
import os
from contextlib import ExitStack
from pathlib import Path

import playwright.sync_api as playwright
import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflows import allowing_updates
from page_account import interesting_account
from pages import PATIENCE, empty_page, running_chromium
from standalone import Standalone
from support.page import serving
from support.tasks import Context

from airflow_provider_openrouter.page.app import create_app
from airflow_provider_openrouter.page.settings import PageSettings
from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, TOKEN, Sandbox
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

HERE = Path(__file__).parent
DAGS = HERE.parents[1] / "dags"
SECRETS = (TOKEN, INFERENCE_TOKEN, "sk-or-v1-of-a-test")
"""What must be in no file of Airflow's home; the last is how each key begins that a test types."""


@pytest.fixture(scope="package")
def browser():
    """A browser for this folder only, because its event loop runs all the time."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def low_keys():
    """Another sandbox, which has low keys alone; its connection allows updates."""
    with Sandbox(keys=0) as sandbox:
        for name in ("asked-raise", "asked-other", "asked-leave", "asked-disable", "asked-above", "forgotten"):
            sandbox.create_key(name=name, limit=5.0, limit_remaining=0.4, expires_at=None)
        yield sandbox


@pytest.fixture(scope="package")
def airflow(browser, sandbox, low_keys, account, tmp_path_factory):
    """An Airflow with DAGs, in whose files no key is at the end; it starts only if there is a browser."""
    home = tmp_path_factory.mktemp("browser") / "home"
    dags = [
        DAGS / "openrouter_key_limit_alert.py",
        DAGS / "openrouter_key_low_event.py",
        DAGS / "openrouter_keys_snapshot.py",
        HERE / "dags" / "approvals.py",
    ]
    environment = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
        "AIRFLOW_CONN_OPENROUTER_UPDATES": allowing_updates(low_keys.connection),
        "AIRFLOW_CONN_OPENROUTER_PAGE": account.connection,
        "AIRFLOW__OPENROUTER__PAGE_CONN_ID": "openrouter_page",
        "AIRFLOW_VAR_OPENROUTER_LAKE": (home / "lake").as_uri(),
    }
    with Standalone(home, dags, environment) as airflow:
        yield airflow
    assert not [path for key in SECRETS for path in airflow.files_with(key)]


@pytest.fixture(scope="package")
def account():
    """A sandbox with keys that are about to stop working."""
    with interesting_account() as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def serve(browser, account, airflow_database):
    """
    Return a function that serves the page without an Airflow around it, and returns its address.

    Its arguments: the fields of the connection that differ from those of the account's, a sandbox in place of the
    account, or None for no connection; the role of the user, None for nobody; and more settings of the page.
    """
    create_auth_manager()
    with ExitStack() as running:

        def serve(connection=account, role="admin", **settings):
            conn_id = f"page_{next(numbers)}"
            if connection is not None:
                fields = json.loads(account.connection)
                fields |= json.loads(connection.connection) if isinstance(connection, Sandbox) else connection
                os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)
            app = create_app(PageSettings(conn_id=conn_id, **settings))
            if role:
                user = SimpleAuthManagerUser(username=role, role=role)
                app.dependency_overrides[get_user] = lambda: user
            return running.enter_context(serving(app))

        numbers = itertools.count()
        yield serve


@pytest.fixture
def snapshot(account, outside_the_task_runner, monkeypatch, tmp_path):
    """Settings of a page that has a table with a snapshot of the account."""
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", account.connection)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite://{tmp_path}/warehouse.db")
    database = {"sql_conn_id": "warehouse", "table": "openrouter_keys"}
    OpenRouterKeysToSqlOperator(
        task_id="write", workspace_id="*", openrouter_conn_id="account", **database
    ).execute(Context())
    return database


@pytest.fixture(scope="package")
def page_url(serve):
    """The address of the page of the account."""
    return serve()


@pytest.fixture(scope="session")
def expect():
    """Playwright's ``expect``, with a long timeout."""
    playwright.expect.set_options(timeout=PATIENCE)
    return playwright.expect


@pytest.fixture
def page(browser, airflow, tmp_path):
    """An empty page of the Airflow; when a test fails, a screenshot of it goes to tmp_path."""
    with empty_page(browser, airflow.url, width=1280, height=1000) as page:
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
