"""Which workspaces of an account are meant: the default one, one by its id or name, or all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.text import plain

ALL_WORKSPACES = "*"
RESERVED = {"default", "all"}
"""The words for the default workspace and for all of them in partitions and paths; not taken as names."""
SHOWN = 20
"""How many workspaces an error names."""


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class WorkspaceScope:
    """
    Which workspaces are listed.

    Partitions, state keys and the arguments of triggers keep what was typed. Each listing looks up the id of a
    name, and sends that.

    :param typed: the id or the name of a workspace, ``"*"`` for all of them, None for the default one.
    """

    typed: str | None = None

    @classmethod
    def read(cls, value: Any) -> WorkspaceScope:
        """
        Return the scope that a ``workspace_id`` means; empty text means the account's default workspace.

        :raises OpenRouterRequestError: if it is not text, or is one of :data:`RESERVED`.
        """
        if isinstance(value, WorkspaceScope):
            return value
        if value is not None and not isinstance(value, str):
            raise OpenRouterRequestError(
                f'workspace_id must be the id or name of a workspace, "*", or None, not {value!r}.'
            )
        typed = (value or "").strip() or None
        if typed in RESERVED:
            raise OpenRouterRequestError(
                f"workspace_id must not be {typed!r}. Use None for the default workspace, "
                '"*" for all of them, or the id of a workspace of that name.'
            )
        return cls(typed)

    @property
    def is_all(self) -> bool:
        """Whether all workspaces are meant."""
        return self.typed == ALL_WORKSPACES

    @property
    def is_one(self) -> bool:
        """Whether one workspace is meant, by its id or name."""
        return self.typed is not None and not self.is_all

    @property
    def needs_workspaces(self) -> bool:
        """
        Whether the workspaces must be read before the keys.

        They must for all of them, and for anything that is not a UUID, as it may be a name.
        """
        return self.is_all or (self.is_one and not _UUID.fullmatch(str(self.typed)))

    def resolve(self, names: Mapping[str, str]) -> list[str | None]:
        """
        Return the ids to list, None for the account's default workspace.

        :param names: the names of the workspaces by their ids, if they are needed.
        :raises OpenRouterRequestError: if what was typed is neither an id nor the name of exactly one workspace.
        """
        if self.is_all:
            return list(names) or [None]
        if not self.needs_workspaces or self.typed in names:
            return [self.typed]
        ids = [
            workspace_id
            for workspace_id, name in names.items()
            if _comparable(name) == _comparable(str(self.typed))
        ]
        if len(ids) == 1:
            return [ids[0]]
        if ids:
            raise OpenRouterRequestError(
                f"{len(ids)} workspaces are called {plain(self.typed)!r}. Use the id of one: {_some(ids)}."
            )
        existing = _some([name for name in names.values() if name])
        remedy = f"There are: {existing}." if existing else "No workspace has a name; use an id."
        raise OpenRouterRequestError(f"No workspace is called {plain(self.typed)!r}. {remedy}")

    @property
    def column(self) -> str:
        """The value of the column ``workspace_scope``: ``default``, ``*``, or what was typed."""
        return self.typed or "default"

    @property
    def path_part(self) -> str:
        """The value in a path: ``default``, ``all``, or what was typed."""
        return "all" if self.is_all else self.column

    def __str__(self) -> str:
        if self.typed is None:
            return "default only"
        return "all workspaces" if self.is_all else plain(self.typed)


def _comparable(name: str) -> str:
    return normalize("NFC", name.strip())


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return ", ".join(repr(plain(text)) for text in texts[:SHOWN]) + more
