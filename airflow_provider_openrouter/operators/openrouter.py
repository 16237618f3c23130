"""Operators for OpenRouter's keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, XCom
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_openrouter.arguments import is_literal
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.operators.base import BaseOpenRouterKeysOperator
from airflow_provider_openrouter.operators.raise_limit import OpenRouterRaiseLimitOperator
from airflow_provider_openrouter.operators.update_key import OpenRouterUpdateKeyOperator
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.snapshots.lineage import file_target
from airflow_provider_openrouter.snapshots.paths import check_output_path
from airflow_provider_openrouter.snapshots.summary import report_lowest, summarize
from airflow_provider_openrouter.text import count, plain

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Context

__all__ = ["OpenRouterListKeysOperator", "OpenRouterRaiseLimitOperator", "OpenRouterUpdateKeyOperator"]

XCOM_FORMATS = ("frame", "records")
FILE_ARGUMENTS = {"granularity": "day", "source": None, "snapshot": None}
"""The arguments that matter to files only, and their defaults."""


class OpenRouterListKeysOperator(BaseOpenRouterKeysOperator):
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
            granularity=granularity,
            source=source,
            snapshot=snapshot,
            **kwargs,
        )
        self.output_path = output_path
        self.xcom_format = xcom_format
        if is_literal(output_path):
            self._check_file_arguments(only_literals=True)
        if is_literal(xcom_format):
            _check_xcom_format(xcom_format)

    def execute(self, context: Context) -> pd.DataFrame | list[Key] | str:
        """List the keys, push their summary, and return them or the path of their file."""
        self._check_file_arguments()
        _check_xcom_format(self.xcom_format)
        if self.output_path:
            return self._write_file(context, self.output_path)
        if self.xcom_format == "records":
            listing = self._list_keys()
            self._report(context, summarize(listing), report_lowest(listing))
            return list(map(fit, listing.keys))

        from airflow_provider_openrouter.snapshots.frame import keys_frame

        if self.do_xcom_push:
            _check_frame_fits_xcom()
        listing = self._list_keys()
        frame = keys_frame(listing)
        self._report(context, summarize(listing), report_lowest(listing))
        return frame

    def _write_file(self, context: Context, output_path: str) -> str:
        from airflow_provider_openrouter.snapshots.files import check_store, write_file
        from airflow_provider_openrouter.snapshots.frame import keys_file_frame

        partitioning = self._partitioning()
        check_store(output_path)
        listing = self._list_keys()
        partition = partitioning.partition(listing)
        summary, report = summarize(listing), report_lowest(listing)
        frame = keys_file_frame(listing, partition)
        del listing  # so that a large listing is not in memory twice
        path = partition.fill_in(output_path)
        size = write_file(frame, path)
        self.log.info(
            "Wrote %s, %s, to %s", count(len(frame), "row"), count(size, "byte"), plain(path, longest=1_000)
        )
        self._report(context, summary, report, file_target(path), path=path, bytes=size)
        return fit(path)

    def _check_file_arguments(self, *, only_literals: bool = False) -> None:
        if self.output_path:
            check_output_path(self.output_path)
            return
        for name, default in FILE_ARGUMENTS.items():
            value = getattr(self, name)
            if only_literals and not is_literal(value):
                continue
            if (value or default) != default:
                raise OpenRouterRequestError(
                    f"{name} has no effect without output_path. Set output_path, or leave {name} out."
                )


def _check_xcom_format(xcom_format: Any) -> None:
    if xcom_format not in XCOM_FORMATS:
        raise OpenRouterRequestError(f"xcom_format must be 'frame' or 'records', not {xcom_format!r}.")


def _check_frame_fits_xcom() -> None:
    import pandas as pd

    if not XCom.__module__.startswith("airflow."):
        return  # a custom XCom backend may store frames in its own way
    try:
        BaseXCom.serialize_value(pd.DataFrame())
    except TypeError:
        raise AirflowFailException(
            f"This Airflow cannot put a frame of pandas {pd.__version__} into XCom. Set xcom_format='records' or "
            "output_path, or use pandas 2 or Airflow 3.3."
        ) from None
