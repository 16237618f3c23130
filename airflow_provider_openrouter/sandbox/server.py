"""The server that shows a made-up account over HTTP."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

from airflow_provider_openrouter.sandbox.account import TOKEN, Account
from airflow_provider_openrouter.sandbox.api import respond


class Sandbox(Account):
    """
    An account of made-up keys, the same at every start, and the server that shows it.

    :param keys: how many keys there are, over all workspaces.
    :param workspaces: how many workspaces there are; the first is the default one.
    :param drain: USD that each active key spends a minute, from the first request on, until nothing is left of
        its limit.
    :param token: the management key to ask with. :data:`INFERENCE_TOKEN` is taken too, as an inference key.
    :param host: the address to listen on.
    :param port: the port to listen on, 0 for a free one.
    """

    def __init__(
        self,
        *,
        keys: int = 25,
        workspaces: int = 1,
        drain: float = 0.0,
        token: str = TOKEN,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(keys=keys, workspaces=workspaces, drain=drain, token=token)
        self.requests: list[str] = []
        """The path and query of each request so far."""
        self._server = _Server((host, port), _Handler)
        self._server.sandbox = self
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.05,), name="openrouter-sandbox", daemon=True
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

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the response to ``GET target``, and remember the request."""
        self.requests.append(target)
        self.start_spending()
        return respond(self, target, authorization)

    def wait(self) -> None:
        """Wait until it serves no more."""
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    sandbox: Sandbox


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        status, body = self.server.sandbox.answer(self.path, self.headers.get("Authorization"))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the log is the user's."""
