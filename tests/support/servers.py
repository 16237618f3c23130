"""A server on loopback that sends any response, faulty ones too, and an account for it to serve."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

TOKEN = "sk-or-v1-0123456789abcdef-never-to-be-shown"
RETRY_AT_ONCE = {"Retry-After": "0.001"}


@dataclass(frozen=True)
class Request:
    number: int
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    arrived: float
    method: str = "GET"
    body: bytes = b""

    @property
    def offset(self) -> int:
        return int(self.query.get("offset", 0))


@dataclass(frozen=True)
class Answer:
    """
    A response, and how it is sent.

    :param body: bytes are sent as they are, text as UTF-8, anything else as JSON.
    :param delay: seconds before anything is sent.
    :param trickle: "head" or "body", which is then sent in thirty pieces over three seconds.
    :param cut: how many bytes of the body are sent before the connection breaks; -1 breaks it before the head.
    :param raw: bytes that are sent instead of everything else, after which the connection closes.
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    trickle: str = ""
    cut: int | None = None
    raw: bytes | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    @property
    def gzipped(self) -> Answer:
        return replace(
            self, body=gzip.compress(self.content), headers=self.headers | {"Content-Encoding": "gzip"}
        )

    @property
    def chunked(self) -> Answer:
        content = self.content
        pieces = [content[start : start + 7] for start in range(0, len(content), 7)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        return replace(self, body=body, headers=self.headers | {"Transfer-Encoding": "chunked"})


HANGS = Answer(delay=60)
BREAKS = Answer(cut=-1)


def data(value: Any) -> Answer:
    return Answer(body={"data": value})


def error(status: int, message: str = "said the server", **how: Any) -> Answer:
    return Answer(status, {"error": {"code": status, "message": message}}, **how)


class Server:
    """
    Serves what ``answer`` returns on a free port, and counts requests and connections.

    :param certificate: a PEM file with a key and its certificate, to serve https.
    """

    def __init__(self, answer: Callable[[Request], Answer], *, certificate: Path | None = None) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.stopped = Event()
        self.lock = Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.base_url = f"http{'s' if certificate else ''}://{self.host}/api/v1"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = Thread(target=self._http.serve_forever, args=(0.005,), name="test-server")

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._http.open)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._thread.join()
        for connection in self._http.open.copy():
            _break(connection)
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False
    owner: Server

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: that clients leave is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        super().setup()
        with self.server.owner.lock:
            self.server.owner.connections += 1

    def do_GET(self) -> None:
        owner = self.server.owner
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with owner.lock:
            request = Request(
                len(owner.requests),
                url.path.removeprefix("/api/v1"),
                dict(parse_qsl(url.query, keep_blank_values=True)),
                dict(self.headers.items()),
                time.monotonic(),
                self.command,
                body,
            )
            owner.requests.append(request)
        answer = owner.answer(request)
        if owner.stopped.wait(answer.delay):
            self.close_connection = True
            return
        head, body = self._head(answer), answer.content
        if answer.raw is not None:
            head, body = answer.raw, b""
        for piece in self._pieces(answer, head, body):
            self.wfile.write(piece)
        if answer.cut is not None or answer.raw is not None:
            self.close_connection = True
            _break(self.connection)

    do_PATCH = do_GET  # noqa: N815

    def _head(self, answer: Answer) -> bytes:
        headers = {"Content-Type": "application/json"} | answer.headers
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(answer.content))
        lines = [f"HTTP/1.1 {answer.status} Said", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _pieces(self, answer: Answer, head: bytes, body: bytes) -> Iterator[bytes]:
        if answer.cut is not None:
            yield b"" if answer.cut < 0 else head + body[: answer.cut]
        elif answer.trickle:
            whole, slow, rest = (head, body, b"") if answer.trickle == "body" else (b"", head, body)
            yield whole
            size = -(-len(slow) // 30)
            for start in range(0, len(slow), size):
                if self.server.owner.stopped.wait(0.1):
                    return
                yield slow[start : start + size]
            yield rest
        else:
            yield head + body

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def _break(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Account:
    """
    An account with keys, newest first, that change while they are listed; an ``answer`` for :class:`Server`.

    :param latency: seconds before each response.
    :param ignores_offset: whether every page is the first one.
    :param hides: which keys are dropped from a page after it was cut out of the list.
    :param between: called with the number of each request before its response.
    :param gone: the status of a request for a workspace that does not exist; without it the page is empty.
    """

    def __init__(
        self,
        keys: int = 0,
        *,
        page_size: int = 100,
        workspaces: int = 1,
        latency: float = 0.0,
        ignores_offset: bool = False,
        hides: Callable[[dict[str, Any]], bool] = lambda key: False,
        between: Callable[[int], None] = lambda number: None,
        gone: int | None = None,
    ) -> None:
        self.page_size = page_size
        self.latency = latency
        self.ignores_offset = ignores_offset
        self.hides = hides
        self.between = between
        self.gone = gone
        self.asked = 0
        self.workspaces = [
            {"id": f"workspace-{number}", "name": f"Workspace {number}"} for number in range(workspaces)
        ]
        self.keys: list[dict[str, Any]] = []
        self._created = 0
        self._lock = Lock()
        self.create(keys)
        self.lasting = self.hashes

    @property
    def hashes(self) -> list[str]:
        return [key["hash"] for key in self.keys]

    def create(self, count: int = 1) -> None:
        for _ in range(count):
            number = self._created
            workspace = self.workspaces[number % len(self.workspaces)]["id"]
            self.keys.insert(0, {"hash": f"hash-{number}", "number": number, "workspace_id": workspace})
            self._created += 1

    def delete(self, start: int, count: int = 1) -> None:
        """Delete some keys; number 0 is the newest."""
        gone = {key["hash"] for key in self.keys[start : start + count]}
        del self.keys[start : start + count]
        self.lasting = [hash_ for hash_ in self.lasting if hash_ not in gone]

    def delete_workspace(self, number: int, *, moves_to: int | None = None) -> None:
        """Delete a workspace, with its keys or after they were moved to another one."""
        workspace = self.workspaces[number]["id"]
        if moves_to is None:
            gone = {key["hash"] for key in self.keys if key["workspace_id"] == workspace}
            self.keys = [key for key in self.keys if key["hash"] not in gone]
            self.lasting = [hash_ for hash_ in self.lasting if hash_ not in gone]
        for key in self.keys:
            if key["workspace_id"] == workspace:
                key["workspace_id"] = self.workspaces[moves_to]["id"]
        del self.workspaces[number]

    def page(self, offset: int, ahead: object = (), workspace: str | None = None) -> list[dict[str, Any]]:
        with self._lock:
            self.between(self.asked)
            self.asked += 1
            start = 0 if self.ignores_offset else offset
            keys = [key for key in self.keys if workspace in (None, key["workspace_id"])]
            return [key for key in keys[start : start + self.page_size] if not self.hides(key)]

    def __call__(self, request: Request) -> Answer:
        if request.path == "/workspaces":
            limit = int(request.query["limit"])
            found = self.workspaces[request.offset : request.offset + limit]
            return Answer(body={"data": found, "total_count": len(self.workspaces)}, delay=self.latency)
        if request.path != "/keys":
            return error(404)
        workspace = request.query.get("workspace_id") or self.workspaces[0]["id"]
        if self.gone and all(each["id"] != workspace for each in self.workspaces):
            return error(self.gone, "Invalid workspace_id", delay=self.latency)
        return replace(data(self.page(request.offset, workspace=workspace)), delay=self.latency)
