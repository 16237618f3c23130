"""An account whose keys can be changed, served with faults, and what is left of a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.sandboxes import keys_of, make_account
from support.servers import TOKEN, Answer, Request, Server

from airflow_provider_openrouter.sandbox.api import respond


class KeyServer(Server):
    """
    Serves an account with the keys of the given names, each with $0.70 of $5.00 left.

    :param faults: for each ``PATCH``, what is sent in place of its response after it was carried out, or None.
    :param meanwhile: called before each response.
    """

    def __init__(
        self,
        *names: str,
        faults: tuple[Answer | None, ...] = (),
        meanwhile: Callable[[KeyServer], object] = lambda server: None,
    ) -> None:
        super().__init__(self._answer)
        self.account = make_account()
        self.hashes = {
            name: self.account.create_key(name=name, limit=5.0, limit_remaining=0.7, limit_reset=None)
            for name in names or ("billing",)
        }
        self._faults = list(faults)
        self._meanwhile = meanwhile

    def key(self, name: str = "billing") -> dict[str, Any]:
        """Return a key as it is now."""
        return keys_of(self.account)[self.hashes[name]]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The bodies of all changes that arrived."""
        return [json.loads(request.body) for request in self.requests if request.method == "PATCH"]

    def _answer(self, request: Request) -> Answer:
        self._meanwhile(self)
        status, body = respond(
            self.account, request.path, f"Bearer {self.account.token}", request.method, request.body
        )
        is_faulty = self._faults and request.method == "PATCH"
        return (self._faults.pop(0) if is_faulty else None) or Answer(status, body)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the default connection lead to a server, and allow updates."""

    def connect(server: Server, **extras: Any) -> None:
        extra = {"allow_updates": True, "max_retries": 2} | extras
        fields = {"conn_type": "openrouter", "host": server.base_url, "password": TOKEN, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", json.dumps(fields))

    return connect


def audits(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what was noted of changes."""
    lines = [record for record in caplog.records if record.name == "airflow_provider_openrouter.audit"]
    return [json.loads(record.getMessage().partition(": ")[2]) for record in lines]
