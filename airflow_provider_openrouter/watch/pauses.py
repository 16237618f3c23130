"""
When to poll next, and how long refusals are outlasted.

Pure: moments are seconds on the monotonic clock, and are given. A *refusal* is an error that may pass although it
is not temporary: a refused key (in February 2026 OpenRouter refused good keys for 38 minutes, twice), or a
connection that cannot be read, as while a secret is replaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError

LONGEST_PAUSE = 600.0
"""Seconds up to which the pauses after failures grow."""

PATIENCE = 3600.0
"""Seconds of refusals that a wait outlasts, once it has listed."""


def is_temporary(error: Exception) -> bool:
    """Return whether an error is temporary: a wait goes on."""
    return isinstance(error, OpenRouterError) and error.transient


def is_refusal(error: Exception) -> bool:
    """Return whether an error is a refusal: a refused key, or an error that is not ours, of the connection."""
    return isinstance(error, OpenRouterAuthError) or not isinstance(error, OpenRouterError)


def ends_a_wait(error: Exception) -> bool:
    """Return whether an error is permanent: it ends a wait at once."""
    return not (is_temporary(error) or is_refusal(error))


@dataclass(kw_only=True)
class Pauses:
    """
    The pauses between polls, by what the last ones came to.

    :param began: when the last poll began.
    :param ended: when it ended, also if it was given up.
    :param not_before: before which moment the server wants no poll.
    """

    began: float = -math.inf
    ended: float = -math.inf
    not_before: float = -math.inf
    _failing_since: float | None = None
    _refused_since: float | None = None

    def succeeded(self) -> None:
        """Note that the last poll succeeded, or that what the earlier ones came to has no meaning any more."""
        self.not_before = -math.inf
        self._failing_since = self._refused_since = None

    def failed(self, error: Exception, now: float) -> None:
        """Note that the last poll failed."""
        self.not_before = now + (getattr(error, "retry_after", None) or 0.0)
        if self._failing_since is None:
            self._failing_since = self.began
        if self._refused_since is None and is_refusal(error):
            self._refused_since = self.began

    @property
    def are_refused(self) -> bool:
        """Whether there was a refusal since the last poll that succeeded."""
        return self._refused_since is not None

    def are_forgotten(self, now: float) -> bool:
        """Return whether the last poll was so long ago that it has no meaning for the next one."""
        return now - max(self.began, self.not_before) > LONGEST_PAUSE

    def pause(self, interval: float, *, backs_off: bool) -> float:
        """
        Return the seconds from the beginning of a poll to that of the next: usually the interval.

        After failures it is longer by the time since the first of them in a row, up to ``LONGEST_PAUSE``: it
        doubles with each, and pollers with a shorter interval do not lengthen it. A poller that backs off does so
        after any failure, and keeps an interval that is longer. Any other does so after refusals only, and
        shortens a longer interval, so that a revoked key ends the wait in time.
        """
        since = self._failing_since if backs_off else self._refused_since
        if since is None:
            return interval
        grown = min(interval + self.began - since, LONGEST_PAUSE)
        return max(interval, grown) if backs_off else grown


class Patience:
    """
    How long a wait outlasts refusals: ``PATIENCE`` seconds since the first in a row, or not at all.

    :param has_listed: whether the wait has listed before with this connection: else the key may be wrong.
    """

    def __init__(self, *, has_listed: bool) -> None:
        self.has_listed = has_listed
        self._refused_since: float | None = None

    def listed(self) -> None:
        """Note a poll that succeeded."""
        self.has_listed = True
        self._refused_since = None

    def left(self, now: float) -> float:
        """Return for how many more seconds refusals are outlasted, of which one came at ``now``."""
        if not self.has_listed:
            return 0.0
        if self._refused_since is None:
            self._refused_since = now
        return max(0.0, self._refused_since + PATIENCE - now)
