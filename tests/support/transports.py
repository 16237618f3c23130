"""A transport to a server, and what one request of it brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.servers import TOKEN, Answer, Request, Server, data

from airflow_provider_openrouter.api.transport import BearerAuth, Transport
from airflow_provider_openrouter.exceptions import OpenRouterError

GOOD = data([{"hash": "a"}])


@contextmanager
def transport(
    base_url: str, *, token: str = TOKEN, timeout: float = 10, max_retries: int = 0
) -> Iterator[Transport]:
    auth = BearerAuth(token)
    with Transport(base_url, auth, timeout=timeout, max_retries=max_retries, max_connections=2) as opened:
        yield opened


def get(server: Server | str, **options: Any) -> Any:
    with transport(server if isinstance(server, str) else server.base_url, **options) as opened:
        return opened.get("/keys", {"offset": "0"})


def failure(answer: Answer, **options: Any) -> OpenRouterError:
    with Server(lambda request: answer) as server, pytest.raises(OpenRouterError) as caught:
        get(server, **options)
    return caught.value


def in_turn(*answers: Answer) -> Callable[[Request], Answer]:
    """Give each answer once, and the last one from then on."""
    return lambda request: answers[min(request.number, len(answers) - 1)]
