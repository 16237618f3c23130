"""The server that shows a made-up account over HTTP."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

from airflow_provider_openrouter.sandbox.account import TOKEN, Account
from airflow_provider_openrouter.sandbox.api import allowed, error, respond


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Sandbox(Account):
    """
    An account of made-up keys, the same at every start at the same time, and the server that shows it.

    :param keys: how many keys there are, over all workspaces.
    :param workspaces: how many workspaces there are; the first is the default one.
    :param drain: USD that each active key spends a minute, from the first request on, until nothing is left of
        its limit or of the account's balance.
    :param balance: USD that are left of the account's credits at the start; by default there is plenty.
    :param token: the management key to ask with. :data:`INFERENCE_TOKEN` is taken too, as an inference key.
    :param now: returns the time, in UTC.
    :param host: the address to listen on.
    :param port: the port to listen on, 0 for a free one.
    """

    def __init__(
        self,
        *,
        keys: int = 25,
        workspaces: int = 1,
        drain: float = 0.0,
        balance: float | None = None,
        token: str = TOKEN,
        now: Callable[[], datetime] = utc_now,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(keys=keys, workspaces=workspaces, drain=drain, balance=balance, token=token, now=now)
        self.requests: list[str] = []
        """The path and query of each request so far, after its method unless that is GET."""
        self._server = _Server((host, port), _Handler)
        self._server.sandbox = self
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.01,), name="openrouter-sandbox", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """The base URL, for the ``host`` of a connection."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/api/v1"

    @property
    def connection(self) -> str:
        """The connection to it as JSON, for an environment variable ``AIRFLOW_CONN_…``."""
        return json.dumps({"conn_type": "openrouter", "host": self.base_url, "password": self.token})

    def answer(
        self, target: str, authorization: str | None, method: str = "GET", body: bytes = b""
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the response to a request, and remember the request."""
        self.requests.append(target if method == "GET" else f"{method} {target}")
        self.start_spending()
        return respond(self, target, authorization, method, body)

    def wait(self) -> None:
        """Wait until it serves no more."""
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    sandbox: Sandbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left before the response: the log is the user's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        """Send what the account responds, whatever the method."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,6}", length):
            self.send_error(HTTPStatus.BAD_REQUEST, "The body must have a Content-Length below 1,000,000")
            return
        request = self.path, self.headers.get("Authorization")
        body = self.rfile.read(int(length))
        # Those who replace ``answer`` for what is read need not know of methods and bodies.
        more = () if self.command == "GET" else (self.command, body)
        self._send(*self.server.sandbox.answer(*request, *more))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send an error that is the server's own, such as that of a malformed request."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(*error(status, message or status.phrase))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(allowed(self.path)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the log is the user's."""
