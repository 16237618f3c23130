"""MariaDB for the tests."""

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL
from support.mariadb import running_mariadb

pytest.register_assert_rewrite("history.test_history_rules", "history.test_history_year")

from support.histories import history, history_of, keep, year  # noqa: E402, F401


@pytest.fixture(scope="session")
def mariadb() -> Iterator[URL]:
    """The URL of a server that only this process uses."""
    with running_mariadb() as url:
        yield url


@pytest.fixture(scope="module")
def dialect() -> str:
    return "mysql"


@pytest.fixture(scope="module")
def table_dialect() -> str:
    return "mysql"
