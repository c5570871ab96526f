"""The packets that wait in an instance during one move of buckets, and who scores which of them afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from bricks.records.packets import PACKET, SHADOW
from bricks.streams.assign import is_copied, is_owned, owned_by_result
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

_NOTHING = np.empty(0, PACKET)
_NO_BUCKETS = np.empty(0, np.bool_)


@dataclass
class HeldPackets:
    """Rows of a move, and which buckets change hands in it.

    until    monotonic seconds at which the hold ends by itself
    stamped  rows are told apart and ordered by stamp, which is the same at every instance; else by the time of their arrival
    split    the key by which buckets are those of a row
    cut      stamp (or time) up to which rows go on; None until it is known
    before, after, gave, took   bool [buckets]: owned before and after the move, handed over, taken over
    rows     that wait, in parts; forwarded: rows of old owners; count: of `rows`
    """

    token: int
    until: float
    stamped: bool
    split: SplitKey = BY_SOURCE
    cut: int | None = None
    before: np.ndarray = field(default_factory=_NO_BUCKETS.copy)
    after: np.ndarray = field(default_factory=_NO_BUCKETS.copy)
    gave: np.ndarray = field(default_factory=_NO_BUCKETS.copy)
    took: np.ndarray = field(default_factory=_NO_BUCKETS.copy)
    rows: list[np.ndarray] = field(default_factory=list)
    forwarded: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    @property
    def key(self) -> str:
        """The field of a row that orders it."""
        return "seq" if self.stamped else "time_ns"

    def begin(self, cut: int, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Where the hold begins; returns the rows that need not wait."""
        self.cut, self.before, self.after = cut, before, after
        self.gave, self.took = np.zeros_like(before), np.zeros_like(before)
        rows = joined(self.rows)
        on = self.goes_on(rows)
        self.rows, self.count = [rows[~on]], int(np.count_nonzero(~on))
        return rows[on]

    def goes_on(self, rows: np.ndarray) -> np.ndarray:
        """bool [rows]: whether it is up to the cut."""
        return rows[self.key].astype(np.int64) <= (-1 if self.cut is None else self.cut)

    def add(self, rows: np.ndarray) -> None:
        if len(rows):
            self.rows.append(rows.copy())
            self.count += len(rows)

    def needed(self, chosen: np.ndarray, highest: int) -> np.ndarray:
        """Waiting rows that the new owner of the `chosen` buckets needs and may not have: PACKET [n].

        A row that would not come here in this role under the new rules arrived under the old rules, so the new owner lacks it. Other rows
        may have been delivered to both owners. With stamps, they are sent if their stamp is not above `highest` (the highest before the
        marker), and the new owner drops duplicates by stamp.
        """
        rows = joined(self.rows).copy()
        if self.split.apart:  # a packet of a result goes to one instance only
            return rows[owned_by_result(rows, chosen, self.split)]
        own, scored = rows["flags"] & SHADOW == 0, is_owned(rows, chosen, self.split)
        wanted = is_copied(rows, chosen, self.split) | (own & scored)
        stays = is_owned(rows, self.after, self.split)
        either = np.where(own, stays, ~stays & is_copied(rows, self.after, self.split))
        wanted &= ~either | (self.stamped & (rows["seq"].astype(np.int64) <= highest))
        rows["flags"][~scored] |= np.uint32(SHADOW)  # who takes only a copy scores nothing
        return rows[wanted]

    def own(self, scored: np.ndarray) -> np.ndarray:
        """Waiting rows that are no shadows, as one sees them who scores only these buckets: PACKET [n]."""
        rows = joined(self.rows)
        rows = rows[rows["flags"] & SHADOW == 0]
        rows["flags"][~is_owned(rows, scored, self.split)] |= np.uint32(SHADOW)
        return rows

    def to_play(self) -> tuple[np.ndarray, int]:
        """All rows in their order, with what came from old owners and without what is another instance's; how many that one scores."""
        rows, handed_on = joined(self.rows), 0
        if self.took.any():
            rows = self._merged(rows)
        if self.gave.any():
            rows, handed_on = self._without(rows)
        return rows[np.argsort(rows[self.key], kind="stable")], handed_on

    def _merged(self, rows: np.ndarray) -> np.ndarray:
        """With the rows of old owners, each packet once: an own packet wins over its shadow."""
        if self.split.apart:
            return np.concatenate([*self.forwarded, rows])
        if not self.stamped:  # own packets from the buckets taken come from their old owner
            twice = (rows["flags"] & SHADOW != 0) & is_owned(rows, self.took, self.split)
            return np.concatenate([*self.forwarded, rows[~twice]])
        every = np.concatenate([*self.forwarded, rows])
        every = every[np.lexsort((every["flags"] & SHADOW, every["seq"]))]
        first = np.ones(len(every), np.bool_)
        first[1:] = every["seq"][1:] != every["seq"][:-1]
        return every[first]

    def _without(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """Packets of buckets that were given away become shadows, where a copy of them is still due here; else they go."""
        if self.split.apart:
            gone = owned_by_result(rows, self.gave, self.split)
            return rows[~gone], int(np.count_nonzero(gone))
        kept = (self.before & ~self.gave) | (self.after & ~self.before)
        due, shadow = is_copied(rows, kept, self.split), rows["flags"] & SHADOW != 0
        given = ~shadow & is_owned(rows, self.gave, self.split)
        obsolete = shadow & is_copied(rows, self.gave, self.split) & ~is_owned(rows, kept, self.split)
        rows["flags"][given] |= np.uint32(SHADOW)
        return rows[~((given | obsolete) & ~due)], int(np.count_nonzero(given))


def chosen_of(buckets: Iterable[int], of: int) -> np.ndarray:
    """bool [of]. BrickError if there is no such bucket."""
    chosen = np.zeros(of, np.bool_)
    for one in buckets:
        if not isinstance(one, int) or not 0 <= one < of:
            raise BrickError(f"there is no bucket {one!r}: wanted one from 0 to {of - 1}")
        chosen[one] = True
    return chosen


def joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else _NOTHING
