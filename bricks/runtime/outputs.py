"""Where a brick's results go along one edge of the graph: over rings to its next hops in other processes, and to the next brick of its own
process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bricks.records.brick import Batch, Brick
from bricks.records.sequence import NO_PART, SequenceRange
from bricks.streams.partitioner import KeyTable, partition
from bricks.transport.rings import RingReader, RingWriter
from lego_sdn.core.facts.errors import BrickError, LegoError

End = TypeVar("End", RingReader, RingWriter)
Given = tuple[Batch, SequenceRange]
AHEAD = 2  # batches in the ring of a next hop beside which this process does the same work


class Follower(Protocol):
    """The next brick in this process, at its place: `bricks.runtime.stage.Stage` is one."""

    brick: Brick

    def admits(self, first: int) -> bool:
        """Whether it could take the batch that begins at row `first` now."""

    def accept(self, batch: Batch, ticket: SequenceRange, now: float, edge: int = 0) -> None:
        """Take a batch that came by an edge."""


@dataclass(frozen=True)
class NextNode:
    """Where an edge leads.

    target     the node; following: its brick in this process, if there is one
    edge       which of the target's inputs it is, as `Graph.before` numbers them
    shares     the target may take any batch, so that there may be several replicas of it
    pick       what of a batch goes along the edge; None: all of it, as it is
    """

    target: str = ""
    following: Follower | None = None
    edge: int = 0
    shares: bool = True
    pick: Callable[[Batch], Batch] | None = None


class Outputs:
    """The routing table of one brick for one edge: every batch goes to one replica of the next node, or by key to each its part.

    here    whether the next brick of this process is a next hop, too; else it is an idle seat, or there is none
    cut     for keyed next hops, which each get their part of every batch. Hops are numbered as in `rings`; the next brick of this process
            is the one after them
    carried what was taken back from a ring whose reader died, to be sent again
    """

    def __init__(self, brick: str, to: NextNode) -> None:
        self.brick, self.to, self.here = brick, to, to.following is not None
        self.rings: list[RingWriter] = []
        self.cut: KeyTable | None = None
        self.carried: list[Given] = []

    # ---- where a batch may go ----
    def has_room(self, first: int) -> bool:
        """Whether the batch that begins at row `first` has somewhere to go along this edge."""
        if self.cut is not None:
            return self.all_have_room() and self.here_now(first)
        if self.rings and self.any_has_room():
            return True
        return self.here and self.here_now(first)

    def here_now(self, first: int) -> bool:
        """Whether the next brick of this process could take the batch; if it is no next hop, nothing depends on it."""
        return not self.here or self.to.following is None or self.to.following.admits(first)

    def any_has_room(self) -> bool:
        """Whether a ring could take a batch now."""
        return any(ring.has_room for ring in self.rings)

    def all_have_room(self) -> bool:
        return all(ring.has_room for ring in self.rings)

    def send(self, result: Batch, ticket: SequenceRange) -> Given | None:
        """Put the result into its ring, or its parts into theirs. Returns what the next brick of this process is to get; None: nothing."""
        if ticket.part == NO_PART:
            return None
        return self._put(result if self.to.pick is None else self.to.pick(result), ticket)

    def send_carried(self) -> Given | None:
        """The same with the oldest of what was taken back."""
        return self._put(*self.carried.pop(0))

    def _put(self, result: Batch, ticket: SequenceRange) -> Given | None:
        if self.cut is not None:
            return self._send_parts(result, ticket, self.cut)
        ring = self._hop(ticket.first)
        if ring is None:
            return result, ticket
        if not ring.put(result, ticket):
            self.carried.append((result.copy(), ticket))  # its reader ended it just now
        return None

    def _hop(self, first: int) -> RingWriter | None:
        """Choose the next hop: a ring with fewer than AHEAD queued batches, so that its reader stays busy; else the next brick of this
        process (None); else the least filled ring."""
        if not self.rings:
            return None
        ring = min(self.rings, key=_waiting)
        if not self.here or (ring.has_room and ring.queued < AHEAD):
            return ring
        return None if self.here_now(first) else ring

    def _send_parts(self, result: Batch, ticket: SequenceRange, cut: KeyTable) -> Given | None:
        mine = None
        for hop, part, its in partition(result, ticket, cut):
            if hop == len(self.rings):
                mine = part, its
            else:
                self.rings[hop].put(part, its)  # there is room; whose reader just ended it is dead: what it lost is missed where parts join
        return mine

    # ---- changes ----
    def set_rings(self, names: list[str], rows: int) -> None:
        """Send to these rings. What waits in a ring that is not among them any more, and whose reader is dead, is sent to the others."""
        if not self.to.shares and len(names) + self.here > 1:
            raise BrickError(f"the brick after {self.brick} needs every batch in order: it has one next hop, not {', '.join(names)}")
        self._replace(opened(RingWriter, names, self._kept, rows), rows)

    def set_parts(self, rings: list[RingWriter], here: bool, cut: KeyTable | None) -> None:
        """Send to these rings, which are open, and to the next brick of this process if `here`; cut, if there are several hops."""
        self.here, self.cut = here, cut
        self._replace(rings, 0)

    @property
    def _kept(self) -> dict[str, RingWriter]:
        return {ring.name: ring for ring in self.rings}

    def _replace(self, rings: list[RingWriter], rows: int) -> None:
        gone = [ring for ring in self.rings if ring not in rings]
        self.rings = rings
        for ring in gone:
            orphaned = rows and not ring.reader_lives
            ring.close()
            if orphaned:
                self.carried += _take_over(ring.name, rows)

    def close(self) -> None:
        for ring in self.rings:
            ring.close()
        self.rings = []

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the next bricks in other processes."""
        return sum(ring.queued_rows for ring in self.rings) + sum(len(batch) for batch, _ in self.carried)

    def __repr__(self) -> str:
        return f"<Exits of {self.brick} {self.rings}{' and the next' if self.here else ''}{'' if self.cut is None else ', by bucket'}>"


def opened(end: type[End], names: list[str], kept: dict[str, End], rows: int) -> list[End]:
    """The rings of these names, those of `kept` as they are. If one cannot be opened, none is."""
    fresh: list[End] = []
    try:
        for name in dict.fromkeys(names):
            if name not in kept:
                fresh.append(end(name, rows))
    except LegoError:
        for ring in fresh:
            ring.close()
        raise
    there = kept | {ring.name: ring for ring in fresh}
    return [there[name] for name in dict.fromkeys(names)]


def _waiting(ring: RingWriter) -> tuple[bool, int]:
    return not ring.has_room, ring.queued


def _take_over(name: str, rows: int) -> list[Given]:
    """Everything that waits in a ring that nobody reads any more; the ring is ended."""
    ring, found = RingReader(name, rows), []
    while (there := ring.peek()) is not None:
        found.append((there[0].copy(), there[1]))
        del there
        ring.release(found[-1][1].end)
    ring.end()
    return found
