"""A brick at its place in a process: where its batches come from and go to, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from bricks.base import Batch, Brick
from bricks.meter import Meter
from bricks.order import Order
from bricks.rings import RingReader, RingWriter, Ticket
from lego_sdn.core.errors import BrickError, LegoError

End = TypeVar("End", RingReader, RingWriter)


class Done(NamedTuple):
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
        self.brick, self.following, self.last, self.shares = brick, following, last, shares
        self.inputs: list[RingReader] = []
        self.outputs: list[RingWriter] = []
        self.retiring: list[RingReader] = []
        self.carried: list[tuple[Batch, Ticket]] = []
        self.order = Order() if brick.in_order or brick.state is not None else None
        self.tap: Callable[[Batch], None] | None = None
        self.meter = Meter(slow_us, last)
        self._turn = 0

    # ---- where a batch may go ----
    def admits(self, first: int) -> bool:
        """Whether the batch that begins at row `first` could be taken by this brick now, and by all that get it at once from it."""
        if self.order is not None and not self.order.admits(first):
            return False
        return self.has_exit(first)

    def has_exit(self, first: int) -> bool:
        """Whether the brick's result has somewhere to go; at the end of the graph it always has."""
        if any(ring.has_room for ring in self.outputs):
            return True
        return self.following.admits(first) if self.following else self.last

    def _hop(self, first: int) -> RingWriter | None:
        """The next hop with the least to do: a ring where nothing waits, else (None) this process's next brick, else the emptiest ring."""
        if not self.outputs:
            return None
        ring = min(self.outputs, key=_waiting)
        if self.following is None or (ring.has_room and not ring.queued):
            return ring
        return None if self.following.admits(first) else ring

    # ---- taking and giving batches ----
    def step(self, now: float) -> bool:
        """Do one batch of those that wait for this brick, if its result has somewhere to go; False: there was none."""
        if self._send_carried() or self._do_held(now) or self._do_ring(now):
            self.meter.stuck(False, now)
            return True
        self.meter.stuck(self._is_stuck(), now)
        return False

    def _is_stuck(self) -> bool:
        """Rows wait for the brick, and what they become has nowhere to go."""
        waiting = self.carried or (self.order and len(self.order)) or any(ring.queued for ring in (*self.inputs, *self.retiring))
        return bool(waiting) and not self.has_exit(self.order.wanted if self.order else 0)

    def accept(self, batch: Batch, ticket: Ticket, now: float) -> None:
        """Process a batch that `admits` allowed, at its turn, and pass the result on."""
        if self.order is None or self.order.offer(batch, ticket, now):
            self._process(batch, ticket, now)

    def _do_held(self, now: float) -> bool:
        if self.order is None or not len(self.order) or not self.has_exit(self.order.wanted):
            return False
        there = self.order.due(now)
        if there is not None:
            self._process(*there, now)
        return there is not None

    def _do_ring(self, now: float) -> bool:
        rings = [*self.inputs, *self.retiring]
        for at in range(len(rings)):
            ring = rings[(self._turn + at) % len(rings)]
            there = ring.peek()
            if there is not None and self.admits(there[1].first):
                self.accept(*there, now)
                ticket = there[1]
                del there  # no view of the slot may outlive its release
                ring.release(self.order.wanted if self.order else ticket.end)
                self._turn = (self._turn + at + 1) % len(rings)
                return True
        return self._let_go()

    def _process(self, batch: Batch, ticket: Ticket, now: float) -> None:
        began, taken_ns = time.thread_time(), time.monotonic_ns()
        if self.tap is not None:
            self.tap(batch)
        result = self.brick.process(batch)
        self.meter.burn(len(batch), began)
        self._pass_on(Done(batch, result, began, taken_ns), ticket, now)

    def emit(self, batch: Batch, ticket: Ticket, began: float, now: float) -> None:
        """Pass on what a source took; `began` (thread CPU seconds) is when it began to."""
        taken_ns = time.monotonic_ns()
        self.meter.burn(len(batch), began)
        self._pass_on(Done(batch, batch, began, taken_ns), ticket, now)

    def _pass_on(self, done: Done, ticket: Ticket, now: float) -> None:
        here = self._send(done.result, ticket)
        rows = len(done.batch), len(done.result)
        done_ns = self.meter.account(rows, time.thread_time() - done.began, ticket, done.taken_ns)
        if here and self.following is not None:
            self.following.accept(done.result, ticket.at(done_ns), now)

    def _send(self, result: Batch, ticket: Ticket) -> bool:
        """Put the result into a ring if that is its next hop; True: the next hop is in this process."""
        ring = self._hop(ticket.first)
        if ring is not None and not ring.put(result, ticket):
            self.carried.append((result.copy(), ticket))  # its reader ended it just now
        return ring is None

    # ---- changes of the routing table ----
    def set_inputs(self, names: list[str], rows: int) -> None:
        """Read these rings. One that is not among them any more is read until it is empty, and removed."""
        kept = {ring.name: ring for ring in (*self.inputs, *self.retiring)}
        self.inputs = _opened(RingReader, names, kept, rows)
        self.retiring = [ring for name, ring in kept.items() if name not in names]

    def set_outputs(self, names: list[str], rows: int) -> None:
        """Send to these rings. What waits in a ring that is not among them any more, and whose reader is dead, is sent to the others."""
        if not self.shares and len(names) + (self.following is not None) > 1:
            raise BrickError(f"the brick after {self.brick.id} needs every batch in order: it has one next hop, not {', '.join(names)}")
        kept = {ring.name: ring for ring in self.outputs}
        self.outputs = _opened(RingWriter, names, kept, rows)
        for ring in (ring for name, ring in kept.items() if name not in names):
            orphaned = not ring.reader_lives
            ring.close()
            if orphaned:
                self.carried += _take_over(ring.name, rows)

    def _send_carried(self) -> bool:
        """Send on a batch that was taken back from a ring whose reader died."""
        if not self.carried or not self.has_exit(self.carried[0][1].first):
            return False
        batch, ticket = self.carried.pop(0)
        if self._send(batch, ticket) and self.following is not None:
            self.following.accept(batch, ticket, time.monotonic())
        return True

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
        for writer in self.outputs:
            writer.close()
        self.inputs, self.retiring, self.outputs = [], [], []

    # ---- what it says of itself ----
    @property
    def queue_in(self) -> int:
        """Rows that wait for this brick."""
        held = self.order.held_rows if self.order else 0
        return held + sum(ring.queued_rows for ring in (*self.inputs, *self.retiring))

    @property
    def idle(self) -> bool:
        """Nothing waits for this brick, or to be sent on by it."""
        return not self.carried and not (self.order and len(self.order)) and not any(r.queued for r in (*self.inputs, *self.retiring))

    def report(self) -> dict[str, Any]:
        """The brick's part of a load report."""
        order = self.order
        return {
            "id": self.brick.id,
            "kind": self.brick.kind,
            "serial": self.brick.serial,
            **self.meter.report(),
            "queue_in": self.queue_in,
            "queue_out": sum(ring.queued_rows for ring in self.outputs) + sum(len(batch) for batch, _ in self.carried),
            "dropped": self.brick.dropped | ({"lost": order.lost} if order and order.lost else {}),
            "counters": self.brick.counters | self.meter.counters() | ({"repeated": order.repeated} if order and order.repeated else {}),
        }

    def __repr__(self) -> str:
        return f"<Stage {self.brick.id} in={self.inputs} out={self.outputs}{' and the next' if self.following else ''}>"


def _waiting(ring: RingWriter) -> tuple[bool, int]:
    return not ring.has_room, ring.queued


def _opened(end: type[End], names: list[str], kept: dict[str, End], rows: int) -> list[End]:
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


def _take_over(name: str, rows: int) -> list[tuple[Batch, Ticket]]:
    """Everything that waits in a ring that nobody reads any more; the ring is ended."""
    ring, found = RingReader(name, rows), []
    while (there := ring.peek()) is not None:
        found.append((there[0].copy(), there[1]))
        del there
        ring.release(found[-1][1].end)
    ring.end()
    return found
