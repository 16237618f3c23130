"""A connection whose fields are in the wrong place: it is said where, and the key is shown nowhere."""

import json
import logging

import pytest

from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook

SECRET = "sk-or-v1-5ecre7-0f-mine"
PASSWORDS = {"no password": None, "a password": "sk-or-v1-an0ther"}


@pytest.fixture
def connect(monkeypatch):
    """Return a hook for a connection, given as the URI or by its fields."""

    def connect(uri=None, **fields):
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", uri or json.dumps({"conn_type": "openrouter"} | fields))
        return OpenRouterHook("team_keys")

    return connect


def refusal(hook, kind) -> str:
    with pytest.raises(OpenRouterError) as caught:
        hook.get_conn()
    assert type(caught.value) is kind
    assert not caught.value.transient
    assert hook.test_connection() == (False, str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"login": SECRET}, "login"),
        ({"login": f" {SECRET.upper()}\n"}, "login"),
        ({"schema": SECRET}, "schema"),
        ({"extra": {"api_key": SECRET}}, "extra api_key"),
        ({"extra": {"note": f"use {SECRET}"}}, "extra note"),
        ({"extra": {"headers": {"Authorization": f"Bearer {SECRET}"}}}, "extra headers"),
        ({"extra": {"tokens": [SECRET]}}, "extra tokens"),
        ({"extra": {"extra__openrouter__api_key": SECRET}}, "extra extra__openrouter__api_key"),
        ({"extra": {SECRET: "x"}}, "extra with a key as its name"),
    ],
    ids=str,
)
def test_a_key_in_another_field_is_refused_and_not_shown(fields, field, password, connect, caplog):
    caplog.set_level(logging.DEBUG)
    said = refusal(connect(password=password, **fields), OpenRouterAuthError)
    assert said.startswith(f"There is a key in the {field} of connection 'team_keys', where it is not used. ")
    assert "belongs in the password" in said
    assert SECRET.lower() not in f"{said} {caplog.text}".lower()


@pytest.mark.parametrize(
    ("uri", "field"),
    [
        (f"openrouter://{SECRET}@openrouter.ai", "login"),
        (f"openrouter://{SECRET}:@openrouter.ai/api/v1", "login"),
        (f"openrouter://openrouter.ai/{SECRET}", "schema"),
        (f"openrouter://openrouter.ai/?management_key={SECRET}", "extra management_key"),
    ],
)
def test_a_key_in_another_part_of_a_uri_is_refused_too(uri, field, connect):
    said = refusal(connect(uri), OpenRouterAuthError)
    assert said.startswith(f"There is a key in the {field} of connection 'team_keys'")
    assert SECRET not in said


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"login": "k-0123456789"}, "login"),
        *(
            ({"extra": {name: "k-0123456789"}}, f"extra {name}")
            for name in ("api_key", "apiKey", "token", "management_key", "provisioning_key", "extra__http__token")
        ),
    ],
    ids=str,
)
def test_without_a_password_what_seems_to_be_the_key_is_named(fields, field, connect):
    said = refusal(connect(password=" ", **fields), OpenRouterAuthError)
    assert said == (
        f"Connection 'team_keys' has no password, but has its {field} set. "
        "The management key belongs in the password."
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("extra__openrouter__timeout", "timeout"),
        ("extra__http__allow_http", "allow_http"),
        ("Timeout", "timeout"),
        ("time_out", "timeout"),
        ("timout", "timeout"),
        ("max_retry", "max_retries"),
        ("maxRetries", "max_retries"),
        ("retries", "max_retries"),
        ("concurrency", "max_concurrency"),
        ("max-concurrency", "max_concurrency"),
        ("allowhttp", "allow_http"),
    ],
)
def test_an_extra_by_a_misspelt_or_old_name_is_refused(name, meant, connect):
    said = refusal(connect(password=SECRET, extra={name: "60"}), OpenRouterRequestError)
    assert said == f"There is no extra {name}. Call it {meant} in connection 'team_keys'."


@pytest.mark.parametrize("empty", [None, ""])
def test_what_an_old_form_left_empty_is_let_be(empty, connect, caplog):
    extra = {"extra__openrouter__timeout": empty, "api_key": empty}
    assert connect(password=SECRET, login="", schema="", extra=extra).get_conn().timeout == 30.0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": "finance"}, "login"),
        ({"extra": {"note": "of the finance team"}}, "extra note"),
        ({"extra": {"token": "of another system"}}, "extra token"),
        ({"extra": {"label": "sk-or-v1-0e6...1c96"}}, "extra label"),
        (
            {"extra": {"timezone": "UTC", "max_tokens": 5}, "login": "x"},
            "extra timezone, extra max_tokens, login",
        ),
    ],
    ids=str,
)
def test_what_else_is_not_used_is_a_warning(fields, named, connect, caplog):
    connect(password=SECRET, **fields).get_conn()
    ours = [record for record in caplog.records if record.name.startswith("airflow_provider_openrouter")]
    warnings = [record.message for record in ours if record.levelname == "WARNING"]
    assert warnings == [f"Connection 'team_keys' has fields that are not used: {named}."]


def test_a_connection_without_oddities_warns_of_nothing(connect, caplog):
    connect(password=SECRET, host="proxy.example.com", schema="llm", port=8443, extra={"timeout": 5}).get_conn()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
