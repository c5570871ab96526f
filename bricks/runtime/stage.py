"""A brick at its place in a process: where its batches come from and go to, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bricks.records.brick import Batch, Brick
from bricks.records.sequence import SequenceRange
from bricks.runtime.meter import Meter
from bricks.runtime.outputs import Outputs, opened
from bricks.runtime.reorder import ReorderBuffer
from bricks.transport.rings import RingReader, RingWriter


class FinishedBatch(NamedTuple):
    """What a brick made of a batch; `began` (thread CPU seconds) and `taken_ns` (monotonic): when it took it."""

    batch: Batch
    result: Batch
    began: float
    taken_ns: int


class Stage:
    """One brick with its routing table: rings that it reads, rings to its next hops, and the next brick of the same process.

    `last`: the graph ends here. `shares`: the next bricks may take any batch, so that there may be several. `slow_us`: see Meter.
    `tap` sees every batch before the brick does, in the order in which the brick gets it.
    """

    def __init__(
        self, brick: Brick, following: Stage | None = None, *, last: bool = False, shares: bool = True, slow_us: float = 0.0
    ) -> None:
        self.brick, self.following, self.last = brick, following, last
        self.inputs: list[RingReader] = []
        self.retiring: list[RingReader] = []
        self.exits = Outputs(brick.id, following is not None, shares)
        self.order = ReorderBuffer(joins=brick.state is None) if brick.in_order or brick.state is not None else None
        self.tap: Callable[[Batch], None] | None = None
        self.meter = Meter(slow_us, last)
        self._turn = 0
        self._reached: dict[str, int] = {}  # ring -> the row up to which it brought batches

    @property
    def outputs(self) -> list[RingWriter]:
        return self.exits.rings

    # ---- where a batch may go ----
    def admits(self, first: int) -> bool:
        """Whether the batch that begins at row `first` could be taken by this brick now, and by all that get it at once from it."""
        if self.order is not None and not self.order.admits(first):
            return False
        return self.has_exit(first)

    def has_exit(self, first: int) -> bool:
        """Whether the brick's result has somewhere to go; at the end of the graph it always has."""
        exits = self.exits
        if exits.cut is not None:
            return exits.all_have_room() and self._here_now(first)
        if exits.rings and exits.any_has_room():
            return True
        return self._here_now(first) if exits.here else self.last

    def _here_now(self, first: int) -> bool:
        """Whether the next brick of this process could take the batch; if it is no next hop, nothing depends on it."""
        return not self.exits.here or self.following is None or self.following.admits(first)

    # ---- taking and giving batches ----
    def step(self, now: float) -> bool:
        """Do one batch of those that wait for this brick, if its result has somewhere to go; False: there was none."""
        # nothing is given up before the rings are empty: this process may itself have stood still for long
        if self._send_carried() or self._do_held(now) or self._do_ring(now) or self._do_held(now, patient=False):
            self.meter.stuck(False, now)
            return True
        self.meter.stuck(self._is_stuck(), now)
        return False

    def _is_stuck(self) -> bool:
        """Rows wait for the brick, and what they become has nowhere to go."""
        waiting = self.exits.carried or (self.order and len(self.order)) or any(ring.queued for ring in (*self.inputs, *self.retiring))
        return bool(waiting) and not self.has_exit(self.order.wanted if self.order is not None else 0)

    def accept(self, batch: Batch, ticket: SequenceRange, now: float) -> None:
        """Process a batch that `admits` allowed, at its turn, and pass the result on."""
        if self.order is None or self.order.offer(batch, ticket, now):
            self._process(batch, ticket, now)

    def _do_held(self, now: float, patient: bool = True) -> bool:
        """A held batch whose turn it is. Not `patient`: go on without what does not come, once it is overdue."""
        if self.order is None or not len(self.order) or not self.has_exit(self.order.wanted):
            return False
        if not patient:
            self.order.behind = self._is_behind(self.order.wanted)
        there = self.order.due() if patient else self.order.overdue(now)
        if there is not None:
            self._process(*there, now)
        return there is not None

    def _is_behind(self, wanted: int) -> bool:
        """Whether somebody who lives has not come so far yet: what he takes in he passes on in order, if he reads one ring."""
        return any(self._reached.get(ring.name, 0) <= wanted and ring.writer_lives for ring in (*self.inputs, *self.retiring))

    def _do_ring(self, now: float) -> bool:
        """A batch from a ring."""
        found = self._choose()
        if found is None:
            return self._let_go()
        ring, batch, ticket = found
        self.accept(batch, ticket, now)
        del found, batch  # no view of the slot may outlive its release
        ring.release(self.order.wanted if self.order is not None else ticket.end)
        self._reached[ring.name] = ticket.end
        return True

    def _choose(self) -> tuple[RingReader, Batch, SequenceRange] | None:
        """Of the rings' oldest batches one whose turn it is; else one that can be held until then, which costs a copy and a further round.

        Were they taken as they come, a decision maker that is behind would hold most batches: that doubles its costs, and keeps it behind.
        """
        rings, early = [*self.inputs, *self.retiring], None
        for at in range(self._turn, self._turn + len(rings)):
            ring = rings[at % len(rings)]
            there = ring.peek()
            if there is None or not self.admits(there[1].first):
                continue
            if self.order is None or there[1].first <= self.order.wanted:
                self._turn = (at + 1) % len(rings)
                return ring, *there
            early = early or (ring, *there)
        return early

    def _process(self, batch: Batch, ticket: SequenceRange, now: float) -> None:
        began, taken_ns = time.thread_time(), time.monotonic_ns()
        if self.tap is not None:
            self.tap(batch)
        result = self.brick.process(batch)
        self.meter.burn(len(batch), began)
        self._pass_on(FinishedBatch(batch, result, began, taken_ns), ticket, now)

    def emit(self, batch: Batch, ticket: SequenceRange, began: float, now: float) -> None:
        """Pass on what a source took; `began` (thread CPU seconds) is when it began to."""
        taken_ns = time.monotonic_ns()
        self.meter.burn(len(batch), began)
        self._pass_on(FinishedBatch(batch, batch, began, taken_ns), ticket, now)

    def _pass_on(self, done: FinishedBatch, ticket: SequenceRange, now: float) -> None:
        here = self._send(done.result, ticket)
        rows = len(done.batch), len(done.result)
        done_ns = self.meter.account(rows, time.thread_time() - done.began, ticket, done.taken_ns)
        if here is not None and self.following is not None:
            self.following.accept(here[0], here[1].at(done_ns), now)

    def _send(self, result: Batch, ticket: SequenceRange) -> tuple[Batch, SequenceRange] | None:
        """Put the result where it goes in other processes; what the next brick of this one is to get."""
        return self.exits.send(result, ticket, self._here_now(ticket.first))

    def _send_carried(self) -> bool:
        """Send on a batch that was taken back from a ring whose reader died."""
        carried = self.exits.carried
        if not carried or not self.has_exit(carried[0][1].first):
            return False
        here = self._send(*carried.pop(0))
        if here is not None and self.following is not None:
            self.following.accept(*here, time.monotonic())
        return True

    # ---- changes of the routing table ----
    def set_inputs(self, names: list[str], rows: int) -> None:
        """Read these rings. One that is not among them any more is read until it is empty, and removed."""
        kept = {ring.name: ring for ring in (*self.inputs, *self.retiring)}
        self.inputs = opened(RingReader, names, kept, rows)
        self.retiring = [ring for name, ring in kept.items() if name not in names]

    def _let_go(self) -> bool:
        """End the rings that are not to be read any more and are empty."""
        done = [ring for ring in self.retiring if not ring.queued and not ring.writer_lives]
        for ring in done:
            ring.end()
            self.retiring.remove(ring)
        return bool(done)

    def close(self) -> None:
        """End the rings that it reads, let go of those that it writes."""
        for reader in (*self.inputs, *self.retiring):
            reader.end()
        self.inputs, self.retiring = [], []
        self.exits.close()

    # ---- what it says of itself ----
    @property
    def queue_in(self) -> int:
        """Rows that wait for this brick."""
        held = self.order.held_rows if self.order is not None else 0
        return held + sum(ring.queued_rows for ring in (*self.inputs, *self.retiring))

    @property
    def idle(self) -> bool:
        """Nothing waits for this brick, or to be sent on by it."""
        waits = self.exits.carried or (self.order and len(self.order)) or any(r.queued for r in (*self.inputs, *self.retiring))
        return not waits

    def report(self) -> dict[str, Any]:
        """The brick's part of a load report."""
        lost, repeated = (0, 0) if self.order is None else (self.order.lost, self.order.repeated)
        return {
            "id": self.brick.id,
            "kind": self.brick.kind,
            "serial": self.brick.serial,
            **self.meter.report(),
            "queue_in": self.queue_in,
            "queue_out": self.exits.queued_rows,
            "dropped": self.brick.dropped | ({"lost": lost} if lost else {}),
            "counters": self.brick.counters | self.meter.counters() | ({"repeated": repeated} if repeated else {}),
        }

    def __repr__(self) -> str:
        return f"<Stage {self.brick.id} in={self.inputs} out={self.exits!r}>"
