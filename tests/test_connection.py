"""The fields of a connection: form, hook, client and README agree on their defaults and bounds."""

import ast
import inspect
import json
import re
from pathlib import Path

import jsonschema
import pytest

from airflow_provider_openrouter import connection
from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.connection import EXTRAS, FORM, PLACES
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.get_provider_info import get_provider_info
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook

PACKAGE = Path(connection.__file__).parent
README = (PACKAGE.parent / "README.md").read_text()
(CONNECTION_TYPE,) = get_provider_info()["connection-types"]
HTTP = "http://proxy.example.com"
VALUES = [0, 0.05, 0.1, 0.5, 1, 2.5, 30, 99, 100, 101, 86_400, 86_400.5, -1, 1e300, True, False, "x"]
"""Values inside and outside of all bounds."""

ALLOWED = [(name, value) for name, extra in EXTRAS.items() for value in VALUES if extra.allows(value)]
REFUSED = [(name, value) for name, extra in EXTRAS.items() for value in VALUES if not extra.allows(value)]


def make_client(name, value):
    return OpenRouterClient("key", **{name: value})


def make_hook(name, value, monkeypatch):
    fields = {"conn_type": "openrouter", "password": "key", "extra": {name: value}}
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", json.dumps(fields))
    return OpenRouterHook("team_keys")


# -- what is allowed


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("timeout", [0.1, 0.5, 1, 2.5, 30, 99, 100, 101, 86_400]),
        ("max_retries", [0, 1, 30, 99, 100]),
        ("max_concurrency", [1, 30, 99, 100]),
        ("allow_http", [True, False]),
    ],
)
def test_an_extra_allows_its_kind_within_its_bounds(name, allowed):
    assert [value for value in VALUES if EXTRAS[name].allows(value)] == allowed


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("value", [None, "30", "true", [], {}, float("nan"), float("inf"), -float("inf")])
def test_an_extra_allows_no_other_value(name, value):
    assert not EXTRAS[name].allows(value)


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
def test_a_default_is_allowed(extra):
    assert extra.allows(extra.default)


@pytest.mark.parametrize(("name", "value"), ALLOWED)
def test_client_hook_and_form_take_what_is_allowed(name, value, monkeypatch):
    make_client(name, value)
    make_hook(name, value, monkeypatch).get_conn()
    jsonschema.validate(value, CONNECTION_TYPE["conn-fields"][name]["schema"])


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_client_hook_and_form_refuse_what_is_not(name, value, monkeypatch):
    said = f"^{re.escape(f'{name} must be {EXTRAS[name].rule}')}"
    with pytest.raises(OpenRouterRequestError, match=said):
        make_client(name, value)
    with pytest.raises(OpenRouterRequestError, match=said):
        make_hook(name, value, monkeypatch).get_conn()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, CONNECTION_TYPE["conn-fields"][name]["schema"])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("timeout", "a number of seconds from 0.1 to 86,400"),
        ("max_retries", "a whole number from 0 to 100"),
        ("max_concurrency", "a whole number from 1 to 100"),
        ("allow_http", "true or false"),
    ],
)
def test_the_rule_of_an_extra_is_read_as_a_sentence(name, rule):
    assert EXTRAS[name].rule == rule


# -- where it is said


def test_the_client_takes_the_extras_with_their_defaults():
    parameters = inspect.signature(OpenRouterClient).parameters
    assert {name: parameters[name].default for name in EXTRAS} == {
        name: extra.default for name, extra in EXTRAS.items()
    }
    assert parameters["base_url"].default == connection.DEFAULT_BASE_URL
    assert PLACES.keys() == parameters.keys() - {"advice"}


def test_a_connection_with_a_key_alone_has_the_defaults(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", '{"conn_type": "openrouter", "password": "key"}')
    client = OpenRouterHook("team_keys").get_conn()
    for name in ("timeout", "max_retries", "max_concurrency"):
        assert getattr(client, name) == EXTRAS[name].default
    assert client.base_url == connection.DEFAULT_BASE_URL


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
def test_the_form_says_default_and_bounds(extra):
    said = CONNECTION_TYPE["conn-fields"][extra.name]["description"]
    rule = extra.rule[0].upper() + extra.rule[1:]
    assert said == f"{extra.description} {rule}; default: {json.dumps(extra.default)}."


def test_the_form_of_older_airflows_is_that_of_the_metadata():
    behaviour = OpenRouterHook.get_ui_field_behaviour()
    assert CONNECTION_TYPE["ui-field-behaviour"] == FORM
    assert behaviour["hidden_fields"] == FORM["hidden-fields"]
    assert behaviour["relabeling"] == FORM["relabeling"]
    assert FORM["placeholders"].items() <= behaviour["placeholders"].items()
    assert json.loads(behaviour["placeholders"]["extra"]) == {name: each.default for name, each in EXTRAS.items()}


def test_the_form_says_which_airflow_needs_a_port():
    assert "3.3.1 and 3.3.2" in FORM["placeholders"]["port"]


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
def test_the_readme_says_default_and_bounds(extra):
    (row,) = re.findall(rf"^\| extra `{extra.name}` \|(.*)\|(.*)\|$", README, re.MULTILINE)
    meaning, default = map(str.strip, row)
    assert default == json.dumps(extra.default)
    if extra.bounds:
        least, most = extra.bounds
        assert meaning.endswith(f"; from {least} to {most:,}")


def test_the_readme_says_the_default_of_the_host():
    (default,) = re.findall(r"^\| `host` \|.*\| `(.*)` \|$", README, re.MULTILINE)
    assert default == connection.DEFAULT_BASE_URL


@pytest.mark.parametrize(
    "name", ["DEFAULT_CONN_ID", "DEFAULT_BASE_URL", "MANAGEMENT_KEYS_PAGE", "CREDITS_PAGE", "STATUS_PAGE"]
)
def test_no_other_module_repeats_a_default(name):
    repeating = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value == getattr(connection, name)
    }
    assert repeating == {"connection.py"}
