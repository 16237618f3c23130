"""Helpers for the tests of everything that polls: connect, wait, count and clean up."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from logging import DEBUG, ERROR
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.servers import TOKEN, Account, Answer, Request, Server

import airflow_provider_openrouter.api  # noqa: F401  # what a first poll imports would make it slow
from airflow_provider_openrouter.sandbox import Sandbox

NEW_TOKEN = "sk-or-v1-fedcba9876543210-never-to-be-shown-either"
ROUNDING = 0.001
"""Seconds that a timer may be early."""


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes a connection lead to a server."""

    def connect(
        server: Server, conn_id: str = "openrouter_default", *, password: str = TOKEN, **extras: Any
    ) -> None:
        fields = {"conn_type": "openrouter", "host": server.base_url, "password": password}
        extra = {"max_retries": 0, "timeout": 10} | extras
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields | {"extra": extra}))

    return connect


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Check that each test leaves no thread, no forgotten task, and no key in the log."""
    caplog.set_level(DEBUG)
    gc.freeze()  # so that only what the test leaves is looked at
    yield
    gc.collect()  # so that asyncio complains of the tasks that were forgotten
    gc.unfreeze()
    assert eventually(lambda: not listing_threads()), listing_threads()
    logged = [each for phase in ("call", "teardown") for each in caplog.get_records(phase)]
    shown = "\n".join([*map(caplog.handler.format, logged), *capfd.readouterr()])
    assert TOKEN not in shown
    assert NEW_TOKEN not in shown
    assert not [each.getMessage() for each in logged if each.name == "asyncio" and each.levelno >= ERROR]


class Gate:
    """An account that answers nobody before it is opened."""

    def __init__(self, account: Callable[[Request], Answer] | None = None) -> None:
        self.account = account or Account(3)
        self.opened = threading.Event()

    def __call__(self, request: Request) -> Answer:
        assert self.opened.wait(20)
        return self.account(request)


def listing_threads() -> list[str]:
    kept = ("openrouter-sandbox", "openrouter-reading")  # the latter by the page, as long as its app
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("openrouter-") and not name.startswith(kept)]


def eventually(true: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(true())


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


def now_and_then(true: Callable[[], bool]) -> bool:
    """Return whether it is true in one of five tries: a busy machine may be late, but not for long."""
    return any(true() for _ in range(5))


def begun(server: Server | Sandbox) -> int:
    """Count the listings that have begun at a server."""
    if isinstance(server, Server):
        return sum(each.path == "/keys" and not each.offset for each in server.requests)
    return sum(map(_begins_a_listing, server.requests))


def _begins_a_listing(target: str) -> bool:
    url = urlsplit(target)
    return url.path.endswith("/keys") and dict(parse_qsl(url.query)).get("offset", "0") == "0"
