"""MariaDB for the tests."""

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL
from support.mariadb import running_mariadb

for name in ("activity_rules", "activity_autumn", "history_rules", "history_year"):
    pytest.register_assert_rewrite(f"history.test_{name}")

from support.histories import history, history_of, keep, year  # noqa: E402, F401
from support.mariadb import database  # noqa: E402, F401


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
