"""Which workspaces of an account are meant: the default one, one by its id or name, or all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.text import count, plain

EVERY_WORKSPACE = "*"
RESERVED = {"default", "all"}
"""How the default workspace and all of them are written in partitions and paths: no name may mean another."""
SHOWN = 20
"""How many workspaces an error names."""


@dataclass(frozen=True)
class WorkspaceScope:
    """
    Which workspaces are listed.

    Partitions, state keys and the arguments of triggers keep what was typed; an id takes the place of a name only
    in the requests of each listing.

    :param typed: the id or the name of a workspace, ``"*"`` for all of them, None for the default one.
    """

    typed: str | None = None

    @classmethod
    def read(cls, value: Any) -> WorkspaceScope:
        """
        Return the scope that a ``workspace_id`` means; empty text is the account's default workspace.

        :raises OpenRouterRequestError: if it is no text, or a name that stands for something else.
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
    def is_one(self) -> bool:
        """Whether one workspace is meant, by its id or name."""
        return self.typed not in (None, EVERY_WORKSPACE)

    @property
    def needs_workspaces(self) -> bool:
        """Whether the workspaces must be read before the keys: for all of them, and for what is no id."""
        return self.typed == EVERY_WORKSPACE or (self.is_one and not _is_id(self.typed))

    def resolve(self, names: Mapping[str, str]) -> list[str | None]:
        """
        Return the ids to list, None for the account's default workspace.

        :param names: the names of the workspaces by their ids, if they are needed.
        :raises OpenRouterRequestError: if what was typed is neither an id nor the name of exactly one workspace.
        """
        if self.typed == EVERY_WORKSPACE:
            return list(names) or [None]
        if not self.needs_workspaces or self.typed in names:
            return [self.typed]
        ids: list[str | None] = [workspace_id for workspace_id, name in names.items() if name == self.typed]
        if len(ids) == 1:
            return ids
        if ids:
            raise OpenRouterRequestError(
                f"{len(ids)} workspaces are called {plain(self.typed)!r}. Use the id of one: "
                f"{_some([str(workspace_id) for workspace_id in ids])}.",
            )
        raise OpenRouterRequestError(
            f"No workspace is called {plain(self.typed)!r}. There are: {_some(list(names.values()))}."
            if names
            else f"No workspace is called {plain(self.typed)!r}. There are none."
        )

    @property
    def column(self) -> str:
        """What stands in the column ``workspace_scope``: ``default``, ``*``, or what was typed."""
        return self.typed or "default"

    @property
    def path_part(self) -> str:
        """What stands in a path: ``default``, ``all``, or what was typed."""
        return "all" if self.typed == EVERY_WORKSPACE else self.column

    def __str__(self) -> str:
        return {None: "default only", EVERY_WORKSPACE: "every workspace"}.get(self.typed) or plain(self.typed)


def _is_id(typed: str | None) -> bool:
    try:
        UUID(typed)
    except ValueError:
        return False
    return True


def _some(texts: list[str]) -> str:
    more = f" and {count(len(texts) - SHOWN, 'more', 'more')}" if len(texts) > SHOWN else ""
    return ", ".join(repr(plain(text)) for text in texts[:SHOWN]) + more
