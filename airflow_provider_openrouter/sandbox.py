"""
A local stand-in for OpenRouter's key API, so that DAGs run without an account.

``python -m airflow_provider_openrouter.sandbox`` serves it; in tests, ``with Sandbox() as sandbox`` does. It
answers ``/keys``, ``/keys/{hash}``, ``/key`` and ``/workspaces`` as OpenRouter's API reference says: pages of
100, newest first, ``include_disabled``, ``include_expired`` and ``workspace_id``, the bodies of errors. Its keys
spend money as time goes by. It needs the standard library alone, not even Airflow.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

TOKEN = "sk-or-v1-sandbox-management-key"  # noqa: S105  # nosec B105  # it opens nothing
INFERENCE_TOKEN = "sk-or-v1-sandbox-inference-key"  # noqa: S105  # nosec B105
PAGE_SIZE = 100

TEAMS = ("billing", "chatbot", "search", "support", "research", "mobile", "marketing")
STAGES = ("prod", "staging", "dev")
RESETS = ("monthly", "weekly", "daily", None)
WINDOWS = ("usage", "usage_daily", "usage_weekly", "usage_monthly")


class Sandbox:
    """
    An account of made-up keys, the same at every start, and the server that shows it.

    :param keys: how many keys there are, over all workspaces.
    :param workspaces: how many workspaces there are; the first is the default one.
    :param drain: USD that each key in force spends a minute, from the first request on, until nothing is left of
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
        if keys < 0 or workspaces < 1 or drain < 0:
            raise ValueError("There must be 0 keys or more, 1 workspace or more, and a drain of 0 or more.")
        self.token = token
        self.drain = drain
        self.requests: list[str] = []
        """The path and query of each request so far."""
        self._numbers = itertools.count()
        self._lock = Lock()
        self._began: float | None = None
        self._workspaces = [_workspace(number) for number in range(workspaces)]
        self._keys: dict[str, dict[str, Any]] = {}
        for number in range(keys):
            self.create_key(workspace_id=self._workspaces[number % workspaces]["id"])
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
        """The base URL: what stands in the ``host`` of a connection."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/api/v1"

    @property
    def connection(self) -> str:
        """The connection to it as JSON, for an environment variable ``AIRFLOW_CONN_…``."""
        return json.dumps({"conn_type": "openrouter", "host": self.base_url, "password": self.token})

    def create_key(self, **fields: Any) -> str:
        """Create the newest key, with some fields of its own, and answer its hash."""
        with self._lock:
            key = _key(next(self._numbers), self._workspaces[0]["id"]) | fields
            self._keys[key["hash"]] = key
        return str(key["hash"])

    def update_key(self, hash_: str, **fields: Any) -> None:
        """Change fields of a key."""
        with self._lock:
            self._keys[hash_] |= fields

    def delete_key(self, hash_: str) -> None:
        """Delete a key."""
        with self._lock:
            del self._keys[hash_]

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Answer the status and the body of ``GET target``."""
        self.requests.append(target)
        if self._began is None:
            self._began = time.monotonic()
        url = urlsplit(target)
        path = url.path.removeprefix("/api/v1")
        token = (authorization or "").removeprefix("Bearer ")
        if token not in (self.token, INFERENCE_TOKEN):
            return _error(HTTPStatus.UNAUTHORIZED, "No cookie auth credentials found")
        if path == "/key":
            return HTTPStatus.OK, {"data": self._current_key(is_management_key=token == self.token)}
        if token != self.token:
            return _error(HTTPStatus.FORBIDDEN, "Only management keys can perform this operation")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            if path == "/keys":
                return HTTPStatus.OK, {"data": self._list_keys(query)}
            if path == "/workspaces":
                return HTTPStatus.OK, self._list_workspaces(query)
        except ValueError as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        if path.startswith("/keys/") and (key := self._keys.get(path.removeprefix("/keys/"))):
            return HTTPStatus.OK, {"data": self._as_of_now(key)}
        return _error(HTTPStatus.NOT_FOUND, "Not found")

    def _list_keys(self, query: dict[str, str]) -> list[dict[str, Any]]:
        offset = _number(query, "offset", 0)
        include_disabled = _flag(query, "include_disabled")
        include_expired = _flag(query, "include_expired")
        workspace_id = query.get("workspace_id", self._workspaces[0]["id"])
        if workspace_id not in {workspace["id"] for workspace in self._workspaces}:
            raise ValueError("Invalid workspace_id")
        with self._lock:
            keys = list(reversed(self._keys.values()))
        listed = [
            key
            for key in keys
            if key["workspace_id"] == workspace_id
            and (include_disabled or not key["disabled"])
            and (include_expired or not _is_expired(key))
        ]
        return [self._as_of_now(key) for key in listed[offset : offset + PAGE_SIZE]]

    def _list_workspaces(self, query: dict[str, str]) -> dict[str, Any]:
        offset = _number(query, "offset", 0)
        limit = min(_number(query, "limit", PAGE_SIZE), PAGE_SIZE)
        return {"data": self._workspaces[offset : offset + limit], "total_count": len(self._workspaces)}

    def _as_of_now(self, key: dict[str, Any]) -> dict[str, Any]:
        if key["disabled"] or _is_expired(key):
            return key
        now = time.monotonic()
        spent = self.drain * (now - (self._began or now)) / 60
        if key["limit_remaining"] is None:
            return key | {window: (key[window] or 0) + spent for window in WINDOWS}
        spent = min(spent, max(0.0, key["limit_remaining"]))
        return key | {
            "limit_remaining": key["limit_remaining"] - spent,
            **{window: (key[window] or 0) + spent for window in WINDOWS},
        }

    def _current_key(self, *, is_management_key: bool) -> dict[str, Any]:
        return {
            "label": "sk-or-v1-san...key",
            "is_management_key": is_management_key,
            "is_provisioning_key": is_management_key,
            "is_free_tier": False,
            "limit": None,
            "limit_remaining": None,
            "usage": 0,
        }


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
        """Keep still: the log is the user's."""


def _key(number: int, workspace_id: str) -> dict[str, Any]:
    hash_ = hashlib.sha256(f"key {number}".encode()).hexdigest()
    limit = None if number % 7 == 6 else float(5 * (1 + number % 12))
    usage = round(number * 7919 % 4001 / 100, 2) if number % 5 else 0.0
    created_at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    return {
        "hash": hash_,
        "name": f"{TEAMS[number % len(TEAMS)]}-{STAGES[number % len(STAGES)]}-{number}",
        "label": f"sk-or-v1-{hash_[:3]}...{hash_[-3:]}",
        "disabled": number % 11 == 10,
        "limit": limit,
        "limit_remaining": None if limit is None else round(limit * (0.15 + number * 37 % 80 / 100), 2),
        "limit_reset": RESETS[number % len(RESETS)],
        "include_byok_in_limit": False,
        "usage": usage,
        "usage_daily": round(usage / 50, 2),
        "usage_weekly": round(usage / 10, 2),
        "usage_monthly": round(usage / 3, 2),
        "byok_usage": 0,
        "byok_usage_daily": 0,
        "byok_usage_weekly": 0,
        "byok_usage_monthly": 0,
        "created_at": created_at.isoformat(),
        "updated_at": None if number % 3 else created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expires_at": "2026-01-01T00:00:00Z" if number % 13 == 12 else None,
        "workspace_id": workspace_id,
        "creator_user_id": "user_sandbox",
        "external_user": None,
        "last_used_at": created_at.isoformat() if usage else None,
    }


def _workspace(number: int) -> dict[str, Any]:
    name = "Default" if number == 0 else f"Workspace {number}"
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"openrouter-sandbox/{number}")),
        "name": name,
        "slug": name.lower().replace(" ", "-"),
    }


def _is_expired(key: dict[str, Any]) -> bool:
    return key["expires_at"] is not None and datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal():
        raise ValueError(f"Invalid {name}: expected a number of 0 or more")
    return int(value)


def _flag(query: dict[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise ValueError(f"Invalid {name}: expected true or false")
    return value == "true"


def _error(status: HTTPStatus, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": status.value, "message": message}}


def main() -> None:
    """Serve a sandbox until it is interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_openrouter.sandbox",
        description="Serve a local stand-in for OpenRouter's key API.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, 0 for a free one")
    parser.add_argument("--keys", type=int, default=25, metavar="N", help="keys, over all workspaces")
    parser.add_argument("--workspaces", type=int, default=1, metavar="N", help="workspaces")
    parser.add_argument(
        "--drain", type=float, default=0.0, metavar="USD", help="what each key in force spends a minute"
    )
    parser.add_argument("--token", default=TOKEN, help="the management key to ask with")
    options = parser.parse_args()
    try:
        sandbox = Sandbox(**vars(options))
    except (ValueError, OSError, OverflowError) as error:
        parser.error(str(error))
    with sandbox:
        print(f"export AIRFLOW_CONN_OPENROUTER_DEFAULT='{sandbox.connection}'", flush=True)
        try:
            sandbox._thread.join()
        except KeyboardInterrupt:
            print("Stopped.")


if __name__ == "__main__":
    main()
