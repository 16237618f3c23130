"""Paths that files can be written to."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.snapshots.kinds import KEYS, Kind

SUFFIXES = (".parquet", ".csv", ".jsonl")
_ABSOLUTE = re.compile(r"(file://)?/[^/]|(?!file:)[A-Za-z][A-Za-z0-9+.-]*://[^/]")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_DIRECTIVE = re.compile(r"%(?![0-9A-Fa-f]{2})[-#]?[A-Za-z]")
"""A ``strftime`` directive such as ``%Y``, but not a percent-encoded byte such as ``%E4``."""


def check_output_path(path: Any, kind: Kind) -> None:
    """
    Refuse a path that no file can be written to, or that would not mean what it seems to.

    :param kind: what is written, whose partition the placeholders are.
    :raises OpenRouterRequestError: if it is not text, has no known suffix, is not absolute, or has a placeholder
        that does not exist.
    """
    if not isinstance(path, str):
        raise OpenRouterRequestError(f"output_path must be text, not {type(path).__name__}.")
    if PurePosixPath(path).suffix.lower() not in SUFFIXES or path.endswith(("/", "/.")):
        raise OpenRouterRequestError(f"output_path must end in {', '.join(SUFFIXES)}, unlike {path!r}.")
    if not _ABSOLUTE.match(path):
        raise OpenRouterRequestError(
            f"output_path must be absolute, not {path!r}. Use a path such as "
            f"file:///data/{kind.endpoint}.parquet or s3://conn@bucket/{kind.endpoint}.parquet."
        )
    placeholders = [f"{{{name}}}" for name in kind.partition]
    known = ", ".join(placeholders)
    unknown = [found for found in _PLACEHOLDER.findall(path) if found not in placeholders]
    if unknown:
        raise OpenRouterRequestError(
            f"output_path has an unknown placeholder: {', '.join(unknown)}. There are {known}."
        )
    if directive := _DIRECTIVE.search(path):
        moment = "{snapshot}, the UTC day or hour" if kind is KEYS else "{date}, the UTC day"
        raise OpenRouterRequestError(
            f"output_path has {directive[0]}, which is not filled in. Use {moment}. There are {known}."
        )
