"""Memory for tables that are read at random places: in pages of 2 MB, and there before the first packet is."""

import mmap

import numpy as np

_HUGE = 1 << 21  # bytes of a huge page
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of linux/mman.h, since Linux 5.14


def zeros_ahead(words: int) -> np.ndarray:
    """uint64 [words], all 0. From 2 MB on, on huge pages that are taken now: with small ones, the first touch of each costs 2 us."""
    size = words * 8
    if size < _HUGE:
        return np.zeros(words, np.uint64)
    area = mmap.mmap(-1, size + _HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    skip = -np.frombuffer(area, np.uint8).ctypes.data % _HUGE
    _advise(area, mmap.MADV_HUGEPAGE, (skip, size))
    _advise(area, _POPULATE_WRITE, (skip, size))
    return np.frombuffer(area, np.uint64, words, skip)


def _advise(area: mmap.mmap, advice: int, part: tuple[int, int]) -> None:
    """Tell the operating system what memory is for; one that does not know of it goes without."""
    try:
        area.madvise(advice, *part)
    except OSError:
        return
