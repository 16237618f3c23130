"""The hook: what a connection may look like, and what it opens."""

import json
import logging
import socket
import traceback
from datetime import timedelta

import pandas as pd
import pytest

from airflow_provider_openrouter.connection import EXTRAS, PLACES
from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, Sandbox

SECRET = "sk-or-v1-5ecre7-0f-mine"


@pytest.fixture
def connect(monkeypatch):
    """Return a hook for a connection, given as the URI or by its fields."""

    def connect(uri=None, **fields):
        fields = {"conn_type": "openrouter", "password": SECRET} | fields
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_KEYS", uri or json.dumps(fields))
        return OpenRouterHook("team_keys")

    return connect


@pytest.fixture
def nowhere():
    """A base URL at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"


# -- the base URL


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://openrouter.ai/api/v1"),
        ({"host": ""}, "https://openrouter.ai/api/v1"),
        ({"host": "  "}, "https://openrouter.ai/api/v1"),
        ({"host": "https://openrouter.ai/api/v1"}, "https://openrouter.ai/api/v1"),
        ({"host": " https://openrouter.ai/api/v1/ "}, "https://openrouter.ai/api/v1"),
        ({"host": "openrouter.ai"}, "https://openrouter.ai/api/v1"),
        ({"host": "https://openrouter.ai"}, "https://openrouter.ai/api/v1"),
        ({"host": "https://openrouter.ai/"}, "https://openrouter.ai/api/v1"),
        ({"host": "proxy.example.com:8443"}, "https://proxy.example.com:8443/api/v1"),
        ({"host": "proxy.example.com/llm/v2"}, "https://proxy.example.com/llm/v2"),
        ({"host": "proxy.example.com:8443/llm"}, "https://proxy.example.com:8443/llm"),
        ({"host": "proxy.example.com", "port": 8443}, "https://proxy.example.com:8443/api/v1"),
        ({"host": "https://proxy.example.com:8443/llm", "port": 1}, "https://proxy.example.com:8443/llm"),
        ({"host": "proxy.example.com", "schema": "llm"}, "https://proxy.example.com/llm"),
        ({"schema": "/llm/v2/"}, "https://openrouter.ai/llm/v2"),
        ({"port": 8443}, "https://openrouter.ai:8443/api/v1"),
        ({"host": "proxy.example.com/llm", "schema": "x"}, "https://proxy.example.com/llm"),
        (
            {"host": "proxy.example.com", "port": 8443, "schema": "/llm/v2/"},
            "https://proxy.example.com:8443/llm/v2",
        ),
        ({"host": "http://localhost:8080"}, "http://localhost:8080/api/v1"),
        ({"host": "http://127.0.0.1", "port": 8080}, "http://127.0.0.1:8080/api/v1"),
        ({"host": "::1"}, "https://[::1]/api/v1"),
        ({"host": "::1", "port": 8443}, "https://[::1]:8443/api/v1"),
        ({"host": "[::1]"}, "https://[::1]/api/v1"),
        ({"host": "[::1]:8443"}, "https://[::1]:8443/api/v1"),
        ({"host": "http://[::1]:8080/llm"}, "http://[::1]:8080/llm"),
        ({"host": "http://[::1]", "port": 8080}, "http://[::1]:8080/api/v1"),
    ],
)
def test_the_base_url_is_put_together_from_host_port_and_schema(fields, base_url, connect):
    assert connect(**fields).get_conn().base_url == base_url


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        (f"openrouter://:{SECRET}@", "https://openrouter.ai/api/v1"),
        (f"openrouter://:{SECRET}@proxy.example.com", "https://proxy.example.com/api/v1"),
        (f"openrouter://:{SECRET}@proxy.example.com:8443", "https://proxy.example.com:8443/api/v1"),
        (f"openrouter://:{SECRET}@proxy.example.com:8443/llm/v2", "https://proxy.example.com:8443/llm/v2"),
        (f"openrouter://:{SECRET}@proxy.example.com/?timeout=5", "https://proxy.example.com/api/v1"),
        (f"openrouter://http://:{SECRET}@localhost:8080/llm", "http://localhost:8080/llm"),
        (f"openrouter://:{SECRET}@http%3A%2F%2Flocalhost:8080", "http://localhost:8080/api/v1"),
    ],
)
def test_the_base_url_may_come_from_a_uri(uri, base_url, connect):
    assert connect(uri).get_conn().base_url == base_url


def test_a_connection_written_as_a_uri_is_the_same(connect, monkeypatch):
    from airflow.sdk import Connection

    connection = Connection(
        conn_id="team_keys",
        conn_type="openrouter",
        host="https://proxy.example.com:8443/llm",
        password=SECRET,
        extra='{"timeout": 7}',
    )
    client = connect(connection.get_uri()).get_conn()
    assert (client.base_url, client.timeout) == ("https://proxy.example.com:8443/llm", 7)


@pytest.mark.parametrize(
    "host",
    [
        "ftp://openrouter.ai",
        "https://",
        "https://user:pass@openrouter.ai",
        "https://openrouter.ai/api/v1?key=x",
        "https://openrouter.ai/#keys",
        "openrouter.ai:port",
        "https://[::1",
    ],
)
def test_a_host_that_is_no_base_url_is_refused(host, connect):
    with pytest.raises(OpenRouterRequestError, match=r"^The base URL must look like https://") as caught:
        connect(host=host).get_conn()
    assert str(caught.value).endswith("The base URL is the host of connection 'team_keys'.")


def test_plain_http_to_another_machine_needs_an_extra(connect):
    host = "http://proxy.example.com"
    with pytest.raises(OpenRouterRequestError, match=r"unencrypted\. .* extra allow_http of connection"):
        connect(host=host).get_conn()
    assert connect(host=host, extra={"allow_http": True}).get_conn().base_url == f"{host}/api/v1"


@pytest.mark.parametrize(
    "host", [SECRET, f" {SECRET} ", f"https://{SECRET}/api/v1", f"proxy.example.com/{SECRET}"]
)
def test_a_key_in_the_host_is_refused_and_not_shown(host, connect):
    with pytest.raises(
        OpenRouterRequestError, match=r"^The base URL contains a key, .*host of connection"
    ) as caught:
        connect(host=host).get_conn()
    assert SECRET not in str(caught.value)


# -- the extras

NUMBERS = ("timeout", "max_retries", "max_concurrency")


def test_without_extras_the_clients_defaults_hold(connect):
    client = connect().get_conn()
    assert [getattr(client, name) for name in NUMBERS] == [30.0, 5, 8]


@pytest.mark.parametrize(
    "extra",
    [
        {"timeout": 12.5, "max_retries": 0, "max_concurrency": 2, "allow_http": True},
        {"timeout": "12.5", "max_retries": "0", "max_concurrency": " 2 ", "allow_http": "True"},
    ],
    ids=["from JSON", "from text"],
)
def test_extras_are_typed_whether_they_come_as_json_or_as_text(extra, connect):
    client = connect(host="http://proxy.example.com", extra=extra).get_conn()
    assert [getattr(client, name) for name in NUMBERS] == [12.5, 0, 2]
    assert [type(getattr(client, name)) for name in NUMBERS] == [float, int, int]


def test_extras_of_a_uri_are_typed(connect):
    query = "timeout=12.5&max_retries=0&max_concurrency=2&allow_http=true"
    client = connect(f"openrouter://http://:{SECRET}@proxy.example.com/llm?{query}").get_conn()
    assert client.base_url == "http://proxy.example.com/llm"
    assert [getattr(client, name) for name in NUMBERS] == [12.5, 0, 2]


@pytest.mark.parametrize("empty", [None, ""])
def test_an_extra_left_empty_in_the_form_is_the_default(empty, connect):
    client = connect(extra=dict.fromkeys(EXTRAS, empty)).get_conn()
    assert [getattr(client, name) for name in NUMBERS] == [30.0, 5, 8]


def test_an_extra_that_is_not_ours_is_let_be(connect):
    assert connect(extra={"note": "of the finance team"}).get_conn().timeout == 30.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "soon"),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("timeout", 1e10),
        ("timeout", [30]),
        ("max_retries", "five"),
        ("max_retries", 2.5),
        ("max_retries", -1),
        ("max_retries", True),
        ("max_concurrency", 0),
        ("max_concurrency", {}),
        ("allow_http", "maybe"),
        ("allow_http", 1),
    ],
)
def test_a_nonsense_extra_is_refused_by_name(name, value, connect):
    hook = connect(extra={name: value})
    with pytest.raises(OpenRouterRequestError) as caught:
        hook.get_conn()
    message = str(caught.value)
    assert message.startswith(f"{name} must be {EXTRAS[name].rule}")
    assert message.endswith(f". The setting is the extra {name} of connection 'team_keys'.")
    assert hook.test_connection() == (False, message)


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_that_is_the_key_is_not_shown(name, connect):
    with pytest.raises(OpenRouterRequestError, match=f"^{name} must be ") as caught:
        connect(extra={name: SECRET}).get_conn()
    assert SECRET not in str(caught.value)


@pytest.mark.airflow(">=3.2", "odd extras")  # before, Airflow itself finds no connection with them
def test_extras_that_are_no_object_are_refused(connect):
    hook = connect(extra="[1, 2]")
    with pytest.raises(
        OpenRouterRequestError, match=r"^The extras of connection 'team_keys' must be a JSON object"
    ):
        hook.get_conn()


# -- the key


@pytest.mark.parametrize("password", [None, "", "  \n"])
def test_a_connection_without_a_key_says_where_to_create_one(password, connect):
    with pytest.raises(OpenRouterAuthError) as caught:
        connect(password=password).get_conn()
    message = str(caught.value)
    assert message.startswith("There is no management key. Create one at https://")
    assert message.endswith("The management key is the password of connection 'team_keys'.")


def test_white_space_around_the_key_is_stripped(sandbox, connect):
    hook = connect(host=sandbox.base_url, password=f"\t{sandbox.token}\r\n")
    assert hook.test_connection()[0]


@pytest.mark.parametrize("password", [SECRET, f"{SECRET}\nX-Other: 1", f"{SECRET} twice", f"{SECRET}é"], ids=repr)
@pytest.mark.parametrize("host", ["sandbox", "nowhere", "http://proxy.example.com", "ftp://x"])
def test_the_key_is_in_no_log_no_exception_and_no_repr(password, host, sandbox, nowhere, connect, caplog):
    caplog.set_level(logging.DEBUG)
    url = {"sandbox": sandbox.base_url, "nowhere": nowhere}.get(host, host)
    hook = connect(host=url, password=password, extra={"max_retries": 0})
    with pytest.raises(OpenRouterError) as caught:
        hook.list_keys()
    shown = [
        caplog.text,
        *traceback.format_exception(caught.value),
        repr(caught.value),
        repr(hook),
        repr(vars(hook)),
        *hook.test_connection(),
    ]
    assert not [text for text in shown if SECRET in str(text)]


def test_the_key_is_in_no_log_of_a_listing_that_goes_well(sandbox, connection, caplog):
    caplog.set_level(logging.DEBUG)
    hook = OpenRouterHook()
    hook.list_keys()
    assert "Listed" in caplog.text
    assert sandbox.token not in caplog.text
    assert sandbox.token not in repr(hook.get_conn()) + repr(vars(hook)) + str(vars(hook.get_conn()))


# -- the button "Test"


@pytest.mark.parametrize(
    ("extra", "updates"),
    [({}, "only reads: allow_updates is not set"), ({"allow_updates": True}, "may change keys")],
)
def test_a_management_key_passes_the_test(extra, updates, sandbox, connect):
    hook = connect(host=sandbox.base_url, password=sandbox.token, extra=extra)
    assert hook.test_connection() == (
        True,
        f"The key works and is a management key. This connection {updates}.",
    )


def test_an_inference_key_fails_and_is_told_what_is_needed(sandbox, connect):
    passed, message = connect(host=sandbox.base_url, password=INFERENCE_TOKEN).test_connection()
    assert not passed
    assert "inference key, which cannot list keys. Create a management key at https://" in message


def test_a_wrong_key_fails_the_test_at_the_first_response(sandbox, connect):
    passed, message = connect(host=sandbox.base_url).test_connection()
    assert not passed
    assert "answered 401" in message
    assert sandbox.requests == ["/api/v1/key"]


def test_no_server_fails_the_test(nowhere, connect):
    passed, message = connect(host=nowhere).test_connection()
    assert not passed
    assert "127.0.0.1" in message


class OlderServer(Sandbox):
    """A server that says of a key only what a test wants."""

    says: dict[str, object]

    def answer(self, target, authorization):
        status, body = super().answer(target, authorization)
        return status, body | {"data": self.says}


@pytest.mark.parametrize(
    ("says", "passed", "message"),
    [
        ({"is_provisioning_key": True}, True, "is a management key"),
        ({"is_provisioning_key": False}, False, "inference key"),
        ({"label": "sk"}, True, "does not say"),
        ([], False, "no object"),
    ],
)
def test_an_older_server_says_it_in_its_own_words(says, passed, message, connect):
    with OlderServer() as server:
        server.says = says
        answer = connect(host=server.base_url, password=server.token).test_connection()
    assert answer[0] is passed
    assert message in answer[1]


# -- what errors add


@pytest.mark.parametrize(("argument", "setting"), PLACES.items())
def test_an_error_names_the_field_it_is_about(argument, setting, sandbox, connect, monkeypatch):
    def get(self, path, query):
        raise OpenRouterError("It broke.", about=argument)

    monkeypatch.setattr("airflow_provider_openrouter.api.transport.Transport.get", get)
    with pytest.raises(OpenRouterError) as caught:
        connect(host=sandbox.base_url).list_keys()
    assert str(caught.value) == f"It broke. {setting} of connection 'team_keys'."


def test_an_error_about_nothing_in_the_connection_adds_nothing(sandbox, connect):
    hook = connect(host=sandbox.base_url, password=sandbox.token)
    with pytest.raises(
        OpenRouterRequestError, match=r"^No workspace is called 'elsewhere'\. There are: 'Default'\.$"
    ):
        hook.list_keys(workspace_id="elsewhere")


def test_the_test_of_the_connection_names_the_field_too(connect):
    with OlderServer() as server:
        server.says = []
        _, message = connect(host=server.base_url, password=server.token).test_connection()
    assert message.endswith(
        "Check that the base URL is the API's. The base URL is the host of connection 'team_keys'."
    )


# -- keys and workspaces


def test_keys_are_listed_by_the_apis_own_defaults(sandbox, connection):
    keys = OpenRouterHook().list_keys()
    assert sandbox.requests[0] == "/api/v1/keys?include_disabled=false&offset=0"
    assert len(keys) == 22
    assert not any(key["disabled"] for key in keys)
    assert keys[0].keys() == FIELDS.keys()


def test_a_listing_passes_on_what_is_asked(sandbox, connection):
    hook = OpenRouterHook()
    (workspace,) = hook.list_workspaces()
    sandbox.requests.clear()
    keys = hook.list_keys(include_disabled=True, include_expired=False, workspace_id=workspace["id"])
    assert sandbox.requests[0] == (
        f"/api/v1/keys?include_disabled=true&include_expired=false&workspace_id={workspace['id']}&offset=0"
    )
    assert len(keys) == 24


def test_every_workspace_is_listed_with_every_key(monkeypatch):
    with Sandbox(keys=250, workspaces=3) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        hook = OpenRouterHook()
        assert [workspace["slug"] for workspace in hook.list_workspaces()] == [
            "default",
            "workspace-1",
            "workspace-2",
        ]
        everything = {"include_disabled": True, "include_expired": True}
        assert len(hook.list_keys(**everything)) == 84
        keys = hook.list_keys(**everything, workspace_id="*")
    assert len(keys) == len({key["hash"] for key in keys}) == 250


def test_activity_is_that_of_what_is_asked_for(sandbox, connection):
    hook = OpenRouterHook()
    day = (sandbox.now() - timedelta(days=1)).date()
    spenders = (key for key in hook.list_keys() if hook.list_activity(date=day, api_key_hash=key["hash"]))
    key = next(key for key in spenders if key["creator_user_id"])
    (workspace,) = hook.list_workspaces()
    assert hook.list_activity() == sandbox.list_activity(days=[day - timedelta(days=ago) for ago in range(30)])
    arguments = {"user_id": key["creator_user_id"], "workspace_id": workspace["id"], "group_by": "workspace"}
    rows = hook.list_activity(date=day, api_key_hash=key["hash"], **arguments)
    assert rows == sandbox.list_activity(days=[day], key_hash=key["hash"], by_workspace=True)
    assert {row["workspace_id"] for row in rows} == {workspace["id"]}


def test_every_member_is_listed(sandbox, connection):
    assert OpenRouterHook().list_members() == sandbox.members


def test_a_frame_of_keys_is_typed_and_says_when_it_was_observed(connection):
    before = pd.Timestamp.now("UTC")
    frame = OpenRouterHook().get_keys_df(include_disabled=True, include_expired=True)
    assert len(frame) == 25
    assert list(frame) == [*FIELDS, "workspace_name", "observed_at"]
    assert [str(frame[name].dtype) for name in ("hash", "disabled", "limit", "expires_at")] == [
        "string",
        "boolean",
        "float64",
        "datetime64[us, UTC]",
    ]
    assert before.floor("us") <= frame["observed_at"].unique()[0] <= pd.Timestamp.now("UTC")


def test_a_frame_of_no_keys_has_the_same_types(monkeypatch):
    with Sandbox(keys=0) as sandbox, Sandbox() as other:
        frames = []
        for server in (sandbox, other):
            monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", server.connection)
            frames.append(OpenRouterHook().get_keys_df())
    assert frames[0].dtypes.equals(frames[1].dtypes)


def test_a_hook_reads_the_credits(sandbox, connection):
    assert OpenRouterHook().get_credits() == sandbox.get_credits()


def test_a_hook_opens_its_connection_when_it_is_used_and_once(monkeypatch, connect):
    hook = OpenRouterHook("team_keys")
    connect()
    assert hook.get_conn() is hook.get_conn()
