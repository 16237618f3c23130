"""The page in real API servers: who sees it with each auth manager, and that it keeps its secrets."""

import json

import pytest
import requests
from support.api_servers import ApiServer
from support.lines import needs_page
from support.sandboxes import Flaky

pytestmark = needs_page

DATA = ("keys", "credits", "spend", "watchers")

USERS = """
from airflow.models.connection import Connection
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.session import create_session

with get_application_builder() as builder:
    manager = builder.sm
    for role, resources in {"Reader": ["Connections"], "Finder": ["Connections", "Plugins"]}.items():
        role = manager.add_role(role)
        for resource in resources:
            manager.add_permission_to_role(role, manager.create_permission("can_read", resource))
    for name in ("Admin", "Op", "User", "Viewer", "Reader", "Finder"):
        user = name.lower()
        assert manager.add_user(user, user, user, f"{user}@example.org", manager.find_role(name), password=user)
with create_session() as session:
    session.add(Connection.from_json(CONNECTION, "openrouter_default"))
"""


@pytest.fixture(scope="module")
def sandbox():
    with Flaky(keys=25) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def simple(sandbox, tmp_path_factory):
    """An API server with Airflow's simple auth manager, below a path."""
    environment = {"AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection}
    with ApiServer(tmp_path_factory.mktemp("simple") / "home", environment, path="/airflow") as server:
        yield server
    assert sandbox.token not in server.logs()


@pytest.fixture(scope="module")
def fab(sandbox, tmp_path_factory):
    """An API server with the auth manager of FAB, and the connection in its database."""
    environment = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    }
    prepare = USERS.replace("CONNECTION", repr(sandbox.connection))
    with ApiServer(tmp_path_factory.mktemp("fab") / "home", environment, prepare=prepare) as server:
        yield server
    assert sandbox.token not in server.logs()


@pytest.fixture(params=["simple", "fab"])
def server(request):
    return request.getfixturevalue(request.param)


def states(server, user):
    """Return the status of each data route, and the state in its body if it is a problem."""
    answers = {route: server.ask(f"/openrouter/api/{route}", user) for route in DATA}
    assert {answer.headers["Cache-Control"] for answer in answers.values()} == {"no-store"}
    return {(answer.status_code, answer.json().get("state")) for answer in answers.values()}


@pytest.mark.parametrize("user", ["admin", "op"])
def test_users_who_may_read_connections_see_it(server, user):
    assert states(server, user) == {(200, None)}


@pytest.mark.parametrize("user", ["user", "viewer"])
def test_users_who_may_not_read_connections_do_not(server, user):
    assert states(server, user) == {(403, "not_allowed")}


def test_nobody_sees_it_without_logging_in(server):
    assert states(server, None) == {(401, "logged_out")}


@pytest.mark.parametrize(
    "session", [{"cookies": {"_token": "bad"}}, {"headers": {"Authorization": "Bearer bad"}}]
)
def test_nobody_sees_it_with_a_bad_session(server, session):
    answer = requests.get(f"{server.url}/openrouter/api/keys", timeout=30, **session)
    assert (answer.status_code, answer.json()["state"]) == (401, "logged_out")


def test_the_cookie_of_airflows_ui_is_enough(server):
    cookies = {"_token": server.token("admin")}
    answer = requests.get(f"{server.url}/openrouter/api/keys", cookies=cookies, timeout=30)
    assert answer.json()["totals"]["keys"] == 25


def test_a_role_of_fab_needs_to_read_connections_only(fab, sandbox):
    assert states(fab, "reader") == {(200, None)}
    shown = fab.ask("/api/v2/connections/openrouter_default", "reader")
    assert shown.json()["connection_id"] == "openrouter_default"
    assert sandbox.token not in shown.text
    changed = fab.ask("/api/v2/connections/openrouter_default", "reader", method="DELETE")
    assert changed.status_code == 403


@pytest.mark.parametrize(("user", "status"), [("reader", 403), ("finder", 200)])
def test_a_role_of_fab_needs_to_read_plugins_for_the_menu(fab, user, status):
    assert fab.ask("/api/v2/plugins", user).status_code == status


def test_the_menu_has_it_below_any_path(simple):
    [plugin] = [
        each for each in simple.ask("/api/v2/plugins", "admin").json()["plugins"] if each["external_views"]
    ]
    [view] = plugin["external_views"]
    assert (view["name"], view["href"], view["destination"]) == ("OpenRouter", "openrouter/", "nav")
    assert simple.ask("/api/v2/plugins/importErrors", "admin").json()["total_entries"] == 0
    assert simple.ask(f"/{view['icon']}").headers["Content-Type"] == "image/svg+xml"
    page = simple.ask(f"/{view['href']}")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json", "static/app.py", "static/%2e%2e/app.py"])
def test_nothing_else_is_there(simple, path):
    assert simple.ask(f"/openrouter/{path}", "admin").status_code == 404


@pytest.mark.parametrize("path", ["", "api/keys", "static/main.js"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_can_only_be_read(simple, path, method):
    assert simple.ask(f"/openrouter/{path}", "admin", method=method).status_code == 405


def test_no_response_has_the_management_key(server, sandbox):
    everything = [server.ask(f"/openrouter/api/{route}?fresh=true", "admin") for route in DATA]
    assert json.dumps([[answer.text, dict(answer.headers)] for answer in everything]).count(sandbox.token) == 0
