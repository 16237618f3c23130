"""Proxies as the environment names them: whatever requests can use."""

import base64
import logging
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
from support.certificates import certificate
from support.hostile import Hostile
from support.lines import needs_newer_requests
from support.proxies import Proxy
from support.servers import BREAKS, TOKEN, Server, data
from support.transports import GOOD, get, transport

from airflow_provider_openrouter.exceptions import OpenRouterConnectionError, OpenRouterError

NAME = "openrouter.invalid"
FAR = "203.0.113.1"  # an address for documentation: only a proxy leads there
LOGIN = "me:hunter2-é"


@pytest.fixture(autouse=True)
def nothing_is_shown(caplog):
    """Check that no log holds the key or the password of a proxy."""
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text
    assert "hunter2" not in caplog.text


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with TLS, to which every proxy of these tests leads."""
    pem = certificate(tmp_path, host=NAME)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    with Server(lambda request: GOOD, certificate=pem) as server:
        yield server


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes a proxy the one of the environment."""

    def use(scheme: str, host: str, login: str = "", *, variable: str = "ALL_PROXY") -> None:
        before = f"{quote(login, safe=':')}@" if login else ""
        monkeypatch.setenv(variable, f"{scheme}://{before}{host}")

    return use


KINDS = [
    ("http", "", b"CONNECT"),
    ("http", LOGIN, base64.b64encode(LOGIN.encode("latin-1"))),
    ("socks4a", "", b"\4"),
    ("socks4a", LOGIN, b"me\0"),
    ("socks5h", "", b"\5"),
    ("socks5h", LOGIN, LOGIN.partition(":")[2].encode()),
]


@pytest.mark.parametrize(("scheme", "login", "sees"), KINDS)
def test_a_proxy_leads_to_the_server_but_sees_no_key(scheme, login, sees, server, use):
    with Proxy(server.host, login=login if scheme == "socks5h" else "") as proxy:
        use(scheme, proxy.host, login)
        with transport(f"https://{NAME}") as opened:
            assert [opened.get("/keys", {}) for _ in range(2)] == [[{"hash": "a"}]] * 2
    assert proxy.asked == [f"{NAME}:443"]
    assert server.connections == 1
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Proxy-Authorization" not in server.requests[0].headers
    assert sees in proxy.seen
    assert TOKEN.encode() not in proxy.seen


def test_a_proxy_may_speak_tls_itself(server, use, tmp_path, monkeypatch):
    (tmp_path / "proxy").mkdir()
    pem, bundle = certificate(tmp_path / "proxy"), tmp_path / "bundle.pem"
    bundle.write_bytes(pem.read_bytes() + Path(os.environ["REQUESTS_CA_BUNDLE"]).read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with Proxy(server.host, certificate=pem) as proxy:
        use("https", proxy.host)
        assert get(f"https://{NAME}") == [{"hash": "a"}]
    assert proxy.asked == [f"{NAME}:443"]
    assert TOKEN.encode() not in proxy.seen


@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
def test_the_certificate_behind_a_proxy_is_verified(scheme, server, use):
    with Proxy(server.host) as proxy:
        use(scheme, proxy.host)
        with pytest.raises(
            OpenRouterConnectionError, match=r"of elsewhere\.invalid: Hostname mismatch, .*'\. If"
        ):
            get("https://elsewhere.invalid")
    assert not server.requests


def test_the_certificate_of_a_proxy_is_verified(server, use, tmp_path):
    (tmp_path / "proxy").mkdir()
    with Proxy(server.host, certificate=certificate(tmp_path / "proxy")) as proxy:
        use("https", proxy.host)
        with pytest.raises(OpenRouterConnectionError, match="certificate of the proxy: self-signed"):
            get(f"https://{NAME}")
    assert not proxy.seen


@pytest.mark.parametrize(("scheme", "asked"), [("socks4", FAR), ("socks5", "198.51.100.1")])
def test_names_are_looked_up_here_without_an_h_or_a(scheme, asked, use, monkeypatch):
    def getaddrinfo(host, port, family=0, *args, **options):
        address = {socket.AF_INET: FAR}.get(family, "198.51.100.1") if host == NAME else host
        return look_up(address, port, family, *args, **options)

    look_up = socket.getaddrinfo
    with Server(lambda request: GOOD) as server, Proxy(server.host) as proxy:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        use(scheme, proxy.host)
        assert get(f"http://{NAME}:81") == [{"hash": "a"}]
    assert proxy.asked == [f"{asked}:81"]


@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
def test_a_proxy_may_be_an_address_of_ipv6(scheme, server, use, monkeypatch):
    def getaddrinfo(host, *args, **options):
        if host != "2001:db8::1":
            return look_up(host, *args, **options)
        [(*kind, address)] = look_up("127.0.0.1", *args, **options)
        return [(*kind, address if scheme == "http" else (*address, 0, 0))]  # of IPv6 there are four parts

    look_up = socket.getaddrinfo
    with Proxy(server.host) as proxy:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        use(scheme, f"[2001:db8::1]:{proxy.server_address[1]}")
        assert get(f"https://{NAME}") == [{"hash": "a"}]
    assert proxy.asked == [f"{NAME}:443"]


def test_the_port_of_socks_may_be_left_out(server, use):
    own = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with Proxy(server.host, address=(own, 1080)) as proxy:
        use("socks5h", own)
        assert get(f"https://{NAME}") == [{"hash": "a"}]
    assert proxy.asked == [f"{NAME}:443"]


REFUSALS = [
    ("socks5h", LOGIN, {"login": "me:other"}, "SOCKS5 authentication failed"),
    ("socks5h", "", {"login": LOGIN}, "all offered SOCKS5 authentication methods were rejected"),
    ("socks5h", LOGIN, {"refusal": 2}, "0x02: Connection not allowed by ruleset"),
    ("socks5h", LOGIN, {"refusal": 5}, "0x05: Connection refused"),
    ("socks4a", LOGIN, {"refusal": 0x5B}, "0x5b: Request rejected or failed"),
]


@pytest.mark.parametrize(("scheme", "login", "options", "words"), REFUSALS)
def test_what_a_socks_proxy_refuses_is_said(scheme, login, options, words, server, use):
    with Proxy(server.host, **options) as proxy:
        use(scheme, proxy.host, login)
        with pytest.raises(OpenRouterConnectionError, match=f"Could not reach https://.*: {words}.") as caught:
            get(f"https://{NAME}")
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)
    assert not server.requests


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_what_speaks_another_protocol_is_no_socks_proxy(scheme, use):
    with Hostile(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"") as proxy:
        use(scheme, proxy.host, LOGIN)
        with pytest.raises(OpenRouterConnectionError, match="proxy server sent invalid data"):
            get(f"https://{NAME}")


@pytest.mark.parametrize("scheme", ["http", "https", "socks4a", "socks5h"])
def test_a_proxy_that_does_not_listen_refuses_connections(scheme, use):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        use(scheme, f"127.0.0.1:{unused.getsockname()[1]}", LOGIN)
        with pytest.raises(
            OpenRouterConnectionError, match=r": connection refused\. Check .* the proxy"
        ) as caught:
            get(f"https://{NAME}")
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)


UNUSABLE = [
    "ftp://me:hunter2@127.0.0.1:9",
    "socks://me:hunter2@127.0.0.1:9",
    "socks6://me:hunter2@127.0.0.1:9",
    "http://",
    "http://me:hunter2@",
    "socks5h://me:hunter2@",
    "me:hunter2@127.0.0.1:9",
    "http://me:hunter2@127.0.0.1:port",
    "http://me:hunter2@127.0.0.1:99999",
    "http://me:hunter2/@127.0.0.1:9",
    "http://me:hunter2@[::1",
    "http://me:hunter2@two words:9",
    "http://me:hunter2-€@127.0.0.1:9",
    f"http://me:hunter2@{'a' * 64}:9",
    "socks5://me:hunter2@.a:9",
    " ",
]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", UNUSABLE)
def test_an_unusable_proxy_is_refused_before_any_request(proxy, variable, monkeypatch):
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(OpenRouterConnectionError) as caught, transport(f"https://{NAME}"):
        pytest.fail("opened")
    assert str(caught.value).startswith(
        f"The proxy in {variable} is malformed or of an unknown kind. Write it as"
    )
    assert "hunter2" not in str(caught.value)
    assert not caught.value.transient


WITHOUT_PYSOCKS = """
import sys
sys.modules["socks"] = None  # as if it were not installed
from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterError
try:
    OpenRouterClient("key").list_workspaces()
except OpenRouterError as error:
    print(type(error).__name__, error.transient, error)
"""


def test_a_socks_proxy_without_pysocks_names_the_package(use):
    use("socks5h", "127.0.0.1:9", LOGIN)
    path = str(Path(__file__).parents[2])
    shown = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYSOCKS],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines()[-1] == (
        "OpenRouterConnectionError False The SOCKS proxy in ALL_PROXY needs the package PySocks. "
        "Run pip install 'requests[socks]'."
    )
    assert "hunter2" not in shown.stdout + shown.stderr


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_for_http_is_asked_with_its_own_login(variable, use):
    with Server(lambda request: data(["by proxy"])) as proxy:
        use("http", proxy.host, LOGIN, variable=variable)
        assert get(f"http://{NAME}") == ["by proxy"]
    [request] = proxy.requests
    assert request.path.endswith("/keys")
    words = base64.b64encode(LOGIN.encode("latin-1")).decode()
    assert request.headers["Proxy-Authorization"] == f"Basic {words}"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_for_https_goes_before_one_for_all(variable, server, use):
    with Proxy(server.host) as proxy:
        use("http", "127.0.0.1:9", variable="all_proxy")
        use("http", proxy.host, variable=variable)
        assert get(f"https://{NAME}") == [{"hash": "a"}]
    assert proxy.asked == [f"{NAME}:443"]


EXEMPTIONS = [
    (NAME, NAME, True),
    (NAME, "invalid", True),
    (NAME, ".invalid", True),
    (NAME, "other.example, invalid", True),
    (NAME, "*", True),
    pytest.param(NAME, "router.invalid", False, marks=needs_newer_requests),
    (f"{NAME}:81", f"{NAME}:81", True),
    (f"{NAME}:81", f"{NAME}:82", False),
    (FAR, FAR, True),
    (FAR, "203.0.113.0/24", True),
    (FAR, "203.0.112.0/24", False),
]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(("host", "exempt", "direct"), EXEMPTIONS)
def test_no_proxy_exempts_hosts_as_requests_has_it(host, exempt, direct, variable, use, monkeypatch):
    monkeypatch.setenv(variable, exempt)
    with Server(lambda request: GOOD) as proxy:
        use("http", proxy.host)
        with suppress(OpenRouterError):
            get(f"http://{host}", timeout=0.5 if direct else 10)
    assert bool(proxy.requests) is not direct


def test_this_machine_is_never_asked_through_a_proxy(use):
    with Server(lambda request: GOOD) as target, Server(lambda request: BREAKS) as proxy:
        use("http", proxy.host)
        assert get(target) == [{"hash": "a"}]
    assert not proxy.requests


def test_a_key_in_the_words_of_a_proxy_is_hidden(monkeypatch):
    def refuse():
        client, _ = proxy.accept()
        with client:
            client.recv(1 << 16)
            client.sendall(f"HTTP/1.1 407 no\x1b[2J {TOKEN.upper()}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as proxy:
        refusing = Thread(target=refuse)
        refusing.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with pytest.raises(OpenRouterConnectionError, match=r"407 no.*\*\*\*") as caught:
            get("https://openrouter.invalid")
        refusing.join()
    assert TOKEN.upper() not in str(caught.value)
    assert str(caught.value).isprintable()
