"""An account for many connections, in its own process, so that it does not slow down those who wait."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from multiprocessing.managers import BaseManager
from threading import Thread
from typing import Any

from plan import BALANCE

from airflow_provider_openrouter.sandbox import Sandbox


class Account(Sandbox):
    """Serves a sandbox, distinguishes connections by their management keys, and records their requests."""

    def __init__(self) -> None:
        super().__init__(keys=0, balance=BALANCE)
        self._spender = self.create_key(limit=None, disabled=True)  # never listed
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

    def change_key(self, hash_: str, **fields: Any) -> float:
        """Change a key, and return when that was."""
        self.update_key(hash_, **fields)
        return time.time()

    def lower_balance(self, *, refunded: float = 0.0, spent: float = 0.0) -> float:
        """Lower the balance, and return when that was."""
        self.buy_credits(-refunded)
        self.update_key(self._spender, usage=spent)
        return time.time()


class Accounts(BaseManager):
    """The process that an account runs in."""

    def __init__(self) -> None:
        super().__init__(ctx=multiprocessing.get_context("spawn"))


Accounts.register("Account", Account)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
