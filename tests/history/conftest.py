"""The databases that a history can be in."""

import pytest
from support.histories import history, history_of, keep, year  # noqa: F401

TABLES = ("postgresql", "sqlite")


def each(*dialects):
    return [pytest.param(dialect, marks=pytest.mark.xdist_group(f"history {dialect}")) for dialect in dialects]


@pytest.fixture(scope="module", params=each(*TABLES, "duckdb"))
def dialect(request):
    """Each database."""
    return request.param


@pytest.fixture(scope="module", params=each(*TABLES))
def table_dialect(request):
    """Each database in which the history is a table."""
    return request.param
