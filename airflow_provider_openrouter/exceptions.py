"""What can go wrong between Airflow and OpenRouter, sorted by what helps against it."""

from __future__ import annotations

from typing import ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class OpenRouterError(AirflowException):
    """
    Anything that keeps OpenRouter's keys from being read.

    :param message: one sentence that says what happened and what to do.
    :param status_code: the HTTP status that was answered, or None if there was no answer.
    :param transient: whether waiting may heal it; by default what the class says.
    """

    heals_by_waiting: ClassVar[bool] = False
    status_code: int | None  # type: ignore[assignment]  # AirflowException has one of Airflow's own API

    def __init__(self, message: str, *, status_code: int | None = None, transient: bool | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.transient = self.heals_by_waiting if transient is None else transient


class OpenRouterAuthError(OpenRouterError, AirflowFailException):
    """The management key is missing, unusable or refused (401, 403): fails without task retries."""


class OpenRouterRequestError(OpenRouterError, AirflowFailException):
    """The request can never succeed as it is (400, 404, any other 4xx): fails without task retries."""


class OpenRouterRateLimitError(OpenRouterError):
    """
    Too many requests (429), still so after every retry.

    :param retry_after: the seconds that the server asked to wait, or None if it did not say.
    """

    heals_by_waiting = True

    def __init__(self, message: str, *, status_code: int = 429, retry_after: float | None = None) -> None:
        super().__init__(message, status_code=status_code)
        self.retry_after = retry_after


class OpenRouterServerError(OpenRouterError):
    """
    The server or the edge before it failed (5xx), still so after every retry.

    :param retry_after: the seconds that the server asked to wait, or None if it did not say.
    """

    heals_by_waiting = True

    def __init__(self, message: str, *, status_code: int, retry_after: float | None = None) -> None:
        super().__init__(message, status_code=status_code)
        self.retry_after = retry_after


class OpenRouterResponseError(OpenRouterError):
    """An answer that is not what the API promises: another format, a redirect, a record without identity."""


class OpenRouterConnectionError(OpenRouterError):
    """No answer: the server was not reached, was silent for too long, or broke off."""

    heals_by_waiting = True


def without_task_retries(error: OpenRouterError) -> OpenRouterError:
    """
    Answer the same error, as one that no task retry is spent on.

    :param error: what cannot heal by waiting.
    """
    kind = type(error)
    if issubclass(kind, AirflowFailException):
        return error
    final = type(kind.__name__, (kind, AirflowFailException), {"__module__": kind.__module__})
    return final(str(error), status_code=error.status_code)  # type: ignore[no-any-return]
