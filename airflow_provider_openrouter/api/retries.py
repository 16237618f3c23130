"""When a request is tried again, and how long it waits before that."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from threading import Event, Lock
from typing import TypeVar

import tenacity

from airflow_provider_openrouter.exceptions import (
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterResponseError,
)

log = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
"""Seconds before one retry. If the server asks for more, there is none."""
LONGEST_WAIT_IN_ALL = 300.0
"""Seconds of all waits of the requests that belong together."""
BACKOFF = tenacity.wait_exponential_jitter(max=LONGEST_WAIT)
"""How long to wait before a retry, unless the server says it."""
MOST_ODD_RESPONSES = 3
"""How often one request may get a 200 that makes no sense, from the edge or because the base URL is wrong."""

T = TypeVar("T")


class Retries:
    """
    Tries requests that belong together again: they share a budget of waiting, and a pause after a 429.

    :param max_retries: how often one request is tried again after a temporary error.
    :param stopped: once it is set, waits end and nothing is tried any more.
    """

    def __init__(self, max_retries: int, stopped: Event) -> None:
        self.count = 0
        self.waited = 0.0
        self.on_rate_limit: Callable[[], None] = lambda: None
        self._max_retries = max_retries
        self._stopped = stopped
        self._lock = Lock()
        self._waiting_until = 0.0
        self._paused_until = 0.0
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_temporary),
            wait=_wait,
            stop=self._gives_up,
            before_sleep=self._before_sleep,
            sleep=tenacity.sleep_using_event(stopped),
            reraise=True,
        )

    def run(self, attempt: Callable[[], T]) -> T:
        """
        Return what ``attempt`` returns, after as many retries as it takes.

        :raises OpenRouterError: a permanent one at once, a temporary one after the last retry.
        :raises concurrent.futures.CancelledError: if ``stopped`` is set.
        """
        result: T = self._retrying(self._after_the_pause, attempt)
        return result

    def _after_the_pause(self, attempt: Callable[[], T]) -> T:
        if self._stopped.wait(max(0.0, self._paused_until - time.monotonic())):
            raise CancelledError
        return attempt()

    def _gives_up(self, state: tenacity.RetryCallState) -> bool:
        odd_responses = 0
        if isinstance(_error(state), OpenRouterResponseError):
            counts = state.retry_object.statistics  # of this thread and this request
            odd_responses = counts["odd_responses"] = counts.get("odd_responses", 0) + 1
        return (
            state.attempt_number > self._max_retries
            or odd_responses >= MOST_ODD_RESPONSES
            or _asked(state) > LONGEST_WAIT
            or self.waited + self._longer(state.upcoming_sleep) > LONGEST_WAIT_IN_ALL
            or self._stopped.is_set()
        )

    def _longer(self, wait: float) -> float:
        """Return by how much a wait is longer than those under way: waits side by side count once."""
        now = time.monotonic()
        return max(0.0, now + wait - max(now, self._waiting_until))

    def _before_sleep(self, state: tenacity.RetryCallState) -> None:
        error = _error(state)
        wait = state.upcoming_sleep
        now = time.monotonic()
        with self._lock:
            self.count += 1
            self.waited += self._longer(wait)
            self._waiting_until = max(self._waiting_until, now + wait)
            if isinstance(error, OpenRouterRateLimitError):
                if self._paused_until <= now:
                    self.on_rate_limit()
                self._paused_until = max(self._paused_until, now + wait)
        log.info("%s Trying again in %.1f s (attempt %s).", error, wait, state.attempt_number + 1)


def _is_temporary(error: BaseException) -> bool:
    return isinstance(error, OpenRouterError) and error.transient


def _wait(state: tenacity.RetryCallState) -> float:
    return _asked(state) or BACKOFF(state)  # many servers ask for 0 s while they refuse for longer


def _asked(state: tenacity.RetryCallState) -> float:
    """Return the seconds that the server asked to wait, 0 if it did not."""
    return getattr(_error(state), "retry_after", None) or 0.0


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
