"""Sessions of processes, and how to make sure that they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import psutil


class Guard:
    """Kills the sessions that it watches if this process dies before it closes the guard."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    def watch(self, leader: int) -> None:
        """Watch another session."""
        print(leader, file=self._process.stdin, flush=True)

    def close(self) -> None:
        """Stop watching."""
        self._process.kill()
        self._process.communicate()


def session(leader: int) -> list[psutil.Process]:
    """Return the living processes of a session, including those whose parents have died."""
    return [process for process in psutil.process_iter() if _is_in(process, leader)]


def _is_in(process: psutil.Process, leader: int) -> bool:
    try:
        return os.getsid(process.pid) == leader and _lives(process)
    except ProcessLookupError:  # it has just ended
        return False


def kill(find: Callable[[], list[psutil.Process]]) -> None:
    """
    Kill processes, and wait until they have ended, even if their parents have not noticed.

    :param find: returns living ones; it is called again, because a dying process may just have started another.
    """
    killed: set[psutil.Process] = set()
    deadline = time.monotonic() + 30
    while living := {*find(), *filter(_lives, killed)}:
        assert time.monotonic() < deadline, f"These processes were killed but are still alive: {living}"
        for process in living:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                process.kill()
        killed |= living
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    leaders = [int(line) for line in sys.stdin]  # until the process that started this one ends
    kill(lambda: [process for leader in leaders for process in session(leader)])
