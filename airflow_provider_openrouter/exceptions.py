"""The errors between Airflow and OpenRouter, sorted by what helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class OpenRouterError(AirflowException):
    """
    Anything that keeps OpenRouter's keys from being read.

    :param message: the cause in one sentence, and the remedy in the next.
    :param status_code: the HTTP status of the response, or None if there was no response.
    :param transient: whether trying again later may help; None for the default of the class.
    :param about: the argument of :class:`~airflow_provider_openrouter.api.OpenRouterClient` that the remedy
        is about, such as ``"base_url"``, or None. The hook adds where Airflow keeps it.
    """

    transient_by_default: ClassVar[bool] = False
    status_code: int | None  # type: ignore[assignment]  # AirflowException has one of Airflow's own API

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        transient: bool | None = None,
        about: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.transient = self.transient_by_default if transient is None else transient
        self.about = about

    def advise(self, advice: Mapping[str, str]) -> None:
        """
        Append the advice for the argument that the error is about, if there is any.

        :param advice: a sentence for each argument of the client.
        """
        if self.about is not None and self.about in advice:
            self.args = (f"{self} {advice[self.about]}",)


class OpenRouterAuthError(OpenRouterError):
    """
    The management key is missing, unusable or refused (401, 403).

    The request is not repeated, but task retries apply: in an outage, OpenRouter has refused good keys.
    """


class OpenRouterRequestError(OpenRouterError, AirflowFailException):
    """The request can never succeed unchanged (400, 404, any other 4xx): fails without task retries."""


class OpenRouterRateLimitError(OpenRouterError):
    """
    Too many requests (429), even after every retry, or the server asks for a longer wait than retries may take.

    :param retry_after: the seconds that the server asked to wait, a year at most, or None if it did not say.
    """

    transient_by_default = True

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 429,
        retry_after: float | None = None,
        about: str | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, about=about)
        self.retry_after = retry_after


class OpenRouterServerError(OpenRouterError):
    """
    The server or the edge in front of it failed, even after every retry.

    Its status is 5xx, 408 or 425, or any other with a page of HTML in place of the API's JSON.

    :param retry_after: the seconds that the server asked to wait, a year at most, or None if it did not say.
    """

    transient_by_default = True

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        retry_after: float | None = None,
        about: str | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, about=about)
        self.retry_after = retry_after


class OpenRouterResponseError(OpenRouterError):
    """
    A response that is not what the API promises: another format, a redirect, a record without identity.

    It is temporary if it is a 200 that is not JSON, or that has an error without a status, or if workspaces are
    deleted faster than they can be listed.
    """


class OpenRouterConnectionError(OpenRouterError):
    """No response: the server was not reached, was silent for too long, or broke off."""

    transient_by_default = True


class OpenRouterFinalResponseError(OpenRouterResponseError, AirflowFailException):
    """An :class:`OpenRouterResponseError` that ended a wait: fails without task retries."""


class OpenRouterFinalConnectionError(OpenRouterConnectionError, AirflowFailException):
    """An :class:`OpenRouterConnectionError` that ended a wait: fails without task retries."""

    transient_by_default = False


_FINAL: dict[type[OpenRouterError], type[OpenRouterError]] = {
    OpenRouterResponseError: OpenRouterFinalResponseError,
    OpenRouterConnectionError: OpenRouterFinalConnectionError,
}


def without_task_retries(error: OpenRouterError) -> OpenRouterError:
    """
    Return the same error, as one that fails without task retries.

    :param error: a permanent error.
    """
    final = _FINAL.get(type(error))
    if final is None:
        return error
    return final(str(error), status_code=error.status_code)
