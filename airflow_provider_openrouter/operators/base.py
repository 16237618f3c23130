"""The base class of the operators that list keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, BaseOperator

from airflow_provider_openrouter.arguments import is_literal, require_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.links import OpenRouterKeysLink
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.snapshots.lineage import Target, lineage
from airflow_provider_openrouter.snapshots.partition import Partitioning, read_granularity
from airflow_provider_openrouter.snapshots.summary import log_summary
from airflow_provider_openrouter.watch.metrics import record_keys

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage


class BaseOpenRouterKeysOperator(BaseOperator):
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
    operator_extra_links = (OpenRouterKeysLink(),)
    ui_color = "#e4e7fb"

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
        super().__init__(**kwargs)
        self.openrouter_conn_id = openrouter_conn_id
        self.include_disabled = include_disabled
        self.include_expired = include_expired
        self.workspace_id = workspace_id
        self.granularity = granularity
        self.source = source
        self.snapshot = snapshot
        self._lineage: dict[str, Any] | None = None
        if is_literal(granularity):
            read_granularity(granularity)
        if is_literal(workspace_id):
            WorkspaceScope.read(workspace_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what was read and written, for OpenLineage."""
        return lineage(**self._lineage) if self._lineage else None

    def _partitioning(self) -> Partitioning:
        return Partitioning.read(
            granularity=self.granularity, source=self.source or self.openrouter_conn_id, snapshot=self.snapshot
        )

    def _list_keys(self) -> KeyListing:
        listing = self._list()
        record_keys(self.openrouter_conn_id, listing)
        return listing

    def _list(self) -> KeyListing:
        list_keys = partial(
            self._hook.get_conn().get_key_listing,
            include_disabled=require_flag("include_disabled", self.include_disabled),
            workspace_id=WorkspaceScope.read(self.workspace_id),
        )
        if self.include_expired is None:
            return list_keys()
        include_expired = require_flag("include_expired", self.include_expired)
        try:
            return list_keys(include_expired=include_expired)
        except OpenRouterRequestError as error:
            if error.about != "include_expired":
                raise
            self.log.warning("Expired keys may be missing: listing again without include_expired. %s", error)
            return list_keys()

    @cached_property
    def _hook(self) -> OpenRouterHook:
        return OpenRouterHook(self.openrouter_conn_id)

    def _report(
        self, context: Context, summary: dict[str, Any], report: str, target: Target | None = None, **written: Any
    ) -> None:
        """Report what was listed and written to the log, XCom, the outlet assets and OpenLineage."""
        log_summary(summary, self.log)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="summary", value=fit(summary))
            context["ti"].xcom_push(key="report", value=report)
        rows = summary["keys"]
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = fit(
                    {"rows": rows, "observed_at": summary["observed_at"], **written}
                )
        self._lineage = {
            "base_url": self._hook.get_conn().base_url,
            "target": target,
            "rows": rows,
            "size": written.get("bytes"),
        }
