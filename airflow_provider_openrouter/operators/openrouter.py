"""Operators that read OpenRouter's keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, Asset, BaseOperator, XCom
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_openrouter.arguments import is_literal, read_flag, read_workspace_id
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.snapshots.lineage import Target, file_target, lineage
from airflow_provider_openrouter.snapshots.partition import Slice, check_granularity, read_moment
from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

SUFFIXES = (".parquet", ".csv", ".jsonl")
XCOM_FORMATS = ("frame", "records")


class OpenRouterInventoryOperator(BaseOperator):
    """
    Lists every API key of an OpenRouter account: what the operators that hand the keys on have in common.

    As an inventory it takes disabled and expired keys in. It pushes the XCom ``summary``: counts, spend (USD) in
    all and in the current UTC day, week and month, and the five keys with the least left. Each outlet asset gets
    ``rows``, ``observed_at``, and what else the operator tells, as its ``extra``.

    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param include_disabled: whether to list keys that are disabled. (templated)
    :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter out. If the
        server does not know it (400), the keys are listed without it, and a warning says so. (templated)
    :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all of them.
        (templated)
    :param granularity: ``"day"`` or ``"hour"``: whether what is written replaces that UTC day's rows of this
        source and workspace, or that hour's. (templated)
    :param source: what tells the account from others; by default the connection's id. (templated)
    :param snapshot: the moment, ISO 8601, that says which day or hour is replaced; by default when the keys are
        listed. The API shows only the present, so that another moment dates today's truth back. (templated)
    :raises OpenRouterError: of the kind that tells what helps; what cannot heal fails without task retries.
    :raises AirflowFailException: if an argument makes no sense, before the first request.
    """

    template_fields: Sequence[str] = (
        "openrouter_conn_id",
        "include_disabled",
        "include_expired",
        "workspace_id",
        "granularity",
        "source",
        "snapshot",
    )
    ui_color = "#e4e7fb"

    def __init__(
        self,
        *,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        include_disabled: bool | str = True,
        include_expired: bool | str | None = True,
        workspace_id: str | None = None,
        granularity: str = "day",
        source: str | None = None,
        snapshot: str | None = None,
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
            check_granularity(granularity)
        if is_literal(workspace_id):
            read_workspace_id(workspace_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage what was read and written."""
        return lineage(**self._lineage) if self._lineage else None

    def _slice(self, observed_at: datetime) -> Slice:
        return Slice.of(
            read_moment(self.snapshot) if self.snapshot else observed_at,
            granularity=self.granularity,
            source=self.source or self.openrouter_conn_id,
            workspace_id=read_workspace_id(self.workspace_id),
        )

    def _list_keys(self) -> list[dict[str, Any]]:
        hook = self._hook
        include_disabled = read_flag("include_disabled", self.include_disabled)
        workspace_id = read_workspace_id(self.workspace_id)
        if self.include_expired is None:
            return hook.list_keys(include_disabled=include_disabled, workspace_id=workspace_id)
        include_expired = read_flag("include_expired", self.include_expired)
        try:
            return hook.list_keys(
                include_disabled=include_disabled, include_expired=include_expired, workspace_id=workspace_id
            )
        except OpenRouterRequestError as error:
            if error.status_code != 400:
                raise
            self.log.warning(
                "Listing again without include_expired, so that expired keys may be missing: %s", error
            )
            return hook.list_keys(include_disabled=include_disabled, workspace_id=workspace_id)

    @cached_property
    def _hook(self) -> OpenRouterHook:
        return OpenRouterHook(self.openrouter_conn_id)

    def _tell(
        self,
        context: Context,
        frame: pd.DataFrame,
        observed_at: datetime,
        target: Target | None = None,
        **written: Any,
    ) -> None:
        """Sum the keys up in the log and in XCom, and tell the outlet assets what was written."""
        from airflow_provider_openrouter.snapshots.summary import summarize

        summary = summarize(frame, observed_at=observed_at, workspace=self._scope())
        self._log_summary(summary)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="summary", value=summary)
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {
                    "rows": len(frame),
                    "observed_at": observed_at.isoformat(),
                    **written,
                }
        self._lineage = {
            "base_url": self._hook.get_conn().base_url,
            "target": target,
            "rows": len(frame),
            "size": written.get("bytes"),
        }

    def _scope(self) -> str:
        workspace_id = read_workspace_id(self.workspace_id)
        if workspace_id is None:
            return "default only"
        return "every workspace" if workspace_id == "*" else workspace_id

    def _log_summary(self, summary: dict[str, Any]) -> None:
        self.log.info(
            "%(keys)s keys (workspace: %(workspace)s): %(disabled)s disabled, %(expired)s expired, %(unlimited)s "
            "without limit, %(never_used)s never used; spent $%(usage).2f in all, $%(usage_daily).2f today, "
            "$%(usage_weekly).2f this week, $%(usage_monthly).2f this month (UTC)",
            summary,
        )
        for key in summary["lowest"]:
            limit = "" if key["limit"] is None else f" of ${key['limit']:.2f}"
            name, label = plain(key["name"]), plain(key["label"])
            self.log.info("$%.2f left%s: %s (%s)", key["limit_remaining"], limit, name, label)


class OpenRouterListKeysOperator(OpenRouterInventoryOperator):
    """
    Lists every API key of an OpenRouter account, and hands them on as a frame, as records or as a file.

    It returns the typed frame (see :mod:`airflow_provider_openrouter.snapshots.frame`); with ``xcom_format="records"`` the
    API's own dicts; with ``output_path`` it writes a file and returns its path, and tells outlet assets ``path``
    and ``bytes``, too. All other parameters are those of :class:`OpenRouterInventoryOperator`.

    :param output_path: where to write a file, absolute, with any scheme of ``ObjectStoragePath``; the suffix,
        ``.parquet``, ``.csv`` or ``.jsonl``, says what is written. In it ``{snapshot}`` becomes the UTC day or
        hour, ``{source}`` the source, and ``{workspace_scope}`` the workspace's id, ``default`` or ``all``. A
        file of the same name is replaced, and a reader never sees half of one. (templated)
    :param xcom_format: what to return if no file is written: ``"frame"`` or ``"records"``. (templated)
    :raises OpenRouterError: of the kind that tells what helps; what cannot heal fails without task retries.
    :raises AirflowFailException: if an argument makes no sense, or if this Airflow cannot put a frame of this
        pandas into XCom; both before the first request.
    """

    template_fields: Sequence[str] = (
        *OpenRouterInventoryOperator.template_fields,
        "output_path",
        "xcom_format",
    )

    def __init__(self, *, output_path: str | None = None, xcom_format: str = "frame", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.xcom_format = xcom_format
        if is_literal(output_path):
            _check_output_path(output_path)
        if is_literal(xcom_format):
            _check_xcom_format(xcom_format)

    def execute(self, context: Context) -> pd.DataFrame | list[dict[str, Any]] | str:
        """List the keys, push what they sum up to, and return them or the path of their file."""
        _check_output_path(self.output_path)
        _check_xcom_format(self.xcom_format)
        as_frame = not self.output_path and self.xcom_format == "frame"
        if as_frame and self.do_xcom_push:
            _check_frame_fits_xcom()
        observed_at = datetime.now(UTC)
        part = self._slice(observed_at)
        keys = self._list_keys()

        from airflow_provider_openrouter.snapshots.frame import keys_file_frame, keys_frame

        if not self.output_path:
            frame = keys_frame(keys, observed_at=observed_at)
            self._tell(context, frame, observed_at)
            return frame if as_frame else keys

        from airflow_provider_openrouter.snapshots.files import write_file

        path = part.fill_in(self.output_path)
        frame = keys_file_frame(keys, observed_at=observed_at, part=part)
        size = write_file(frame, path)
        self.log.info("Wrote %s rows, %s bytes, to %s", len(keys), f"{size:,}", path)
        self._tell(context, frame, observed_at, file_target(path), path=path, bytes=size)
        return path


def _check_output_path(path: Any) -> None:
    if path is None or path == "":
        return
    if not isinstance(path, str):
        raise AirflowFailException(f"output_path must be text, not {type(path).__name__}.")
    if PurePosixPath(path).suffix.lower() not in SUFFIXES:
        raise AirflowFailException(f"output_path must end in {', '.join(SUFFIXES)}, not as {path!r} does.")
    if "://" not in path and not path.startswith("/"):
        raise AirflowFailException(
            f"output_path must be absolute, such as file:///data/keys.parquet or s3://conn@bucket/keys.parquet, "
            f"not {path!r}: a worker has no folder of its own."
        )


def _check_xcom_format(xcom_format: Any) -> None:
    if xcom_format not in XCOM_FORMATS:
        raise AirflowFailException(f"xcom_format must be 'frame' or 'records', not {xcom_format!r}.")


def _check_frame_fits_xcom() -> None:
    import pandas as pd

    if not XCom.__module__.startswith("airflow."):
        return  # a backend of the user's own has its own ways
    try:
        BaseXCom.serialize_value(pd.DataFrame())
    except TypeError:
        raise AirflowFailException(
            f"This Airflow cannot put a frame of pandas {pd.__version__} into XCom: set "
            "xcom_format='records', or output_path, or use pandas 2 or Airflow 3.3."
        ) from None
