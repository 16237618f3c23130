"""The operator that lists activity, and the base class of those that do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.activity import (
    Activity,
    read_day,
    read_grouping,
    remembered_day,
    remembered_days,
)
from airflow_provider_openrouter.arguments import is_literal
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.operators.base import BaseOpenRouterOperator
from airflow_provider_openrouter.operators.returning import ReturningOperator
from airflow_provider_openrouter.scope import ALL_WORKSPACES
from airflow_provider_openrouter.snapshots.activity_summary import log_activity, summarize_activity
from airflow_provider_openrouter.snapshots.kinds import ACTIVITY
from airflow_provider_openrouter.snapshots.partition import ActivityPartition, read_source

if TYPE_CHECKING:
    import datetime

    import pandas as pd


class BaseOpenRouterActivityOperator(BaseOpenRouterOperator):
    """Base class of the operators that list what an account spent on a day and report its summary."""

    template_fields: Sequence[str] = ("openrouter_conn_id", "date", "by", "source")
    kind = ACTIVITY

    def __init__(
        self,
        *,
        openrouter_conn_id: str,
        date: str | datetime.date | None,
        by: str,
        source: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(openrouter_conn_id=openrouter_conn_id, source=source, **kwargs)
        self.date = date
        self.by = by
        if date and is_literal(date):
            read_day(date)
        if is_literal(by):
            read_grouping(by)

    def _partitioning(self) -> Callable[[Activity], ActivityPartition]:
        _, _, source = self._arguments()
        return lambda read: ActivityPartition(read.day, source, read.grouped_by)

    def _arguments(self) -> tuple[datetime.date, str, str]:
        """Return the day, what its rows are grouped by, and their source."""
        day = remembered_day(self.date) if self.date else remembered_days()[1]
        return day, read_grouping(self.by), read_source(self.source or self.openrouter_conn_id)

    def _read(self) -> Activity:
        day, by, _ = self._arguments()
        client = self._hook.get_conn()
        if by != "key":
            return client.get_activity(day, by_workspace=by == "workspace")
        listing = self._list_keys(include_disabled=True, include_expired=True, workspace_id=ALL_WORKSPACES)
        return client.get_activity_by_key(day, listing)

    def _xcoms(self, read: Activity) -> dict[str, Any]:
        return {"summary": summarize_activity(read)}

    def _log_summary(self, summary: dict[str, Any]) -> None:
        log_activity(summary, self.log)

    def _file_frame(self, read: Activity, partition: Any) -> pd.DataFrame:
        from airflow_provider_openrouter.snapshots.frame import activity_frame

        return activity_frame(read, partition)


class OpenRouterListActivityOperator(ReturningOperator, BaseOpenRouterActivityOperator):
    """
    Lists what an account spent on one day by model and endpoint, and returns it or writes it into a file.

    It returns a typed frame with the columns of a file (see :mod:`airflow_provider_openrouter.snapshots.frame`).
    With ``xcom_format="records"`` it returns the API's own dicts, by key with their ``key_hash`` and
    ``key_name``. With ``output_path`` it writes a file and returns its path. It covers the whole account, all its
    workspaces.

    It pushes the XCom ``summary``: the day, its cost (USD), the five most expensive models and keys, and the
    spend that no key accounts for. Each outlet asset gets ``rows`` and ``observed_at``, and for a file ``path``
    and ``bytes``, as its ``extra``.

    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param date: the UTC day, such as ``2026-11-03``, one of the last 30 completed ones; None for yesterday. A
        daily DAG passes ``{{ macros.ds_add(dag_run.run_after | ds, -1) }}``, so that it can be backfilled.
        (templated)
    :param by: what the rows are grouped by, besides model and endpoint. ``"workspace"``: by workspace. ``"key"``:
        by key and workspace, with one request for each key that may have been used on the day; spend that no key
        accounts for (deleted keys, and the chat) is kept in rows without a key. ``"account"``: neither.
        (templated)
    :param output_path: where to write a file, absolute, with any scheme of ``ObjectStoragePath``; the suffix,
        ``.parquet``, ``.csv`` or ``.jsonl``, says what is written. In it ``{date}`` becomes the day, ``{source}``
        the source, and ``{grouped_by}`` what was given as ``by``. A file of the same name is replaced, and a
        reader never sees half of one. (templated)
    :param xcom_format: what to return if no file is written: ``"frame"`` or ``"records"``. (templated)
    :param source: a name for the account, which distinguishes it from others; by default the connection's id.
        (templated)
    :raises OpenRouterError: if the activity cannot be listed; ``transient`` says whether trying again may help.
    :raises OpenRouterRequestError: if an argument makes no sense; before the first request.
    :raises AirflowFailException: if this Airflow cannot put a frame of this pandas into XCom, or if the store's
        package is not installed; both before the first request.
    """

    template_fields: Sequence[str] = (
        *BaseOpenRouterActivityOperator.template_fields,
        "output_path",
        "xcom_format",
    )

    def __init__(
        self,
        *,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        date: str | datetime.date | None = None,
        by: str = "workspace",
        output_path: str | None = None,
        xcom_format: str = "frame",
        source: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            openrouter_conn_id=openrouter_conn_id,
            date=date,
            by=by,
            output_path=output_path,
            xcom_format=xcom_format,
            source=source,
            **kwargs,
        )

    def _frame(self, read: Activity) -> pd.DataFrame:
        return self._file_frame(read, self._partitioning()(read))

    def _records(self, read: Activity) -> list[dict[str, Any]]:
        if read.grouped_by != "key":
            return [row for _, row in read]
        return [row | {"key_hash": hash_, "key_name": hash_ and read.key_names.get(hash_)} for hash_, row in read]
