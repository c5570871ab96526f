"""Who extracts what when one capture is split by source over several workers (offline; the live system splits by rules of the switch).

Addresses fall into CLASSES classes; a class belongs to one worker from the moment one of its addresses is first seen, as a source or
as a destination. So every worker sees, from the first packet on, all that its addresses send, and as shadows all that is
sent to them: the features have the bits of one unsplit run.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lego_sdn.core.whatif import EXTRACTION_SHARE

CLASSES = 1 << 16
NOBODY = 255
SLACK = 2.5  # of its fair share may fall to one worker: extraction is less than half of the work, and the rest evens it out


@njit(cache=True)
def _class_of(high, low):
    """The upper bits of a multiplicative hash of an address."""
    mixed = (low ^ (high * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    return ((mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(48)


@njit(cache=True)
def _classes(packets, source, target):
    """Class of each packet's source and destination, into int64 [packets], each."""
    for at in range(len(packets)):
        source[at] = _class_of(packets[at]["src_hi"], packets[at]["src_lo"])
        target[at] = _class_of(packets[at]["dst_hi"], packets[at]["dst_lo"])


@njit(cache=True)
def _look_up(packets, table, owner, target):
    """Owner of each packet's source and destination by the table, into uint8 [packets], each. Returns how many addresses nobody has."""
    unknown = 0
    for at in range(len(packets)):
        owner[at] = table[_class_of(packets[at]["src_hi"], packets[at]["src_lo"])]
        target[at] = table[_class_of(packets[at]["dst_hi"], packets[at]["dst_lo"])]
        unknown += (owner[at] == NOBODY) + (target[at] == NOBODY)
    return unknown


class Partition:
    """Class -> worker, filled as classes appear.

    A new class goes to the worker whose addresses it talks to most, which saves shadows. If that one has its share already, it goes to
    the one with the least to do, unless the shadows would cost more than that saves.
    With `whole`, everything goes to worker 0, for a layout whose features cannot be split exactly.
    """

    def __init__(self, workers: int, whole: bool = False) -> None:
        if not 1 <= workers < NOBODY:
            raise ValueError(f"1 to {NOBODY - 1} workers, not {workers}")
        self.workers = workers
        self._owner = np.full(CLASSES, 0 if whole or workers == 1 else NOBODY, np.uint8)
        self._load = np.zeros(workers)

    def owners(self, packets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Worker of each packet's source and of its destination: uint8 [packets], each."""
        owner, target = np.empty(len(packets), np.uint8), np.empty(len(packets), np.uint8)
        if _look_up(packets, self._owner, owner, target):
            self._place(packets)
            _look_up(packets, self._owner, owner, target)
        self._load += np.bincount(owner, minlength=self.workers)
        return owner, target

    def _place(self, packets: np.ndarray) -> None:
        """Give the new classes of a block to workers, those that send most first."""
        source, target = np.empty(len(packets), np.int64), np.empty(len(packets), np.int64)
        _classes(packets, source, target)
        both = np.concatenate((source, target))
        new = np.unique(both[self._owner[both] == NOBODY])
        sent = np.bincount(source, minlength=CLASSES)
        pairs, counts = np.unique(source * CLASSES + target, return_counts=True)
        ends = np.concatenate((np.stack((pairs // CLASSES, pairs % CLASSES)), np.stack((pairs % CLASSES, pairs // CLASSES))), axis=1)
        counts = np.tile(counts, 2)
        order = np.argsort(ends[0], kind="stable")
        ends, counts = ends[:, order], counts[order]
        load = self._load + self._sent_by_known(sent)
        share = SLACK * (self._load.sum() + len(source)) / self.workers
        busiest_first = new[np.argsort(-sent[new], kind="stable")]
        _assign(busiest_first, sent, (ends[0], ends[1], counts), (load, share), self._owner)

    def _sent_by_known(self, sent: np.ndarray) -> np.ndarray:
        known = np.flatnonzero((self._owner != NOBODY) & (sent > 0))
        return np.bincount(self._owner[known], sent[known], self.workers)


@njit(cache=True)
def _assign(new, sent, talks, loads, owner):
    """Give each new class to a worker. talks = (class, other class, packets either way), sorted; loads = (load [workers], most)."""
    load, most = loads
    talk = np.zeros(len(load))
    for k in range(len(new)):
        address = new[k]
        talk[:] = 0.0
        for at in range(np.searchsorted(talks[0], address), np.searchsorted(talks[0], address + 1)):
            if owner[talks[1][at]] != NOBODY:
                talk[owner[talks[1][at]]] += talks[2][at]
        best, idle = 0, 0
        for worker in range(1, len(load)):
            if talk[worker] > talk[best] or (talk[worker] == talk[best] and load[worker] < load[best]):
                best = worker
            if load[worker] < load[idle]:
                idle = worker
        relief = sent[address] - EXTRACTION_SHARE * (talk[best] - talk[idle])
        if load[best] + sent[address] > most and relief > 0.0:
            best = idle
        owner[address] = best
        load[best] += sent[address]
