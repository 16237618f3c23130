"""What the operators that read an account and report have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import Asset, BaseOperator

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import KeyListing
from airflow_provider_openrouter.links import OpenRouterKeysLink
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.snapshots.kinds import Kind
from airflow_provider_openrouter.snapshots.lineage import Target, lineage
from airflow_provider_openrouter.snapshots.partition import BasePartition

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage


class BaseOpenRouterOperator(BaseOperator):
    """Base class of the operators that read an account and report a summary of it."""

    template_fields: Sequence[str] = ("openrouter_conn_id", "source")
    operator_extra_links = (OpenRouterKeysLink(),)
    ui_color = "#e4e7fb"
    kind: ClassVar[Kind]
    """What is read."""

    def __init__(self, *, openrouter_conn_id: str, source: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.openrouter_conn_id = openrouter_conn_id
        self.source = source
        self._lineage: dict[str, Any] | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what was read and written, for OpenLineage."""
        return lineage(**self._lineage) if self._lineage else None

    def _partitioning(self) -> Callable[[Any], BasePartition]:
        """Return what tells the partition of what will be read; refuse arguments that make no sense."""
        raise NotImplementedError

    def _read(self) -> Any:
        """Return what is to be reported or stored."""
        raise NotImplementedError

    def _xcoms(self, read: Any) -> dict[str, Any]:
        """Return what is pushed to XCom: the ``summary``, and what else is for people."""
        raise NotImplementedError

    def _log_summary(self, summary: dict[str, Any]) -> None:
        raise NotImplementedError

    def _file_frame(self, read: Any, partition: Any) -> pd.DataFrame:
        """Return what was read as the rows of a file or a table."""
        raise NotImplementedError

    @cached_property
    def _hook(self) -> OpenRouterHook:
        return OpenRouterHook(self.openrouter_conn_id)

    def _list_keys(self, *, include_expired: bool | None, **arguments: Any) -> KeyListing:
        """List the keys; if the server does not know ``include_expired``, list them again without it."""
        list_keys = partial(self._hook.get_conn().get_key_listing, **arguments)
        try:
            return list_keys(include_expired=include_expired)
        except OpenRouterRequestError as error:
            if error.about != "include_expired":
                raise
            self.log.warning("Expired keys may be missing: listing again without include_expired. %s", error)
            return list_keys()

    def _report(
        self, context: Context, xcoms: dict[str, Any], rows: int, target: Target | None = None, **written: Any
    ) -> None:
        """Report what was read and written to the log, XCom, the outlet assets and OpenLineage."""
        self._log_summary(xcoms["summary"])
        if self.do_xcom_push:
            for key, value in xcoms.items():
                context["ti"].xcom_push(key=key, value=fit(value))
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = fit(
                    {"rows": rows, "observed_at": xcoms["summary"]["observed_at"], **written}
                )
        self._lineage = {
            "kind": self.kind,
            "base_url": self._hook.get_conn().base_url,
            "target": target,
            "rows": rows,
            "size": written.get("bytes"),
        }
