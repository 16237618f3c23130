"""What is read at each poll, and with which connection. Watchers of equal sources share the polls."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import sentence
from airflow_provider_openrouter.watch.left import KeysLeft
from airflow_provider_openrouter.watch.metrics import record_keys

if TYPE_CHECKING:
    from airflow_provider_openrouter.api import OpenRouterClient

NAMES_MAX_AGE = 3600.0
"""Seconds for which a workspace's name, once resolved, is not resolved again."""

R_co = TypeVar("R_co", covariant=True)


class Stop:
    """Ends a read from another thread: what is under way, and what would follow."""

    def __init__(self) -> None:
        self._is_set = False
        self._events: list[Event] = []

    def set(self) -> None:
        """End the read."""
        self._is_set = True
        for event in self._events:
            event.set()

    def event(self) -> Event:
        """Return a new event for one call of the client, which sets it too when it ends."""
        self._events.append(event := Event())
        if self._is_set:
            event.set()
        return event


class Reader(Protocol[R_co]):
    """Reads a source again and again, and keeps what makes the next time cheaper."""

    def read(self, client: OpenRouterClient, stop: Stop) -> R_co:
        """
        Read the source once, in whatever thread this is called.

        :param client: the client of the source's connection.
        :param stop: of this read alone.
        :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
        """


class Source(Protocol[R_co]):
    """
    What is read, by value: equal sources are equal, and hash alike. As text it goes into warnings.

    ``arguments`` are those of triggers beside ``openrouter_conn_id`` that say what is read, as JSON.
    """

    @property
    def openrouter_conn_id(self) -> str:
        """The connection to OpenRouter."""

    @property
    def scope(self) -> WorkspaceScope | None:
        """Which workspaces are read; None if the account is."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of triggers, beside ``openrouter_conn_id``, that say what is read; as JSON."""

    def reader(self) -> Reader[R_co]:
        """Return a reader that has read nothing yet."""


@dataclass(frozen=True, kw_only=True)
class KeySource:
    """
    The keys of an account.

    :param openrouter_conn_id: the connection to OpenRouter.
    :param scope: which workspaces to list.
    :param include_disabled: whether to list keys that are disabled.
    """

    openrouter_conn_id: str
    scope: WorkspaceScope
    include_disabled: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """The workspace; ``include_disabled`` is an argument of the rule."""
        return {"workspace_id": self.scope.typed}

    def reader(self) -> KeyReader:
        """Return a reader that has read nothing yet."""
        return KeyReader(self)

    def __str__(self) -> str:
        workspace = f", workspace {self.scope.typed!r}" if self.scope.typed else ""
        return f"connection {self.openrouter_conn_id!r}{workspace}"


class KeyReader:
    """Lists keys. From the last listing it knows how many pages to ask for, and the id of a named workspace."""

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._previous: KeyListing | None = None
        self._looked_up = -math.inf

    def read(self, client: OpenRouterClient, stop: Stop) -> KeyListing:
        """List the keys, and sort them here: on the event loop that would block."""
        began = time.monotonic()
        if began - self._looked_up >= NAMES_MAX_AGE:
            self._previous = None
        try:
            listing = self._list(client, stop)
        except OpenRouterRequestError:
            if self._previous is None or not self._source.scope.is_one:
                raise
            self._previous = None  # another workspace may have the name by now
            listing = self._list(client, stop)
        if self._previous is None:
            self._looked_up = began
        self._previous = replace(listing, keys=())
        KeysLeft.of(listing, include_disabled=self._source.include_disabled)
        len(listing.hashes)
        record_keys(self._source.openrouter_conn_id, listing)
        return listing

    def _list(self, client: OpenRouterClient, stop: Stop) -> KeyListing:
        return client.get_key_listing(
            include_disabled=self._source.include_disabled,
            workspace_id=self._source.scope,
            previous=self._previous,
            stopped=stop.event(),
        )


def get_client(source: Source[Any]) -> OpenRouterClient:
    """
    Return the client of a source's connection.

    A missing connection is an OpenRouterAuthError: a wait outlasts it for a while, as it does a refused key.
    """
    try:
        return OpenRouterHook(source.openrouter_conn_id).get_conn()
    except AirflowNotFoundException as error:
        raise OpenRouterAuthError(f"{sentence(error)} Create the connection, or correct its id.") from None
