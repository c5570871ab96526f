"""Buffer of an instance's packets while buckets move between instances, so that no bit of any score depends on the move.

All instances that give or take buckets hold from one stamp on, the cut: earlier packets are processed as before, later ones wait. So all
states are those of one moment. The switch's rules change; a marker shows that no packet is under way by the old rules; the old owner hands
over streams and waiting packets of the moved buckets; then all instances go on, in the order of stamps.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

import numpy as np

from bricks.packet_batching import PacketSource
from bricks.records.packets import PACKET, SHADOW
from bricks.streams.held_packets import HeldPackets, chosen_of
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

MOST = 1 << 18  # rows that may wait
LEASE_S = 15.0  # without a word from the mover: then the hold ends by itself
COUNTERS = ("held", "held_dropped", "held_shadows_dropped", "holds_expired", "expired", "handed_on")
_READS = 64  # of the source, between two looks for calls
_BEHIND = 64  # rows passed on one after the other below the highest: it was none of theirs


class HandoverBuffer:
    """A packet source behind another one, that passes everything on but while it holds.

    Reads: held (rows that had to wait), held_dropped, held_shadows_dropped (for want of room), holds_expired (ended without the mover),
    expired (rows that waited in these), handed_on (packets that another instance scores)
    """

    def __init__(
        self,
        source: PacketSource,
        buckets: int,
        stamped: bool = True,
        most: int = MOST,
        key: SplitKey = BY_SOURCE,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self.source, self.buckets, self.stamped, self.most, self.key = source, buckets, stamped, most, key
        self.passed = -1  # highest stamp (or latest time) passed on
        self._behind = 0  # rows passed on since then
        self.move: HeldPackets | None = None
        self.ended: deque[HeldPackets] = deque(maxlen=4)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._key = "seq" if stamped else "time_ns"
        self._playing: deque[np.ndarray] = deque()
        self._fresh = np.zeros(1024, PACKET)

    # ---- what a packet source does ----
    def fileno(self) -> int:
        return self.source.fileno()

    def read(self, out: np.ndarray) -> int:
        """As the source's, but for what waits."""
        if self.move is not None and self._clock() > self.move.until:
            self.give_up()
        if self._playing:
            rows = self._play(out)
        elif self.move is not None:
            rows = self._hold(self.move, out)
        else:
            rows = self.source.read(out)
        if rows:
            self._pass(int(out[self._key][rows - 1]), rows)
        return rows

    def _pass(self, last: int, rows: int) -> None:
        """`rows` went on, the last with this stamp or time.

        A stamp or a clock that was far ahead of its time for a while must not make later moves hold nothing.
        """
        self._behind = 0 if last >= self.passed else self._behind + rows
        if last >= self.passed or not self.stamped or self._behind >= _BEHIND:
            self.passed = last

    def queue(self) -> float:
        return self.source.queue()

    def waited_ns(self) -> int:
        """Of the source; what waits here for the end of a move is not told apart."""
        return self.source.waited_ns() if hasattr(self.source, "waited_ns") else 0

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

    def _hold(self, move: HeldPackets, out: np.ndarray) -> int:
        """What is up to the cut goes on; the rest waits."""
        given = 0
        for _ in range(_READS):
            fresh = self._fresh[: len(out) - given]
            rows = self.source.read(fresh)
            if rows == 0:
                break
            on = move.goes_on(fresh[:rows])
            count = int(np.count_nonzero(on))
            out[given : given + count] = fresh[:rows][on]
            given += count
            self._keep(move, fresh[:rows][~on])
            if given == len(out):
                break
        return given

    def _keep(self, move: HeldPackets, rows: np.ndarray) -> None:
        room = self.most - move.count
        if len(rows) > room:
            own = len(rows) - room if self.key.apart else int(np.count_nonzero(rows["flags"][room:] & SHADOW == 0))
            self.counters["held_dropped"] += own
            self.counters["held_shadows_dropped"] += len(rows) - room - own
            rows = rows[:room]
        self.counters["held"] += len(rows)
        move.add(rows)

    # ---- a move, step by step ----
    def begin(self, token: int) -> int:
        """Hold from now on; returns the highest stamp (or time) passed on. One that is under way ends, and its rows wait on."""
        if self.move is None or self.move.token != token:
            if self.move is not None:
                self._end(self.move)
            self.move = HeldPackets(token, self._clock() + LEASE_S, self.stamped, self.key)
            for rows in self._playing:
                self._keep(self.move, rows)
            self._playing.clear()
        self._current(token)
        return self.passed

    def cut(self, token: int, stamp: int, before: Iterable[int], after: Iterable[int]) -> None:
        """Where the hold begins, for all alike, and what this instance owns before and after the move."""
        move = self._current(token)
        if stamp < self.passed:
            raise BrickError(f"packets up to {self.passed} went on already, the cut cannot be at {stamp}")
        on = move.begin(stamp, chosen_of(before, self.buckets), chosen_of(after, self.buckets))
        if len(on):
            self._playing.append(on)

    def arrived(self, token: int, markers: Iterable[int]) -> int | None:
        """The first of these markers that came, once all rows before it are held or passed on."""
        self._current(token)
        return None if self._playing else next((marker for marker in markers if marker in self._markers), None)

    @property
    def _markers(self) -> dict[int, int]:
        return getattr(self.source, "markers", {})

    def has_passed(self, marker: int) -> bool:
        """Whether this marker came, and all rows before it went on."""
        return self.move is None and not self._playing and marker in self._markers

    def rows_for(self, token: int, buckets: Iterable[int], marker: int) -> np.ndarray:
        """Waiting rows that the new owner of these buckets needs and may not have: PACKET [n]. `marker`: one that came."""
        move = self._current(token)
        if move.cut is None or marker not in self._markers:
            raise BrickError("nothing can be handed over before the cut and the marker")
        return move.needed(chosen_of(buckets, self.buckets), self._markers[marker])

    def rows_to_copy(self, token: int, marker: int, scored: Iterable[int]) -> np.ndarray:
        """Waiting packets of this instance's own, for one that gets every packet from the marker on: PACKET [n].

        It scores those from the `scored` buckets, and takes the others as shadows.
        """
        move = self._current(token)
        if move.cut is None or marker not in self._markers:
            raise BrickError("nothing can be copied before the cut and the marker")
        return move.own(chosen_of(scored, self.buckets))

    def gave(self, token: int, buckets: Iterable[int]) -> None:
        """The new owner of these buckets has streams and rows: they are not this instance's any more."""
        self._current(token).gave |= chosen_of(buckets, self.buckets)

    def abandon(self, token: int, buckets: Iterable[int]) -> None:
        """These buckets stay with none of those who take part in the move: a standby scores their packets, those that wait here too."""
        move = self._current(token)
        if move.cut is None:
            raise BrickError("nothing can be given up before the cut")
        lost = chosen_of(buckets, self.buckets)
        move.gave |= lost
        move.took &= ~lost
        move.after &= ~lost

    def take(self, token: int, buckets: Iterable[int], rows: np.ndarray) -> None:
        """Rows of an old owner, to be played in their place; and its buckets are this instance's from now on."""
        move = self._current(token)
        if move.cut is None:
            raise BrickError("nothing can be taken over before the cut")
        move.took |= chosen_of(buckets, self.buckets)
        move.forwarded.append(rows)

    def release(self, token: int) -> dict[str, int]:
        """Go on: play what waited, in order. Rows held, and of these those that another instance scores."""
        if self.move is None or self.move.token != token:
            return {"held": 0, "handed_on": 0}
        before, held = self.counters["handed_on"], self.move.count
        self._end(self.move)
        return {"held": held, "handed_on": self.counters["handed_on"] - before}

    @property
    def latest(self) -> int | None:
        """The move that this instance held for last, or holds for."""
        last = self.move or next(reversed(self.ended), None)
        return last.token if last is not None else None

    def taken(self, token: int) -> list[int]:
        """Buckets that this instance took over in this move, whether or not it has ended."""
        found = [move for move in (*self.ended, self.move) if move is not None and move.token == token]
        return np.flatnonzero(found[-1].took).tolist() if found else []

    def renew(self, token: int) -> None:
        """The mover lives. BrickError if this instance does not hold for this move."""
        self._current(token)

    def give_up(self) -> None:
        """Wait no more: the process is to end."""
        if self.move is not None:
            self.counters["holds_expired"] += 1
            self.counters["expired"] += self.move.count
            self._end(self.move)

    def _current(self, token: int) -> HeldPackets:
        """The move under way, which goes on waiting for `LEASE_S`."""
        if self.move is None or self.move.token != token:
            raise BrickError(f"this instance does not hold for move {token:#x}: it never did, or it waited for more than {LEASE_S:g} s")
        self.move.until = self._clock() + LEASE_S
        return self.move

    def _end(self, move: HeldPackets) -> None:
        """The move is over for this instance, however far it came."""
        rows, handed_on = move.to_play()
        self.counters["handed_on"] += handed_on
        if len(rows):
            self._playing.append(rows)
        move.rows, move.forwarded, self.move = [], [], None
        self.ended.append(move)

    def __repr__(self) -> str:
        return f"<Hold of {self.source!r} passed={self.passed} {f'waiting={self.move.count}' if self.move else 'passing'}>"
