"""The state store of an asset, kept in memory."""

from __future__ import annotations

import json
from typing import Any

STATE_KEY = "openrouter_low:of-a-rule"
STATUS = "openrouter_status:"
"""How the keys begin of what watches leave about themselves, beside what they remember."""


class Store:
    """
    A store of JSON that can fail, and that can belong to several assets.

    It counts what watches remember, ``values``, apart from what they leave about themselves, ``statuses``.

    :param state: what is stored already.
    """

    def __init__(self, state: Any = None, *, key: str = STATE_KEY, assets: int = 1) -> None:
        self.values = {} if state is None else {key: json.dumps(state)}
        self.statuses: dict[str, Any] = {}
        self.assets = assets
        self.asked: list[str] = []
        self.written = 0
        self.statuses_written = 0
        self.failure: Exception | None = None

    async def aget(self, key: str, default: Any = None) -> Any:
        self._respond()
        if key.startswith(STATUS):
            return self.statuses.get(key, default)
        self.asked.append(key)
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self._respond()
        if key.startswith(STATUS):
            self.statuses_written += 1
            self.statuses[key] = json.loads(json.dumps(value))
            return
        self.written += 1
        self.values[key] = json.dumps(value)

    @property
    def read(self) -> int:
        return len(self.asked)

    @property
    def status(self) -> Any:
        return next(iter(self.statuses.values()), None)

    @property
    def state(self) -> dict[str, Any]:
        [state] = map(json.loads, self.values.values())
        return state

    @property
    def reported(self) -> list[str]:
        assert self.state.keys() == {"version", "told"}
        assert self.state["version"] == 1
        return self.state["told"]

    def _respond(self) -> None:
        if self.assets != 1:
            raise ValueError(f"Task has {self.assets} concrete inlets and outlets")
        if self.failure:
            raise self.failure
