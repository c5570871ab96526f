"""A brick at its place in a process: where its batches come from and go to, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bricks.records.brick import Batch, Brick
from bricks.records.sequence import SequenceRange
from bricks.runtime.meter import Meter
from bricks.runtime.outputs import Given, NextNode, Outputs, opened
from bricks.runtime.reorder import ONE_INPUT, Joining, ReorderBuffer
from bricks.transport.rings import RingReader, RingWriter
from lego_sdn.core.facts.errors import BrickError

Rings = Mapping[str, Sequence[str]] | Sequence[str]  # names, by the node at the other end; without, where there is one such node


class FinishedBatch(NamedTuple):
    """What a brick made of a batch; `began` (thread CPU seconds) and `taken_ns` (monotonic): when it took it."""

    batch: Batch
    result: Batch
    began: float
    taken_ns: int


@dataclass(frozen=True)
class StagePlace:
    """Where a brick is in a graph that branches or joins: the nodes before it, the edges after it, and how its inputs are joined."""

    before: tuple[str, ...] = ()
    after: tuple[NextNode, ...] = ()
    joining: Joining = ONE_INPUT


class Stage:
    """One brick with its routing table: rings that it reads, and for every edge rings to its next hops and the next brick of the process.

    `following`, `shares`: where one edge leads, if no `place` says more. `last`: the graph ends here. `slow_us`: see Meter.
    `tap` sees every batch before the brick does, in the order in which the brick gets it; `after` may replace what the brick made of it.
    """

    def __init__(
        self,
        brick: Brick,
        following: Stage | None = None,
        *,
        last: bool = False,
        shares: bool = True,
        slow_us: float = 0.0,
        place: StagePlace | None = None,
    ) -> None:
        self.brick, self.last = brick, last
        self.place = place or StagePlace(after=() if last else (NextNode("", following, 0, shares),))
        self.inputs: list[RingReader] = []
        self.retiring: list[RingReader] = []
        self.ways = [Outputs(brick.id, to) for to in self.place.after]
        joining = self.place.joining
        in_order = brick.in_order or brick.state is not None or joining.edges > 1
        self.order = ReorderBuffer(joins=brick.state is None, how=joining) if in_order else None
        self.tap: Callable[[Batch], None] | None = None
        self.after: Callable[[Batch], Batch] | None = None
        self.meter = Meter(slow_us, last)
        self._turn = 0
        self._reached: dict[str, int] = {}  # ring -> the row up to which it brought batches
        self._edges: dict[str, int] = {}  # ring -> the edge that it belongs to

    @property
    def exits(self) -> Outputs:
        """Where results go, for a brick with one edge. BrickError if there is none or several."""
        if len(self.ways) != 1:
            raise BrickError(f"{self.brick.id} gives its results to {len(self.ways)} nodes: say to which")
        return self.ways[0]

    def way(self, target: str) -> Outputs:
        """Where results go along the edge to a node. BrickError if there is no such edge."""
        for way in self.ways:
            if way.to.target == target:
                return way
        raise BrickError(f"no edge leads from {self.brick.id} to {target}")

    @property
    def outputs(self) -> list[RingWriter]:
        return [ring for way in self.ways for ring in way.rings]

    # ---- where a batch may go ----
    def admits(self, first: int) -> bool:
        """Whether the batch that begins at row `first` could be taken by this brick now, and by all that get it at once from it."""
        if self.order is not None and not self.order.admits(first):
            return False
        return self.has_exit(first)

    def has_exit(self, first: int) -> bool:
        """Whether the brick's result has somewhere to go along every edge; at the end of the graph it always has."""
        for way in self.ways:
            if not way.has_room(first):
                return False
        return self.last or bool(self.ways)

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
        return not self.idle and not self.has_exit(self.order.wanted if self.order is not None else 0)

    def accept(self, batch: Batch, ticket: SequenceRange, now: float, edge: int = 0) -> None:
        """Process a batch that `admits` allowed and that came by an edge, at its turn, and pass the result on."""
        if self.order is None or self.order.offer(batch, ticket, now, edge):
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
        self.accept(batch, ticket, now, self._edges[ring.name])
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
        result = self.work_on(batch)
        self.meter.burn(len(batch), began)
        self._pass_on(FinishedBatch(batch, result, began, taken_ns), ticket, now)

    def work_on(self, batch: Batch) -> Batch:
        """What the brick makes of a batch at its turn."""
        if self.tap is not None:
            self.tap(batch)
        result = self.brick.process(batch)
        return result if self.after is None else self.after(result)

    def emit(self, batch: Batch, ticket: SequenceRange, began: float, now: float) -> None:
        """Pass on what a source took; `began` (thread CPU seconds) is when it began to."""
        taken_ns = time.monotonic_ns()
        self.meter.burn(len(batch), began)
        self._pass_on(FinishedBatch(batch, batch, began, taken_ns), ticket, now)

    def _pass_on(self, done: FinishedBatch, ticket: SequenceRange, now: float) -> None:
        here = [(way.to, way.send(done.result, ticket)) for way in self.ways]
        rows = len(done.batch), len(done.result)
        done_ns = self.meter.account(rows, time.thread_time() - done.began, ticket, done.taken_ns)
        for to, given in here:
            self._give(to, given, now, done_ns)

    @staticmethod
    def _give(to: NextNode, given: Given | None, now: float, since_ns: int) -> None:
        """To the next brick of this process what it is to get."""
        if given is not None and to.following is not None:
            to.following.accept(given[0], given[1].at(since_ns), now, to.edge)

    def _send_carried(self) -> bool:
        """Send on a batch that was taken back from a ring whose reader died."""
        for way in self.ways:
            if way.carried and way.has_room(way.carried[0][1].first):
                since_ns = way.carried[0][1].since
                self._give(way.to, way.send_carried(), time.monotonic(), since_ns)
                return True
        return False

    # ---- changes of the routing table ----
    def set_inputs(self, rings: Rings, rows: int) -> None:
        """Read these rings. One that is not among them any more is read until it is empty, and removed."""
        by_node = self._by_node(rings, self.place.before)
        edges = {ring: self.place.before.index(node) if node else 0 for node, names in by_node.items() for ring in names}
        kept = {ring.name: ring for ring in (*self.inputs, *self.retiring)}
        self.inputs = opened(RingReader, list(edges), kept, rows)
        self.retiring = [ring for name, ring in kept.items() if name not in edges]
        self._edges = {ring.name: self._edges[ring.name] for ring in self.retiring} | edges

    def set_outputs(self, rings: Rings, rows: int) -> None:
        """Send to these rings. An edge of which nothing is said stays as it is."""
        targets = tuple(way.to.target for way in self.ways)
        for node, names in self._by_node(rings, targets).items():
            (self.way(node) if node else self.exits).set_rings(list(names), rows)

    def _by_node(self, rings: Rings, nodes: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
        """Rings by the node at their other end; "": the only one. BrickError if it is not said, or there is no such edge."""
        if isinstance(rings, Mapping):
            for node in rings:
                if node not in nodes:
                    raise BrickError(f"no edge joins {self.brick.id} and {node}")
            return rings
        if not rings:
            return dict.fromkeys(nodes, ())
        if len(nodes) > 1:
            raise BrickError(f"{self.brick.id} has edges with {', '.join(nodes)}: rings are told by node")
        return {"": rings}

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
        for way in self.ways:
            way.close()

    # ---- what it says of itself ----
    @property
    def queue_in(self) -> int:
        """Rows that wait for this brick."""
        held = self.order.held_rows if self.order is not None else 0
        return held + sum(ring.queued_rows for ring in (*self.inputs, *self.retiring))

    @property
    def idle(self) -> bool:
        """Nothing waits for this brick, or to be sent on by it."""
        waits = any(way.carried for way in self.ways) or (self.order and len(self.order))
        return not (waits or any(ring.queued for ring in (*self.inputs, *self.retiring)))

    def report(self) -> dict[str, Any]:
        """The brick's part of a load report."""
        lost, repeated = (0, 0) if self.order is None else (self.order.lost, self.order.repeated)
        return {
            "id": self.brick.id,
            "kind": self.brick.kind,
            "serial": self.brick.serial,
            **self.meter.report(),
            "queue_in": self.queue_in,
            "queue_out": sum(way.queued_rows for way in self.ways),
            "dropped": self.brick.dropped | ({"lost": lost} if lost else {}),
            "counters": self.brick.counters | self.meter.counters() | ({"repeated": repeated} if repeated else {}),
        }

    def __repr__(self) -> str:
        return f"<Stage {self.brick.id} in={self.inputs} out={self.ways}>"
