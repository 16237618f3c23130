"""The sandbox serves over HTTP, in a test and as a program, and needs nothing but Python."""

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPResponse
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.polling import eventually
from support.sandboxes import Clock

from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, TOKEN, Sandbox

PROGRAM = [sys.executable, "-m", "airflow_provider_openrouter.sandbox"]


def get(base_url, path, token=TOKEN):
    """Return the status and the body of the response."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(base_url + path, headers=headers), timeout=10) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/keys?include_disabled=true&offset=7", TOKEN, 200),
        ("/workspaces", TOKEN, 200),
        ("/key", INFERENCE_TOKEN, 200),
        ("/keys?offset=ten", TOKEN, 400),
        ("/keys", None, 401),
        ("/keys", INFERENCE_TOKEN, 403),
        ("/nowhere", TOKEN, 404),
    ],
)
def test_the_server_sends_the_status_and_body_of_the_api(sandbox, path, token, status):
    response = get(sandbox.base_url, path, token)
    assert response == sandbox.answer(f"/api/v1{path}", token and f"Bearer {token}")
    assert response[0] == status


def test_a_client_that_leaves_early_is_not_worth_a_word(capfd):
    request = f"GET /api/v1/keys HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with Sandbox() as sandbox:
        host, port = sandbox.base_url.split("/")[2].split(":")
        for number in range(1, 11):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # end by a reset
                client.sendall(request)
                assert eventually(lambda number=number: len(sandbox.requests) == number)
    assert capfd.readouterr() == ("", "")


def test_many_requests_fit_into_one_connection(sandbox):
    host, port = sandbox.base_url.split("/")[2].split(":")
    connection = HTTPConnection(host, int(port), timeout=10)
    ports = set()
    for _ in range(3):
        connection.request("GET", "/api/v1/key", headers={"Authorization": f"Bearer {TOKEN}"})
        ports.add(connection.sock.getsockname()[1])
        response = connection.getresponse()
        assert json.load(response)["data"]["is_management_key"]
        assert response.headers["Content-Type"] == "application/json"
    connection.close()
    assert len(ports) == 1


def test_a_change_shows_while_it_serves(sandbox):
    new = sandbox.create_key(limit_remaining=5.0)
    sandbox.update_key(new, limit_remaining=0.5)
    assert get(sandbox.base_url, f"/keys/{new}")[1]["data"]["limit_remaining"] == 0.5
    sandbox.delete_key(new)
    assert get(sandbox.base_url, f"/keys/{new}")[0] == 404


def test_the_connection_holds_the_address_and_the_token():
    with Sandbox(token="mine") as sandbox:
        connection = json.loads(sandbox.connection)
        assert connection == {"conn_type": "openrouter", "host": sandbox.base_url, "password": "mine"}
        assert get(connection["host"], "/keys", connection["password"])[0] == 200


def test_requests_are_remembered(sandbox):
    get(sandbox.base_url, "/keys?offset=7")
    get(sandbox.base_url, "/key")
    assert sandbox.requests == ["/api/v1/keys?offset=7", "/api/v1/key"]


def test_keys_spend_from_the_first_request_on():
    clock = Clock("2026-10-28 12:00")
    with Sandbox(keys=0, drain=0.5, now=clock) as sandbox:
        hash_ = sandbox.create_key(limit=9.0)
        clock.set("2026-10-28 12:10")
        assert get(sandbox.base_url, f"/keys/{hash_}")[1]["data"]["limit_remaining"] == 9.0
        clock.set("2026-10-28 12:12")
        assert get(sandbox.base_url, f"/keys/{hash_}")[1]["data"]["limit_remaining"] == 8.0


def test_by_default_it_goes_by_the_time_of_the_day():
    with Sandbox(keys=0, drain=60_000) as sandbox:
        hash_ = sandbox.create_key(limit=1e9)
        get(sandbox.base_url, "/key")
        time.sleep(0.3)
        assert get(sandbox.base_url, f"/keys/{hash_}")[1]["data"]["limit_remaining"] < 1e9


@pytest.mark.parametrize("nonsense", [{"keys": -1}, {"workspaces": 0}, {"drain": -0.5}])
def test_a_sandbox_of_an_impossible_account_is_refused(nonsense):
    with pytest.raises(ValueError, match="There must be"):
        Sandbox(**nonsense)


def heed_interrupts():
    """As in a shell's foreground: tests that run in its background would pass on that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_program_prints_its_connection_and_serves():
    options = ["--keys", "30", "--workspaces", "2", "--token", "mine", "--balance", "12.5"]
    with subprocess.Popen(
        [*PROGRAM, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_interrupts,
    ) as program:  # fmt: skip
        try:
            line = program.stdout.readline()
            found = re.fullmatch(r"export AIRFLOW_CONN_OPENROUTER_DEFAULT='(.+)'\n", line)
            connection = json.loads(found[1])
            status, body = get(
                connection["host"],
                "/keys?include_disabled=true&include_expired=true",
                token=connection["password"],
            )
            credits = get(connection["host"], "/credits", token="mine")[1]["data"]
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=10)
        finally:
            program.kill()
    assert (status, len(body["data"])) == (200, 15)
    assert credits["total_credits"] - credits["total_usage"] == pytest.approx(12.5)
    assert (program.returncode, out, err) == (0, "Stopped.\n", "")


INTERRUPTED_AT_ITS_FIRST_LINE = """
import io, json, signal, sys, urllib.request
from airflow_provider_openrouter.sandbox.__main__ import main

class Terminal(io.StringIO):
    def flush(self):
        connection = json.loads(self.getvalue().split("'")[1])
        request = urllib.request.Request(connection["host"] + "/key")
        request.add_header("Authorization", "Bearer " + connection["password"])
        with urllib.request.urlopen(request, timeout=10) as response:
            print(response.status, file=sys.__stdout__)
        signal.raise_signal(signal.SIGINT)

terminal = sys.stdout = Terminal()
main()
sys.stdout = sys.__stdout__
print(terminal.getvalue().splitlines()[1:])
"""


def test_from_its_first_line_on_it_serves_and_can_be_stopped():
    program = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT_ITS_FIRST_LINE],
        capture_output=True, text=True, timeout=30, preexec_fn=heed_interrupts,
    )  # fmt: skip
    assert (program.returncode, program.stdout, program.stderr) == (0, "200\n['Stopped.']\n", "")


@pytest.mark.parametrize(
    "options", [["--keys", "-1"], ["--port", "99999"], ["--host", "256.0.0.1"], ["--drain", "much"]]
)
def test_the_program_says_what_is_wrong_with_its_options(options):
    program = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, timeout=30)
    assert program.returncode == 2
    assert "error: " in program.stderr
    assert "Traceback" not in program.stderr


IMPORTED = """
import sys
before = set(sys.modules)
import airflow_provider_openrouter.sandbox.__main__
for name in set(sys.modules) - before:
    if name.split(".")[0] not in sys.stdlib_module_names:
        print(name)
"""


def test_importing_it_needs_the_standard_library_alone():
    run = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    package = "airflow_provider_openrouter"
    assert f"{package}.sandbox.server" in (names := run.stdout.split())
    assert not [name for name in names if name != package and not name.startswith(f"{package}.sandbox")]


# -- what is malformed


def send(base_url, request):
    """Return the status, the headers and the body of the response to the text of a request."""
    host, port = base_url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        response = HTTPResponse(connection, method=request.split(" ")[0])
        response.begin()
        return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "allow"),
    [
        ("POST", "/api/v1/keys", "Content-Length: 2\r\n\r\n{}", 405, "GET, HEAD"),
        ("PUT", "/api/v1/keys/f01d", "Content-Length: 0\r\n\r\n", 405, "GET, HEAD, PATCH"),
        ("DELETE", "/api/v1/keys/f01d", "\r\n", 405, "GET, HEAD, PATCH"),
        ("OPTIONS", "/api/v1/credits", "\r\n", 405, "GET, HEAD"),
        ("POST", "/api/v1/nowhere", "\r\n", 404, None),
        ("PATCH", "/api/v1/keys/f01d", "Content-Length: 1\r\n\r\n{", 400, None),
        ("PATCH", "/api/v1/keys/f01d", "Content-Length: two\r\n\r\n{}", 400, None),
        ("PATCH", "/api/v1/keys/f01d", "Content-Length: 10000000\r\n\r\n", 400, None),
        ("PATCH", "/api/v1/keys/f01d", "Transfer-Encoding: chunked\r\n\r\n", 400, None),
        ("GET", "http://[", "\r\n", 404, None),
        ("BREW", "/api/v1/keys", "\r\n", 501, None),
        ("GET", "/api/v1/keys or not", "\r\n", 400, None),
        ("GET", "/" + "a" * 70_000, "\r\n", 414, None),
    ],
)
def test_every_error_is_json(sandbox, method, path, more, status, allow):
    request = f"{method} {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {TOKEN}\r\n{more}"
    returned, headers, body = send(sandbox.base_url, request)
    assert returned == json.loads(body)["error"]["code"] == status
    assert headers["Content-Type"] == "application/json"
    assert headers["Allow"] == allow


def raw(base_url, request):
    """Return all that the server sends until it closes the connection."""
    host, port = base_url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        return connection.makefile("rb").read()


def test_head_has_the_headers_of_get_and_no_body(sandbox):
    request = f"HEAD /api/v1/key HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    head, _, body = raw(sandbox.base_url, request).partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"")
    assert f"Content-Length: {len(json.dumps(get(sandbox.base_url, '/key')[1]))}".encode() in head


def test_a_body_that_cannot_be_read_ends_the_connection(sandbox):
    request = "PATCH /api/v1/keys/f01d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    answered = raw(sandbox.base_url, request)
    assert answered.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in answered


def test_a_connection_goes_on_after_a_refused_body(sandbox):
    host, port = sandbox.base_url.split("/")[2].split(":")
    connection = HTTPConnection(host, int(port), timeout=10)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for method, status in (("POST", 405), ("GET", 200)):
        connection.request(method, "/api/v1/keys", body=b'{"name": "new"}' * (method == "POST"), headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()
    assert sandbox.requests == ["POST /api/v1/keys", "/api/v1/keys"]
