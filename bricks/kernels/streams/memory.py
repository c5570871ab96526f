"""Memory of the tables, from the operating system directly: how large its pages are and when it is there decide what an attack costs.

An index is written at random places, so it is on huge pages, and there before the first packet is. Heads are written one after the
other as streams come, so only their first touch counts: a virtual machine that returns free memory to its host, as many do,
has few free huge pages that are still its own, and each of the others costs up to 2 us a kB; small ones cost 0.5.
"""

import mmap

import numpy as np

_HUGE = 1 << 21  # bytes of a huge page
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of linux/mman.h, since Linux 5.14


def zeros_ahead(words: int) -> np.ndarray:
    """uint64 [words], all 0. From 2 MB on, on huge pages that are taken now."""
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


def untouched(words: int) -> np.ndarray:
    """float64 [words], 0, from the beginning of a page on; memory is taken as it is written, in small pages."""
    area = mmap.mmap(-1, max(words, 1) * 8, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _advise(area, mmap.MADV_NOHUGEPAGE, (0, len(area)))
    return np.frombuffer(area, np.float64, words)
