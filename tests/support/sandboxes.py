"""Sandboxes that can fail on request, and accounts whose clock can be set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_openrouter.sandbox import TOKEN, Sandbox
from airflow_provider_openrouter.sandbox.account import Account


class Flaky(Sandbox):
    """
    A sandbox that fails, or keeps clients waiting, on request.

    While ``fails`` is true it responds 500. While ``goes_on`` is not set, no page after the third is sent, and
    changes are made without a response. It remembers the hashes of its keys, and when each listing began.
    """

    def __init__(self, **arguments: Any) -> None:
        self.hashes: list[str] = []
        super().__init__(**arguments)
        self.fails = False
        self.goes_on = Event()
        self.goes_on.set()
        self.kept_waiting = 0
        self.listings: list[float] = []

    def create_key(self, **fields: Any) -> str:
        hash_ = super().create_key(**fields)
        self.hashes.append(hash_)
        return hash_

    def answer(
        self, target: str, authorization: str | None, method: str = "GET", body: bytes = b""
    ) -> tuple[int, dict[str, Any]]:
        offset = dict(parse_qsl(urlsplit(target).query)).get("offset")
        if offset == "0":
            self.listings.append(time.monotonic())
        if self.fails:
            return 500, {"error": {"code": 500, "message": "Internal Server Error"}}
        if int(offset or 0) > 250:
            self._wait()
        response = super().answer(target, authorization, method, body)
        if method != "GET":
            self._wait()
        return response

    def _wait(self) -> None:
        if not self.goes_on.is_set():
            self.kept_waiting += 1
            self.goes_on.wait()


class Clock:
    """The time that a sandbox goes by."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.time = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def make_account(now: str = "2026-10-28 12:00", **arguments: Any) -> Account:
    """Return an account without a server, whose clock stands still."""
    defaults = {"keys": 0, "workspaces": 1, "drain": 0.0, "balance": None, "token": TOKEN, "now": Clock(now)}
    return Account(**defaults | arguments)


def keys_of(account: Account, workspace: int = 0) -> dict[str, dict[str, Any]]:
    """Return all keys of a workspace by their hashes."""
    id_ = account.workspaces[workspace]["id"]
    keys = account.list_keys(id_, include_disabled=True, include_expired=True, offset=0, limit=10_000)
    return {key["hash"]: key for key in keys}


@contextmanager
def once_asked(sandbox: Sandbox, requests: int, change: Callable[[], object]) -> Iterator[None]:
    """Make a change once a sandbox has had so many requests, unless the block ends before that."""
    ended = Event()

    def wait() -> None:
        while len(sandbox.requests) < requests:
            if ended.wait(0.01):
                return
        change()

    waiting = Thread(target=wait)
    waiting.start()
    try:
        yield
    finally:
        ended.set()
        waiting.join()
