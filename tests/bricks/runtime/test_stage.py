"""Stages of several processes in one, stepped in any order: whatever the interleaving, every row comes out once and in order."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bricks.records.brick import Batch, Brick
from bricks.records.packets import PACKET
from bricks.records.sequence import SequenceRange
from bricks.runtime.outputs import NextNode
from bricks.runtime.reorder import Joining, ReorderBuffer
from bricks.runtime.stage import Stage, StagePlace
from bricks.transport import rings
from lego_sdn.core.facts.errors import BrickError
from tests.examples import examples

ROWS = 8
_NUMBER = itertools.count()


class Double(Brick):
    """Any order; drops every fifth row."""

    def process(self, batch: Batch) -> Batch:
        kept = batch.head["seq"] % 5 != 0
        return Batch(batch.head[kept], batch.head["seq"][kept][:, None] * 2.0)


class Collect(Brick):
    """The end of the graph."""

    in_order = True

    def __init__(self, serial: int = 0) -> None:
        super().__init__(serial)
        self.rows: list[tuple[int, float]] = []

    def process(self, batch: Batch) -> Batch:
        self.rows += zip(batch.head["seq"].tolist(), batch.values[:, 0].tolist(), strict=True)
        return batch


class World:
    """first -> middle x N -> last. The first process may hold a middle of its own (and then the last, too)."""

    def __init__(self, chained: bool) -> None:
        self.prefix, self.sent = f"lego-test-{os.getpid()}-stage{next(_NUMBER)}", 0
        self.last = Stage(Collect(), last=True)
        local = Stage(Double(0), self.last) if chained else None
        self.first = Stage(Brick(), local)
        self.here = [local] if local else []
        self.replicas: dict[int, Stage] = {}
        self.leaving: list[Stage] = []
        self.serials = itertools.count(1)

    def name(self, serial: int, way: str) -> str:
        return f"{self.prefix}-{way}{serial}"

    def wire(self) -> None:
        self.last.set_inputs([self.name(serial, "out") for serial in self.replicas], ROWS)
        self.first.exits.set_rings([self.name(serial, "in") for serial in self.replicas], ROWS)

    def add(self) -> None:
        serial = next(self.serials)
        stage = Stage(Double(serial))
        stage.set_inputs([self.name(serial, "in")], ROWS)
        stage.exits.set_rings([self.name(serial, "out")], ROWS)
        self.replicas[serial] = stage
        self.wire()

    def remove(self, dead: bool) -> None:
        """Take a replica out; `dead`: it was killed with batches waiting before it."""
        if len(self.replicas) + len(self.here) < 2 or not self.replicas:
            return
        serial, stage = next(iter(self.replicas.items()))
        if dead:
            for ring in (*stage.inputs, *stage.outputs):
                ring.close()
        else:
            self.leaving.append(stage)
        del self.replicas[serial]
        self.wire()
        while not dead and stage.step(0.0):
            pass
        if not dead and stage.idle:
            stage.close()
            self.leaving.remove(stage)

    def send(self, count: int) -> None:
        if self.first.has_exit(self.sent):
            head = np.zeros(count, PACKET)
            head["seq"] = np.arange(self.sent, self.sent + count)
            self.first.emit(Batch(head), SequenceRange(self.sent, count), 0.0, 0.0)
            self.sent += count

    def step(self, which: int) -> bool:
        stages = [self.first, *self.here, self.last, *self.replicas.values(), *self.leaving]
        return stages[which % len(stages)].step(0.0)

    def settle(self) -> None:
        while any(self.step(which) for which in range(2 + len(self.replicas) + len(self.leaving) + len(self.here))):
            pass

    def close(self) -> None:
        for stage in (self.first, *self.here, self.last, *self.replicas.values(), *self.leaving):
            stage.close()
        for name in rings.names(self.prefix):
            rings.remove(name)


ACTS = some.one_of(
    some.tuples(some.just("send"), some.integers(1, ROWS)),
    some.tuples(some.just("step"), some.integers(0, 7)),
    some.tuples(some.just("step"), some.integers(0, 7)),
    some.tuples(some.just("add")),
    some.tuples(some.just("remove"), some.booleans()),
)


@settings(max_examples=examples(40), deadline=None)
@given(some.booleans(), some.lists(ACTS, max_size=80))
def test_every_row_once_and_in_order(chained, acts):
    world = World(chained)
    try:
        world.add()
        for act, *how in acts:
            getattr(world, act)(*how)
        world.settle()
        assert world.last.brick.rows == [(row, 2.0 * row) for row in range(world.sent) if row % 5]
        assert (world.last.order.lost, world.last.order.repeated, world.last.queue_in) == (0, 0, 0)
    finally:
        world.close()


def test_a_full_ring_holds_everything_back_and_loses_nothing():
    world = World(chained=False)
    try:
        world.add()
        for _ in range(3 * rings.SLOTS):
            world.send(ROWS)
        assert world.sent == rings.SLOTS * ROWS
        assert not world.first.has_exit(world.sent)
        world.settle()
        assert len(world.last.brick.rows) == world.sent - (world.sent + 4) // 5
    finally:
        world.close()


def test_who_is_behind_and_lives_is_waited_for_and_who_is_dead_is_not():
    world = World(chained=False)
    try:
        world.add()
        world.send(ROWS)
        world.add()
        world.send(ROWS)  # to the new replica, before which nothing waits
        slow, quick = world.replicas.values()
        while quick.step(0.0) or world.last.step(0.0):
            pass
        assert (len(world.last.order), world.last.brick.rows) == (1, [])
        assert not world.last.step(30.0)
        assert world.last.order.wait_s(30.0) > 20.0
        slow.close()
        assert world.last.step(31.0)
        assert [row for row, _ in world.last.brick.rows] == [row for row in range(ROWS, 2 * ROWS) if row % 5]
        assert world.last.order.lost == ROWS
    finally:
        world.close()


def test_of_two_rings_the_one_whose_turn_it_is_goes_first_and_nothing_is_held():
    world = World(chained=False)
    try:
        world.add()
        world.send(ROWS)
        world.add()
        world.send(ROWS)
        first, second = world.replicas.values()
        for replica in (second, first):
            assert replica.step(0.0)
        world.last.inputs.reverse()  # whichever it looks at first
        for done in (ROWS, 2 * ROWS):
            assert world.last.step(0.0)
            assert (world.last.order.wanted, len(world.last.order)) == (done, 0)
    finally:
        world.close()


def test_batches_in_order_have_one_next_hop():
    stage = Stage(Brick(), shares=False)
    with pytest.raises(BrickError, match="has one next hop, not a, b"):
        stage.exits.set_rings(["a", "b"], ROWS)


def test_what_is_lost_and_what_comes_twice_is_told_also_when_nothing_is_held():
    stage = Stage(Collect(), last=True)
    for first, now in ((0, 0.0), (0, 0.0), (5, 0.0)):
        head = np.zeros(2, PACKET)
        stage.accept(Batch(head, np.zeros((2, 1))), SequenceRange(first, 2), now)
    assert not stage.step(1.0)
    assert stage.step(3.0)
    assert len(stage.order) == 0
    report = stage.report()
    assert (report["dropped"], report["counters"]["repeated"]) == ({"lost": 3}, 2)


def test_a_routing_table_that_cannot_be_had_changes_nothing():
    world = World(chained=False)
    try:
        world.add()
        before, taken = list(world.first.outputs), world.name(1, "out")  # it has a writer: the replica
        with pytest.raises(BrickError, match="has a writer already"):
            world.first.exits.set_rings([world.name(9, "in"), taken], ROWS)
        assert world.first.outputs == before
        world.send(3)
        world.settle()
        assert [row for row, _ in world.last.brick.rows] == [1, 2]
    finally:
        world.close()


class Left(Brick):
    """One column."""

    def process(self, batch: Batch) -> Batch:
        return Batch(batch.head, batch.head["seq"][:, None] * 2.0)


class Right(Brick):
    """Two columns."""

    def process(self, batch: Batch) -> Batch:
        return Batch(batch.head, np.repeat(batch.head["seq"][:, None] * 3.0, 2, axis=1))


class Rows(Brick):
    """A join that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[float, ...]] = []

    def process(self, batch: Batch) -> Batch:
        if batch.values is not None:
            self.rows += [(seq, *row) for seq, row in zip(batch.head["seq"].tolist(), batch.values.tolist(), strict=True)]
        return batch


class Fork:
    """first -> left (two replicas in other processes) + right (in this process) -> end."""

    def __init__(self, how: Joining) -> None:
        self.prefix, self.sent = f"lego-test-{os.getpid()}-fork{next(_NUMBER)}", 0
        self.end = Stage(Rows(), last=True, place=StagePlace(("left", "right"), (), how))
        self.right = Stage(Right(), place=StagePlace(("first",), (NextNode("end", self.end, 1, False),)))
        self.first = Stage(Brick(), place=StagePlace((), (NextNode("left"), NextNode("right", self.right))))
        self.left = [Stage(Left(serial), place=StagePlace(("first",), (NextNode("end", None, 0, False),))) for serial in (0, 1)]
        for at, stage in enumerate(self.left):
            stage.set_inputs([f"{self.prefix}-in{at}"], ROWS)
            stage.set_outputs([f"{self.prefix}-out{at}"], ROWS)
        self.first.set_outputs({"left": [f"{self.prefix}-in{at}" for at in (0, 1)], "right": []}, ROWS)
        self.end.set_inputs({"left": [f"{self.prefix}-out{at}" for at in (0, 1)], "right": []}, ROWS)

    @property
    def stages(self) -> list[Stage]:
        return [self.first, self.right, *self.left, self.end]

    def send(self) -> None:
        head = np.zeros(ROWS, PACKET)
        head["seq"] = np.arange(self.sent, self.sent + ROWS)
        assert self.first.has_exit(self.sent)
        self.first.emit(Batch(head), SequenceRange(self.sent, ROWS), 0.0, 0.0)
        self.sent += ROWS

    def settle(self, now: float = 0.0) -> None:
        while sum(stage.step(now) for stage in self.stages):
            pass

    def close(self) -> None:
        for stage in self.stages:
            stage.close()
        for name in rings.names(self.prefix):
            rings.remove(name)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_batch_goes_along_every_edge_and_is_joined_side_by_side(order):
    fork = Fork(Joining(2))
    try:
        for _ in range(6):
            fork.send()
            for at in order:
                fork.left[at].step(0.0)
        fork.settle()
        assert fork.end.brick.rows == [(seq, 2.0 * seq, 3.0 * seq, 3.0 * seq) for seq in range(fork.sent)]
        assert (fork.end.order.lost, fork.end.order.repeated, fork.end.queue_in) == (0, 0, 0)
    finally:
        fork.close()


def test_a_branch_that_dies_with_a_batch_costs_that_batch_and_says_so():
    fork = Fork(Joining(2))
    try:
        for _ in range(4):
            fork.send()
        dead = next(stage for stage in fork.left if stage.queue_in)
        waiting = dead.queue_in
        for ring in (*dead.inputs, *dead.outputs):
            ring.close()
        fork.left.remove(dead)
        fork.settle()
        fork.settle(now=1000.0)
        assert fork.end.order.lost == waiting
        assert len(fork.end.brick.rows) == fork.sent - waiting
    finally:
        fork.close()


def test_rings_of_several_edges_are_told_by_node():
    stage = Stage(Brick(), place=StagePlace(("a",), (NextNode("b"), NextNode("c"))))
    with pytest.raises(BrickError, match="has edges with b, c: rings are told by node"):
        stage.set_outputs(["r"], ROWS)
    with pytest.raises(BrickError, match="no edge joins"):
        stage.set_outputs({"d": ["r"]}, ROWS)


def test_results_of_different_nodes_stay_rows_of_their_own_in_the_order_of_stamps():
    order = ReorderBuffer(how=Joining(2, side_by_side=False))
    for edge, seqs in ((1, (1, 2)), (0, (0, 2))):
        head = np.zeros(2, PACKET)
        head["seq"] = seqs
        assert not order.offer(Batch(head, np.array(seqs, float)[:, None] + 10 * edge), SequenceRange(0, 4), 0.0, edge)
    batch, ticket = order.due()
    assert (batch.head["seq"].tolist(), batch.values[:, 0].tolist()) == ([0, 1, 2, 2], [0.0, 11.0, 2.0, 12.0])
    assert (ticket.end, order.wanted, order.lost) == (4, 4, 0)
