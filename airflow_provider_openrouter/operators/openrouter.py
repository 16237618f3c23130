"""Operators for OpenRouter's keys and activity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key, KeyListing
from airflow_provider_openrouter.operators.activity import OpenRouterListActivityOperator
from airflow_provider_openrouter.operators.keys import BaseOpenRouterKeysOperator
from airflow_provider_openrouter.operators.raise_limit import OpenRouterRaiseLimitOperator
from airflow_provider_openrouter.operators.returning import ReturningOperator
from airflow_provider_openrouter.operators.update_key import OpenRouterUpdateKeyOperator

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "OpenRouterListActivityOperator",
    "OpenRouterListKeysOperator",
    "OpenRouterRaiseLimitOperator",
    "OpenRouterUpdateKeyOperator",
]


class OpenRouterListKeysOperator(ReturningOperator, BaseOpenRouterKeysOperator):
    """
    Lists every API key of an OpenRouter account, and returns them as a frame or as records, or writes a file.

    It returns the typed frame (see :mod:`airflow_provider_openrouter.snapshots.frame`); with
    ``xcom_format="records"`` the API's own dicts; with ``output_path`` it writes a file and returns its path.

    It pushes two XComs: ``summary``, which has counts, spend (USD) in all and in the current UTC day, week and
    month, and the five active keys with the least left; and ``report``, a table in Markdown of the hundred active
    keys with the least left. Each outlet asset gets ``rows``, ``observed_at``, and of a file ``path`` and
    ``bytes``, as its ``extra``.

    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param include_disabled: whether to list keys that are disabled. (templated)
    :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter out. If the
        server does not know it (400), the keys are listed without it, and a warning says so. (templated)
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them. (templated)
    :param output_path: where to write a file, absolute, with any scheme of ``ObjectStoragePath``; the suffix,
        ``.parquet``, ``.csv`` or ``.jsonl``, says what is written. In it ``{snapshot}`` becomes the UTC day or
        hour, ``{granularity}`` ``day`` or ``hour``, ``{source}`` the source, and ``{workspace_scope}`` what was
        given as ``workspace_id``, ``default`` or ``all``. Any other placeholder, such as ``{date}`` or ``%Y``, is
        refused. A file of the same name is replaced, and a reader never sees half of one. (templated)
    :param xcom_format: what to return if no file is written: ``"frame"`` or ``"records"``. (templated)
    :param granularity: of a file, ``"day"`` or ``"hour"``: whether it is that UTC day's or that hour's partition.
        (templated)
    :param source: of a file, what distinguishes the account from others; by default the connection's id.
        (templated)
    :param snapshot: of a file, the moment, ISO 8601, that says which day or hour it is of; by default when the
        keys are listed. The API shows only the present, so that another moment files today's keys under that day.
        (templated)
    :raises OpenRouterError: if the keys cannot be listed; ``transient`` says whether trying again may help.
    :raises OpenRouterRequestError: if an argument makes no sense; before the first request.
    :raises AirflowFailException: if this Airflow cannot put a frame of this pandas into XCom, or if the store's
        package is not installed; both before the first request.
    """

    template_fields: Sequence[str] = (
        *BaseOpenRouterKeysOperator.template_fields,
        "output_path",
        "xcom_format",
    )
    file_arguments = {"granularity": "day", "source": None, "snapshot": None}  # noqa: RUF012  # of the base class

    def __init__(
        self,
        *,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        include_disabled: bool | str = True,
        include_expired: bool | str | None = True,
        workspace_id: str | None = None,
        output_path: str | None = None,
        xcom_format: str = "frame",
        granularity: str = "day",
        source: str | None = None,
        snapshot: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            openrouter_conn_id=openrouter_conn_id,
            include_disabled=include_disabled,
            include_expired=include_expired,
            workspace_id=workspace_id,
            output_path=output_path,
            xcom_format=xcom_format,
            granularity=granularity,
            source=source,
            snapshot=snapshot,
            **kwargs,
        )

    def _frame(self, read: KeyListing) -> pd.DataFrame:
        from airflow_provider_openrouter.snapshots.frame import keys_frame

        return keys_frame(read)

    def _records(self, read: KeyListing) -> list[Key]:
        return list(read.keys)
