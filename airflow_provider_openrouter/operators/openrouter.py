"""Operators that read OpenRouter's keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, Asset, BaseOperator, XCom
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_openrouter.arguments import is_literal, read_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Context

SUFFIXES = (".parquet", ".csv", ".jsonl")
XCOM_FORMATS = ("frame", "records")


class OpenRouterListKeysOperator(BaseOperator):
    """
    Lists every API key of an OpenRouter account, and hands them on as a frame, as records or as a file.

    As an inventory it takes disabled and expired keys in. It returns the typed frame (see
    :mod:`airflow_provider_openrouter.frame`); with ``xcom_format="records"`` the API's own dicts; with
    ``output_path`` it writes a file and returns its path. It also pushes the XCom ``summary``: counts, spend
    (USD) in all and in the current UTC day, week and month, and the five keys with the least left. Each outlet
    asset gets ``rows``, ``observed_at`` and, of a file, ``path`` and ``bytes`` as its ``extra``.

    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param include_disabled: whether to list keys that are disabled. (templated)
    :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter out. If the
        server does not know it (400), the keys are listed without it, and a warning says so. (templated)
    :param workspace_id: None for the account's default workspace, an id for that one, ``"*"`` for all of them.
        (templated)
    :param output_path: where to write a file, absolute, with any scheme of ``ObjectStoragePath``; the suffix,
        ``.parquet``, ``.csv`` or ``.jsonl``, says what is written. A file of the same name is replaced, and a
        reader never sees half of one. (templated)
    :param xcom_format: what to return if no file is written: ``"frame"`` or ``"records"``. (templated)
    :raises OpenRouterError: of the kind that tells what helps; what cannot heal fails without task retries.
    :raises AirflowFailException: if an argument makes no sense, or if this Airflow cannot put a frame of this
        pandas into XCom; both before the first request.
    """

    template_fields: Sequence[str] = (
        "openrouter_conn_id",
        "include_disabled",
        "include_expired",
        "workspace_id",
        "output_path",
        "xcom_format",
    )
    ui_color = "#e4e7fb"

    def __init__(
        self,
        *,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        include_disabled: bool | str = True,
        include_expired: bool | str | None = True,
        workspace_id: str | None = None,
        output_path: str | None = None,
        xcom_format: str = "frame",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.openrouter_conn_id = openrouter_conn_id
        self.include_disabled = include_disabled
        self.include_expired = include_expired
        self.workspace_id = workspace_id
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
        keys = self._list_keys()

        from airflow_provider_openrouter.frame import keys_file_frame, keys_frame
        from airflow_provider_openrouter.summary import summarize

        event: dict[str, Any] = {"rows": len(keys), "observed_at": observed_at.isoformat()}
        if self.output_path:
            from airflow_provider_openrouter.files import write_file

            frame = keys_file_frame(keys, observed_at=observed_at)
            event |= {"path": self.output_path, "bytes": write_file(frame, self.output_path)}
            self.log.info("Wrote %s rows, %s bytes, to %s", len(keys), f"{event['bytes']:,}", self.output_path)
        else:
            frame = keys_frame(keys, observed_at=observed_at)

        summary = summarize(frame, observed_at=observed_at, workspace=self._scope())
        self._log_summary(summary)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="summary", value=summary)
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = event
        return self.output_path or (frame if as_frame else keys)

    def _list_keys(self) -> list[dict[str, Any]]:
        hook = OpenRouterHook(self.openrouter_conn_id)
        include_disabled = read_flag("include_disabled", self.include_disabled)
        workspace_id = self.workspace_id or None
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
            self.log.warning("Listing again without include_expired, so that expired keys may lack: %s", error)
            return hook.list_keys(include_disabled=include_disabled, workspace_id=workspace_id)

    def _scope(self) -> str:
        if not self.workspace_id:
            return "default only"
        return "every workspace" if self.workspace_id == "*" else self.workspace_id

    def _log_summary(self, summary: dict[str, Any]) -> None:
        self.log.info(
            "%(keys)s keys (workspace: %(workspace)s): %(disabled)s disabled, %(expired)s expired, %(unlimited)s "
            "without limit, %(never_used)s never used; spent $%(usage).2f in all, $%(usage_daily).2f today, "
            "$%(usage_weekly).2f this week, $%(usage_monthly).2f this month (UTC)",
            summary,
        )
        for key in summary["lowest"]:
            limit = "" if key["limit"] is None else f" of ${key['limit']:.2f}"
            self.log.info("$%.2f left%s: %s (%s)", key["limit_remaining"], limit, key["name"], key["label"])


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
