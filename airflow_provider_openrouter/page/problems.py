"""What keeps the page from showing something, in the words and with the status that the browser gets."""

from __future__ import annotations

import logging
import re
import traceback
from concurrent.futures import CancelledError
from typing import Literal, TypeAlias

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_openrouter import connection
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRequestError,
)
from airflow_provider_openrouter.text import sentence

log = logging.getLogger(__name__)

State: TypeAlias = Literal[
    "logged_out", "not_allowed", "no_connection", "refused", "unreachable", "bad_request", "failed"
]

_KEY = re.compile(r"sk-or-[\w-]+", re.IGNORECASE)


class Problem(Exception):  # noqa: N818  # it is a response, not a fault of the program
    """
    What the browser gets in place of data.

    :param message: the cause in one sentence, and what to do in the next.
    :param state: its kind, for the page.
    :param status: the HTTP status.
    """

    def __init__(self, message: str, *, state: State, status: int) -> None:
        super().__init__(message)
        self.state = state
        self.status = status

    @property
    def body(self) -> dict[str, str]:
        """The problem as JSON."""
        return {"state": self.state, "message": str(self)}


def too_slow() -> Problem:
    """Return the problem of a reading that was stopped."""
    return Problem("Reading took too long, so it was stopped. Try again later.", state="unreachable", status=504)


def explain(error: BaseException) -> Problem:
    """
    Return an error as the browser gets it. An unexpected one is logged, and not shown.

    :param error: what reading raised.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, CancelledError):
        return too_slow()
    if isinstance(error, AirflowNotFoundException):
        return Problem(
            f"{sentence(error)} Create it, or name another one in the option [openrouter] page_conn_id.",
            state="no_connection",
            status=404,
        )
    if isinstance(error, OpenRouterRequestError) and not _is_of_connection(error):
        return Problem(sentence(error), state="bad_request", status=400)
    if isinstance(error, OpenRouterAuthError | OpenRouterRequestError):
        return Problem(sentence(error), state="refused", status=502)
    if isinstance(error, OpenRouterConnectionError):
        return Problem(sentence(error), state="unreachable", status=504)
    if isinstance(error, OpenRouterError):
        return Problem(sentence(error), state="unreachable", status=502)
    trace = "".join(traceback.format_exception(error))
    log.error("The page of OpenRouter failed.\n%s", _KEY.sub("***", trace))
    return Problem(
        "Something unexpected went wrong. The log of Airflow's API server says what.",
        state="failed",
        status=500,
    )


def _is_of_connection(error: OpenRouterError) -> bool:
    """Return whether the server refused a request, or a setting of the connection makes no sense."""
    return error.status_code is not None or error.about in connection.PLACES
