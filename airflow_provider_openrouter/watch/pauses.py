"""When those who share polls poll next. Pure: moments are seconds on the monotonic clock, and are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterError

LONGEST_PAUSE = 600.0
"""Seconds up to which the pauses after failures grow; a longer interval is kept."""


@dataclass(kw_only=True)
class Pauses:
    """
    The pauses between polls, by what the last ones came to.

    :param began: when the last poll began.
    :param ended: when it ended, also if it was given up.
    """

    began: float = -math.inf
    ended: float = -math.inf
    _failing_since: float | None = None

    def succeeded(self) -> None:
        """Note that the last poll succeeded, or that what the earlier ones came to has no meaning any more."""
        self._failing_since = None

    def failed(self) -> None:
        """Note that the last poll failed."""
        if self._failing_since is None:
            self._failing_since = self.began

    def are_forgotten(self, now: float) -> bool:
        """Return whether the last poll was so long ago that it has no meaning for the next one."""
        return now - self.began > LONGEST_PAUSE

    def pause(self, interval: float, *, backs_off: bool) -> float:
        """
        Return the interval, for who backs off longer by the time since the first failure in a row.

        So the pause doubles with each failure, up to ``LONGEST_PAUSE``, and those who poll more often do not
        lengthen it.
        """
        if self._failing_since is None or not backs_off:
            return interval
        return max(interval, min(interval + self.began - self._failing_since, LONGEST_PAUSE))


def ends_a_wait(error: Exception) -> bool:
    """
    Return whether an error ends a wait at once.

    A refused key, or a connection that cannot be read (an error that is not ours), may be about to be replaced.
    """
    return isinstance(error, OpenRouterError) and not (error.transient or isinstance(error, OpenRouterAuthError))
