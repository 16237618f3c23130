"""What the operators have in common that return what they read, or write it into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, XCom
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_openrouter.arguments import is_literal
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.operators.base import BaseOpenRouterOperator
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.snapshots.lineage import file_target
from airflow_provider_openrouter.snapshots.paths import check_output_path
from airflow_provider_openrouter.text import count, plain

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Context

XCOM_FORMATS = ("frame", "records")


class ReturningOperator(BaseOpenRouterOperator):
    """
    Base class of the operators that return what they read, or write it into a file.

    A class of them has a second base class, which says what is read.
    """

    file_arguments: ClassVar[dict[str, Any]] = {}
    """The arguments that matter to files only, and their defaults."""

    def __init__(self, *, output_path: str | None, xcom_format: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.xcom_format = xcom_format
        if is_literal(output_path):
            self._check_file_arguments(only_literals=True)
        if is_literal(xcom_format):
            _check_xcom_format(xcom_format)

    def execute(self, context: Context) -> pd.DataFrame | list[dict[str, Any]] | str:
        """Read the account, push a summary, and return what was read or the path of its file."""
        self._check_file_arguments()
        _check_xcom_format(self.xcom_format)
        if self.output_path:
            return self._write_file(context, self.output_path)
        if self.xcom_format == "records":
            read = self._read()
            records = self._records(read)
            self._report(context, self._xcoms(read), len(records))
            return list(map(fit, records))
        if self.do_xcom_push:
            _check_frame_fits_xcom()
        read = self._read()
        frame = self._frame(read)
        self._report(context, self._xcoms(read), len(frame))
        return frame

    def _frame(self, read: Any) -> pd.DataFrame:
        """Return what was read as the frame to return."""
        raise NotImplementedError

    def _records(self, read: Any) -> list[dict[str, Any]]:
        """Return what was read as the records to return."""
        raise NotImplementedError

    def _write_file(self, context: Context, output_path: str) -> str:
        from airflow_provider_openrouter.snapshots.files import check_store, write_file

        partition_of = self._partitioning()
        check_store(output_path)
        read = self._read()
        partition = partition_of(read)
        xcoms = self._xcoms(read)
        frame = self._file_frame(read, partition)
        del read  # so that a large listing is not in memory twice
        path = partition.fill_in(output_path)
        size = write_file(frame, path, kind=self.kind)
        self.log.info(
            "Wrote %s, %s, to %s", count(len(frame), "row"), count(size, "byte"), plain(path, longest=1_000)
        )
        self._report(context, xcoms, len(frame), file_target(path), path=path, bytes=size)
        return fit(path)

    def _check_file_arguments(self, *, only_literals: bool = False) -> None:
        if self.output_path:
            check_output_path(self.output_path, self.kind)
            return
        for name, default in self.file_arguments.items():
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
