"""Where a file may be written: what is refused before the first request."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

SUFFIXES = (".parquet", ".csv", ".jsonl")


def check_output_path(path: Any) -> None:
    """
    Refuse a path that no file can be written to, or that would not mean what it seems to.

    :raises AirflowFailException: if it is not text, has no known suffix, or is not absolute.
    """
    if not isinstance(path, str):
        raise AirflowFailException(f"output_path must be text, not {type(path).__name__}.")
    if PurePosixPath(path).suffix.lower() not in SUFFIXES:
        raise AirflowFailException(f"output_path must end in {', '.join(SUFFIXES)}, not as {path!r} does.")
    if "://" not in path and not path.startswith("/"):
        raise AirflowFailException(
            f"output_path must be absolute, not {path!r}. A worker has no folder of its own: use a path such as "
            "file:///data/keys.parquet or s3://conn@bucket/keys.parquet."
        )
