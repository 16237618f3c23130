"""The page's routes without Airflow around them: what they respond when all is well, and when it is not."""

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import support.databases
from sqlalchemy.engine import make_url
from support.databases import connection_to, keys
from support.lines import needs_page
from support.listings import OBSERVED_AT
from support.sandboxes import Flaky
from support.servers import BREAKS, HANGS, Answer, Server, data, error

from airflow_provider_openrouter.watch.sources import Stop

pytestmark = needs_page

database = support.databases.database
KEY = "sk-or-v1-0123456789abcdef-never-to-be-shown"


@pytest.fixture
def client():
    """Return a function that makes a client of the page, for one who may see it."""
    from fastapi.testclient import TestClient

    from airflow_provider_openrouter.page.app import create_app
    from airflow_provider_openrouter.page.guard import require_reader
    from airflow_provider_openrouter.page.settings import PageSettings

    def make(**options):
        app = create_app(PageSettings(**options))
        app.dependency_overrides[require_reader] = lambda: "somebody"
        return TestClient(app, raise_server_exceptions=False)

    return make


def connect(monkeypatch, **connection):
    given = {"conn_type": "openrouter", "password": KEY} | connection
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(given))


def test_all_keys_of_all_workspaces_are_shown(client, monkeypatch):
    with Flaky(keys=60, workspaces=3) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        shown = client().get("/api/keys").json()
    assert len(shown["keys"]) == shown["totals"]["keys"] == 60
    assert len({key["workspace"] for key in shown["keys"]}) == 3
    assert {key["state"] for key in shown["keys"]} == {"active", "disabled", "expired"}
    assert (shown["source"], shown["notice"], shown["connection"]) == ("live", None, "openrouter_default")
    assert shown["links"]["keys"] == sandbox.base_url.removesuffix("/api/v1")


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_data_is_sent_compressed_to_whom_understands_it(client, connection, encoding):
    response = client().get("/api/credits", headers={"Accept-Encoding": encoding})
    assert response.headers.get("Content-Encoding", "identity") == encoding
    assert response.json()["balance"] > 0
    assert response.headers["Cache-Control"] == "no-store"


def test_days_of_spend_are_shown(client, connection):
    shown = client().get("/api/spend", params={"by": "key", "days": 7}).json()
    assert (shown["by"], len(shown["days"]), shown["source"]) == ("key", 7, "activity")


@pytest.mark.parametrize(
    ("answer", "status", "state"),
    [
        (error(401), 502, "refused"),
        (error(403), 502, "refused"),
        (error(400), 502, "refused"),
        (error(429), 502, "unreachable"),
        (error(503), 502, "unreachable"),
        (Answer(body="<html>"), 502, "unreachable"),
        (BREAKS, 504, "unreachable"),
    ],
)
def test_what_openrouter_says_becomes_a_sentence(client, monkeypatch, answer, status, state):
    with Server(lambda request: answer) as server:
        connect(monkeypatch, host=server.base_url, extra={"max_retries": 5})
        response = client().get("/api/keys")
        asked = len(server.requests)
    assert (response.status_code, response.json()["state"]) == (status, state)
    assert response.json()["message"].endswith(".")
    assert asked == 1  # people who wait are told at once


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"password": ""}, "refused"),
        ({"host": "http://example.org"}, "refused"),
        ({"extra": {"timeout": "soon"}}, "refused"),
    ],
)
def test_a_wrong_connection_becomes_a_sentence(client, monkeypatch, changed, state):
    connect(monkeypatch, **changed)
    response = client().get("/api/keys")
    assert (response.status_code, response.json()["state"]) == (502, state)
    assert "openrouter_default" in response.json()["message"]
    assert KEY not in response.text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_outage_shows_the_newest_snapshot(client, monkeypatch, database):
    database.write(keys(1, 2))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(make_url(database.url)))
    with Server(lambda request: error(503)) as server:
        connect(monkeypatch, host=server.base_url)
        alone = client().get("/api/keys").json()
        shown = client(sql_conn_id="warehouse", table="keys").get("/api/keys").json()
        nowhere = client(sql_conn_id="warehouse", table="other").get("/api/keys").json()
    assert (shown["source"], shown["totals"]["keys"]) == ("snapshot", 2)
    assert shown["observed_at"] == OBSERVED_AT.isoformat(timespec="seconds")
    assert shown["notice"].endswith(alone["message"])
    assert nowhere["state"] == "unreachable"
    assert nowhere["message"].startswith(f"{alone['message']} There is no snapshot to show instead.")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_listing_that_is_stopped_shows_it_as_well(connection, monkeypatch, database):
    from airflow_provider_openrouter.page.readings import Readings
    from airflow_provider_openrouter.page.settings import PageSettings

    database.write(keys(1, 2))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(make_url(database.url)))
    stop = Stop()
    stop.set()
    shown = Readings(PageSettings(sql_conn_id="warehouse", table="keys")).keys(stop)
    assert json.loads(gzip.decompress(shown))["source"] == "snapshot"


def test_spend_that_hangs_does_not_keep_the_keys_waiting(client, monkeypatch):
    def answer(request):
        return HANGS if request.path.endswith("/activity") else data([])

    page = client()
    with ThreadPoolExecutor(6) as people, Server(answer) as server:
        connect(monkeypatch, host=server.base_url)
        asked = [people.submit(page.get, f"/api/spend?days={days}") for days in range(1, 7)]
        while len(server.requests) < 4:
            time.sleep(0.01)
        assert page.get("/api/keys").json()["keys"] == []
        assert not any(each.done() for each in asked)


def test_only_one_listing_runs_at_a_time(client, monkeypatch):
    goes_on = Event()

    def answer(request):
        assert goes_on.wait(20)
        return data([])

    page = client()
    with ThreadPoolExecutor(2) as people, Server(answer) as server:
        connect(monkeypatch, host=server.base_url)
        asked = [people.submit(page.get, f"/api/{what}") for what in ("keys", "spend?by=team")]
        while not server.requests:
            time.sleep(0.01)
        time.sleep(0.3)
        assert len(server.requests) == 1
        goes_on.set()
        assert [each.result().status_code for each in asked] == [200, 200]


def test_a_missing_connection_is_named(client, airflow_database):
    response = client(conn_id="elsewhere").get("/api/keys")
    assert (response.status_code, response.json()["state"]) == (404, "no_connection")
    assert "elsewhere" in response.json()["message"]
    assert "page_conn_id" in response.json()["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("api/keys?fresh=maybe", 400),
        ("api/spend?by=colour", 400),
        ("api/spend?days=0", 400),
        (f"api/spend?key={KEY}", 400),
        ("api/nothing", 404),
        ("docs", 404),
    ],
)
def test_what_makes_no_sense_is_refused(client, connection, path, status):
    response = client().get(f"/{path}")
    assert (response.status_code, response.json()["state"]) == (status, "bad_request")
    assert KEY not in response.text


def test_an_unexpected_error_is_logged_and_not_shown(client, connection, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError(f"with {KEY} in it")

    monkeypatch.setattr("airflow_provider_openrouter.page.readings.show_keys", fail)
    response = client().get("/api/keys")
    assert (response.status_code, response.json()["state"]) == (500, "failed")
    assert "RuntimeError" not in response.text
    [record] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "RuntimeError: with *** in it" in record.getMessage()


def test_a_table_without_its_database_is_noticed(client, connection):
    assert "page_sql_conn_id" in client(table="openrouter_keys").get("/api/keys").json()["notice"]


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/nothing", "/api/credits"])
def test_every_response_has_the_security_headers(client, connection, path):
    headers = client().get(path).headers
    policy = dict(each.split(" ", 1) for each in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["frame-ancestors"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_plotly_comes_from_its_package_if_there_is_one(client, monkeypatch):
    assert client().get("/static/plotly.min.js").content.startswith(b"/**\n* plotly.js")
    monkeypatch.setitem(__import__("sys").modules, "plotly", None)
    assert client().get("/static/plotly.min.js").status_code == 404


def test_compressed_data_can_come_item_by_item():
    from airflow_provider_openrouter.page.responses import compress

    data = {"a": [1, "é"], "rows": [{"b": None}, {"c": "<script>"}], "none": [], "d": 1.5}
    lazily = data | {"rows": iter(data["rows"]), "none": iter([])}
    assert json.loads(gzip.decompress(compress(lazily))) == data
