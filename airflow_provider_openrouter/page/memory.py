"""The memory of the API server, which lives long and looks at many keys for a moment."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release_memory() -> None:
    """
    Give free memory back to the system.

    By itself, glibc keeps part of what a listing took, in the arenas of threads that have ended: of ten thousand
    keys 8 MB.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
