"""The base class of the operators that list keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.arguments import is_literal, require_flag
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.operators.base import BaseOpenRouterOperator
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.snapshots.kinds import KEYS
from airflow_provider_openrouter.snapshots.partition import BasePartition, Partitioning, read_granularity
from airflow_provider_openrouter.snapshots.summary import log_summary, report_lowest, summarize
from airflow_provider_openrouter.watch.metrics import record_keys

if TYPE_CHECKING:
    import pandas as pd


class BaseOpenRouterKeysOperator(BaseOpenRouterOperator):
    """Base class of the operators that list the keys of an account and report their summary."""

    template_fields: Sequence[str] = (
        "openrouter_conn_id",
        "include_disabled",
        "include_expired",
        "workspace_id",
        "granularity",
        "source",
        "snapshot",
    )
    kind = KEYS

    def __init__(
        self,
        *,
        openrouter_conn_id: str,
        include_disabled: bool | str,
        include_expired: bool | str | None,
        workspace_id: str | None,
        granularity: str,
        source: str | None,
        snapshot: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(openrouter_conn_id=openrouter_conn_id, source=source, **kwargs)
        self.include_disabled = include_disabled
        self.include_expired = include_expired
        self.workspace_id = workspace_id
        self.granularity = granularity
        self.snapshot = snapshot
        if is_literal(granularity):
            read_granularity(granularity)
        if is_literal(workspace_id):
            WorkspaceScope.read(workspace_id)

    def _partitioning(self) -> Callable[[KeyListing], BasePartition]:
        return Partitioning.read(
            granularity=self.granularity, source=self.source or self.openrouter_conn_id, snapshot=self.snapshot
        ).partition

    def _read(self) -> KeyListing:
        expired = self.include_expired
        listing = self._list_keys(
            include_disabled=require_flag("include_disabled", self.include_disabled),
            include_expired=None if expired is None else require_flag("include_expired", expired),
            workspace_id=WorkspaceScope.read(self.workspace_id),
        )
        record_keys(self.openrouter_conn_id, listing)
        return listing

    def _xcoms(self, read: KeyListing) -> dict[str, Any]:
        return {"summary": summarize(read), "report": report_lowest(read)}

    def _log_summary(self, summary: dict[str, Any]) -> None:
        log_summary(summary, self.log)

    def _file_frame(self, read: KeyListing, partition: Any) -> pd.DataFrame:
        from airflow_provider_openrouter.snapshots.frame import keys_file_frame

        return keys_file_frame(read, partition)
