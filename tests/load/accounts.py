"""An account for many connections, in its own process, so that it does not slow down those who wait."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from multiprocessing.managers import BaseManager
from threading import Thread
from typing import Any

from airflow_provider_openrouter.sandbox import Sandbox


class Account(Sandbox):
    """Serves a sandbox, distinguishes connections by their management keys, and records their requests."""

    def __init__(self) -> None:
        super().__init__(keys=0)
        self._asked: list[tuple[float, str, str]] = []

    def start(self) -> None:
        self.__enter__()
        Thread(target=_end_with_parent, daemon=True).start()

    def connection_of(self, name: str) -> str:
        return json.dumps(json.loads(self.connection) | {"password": name})

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        self._asked.append((time.time(), (authorization or "").removeprefix("Bearer "), target))
        return super().answer(target, f"Bearer {self.token}")

    def asked(self, began: float, ended: float) -> list[tuple[str, str]]:
        """Return who sent which request between two moments."""
        return [(name, target) for moment, name, target in self._asked if began <= moment < ended]

    def lower(self, hash_: str, limit_remaining: float) -> float:
        """Lower what is left of a key, and return when that was."""
        self.update_key(hash_, limit_remaining=limit_remaining)
        return time.time()


class Accounts(BaseManager):
    """The process that an account runs in."""

    def __init__(self) -> None:
        super().__init__(ctx=multiprocessing.get_context("spawn"))


Accounts.register("Account", Account)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
