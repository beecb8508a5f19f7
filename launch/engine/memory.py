"""Memory of the host that is kept rather than handed back and asked for again."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt(3), malloc.h
_LARGE = 2**31 - 1
_PAD = 2**28


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory, also large blocks.

    By default every activation of a CPU step is a mapping of its own, returned to the system and faulted in
    again, page by page, at the next step. Another C library ignores this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGE), (_TOP_PAD, _PAD)):
            mallopt(parameter, value)
