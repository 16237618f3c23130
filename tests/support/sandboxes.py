"""Sandboxes that can fail on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_openrouter.sandbox import Sandbox


class Flaky(Sandbox):
    """
    A sandbox that fails, or keeps clients waiting, on request.

    While ``fails`` is true it responds 500. While ``goes_on`` is not set, no page after the third is sent. It
    remembers the hashes of its keys, and when each listing began.
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

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        offset = dict(parse_qsl(urlsplit(target).query)).get("offset")
        if offset == "0":
            self.listings.append(time.monotonic())
        if self.fails:
            return 500, {"error": {"code": 500, "message": "Internal Server Error"}}
        if int(offset or 0) > 250 and not self.goes_on.is_set():
            self.kept_waiting += 1
            self.goes_on.wait()
        return super().answer(target, authorization)


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
