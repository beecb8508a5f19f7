"""Memory of the host that is kept, in huge pages, rather than handed back and asked for again."""

import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt(3), malloc.h
_NEVER = -1
_PAD = 2**28
_RESERVE = 2**32
_HUGE_PAGE, _MADV_HUGEPAGE = 2**21, 14  # madvise(2)


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory, also large blocks, and the kernel to back it with huge pages.

    By default every activation of a CPU step is a mapping of its own, returned to the system and faulted in
    again, page by page, at the next step. Another C library ignores this, a kernel without huge pages a part.
    """
    libc = ctypes.CDLL(None)
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD)):
        mallopt(parameter, value)
    _reserve_huge_pages(libc)


def _reserve_huge_pages(libc: ctypes.CDLL) -> None:
    # The heap grows once, before anything lies in it, and costs nothing until it is used. Torch's own switch,
    # THP_MEM_ALLOC_ENABLE, begins each tensor at a huge page, which took a third more memory.
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    size = min(_RESERVE, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    block = libc.malloc(size)
    if block is None:
        return
    first = -(-block // _HUGE_PAGE) * _HUGE_PAGE
    libc.madvise(first, (block + size - first) // _HUGE_PAGE * _HUGE_PAGE, _MADV_HUGEPAGE)
    libc.free(block)
