"""Whether what a test needs is there, in the installed versions."""

import functools
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.specifiers import SpecifierSet


def exists(mark: pytest.Mark | pytest.MarkDecorator) -> bool:
    """Return whether the versions that a mark ``airflow`` asks for are installed."""
    versions = {"apache-airflow": mark.args[0], **mark.kwargs}
    alone = versions.pop("or_pandas", None)
    return all(map(_is_installed, versions, versions.values())) or bool(alone and _is_installed("pandas", alone))


@functools.cache
def _is_installed(distribution: str, versions: str) -> bool:
    try:
        return version(distribution) in SpecifierSet(versions)
    except PackageNotFoundError:
        return False
