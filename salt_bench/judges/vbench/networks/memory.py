"""What freed memory costs: the allocator keeps it, in pieces, and what comes next is put beside it where no piece is large
enough."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Gives what is freed back to the system, where the C library is one that can (glibc; hundredths of a second)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS has no such function, Windows no such library
        return
    trim(0)
