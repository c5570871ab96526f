"""Holding an instance's packets while buckets move between instances, so that not a bit of any score depends on the move.

All instances that give or take buckets hold from one cut on: what is stamped up to the cut goes on as before, the rest waits. So their
states are those of one moment. After the switch's rules have changed and a marker has shown that nothing is under way any more, the old
owner hands over streams and waiting packets of the moved buckets, and everyone goes on, in the order of the stamps.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bricks.packet_batching import Source
from bricks.packets import PACKET, SHADOW, bucket_of
from lego_sdn.core.errors import BrickError

MOST = 1 << 18  # rows that may wait
LEASE_S = 10.0  # without a word from the mover: then the hold ends by itself
_READS = 64  # of the source, between two looks for calls
COUNTERS = ("held", "held_dropped", "held_shadows_dropped", "holds_expired", "handed_on")
_NOTHING = np.empty(0, PACKET)


@dataclass
class Move:
    """One move as an instance sees it.

    cut      stamp (or time) up to which rows go on; None until it is known
    before, after, gave, took   bool [buckets]: owned before and after the move, handed over, taken over
    held     rows that wait; forwarded: rows of old owners
    """

    token: int
    until: float
    cut: int | None = None
    before: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))
    after: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))
    gave: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))
    took: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))
    held: list[np.ndarray] = field(default_factory=list)
    rows: int = 0
    forwarded: list[np.ndarray] = field(default_factory=list)


class Hold:
    """A packet source behind another one, that passes everything on but while it holds.

    Reads: held (rows that had to wait), held_dropped, held_shadows_dropped (for want of room), holds_expired (ended without the mover),
    handed_on (packets that another instance scores)
    """

    def __init__(self, source: Source, buckets: int, stamped: bool = True, most: int = MOST) -> None:
        self.source, self.buckets, self.most = source, buckets, most
        self._key = "seq" if stamped else "time_ns"
        self.stamped = stamped
        self.passed = -1  # highest stamp (or time) passed on
        self.move: Move | None = None
        self.ended: deque[Move] = deque(maxlen=4)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._playing: deque[np.ndarray] = deque()
        self._fresh = np.zeros(1024, PACKET)

    # ---- what a packet source does ----
    def fileno(self) -> int:
        return self.source.fileno()

    def read(self, out: np.ndarray) -> int:
        """As the source's, but for what waits."""
        if self.move is not None and time.monotonic() > self.move.until:
            self.counters["holds_expired"] += 1
            self._end(self.move)
        if self._playing:
            rows = self._play(out)
        elif self.move is not None:
            rows = self._hold(self.move, out)
        else:
            rows = self.source.read(out)
        if rows:
            self.passed = max(self.passed, int(out[self._key][rows - 1]))
        return rows

    def queue(self) -> float:
        return self.source.queue()

    def statistics(self) -> dict[str, int]:
        return {**self.source.statistics(), **self.counters}

    def close(self) -> None:
        if hasattr(self.source, "close"):
            self.source.close()

    def _play(self, out: np.ndarray) -> int:
        first = self._playing[0]
        rows = min(len(out), len(first))
        out[:rows] = first[:rows]
        if rows == len(first):
            self._playing.popleft()
        else:
            self._playing[0] = first[rows:]
        return rows

    def _hold(self, move: Move, out: np.ndarray) -> int:
        """What is up to the cut goes on; the rest waits."""
        given = 0
        for _ in range(_READS):
            fresh = self._fresh[: min(len(self._fresh), len(out) - given)]
            rows = self.source.read(fresh)
            if rows == 0:
                break
            on = self._up_to_cut(fresh[:rows], move)
            count = int(np.count_nonzero(on))
            out[given : given + count] = fresh[:rows][on]
            given += count
            self._keep(move, fresh[:rows][~on])
            if given == len(out):
                break
        return given

    def _up_to_cut(self, rows: np.ndarray, move: Move) -> np.ndarray:
        return rows[self._key].astype(np.int64) <= (-1 if move.cut is None else move.cut)

    def _keep(self, move: Move, rows: np.ndarray) -> None:
        room = self.most - move.rows
        if len(rows) > room:
            own = int(np.count_nonzero(rows["flags"][room:] & SHADOW == 0))
            self.counters["held_dropped"] += own
            self.counters["held_shadows_dropped"] += len(rows) - room - own
            rows = rows[:room]
        if len(rows):
            move.held.append(rows.copy())
            move.rows += len(rows)
            self.counters["held"] += len(rows)

    # ---- a move, step by step ----
    def begin(self, token: int) -> int:
        """Hold from now on; returns the highest stamp (or time) passed on. One that is under way ends, and its rows wait on."""
        if self.move is not None and self.move.token == token:
            self._renew(self.move)
            return self.passed
        if self.move is not None:
            self._end(self.move)
        self.move = Move(token, time.monotonic() + LEASE_S)
        for rows in self._playing:
            self._keep(self.move, rows)
        self._playing.clear()
        return self.passed

    def cut(self, token: int, stamp: int, before: Iterable[int], after: Iterable[int]) -> None:
        """Where the hold begins, for all alike, and what this instance owns before and after the move."""
        move = self._current(token)
        if stamp < self.passed:
            raise BrickError(f"packets up to {self.passed} went on already, the cut cannot be at {stamp}")
        move.cut, move.before, move.after = stamp, self._chosen(before), self._chosen(after)
        move.gave, move.took = self._chosen(()), self._chosen(())
        held = _joined(move.held)
        on = self._up_to_cut(held, move)
        if on.any():
            self._playing.append(held[on])
            move.held = [held[~on]]
            move.rows = len(move.held[0])

    def arrived(self, token: int, markers: Iterable[int]) -> int | None:
        """The first of these markers that came, once all rows before it are held or passed on."""
        self._current(token)
        return None if self._playing else next((marker for marker in markers if marker in self._markers), None)

    @property
    def _markers(self) -> dict[int, int]:
        return getattr(self.source, "markers", {})

    def rows_for(self, token: int, buckets: Iterable[int], marker: int) -> np.ndarray:
        """Waiting rows that the new owner of `buckets` needs and may not have: PACKET [n].

        Own packets from there, and shadows to there, are of the time of the old rules: the switch gives no others of these to an old
        owner. Packets of its own from elsewhere to there may be of either; with stamps, the new owner sees which it has.
        """
        move = self._current(token)
        chosen = self._chosen(buckets)
        rows = _joined(move.held).copy()
        source, target, own = (*self._ends(rows, chosen), rows["flags"] & SHADOW == 0)
        wanted = np.where(own, source, target)
        if self.stamped:
            staying = own & target & move.after[_bucket(rows, self.buckets, "src")]
            wanted |= staying & (rows["seq"].astype(np.int64) <= self._markers[marker])
        wanted |= own & target & (move.before & ~move.after)[_bucket(rows, self.buckets, "src")]
        rows["flags"][~source] |= np.uint32(SHADOW)  # who takes only the other end scores nothing
        return rows[wanted]

    def gave(self, token: int, buckets: Iterable[int]) -> None:
        """The new owner of these buckets has streams and rows: they are not this instance's any more."""
        self._current(token).gave |= self._chosen(buckets)

    def take(self, token: int, buckets: Iterable[int], rows: np.ndarray) -> None:
        """Rows of an old owner, to be played in their place; and its buckets are this instance's from now on."""
        move = self._current(token)
        move.took |= self._chosen(buckets)
        move.forwarded.append(rows)

    def release(self, token: int) -> dict[str, int]:
        """Go on: play what waited, in order. Rows held, and of these those that another instance plays."""
        if self.move is None or self.move.token != token:
            return {"held": 0, "handed_on": 0}
        before = self.counters["handed_on"]
        held = self.move.rows
        self._end(self.move)
        return {"held": held, "handed_on": self.counters["handed_on"] - before}

    def taken(self, token: int) -> list[int]:
        """Buckets that this instance took over in this move, whether or not it has ended."""
        for move in (*self.ended, *([self.move] if self.move else [])):
            if move.token == token and len(move.took):
                return np.flatnonzero(move.took).tolist()
        return []

    def _current(self, token: int) -> Move:
        if self.move is None or self.move.token != token:
            raise BrickError(f"this instance does not hold for move {token:#x}: it never did, or it waited for more than {LEASE_S:g} s")
        self._renew(self.move)
        return self.move

    def _renew(self, move: Move) -> None:
        move.until = time.monotonic() + LEASE_S

    def _end(self, move: Move) -> None:
        """The move is over for this instance, however far it came."""
        rows = _joined(move.held)
        if len(move.took) and move.took.any():
            rows = self._merged(move, rows)
        if len(move.gave) and move.gave.any():
            rows = self._without(move, rows)
        if len(rows):
            self._playing.append(rows[np.argsort(rows[self._key], kind="stable")])
        move.held, move.forwarded, self.move = [], [], None
        self.ended.append(move)

    def _merged(self, move: Move, rows: np.ndarray) -> np.ndarray:
        """With the rows of old owners, each packet once: an own packet wins over its shadow."""
        if not self.stamped:  # own packets from the buckets taken come from their old owner
            rows = rows[~((rows["flags"] & SHADOW != 0) & move.took[_bucket(rows, self.buckets, "src")])]
        every = np.concatenate([*move.forwarded, rows])
        if not self.stamped:
            return every
        shadow = (every["flags"] & SHADOW) != 0
        every = every[np.lexsort((shadow, every["seq"]))]
        first = np.ones(len(every), np.bool_)
        first[1:] = every["seq"][1:] != every["seq"][:-1]
        return every[first]

    def _without(self, move: Move, rows: np.ndarray) -> np.ndarray:
        """Packets of sources that were given away become shadows, where their other end is still owned here; else they go."""
        kept = (move.before & ~move.gave) | (move.after & ~move.before)
        source, target = _bucket(rows, self.buckets, "src"), _bucket(rows, self.buckets, "dst")
        shadow = rows["flags"] & SHADOW != 0
        given = ~shadow & move.gave[source]
        gone = (given & ~kept[target]) | (shadow & move.gave[target] & ~kept[source] & ~kept[target])
        rows["flags"][given] |= np.uint32(SHADOW)
        self.counters["handed_on"] += int(np.count_nonzero(given))
        return rows[~gone]

    def _chosen(self, buckets: Iterable[int]) -> np.ndarray:
        chosen = np.zeros(self.buckets, np.bool_)
        for bucket in buckets:
            if not isinstance(bucket, int) or not 0 <= bucket < self.buckets:
                raise BrickError(f"there is no bucket {bucket!r}: wanted one from 0 to {self.buckets - 1}")
            chosen[bucket] = True
        return chosen

    def _ends(self, rows: np.ndarray, chosen: np.ndarray) -> tuple[Any, Any]:
        return chosen[_bucket(rows, self.buckets, "src")], chosen[_bucket(rows, self.buckets, "dst")]

    def __repr__(self) -> str:
        return f"<Hold of {self.source!r} passed={self.passed} {self.move or 'passing'}>"


def _bucket(rows: np.ndarray, buckets: int, side: str) -> np.ndarray:
    return bucket_of(rows, buckets, side).astype(np.int64)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else _NOTHING
