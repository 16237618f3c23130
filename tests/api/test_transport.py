import pytest
from support.servers import TOKEN, Answer, Server
from support.transports import GOOD, get, transport

from airflow_provider_openrouter import __version__
from airflow_provider_openrouter.api.transport import BearerAuth
from airflow_provider_openrouter.exceptions import OpenRouterAuthError


def test_the_request_carries_the_key_and_names_its_sender():
    with Server(lambda request: GOOD) as server:
        assert get(server) == [{"hash": "a"}]
    [request] = server.requests
    assert request.path == "/keys"
    assert request.query == {"offset": "0"}
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["User-Agent"] == f"airflow-provider-openrouter/{__version__}"
    assert "gzip" in request.headers["Accept-Encoding"]


def test_requests_share_a_connection_and_keep_no_cookie():
    answer = Answer(body={"data": []}, headers={"Set-Cookie": "a=b"})
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        for _ in range(5):
            opened.get("/keys", {})
    assert server.connections == 1
    assert len(server.requests) == 5
    assert not any("Cookie" in request.headers for request in server.requests)


def test_netrc_does_not_replace_the_key(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\ndefault login any password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(lambda request: GOOD) as server:
        get(server)
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("blank", ["", " ", "\n", "\r\n", "\t \n"])
def test_the_key_is_stripped_of_white_space(blank):
    with Server(lambda request: GOOD) as server:
        get(server, token=f"{blank}{TOKEN}{blank}")
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("key", ["", "   ", "\n"])
def test_no_key_is_refused(key):
    with pytest.raises(
        OpenRouterAuthError, match=r"^There is no management key\. Create one at https://\S+\.$"
    ) as caught:
        BearerAuth(key)
    assert caught.value.about == "management_key"


@pytest.mark.parametrize(
    "odd", ["\n", "\r\nX-Evil: yes", "\0", " ", "\t", "é", "\x7f", "\u2028", "\N{NO-BREAK SPACE}", "😀"]
)
def test_a_key_that_cannot_be_a_header_is_refused_unshown(odd):
    with pytest.raises(OpenRouterAuthError) as caught:
        BearerAuth(f"secret-before{odd}secret-after")
    assert str(caught.value) == (
        "The management key has a character that cannot be sent in an HTTP header. Copy the key again, without "
        "white space, line breaks or letters outside ASCII."
    )
    assert caught.value.about == "management_key"
    assert not caught.value.transient


def test_the_auth_shows_no_key():
    assert TOKEN not in f"{BearerAuth(TOKEN)!r} {BearerAuth(TOKEN)}"


@pytest.mark.parametrize(
    "echo",
    [
        "sk-or-v1-abc",
        "SK-OR-V1-ABC",
        "sk-or-\nv1-abc",
        "sk-or-\u200bv1\u00ad-a\x00bc",
        "s k - o r - v 1 - a b c",
    ],
)
def test_a_key_is_hidden_however_it_is_sent_back(echo):
    assert BearerAuth("sk-or-v1-abc").hide(f"you sent {echo}!") == "you sent ***!"
