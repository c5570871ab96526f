"""Partition of one capture over several workers (offline; the live system splits by rules of the switch).

The values of the split key's fields fall into CLASSES classes. A class is assigned to a worker when one of its values is first seen, in a
packet's own field or in that of its copy. So every worker sees all packets of its values from the first one on and, as shadows, all that
are copied to them: the features have the bits of one unsplit run.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey
from lego_sdn.core.traffic.split_prediction import EXTRACTION_SHARE

CLASSES = 1 << 16
NOBODY = 255
Words = tuple[np.ndarray, np.ndarray]  # high and low words of a field, uint64 [packets] each
SLACK = 2.5  # of its fair share may fall to one worker: extraction is less than half of the work, and the rest evens it out


@njit(cache=True)
def _class_of(high, low):
    """The upper bits of a multiplicative hash of an address."""
    mixed = (low ^ (high * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    return ((mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(48)


@njit(cache=True)
def _classes(own, other, source, target):
    """Class of each packet's key and of that of its copy, into int64 [packets], each; own, other: (high words, low words)."""
    for at in range(len(source)):
        source[at] = _class_of(own[0][at], own[1][at])
        target[at] = _class_of(other[0][at], other[1][at])


@njit(cache=True)
def _look_up(own, other, table, owner, target):
    """Owner of each packet's key and of that of its copy by the table, into uint8 [packets], each. Returns how many keys nobody has."""
    unknown = 0
    for at in range(len(owner)):
        owner[at] = table[_class_of(own[0][at], own[1][at])]
        target[at] = table[_class_of(other[0][at], other[1][at])]
        unknown += (owner[at] == NOBODY) + (target[at] == NOBODY)
    return unknown


class Partition:
    """Class -> worker, filled as classes appear.

    A new class goes to the worker whose keys it talks to most, which saves shadows. If that one has its share already, it goes to
    the one with the least to do, unless the shadows would cost more than that saves.
    Everything goes to worker 0 where the key cannot be split, or asks for more than one copy.
    """

    def __init__(self, workers: int, key: SplitKey = BY_SOURCE) -> None:
        if not 1 <= workers < NOBODY:
            raise ValueError(f"1 to {NOBODY - 1} workers, not {workers}")
        whole = key.whole is not None or len(key.sides) > 2
        self.workers = workers
        self._fields = ("src_ip", "dst_ip") if whole else (key.sides[0][0], key.sides[-1][0])
        self._owner = np.full(CLASSES, 0 if whole or workers == 1 else NOBODY, np.uint8)
        self._load = np.zeros(workers)

    def owners(self, packets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Worker of each packet and of its copy (where there is none, the same): uint8 [packets], each."""
        owner, target = np.empty(len(packets), np.uint8), np.empty(len(packets), np.uint8)
        own, other = (_words(packets, field) for field in self._fields)
        if _look_up(own, other, self._owner, owner, target):
            self._place(own, other)
            _look_up(own, other, self._owner, owner, target)
        self._load += np.bincount(owner, minlength=self.workers)
        return owner, target

    def _place(self, own: Words, other: Words) -> None:
        """Give the new classes of a block to workers, those that send most first."""
        source, target = np.empty(len(own[0]), np.int64), np.empty(len(own[0]), np.int64)
        _classes(own, other, source, target)
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


def _words(packets: np.ndarray, field: str) -> Words:
    """A MAC has one word."""
    names = {"src_ip": ("src_hi", "src_lo"), "dst_ip": ("dst_hi", "dst_lo")}.get(field, (field, field))
    return packets[names[0]], packets[names[1]]
