"""What the client is made of: its settings, what they allow, and how it connects with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from types import MappingProxyType

from airflow_provider_openrouter.api.base_url import check_base_url
from airflow_provider_openrouter.api.records import RecordReader
from airflow_provider_openrouter.api.transport import BearerAuth, Transport
from airflow_provider_openrouter.api.window import Window
from airflow_provider_openrouter.connection import (
    ALLOW_HTTP,
    ALLOW_UPDATES,
    DEFAULT_BASE_URL,
    MAX_CONCURRENCY,
    MAX_RETRIES,
    TIMEOUT,
)
from airflow_provider_openrouter.exceptions import OpenRouterError, OpenRouterRequestError


class BaseClient:
    """Base class of ``OpenRouterClient``, which documents its parameters."""

    def __init__(
        self,
        management_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float = TIMEOUT.default,
        max_retries: int = MAX_RETRIES.default,
        max_concurrency: int = MAX_CONCURRENCY.default,
        allow_http: bool = ALLOW_HTTP.default,
        allow_updates: bool = ALLOW_UPDATES.default,
        advice: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        given = {
            TIMEOUT: timeout,
            MAX_RETRIES: max_retries,
            MAX_CONCURRENCY: max_concurrency,
            ALLOW_HTTP: allow_http,
            ALLOW_UPDATES: allow_updates,
        }
        for extra, value in given.items():
            if not extra.allows(value):
                raise OpenRouterRequestError(
                    f"{extra.name} must be {extra.rule}, not {value!r}.", about=extra.name
                )
        check_base_url(base_url, allow_http=allow_http)
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_concurrency = max_concurrency
        self.allow_updates = allow_updates
        self._auth = BearerAuth(management_key)
        self._advice = advice

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def require_updates(self) -> None:
        """
        Check that keys may be changed.

        :raises OpenRouterRequestError: if ``allow_updates`` is not set.
        """
        if not self.allow_updates:
            error = OpenRouterRequestError(
                "Keys may not be changed: allow_updates is not set.", about=ALLOW_UPDATES.name
            )
            error.advise(self._advice)
            raise error

    @contextmanager
    def _transport(self, stopped: Event | None = None) -> Iterator[Transport]:
        """Open the connections that requests share, and add the advice to what they raise."""
        try:
            with Transport(
                self.base_url,
                self._auth,
                timeout=self.timeout,
                max_retries=self.max_retries,
                max_connections=self.max_concurrency,
                stopped=stopped,
            ) as transport:
                yield transport
        except OpenRouterError as error:
            error.advise(self._advice)
            raise

    @contextmanager
    def _records(self, stopped: Event | None = None) -> Iterator[RecordReader]:
        with Window(self.max_concurrency) as window, self._transport(stopped) as transport:
            transport.retries.on_rate_limit = window.close_by_half
            yield RecordReader(transport, window)
