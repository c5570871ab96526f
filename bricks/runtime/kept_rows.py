"""The rows of a standby: it computes the features of every packet, scores none, and keeps the latest rows until it has to score them.

Rows are kept in a ring. `take_over` gives those of some buckets that their owner has not scored; from then on the packets of these buckets
are scored as they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bricks.records.brick import Batch
from bricks.records.packets import PACKET, SHADOW, bucket_of
from bricks.streams.held_packets import chosen_of
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

AT_ONCE = 256  # rows of one batch that is scored again: the first scores are there soon


@dataclass(frozen=True)
class Unscored:
    """What an owner that died may not have scored.

    scored   the highest stamp that it has scored
    buckets  that it owned; given, until: buckets that it gave to others, and the highest stamp up to which their packets were its own
    """

    scored: int
    buckets: tuple[int, ...]
    given: tuple[int, ...] = ()
    until: int = -1


class KeptRows:
    """A ring of `most` rows with their features, behind the keyed brick of a process.

    owned      bool [buckets]: whose packets are scored here
    since      rows up to this stamp are not kept: the streams were not complete yet; None: they never were
    forgotten  int64 [buckets]: the highest stamp of a row that was overwritten, -1 before there is one
    """

    def __init__(self, buckets: int, most: int, key: SplitKey = BY_SOURCE) -> None:
        self.buckets, self.most, self.key = buckets, most, key
        self.owned = np.zeros(buckets, np.bool_)
        self.since: int | None = None
        self.forgotten = np.full(buckets, -1, np.int64)
        self._head, self._bucket = np.empty(most, PACKET), np.empty(most, np.uint16)
        self._values: np.ndarray | None = None  # float64 [most, width], once the width is known
        self._first = self._count = 0  # index of the oldest row, rows that are kept

    def __len__(self) -> int:
        return self._count

    @staticmethod
    def unmark(head: np.ndarray) -> None:
        """Take PACKET rows [n] for packets of this instance's own, so that the keyed brick gives the features of each. In place."""
        head["flags"] &= np.uint32(~SHADOW & 0xFFFFFFFF)

    def sift(self, result: Batch) -> Batch:
        """Of the rows of the keyed brick, those that are scored here; the others are kept."""
        bucket = bucket_of(result.head, self.buckets, self.key.own)
        own = self.owned[bucket]
        if own.all():
            return result
        self._keep(result.head[~own], result.values[~own], bucket[~own])  # type: ignore[index]  # it has features
        return Batch(result.head[own], result.values[own])  # type: ignore[index]

    def begin(self, stamp: int) -> None:
        """The streams are complete after this stamp: what is kept up to it is dropped."""
        rows = self._order()
        late = int(np.count_nonzero(self._stamps(rows) <= stamp))  # the order of rows is that of stamps
        self._first, self._count = (self._first + late) % self.most, self._count - late
        self.since, self.forgotten[:] = stamp, -1

    def take_over(self, of: Unscored) -> tuple[Iterator[Batch], bool]:
        """Score the packets of its buckets from now on.

        Returns the kept rows that it has not scored, in order, and whether some of these rows may have been overwritten before.
        """
        after = max(of.scored, -1 if self.since is None else self.since)
        mine, given = chosen_of(of.buckets, self.buckets), chosen_of(of.given, self.buckets)
        given &= ~mine & (of.until > after)
        rows = self._order()
        stamps, buckets = self._stamps(rows), self._bucket[rows]
        rows = rows[(stamps > after) & (mine[buckets] | (given[buckets] & (stamps <= of.until)))]
        self.owned |= mine
        return self._batches(rows), bool((self.forgotten[mine | given] > after).any())

    def _batches(self, rows: np.ndarray) -> Iterator[Batch]:
        assert self._values is not None or not len(rows)
        for at in range(0, len(rows), AT_ONCE):
            part = rows[at : at + AT_ONCE]
            yield Batch(self._head[part], self._values[part])  # type: ignore[index]

    def _order(self) -> np.ndarray:
        """Indices of all rows, the oldest first."""
        return (self._first + np.arange(self._count)) % self.most

    def _stamps(self, rows: np.ndarray) -> np.ndarray:
        stamps: np.ndarray = self._head["seq"][rows].astype(np.int64)
        return stamps

    def _keep(self, head: np.ndarray, values: np.ndarray, bucket: np.ndarray) -> None:
        if self._values is None:
            self._values = np.empty((self.most, values.shape[1]))
        extra = max(0, len(head) - self.most)
        over = min(self._count, max(0, self._count + len(head) - extra - self.most))
        self._forget((self._first + np.arange(over)) % self.most)
        if extra:
            self.forgotten[bucket[:extra]] = head["seq"][:extra]
        self._first, self._count = (self._first + over) % self.most, self._count - over
        head, values, bucket = head[extra:], values[extra:], bucket[extra:]
        at = (self._first + self._count) % self.most
        fits = min(len(head), self.most - at)
        for kept, rows in ((self._head, head), (self._values, values), (self._bucket, bucket)):
            kept[at : at + fits] = rows[:fits]
            kept[: len(rows) - fits] = rows[fits:]
        self._count += len(head)

    def _forget(self, rows: np.ndarray) -> None:
        """Of several rows of a bucket the last one counts, which has the highest stamp."""
        self.forgotten[self._bucket[rows]] = self._head["seq"][rows]
