"""A frame as a file in any store that Airflow can write to: the whole file, or none."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath

from airflow_provider_openrouter.snapshots.columns import arrow_schema
from airflow_provider_openrouter.snapshots.kinds import Kind

ONE_DAY = 86_400

STORES_WITHOUT_HALF_FILES = {
    "s3",
    "s3a",
    "gs",
    "gcs",
    "abfs",
    "abfss",
    "az",
    "adl",
    "wasb",
    "wasbs",
    "oci",
    "oss",
}
"""Object stores show a file only when it is uploaded, rename by copying, and need no folders."""

STORE_PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "apache-airflow-providers-amazon[s3fs]"),
    **dict.fromkeys(("gs", "gcs"), "apache-airflow-providers-google"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "apache-airflow-providers-microsoft-azure"),
    "oss": "apache-airflow-providers-alibaba",
}
"""What to install for common schemes: Airflow itself knows only what is installed."""


def check_store(path: str) -> None:
    """
    Refuse a store whose filesystem is not installed; no file is looked at.

    :param path: a path in the store, with its placeholders.
    :raises AirflowFailException: if no filesystem of its scheme is installed, or that lacks a package.
    """
    scheme = path.partition("://")[0]
    try:
        ObjectStoragePath(path).fs  # noqa: B018  # imports what it needs
        return
    except ImportError as error:
        reason = str(error.__context__ or error)  # the provider wraps it in advice of its own
    except ValueError as error:
        if not str(error).startswith(("No filesystem registered", "Unsupported filesystem")):
            raise
        reason = "no filesystem of that scheme is installed"
    package = STORE_PACKAGES.get(scheme, "the Airflow provider of that scheme, or correct output_path")
    raise AirflowFailException(f"Cannot write to {scheme}://: {reason}. Install {package}.")


def write_file(frame: pd.DataFrame, path: str, *, kind: Kind) -> int:
    """
    Write a frame into a file, and return its size in bytes.

    A reader never sees half a file: where the store can rename, it is first written under a hidden name in the
    same folder. A file of the same name is replaced, and missing folders are made.

    :param frame: what :mod:`airflow_provider_openrouter.snapshots.frame` returns for files of its kind.
    :param path: where to write it, as ``ObjectStoragePath`` takes it; its suffix is one of :data:`WRITERS`.
    :param kind: what the frame holds.
    """
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=arrow_schema(kind.columns))
    WRITERS[PurePosixPath(path).suffix.lower()](table, buffer)
    content = buffer.getbuffer()

    target = ObjectStoragePath(path)
    if target.protocol in STORES_WITHOUT_HALF_FILES:
        _write(target, content)
        return content.nbytes
    if target.is_dir():  # on Airflow 3.0 the file would be moved into it
        raise IsADirectoryError(f"Cannot replace a folder by a file: {path}. Choose another path.")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Short, as the name may have the full length already.
    prefix = f".{sha256(target.name.encode()).hexdigest()[:16]}"
    _clear_up(target.parent, prefix)
    temporary = target.with_name(f"{prefix}.{uuid4().hex}.tmp")
    try:
        _write(temporary, content)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return content.nbytes


def _clear_up(folder: ObjectStoragePath, prefix: str) -> None:
    """Remove temporary files of killed runs, once no run can still be writing them."""
    for left in folder.glob(f"{prefix}.*.tmp"):
        with suppress(FileNotFoundError):  # another run may clear up at the same time
            modified: Any = left.stat().st_mtime  # seconds, a datetime, or 0 if the store keeps no time
            seconds = modified.timestamp() if isinstance(modified, datetime) else modified
            if 0 < seconds < time.time() - ONE_DAY:
                left.unlink()


def _write(path: ObjectStoragePath, content: memoryview) -> None:
    with path.open("wb") as file:  # type: ignore[no-untyped-call]
        file.write(content)
        file.flush()
        with suppress(AttributeError, io.UnsupportedOperation):  # if the store is not a local disk
            os.fsync(file.fileno())


def _write_parquet(table: pa.Table, buffer: io.BytesIO) -> None:
    # Measured with 100,000 keys: zstd needs half the bytes of snappy at about its speed; smaller row groups
    # only need more bytes and more time to read.
    pa.parquet.write_table(table, buffer, compression="zstd")


def _write_csv(table: pa.Table, buffer: io.BytesIO) -> None:
    pa.csv.write_csv(table, buffer)


def _write_jsonl(table: pa.Table, buffer: io.BytesIO) -> None:
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            line = json.dumps(row, ensure_ascii=False, default=lambda time: time.isoformat())
            buffer.write(f"{line}\n".encode())


WRITERS: dict[str, Callable[[pa.Table, io.BytesIO], Any]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
"""How each kind of file is written, by its suffix."""
