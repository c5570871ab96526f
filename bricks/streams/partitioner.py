"""Partition of a batch over the replicas of a keyed brick: each gets the packets of its buckets and, as shadows, the split key's copies.

So the streams of a replica's buckets are exactly those that one unsplit brick would have of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bricks.records.brick import Batch
from bricks.records.packets import SHADOW, bucket_of
from bricks.records.sequence import NO_PART, SequenceRange
from bricks.streams.assign import assign
from bricks.streams.results import Pick
from lego_sdn.core.facts.assignment import Owners, balance, place, weights
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey
from lego_sdn.core.traffic.split_prediction import EXTRACTION_SHARE

EVERY = 16  # batches: of these one is looked at
REMEMBERED = 1 << 16  # packets looked at, after which the older half counts half


class LoadSketch:
    """How much each bucket has to do with the packets, from a sample of the batches: what a replica that owns it is spared."""

    def __init__(self, buckets: int, key: SplitKey = BY_SOURCE, pick: Pick | None = None) -> None:
        self.buckets, self.key, self._pick = buckets, key, pick
        self._work = np.zeros(buckets)
        self._batches = 0

    def see(self, rows: np.ndarray) -> None:
        """A batch of PACKET rows went by."""
        self._batches += 1
        if self._batches % EVERY == 1:
            rows = rows if self._pick is None else self._pick(Batch(rows)).head
            if self._work.sum() > REMEMBERED:
                self._work /= 2
            for at, fields in enumerate(self.key.sides):
                found = bucket_of(rows, self.buckets, fields).astype(np.int64)
                self._work += (EXTRACTION_SHARE if at else 1.0) * np.bincount(found, minlength=self.buckets)

    def shared_out(self, before: Owners, replicas: int) -> Owners:
        """Which of so many replicas owns each bucket: all have as much to do, and as few buckets as it takes change hands."""
        load = weights(dict(enumerate(self._work.tolist())), self.buckets)
        return balance(place(before, load, range(replicas)), load, range(replicas))


class KeyTable(NamedTuple):
    """How batches are cut: int64 [buckets], the replica that owns a bucket; how many there are; by which key."""

    owners: np.ndarray
    replicas: int
    key: SplitKey = BY_SOURCE


def partition(batch: Batch, ticket: SequenceRange, cut: KeyTable) -> Iterator[tuple[int, Batch, SequenceRange]]:
    """The parts of a batch: replica, rows, ticket. Every replica gets one, so that each sees how far the stream has come.

    Parts of which nothing is scored are UNCOUNTED, but for one where no part has anything: whoever joins parts needs to see one.
    """
    rows = batch.head
    owners, replicas, key = cut
    owner, copies = assign(rows, owners, key)
    own = rows["flags"] & SHADOW == 0
    scored = np.bincount(owner[own], minlength=replicas).tolist()
    counted = [replica for replica in range(replicas) if scored[replica]] or [0]
    for replica in range(replicas):
        mine = owner == replica
        wanted = mine
        for receiver in copies:
            wanted = wanted | (receiver == replica)
        part = rows[wanted]
        part["flags"][~mine[wanted]] |= np.uint32(SHADOW)
        number = counted.index(replica) if replica in counted else NO_PART
        yield replica, Batch(part), SequenceRange(*ticket[:4], number, len(counted), sum(scored))
