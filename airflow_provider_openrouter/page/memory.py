"""The memory of the API server, which runs for long and reads many keys now and then."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release_memory() -> None:
    """
    Give free memory back to the system.

    By itself, glibc keeps part of what a listing took, in the arenas of threads that have ended: 8 MB for 10,000
    keys.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
