"""Stages with keyed next hops, stepped in any order: every row is scored once, by the owner of its source, and comes out in order."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bricks.records.brick import Batch, Brick
from bricks.records.packets import PACKET, SHADOW
from bricks.records.sequence import SequenceRange
from bricks.runtime.stage import Stage
from bricks.streams.partitioner import KeyTable
from bricks.transport import rings
from bricks.transport.rings import RingWriter
from lego_sdn.core.facts.errors import BrickError
from tests.bricks.runtime.test_stage import ROWS, Collect
from tests.examples import examples

BUCKETS = 4
_NUMBER = itertools.count()


class Keyed(Brick):
    """Scores what is no shadow, and remembers what it saw."""

    in_order = True

    def __init__(self, serial: int) -> None:
        super().__init__(serial)
        self.state = SimpleNamespace()
        self.seen: list[int] = []

    def process(self, batch: Batch) -> Batch:
        self.seen += batch.head["seq"].tolist()
        own = batch.head["flags"] & SHADOW == 0
        return Batch(batch.head[own], batch.head["seq"][own][:, None] * 2.0)


class World:
    """first -> keyed x 3 -> last; keyed brick 0 is chained between the two, the others are reached by rings."""

    def __init__(self) -> None:
        self.prefix, self.sent = f"lego-test-{os.getpid()}-exits{next(_NUMBER)}", 0
        self.last = Stage(Collect(), last=True)
        self.keyed = [Stage(Keyed(0), self.last), Stage(Keyed(1)), Stage(Keyed(2))]
        self.first = Stage(Brick(), self.keyed[0], shares=False)
        self.ends: list[tuple[int, int]] = []
        self.owned: dict[int, list[int]] = {0: [], 1: [], 2: []}
        self.cut: KeyTable | None = None
        for serial in (1, 2):
            self.keyed[serial].set_inputs([f"{self.prefix}-in{serial}"], ROWS)
            self.keyed[serial].exits.set_rings([f"{self.prefix}-out{serial}"], ROWS)
        self.last.set_inputs([f"{self.prefix}-out{serial}" for serial in (1, 2)], ROWS)
        self.writers = [RingWriter(f"{self.prefix}-in{serial}", ROWS) for serial in (1, 2)]

    def share_out(self, *owners: int) -> None:
        """By bucket, who owns it; 2 is the chained brick, as in `Exits`."""
        while any(self.step(which) for which in (1, 2)):  # everything under way is taken in
            pass
        for stage in self.keyed:
            stage.order.wanted = self.sent
        self.cut = KeyTable(np.array(owners), 3)
        self.first.exits.set_parts(self.writers, True, self.cut)

    def send(self, source: int, target: int, count: int) -> None:
        if self.cut is None or not self.first.has_exit(self.sent):
            return
        head = np.zeros(count, PACKET)
        head["seq"] = np.arange(self.sent, self.sent + count)
        head["src_lo"], head["dst_lo"] = source + np.arange(count) % 2, target
        for row in head:
            for hop in {self.cut.owners[row["src_lo"] % BUCKETS], self.cut.owners[target % BUCKETS]}:
                self.owned[int(hop)].append(int(row["seq"]))
        self.first.emit(Batch(head), SequenceRange(self.sent, count), 0.0, 0.0)
        self.sent += count

    def step(self, which: int) -> bool:
        return [self.last, self.keyed[1], self.keyed[2], self.keyed[0], self.first][which % 5].step(0.0)

    def settle(self) -> None:
        while any(self.step(which) for which in range(5)):
            pass

    def close(self) -> None:
        for stage in (self.first, *self.keyed, self.last):
            stage.close()
        for name in rings.names(self.prefix):
            rings.remove(name)


ACTS = some.one_of(
    some.tuples(some.just("send"), some.integers(0, 9), some.integers(0, 9), some.integers(1, ROWS)),
    some.tuples(some.just("send"), some.integers(0, 9), some.integers(0, 9), some.integers(1, ROWS)),
    some.tuples(some.just("step"), some.integers(0, 9)),
    some.tuples(some.just("share_out"), *[some.integers(0, 2)] * BUCKETS),
)


@settings(max_examples=examples(40), deadline=None)
@given(some.lists(ACTS, max_size=80))
def test_every_row_once_in_order_and_seen_by_all_that_need_it(acts):
    world = World()
    try:
        world.share_out(0, 1, 2, 0)
        for act, *how in acts:
            getattr(world, act)(*how)
        world.settle()
        assert world.last.brick.rows == [(row, 2.0 * row) for row in range(world.sent)]
        assert (world.last.order.lost, world.last.order.repeated, world.last.queue_in) == (0, 0, 0)
        hops = {0: world.keyed[1], 1: world.keyed[2], 2: world.keyed[0]}
        assert {hop: stage.brick.seen for hop, stage in hops.items()} == world.owned
    finally:
        world.close()


def test_one_full_ring_holds_everything_back():
    """A part cannot go elsewhere: the batch waits at the interface, and the time is told."""
    world = World()
    try:
        world.share_out(0, 1, 2, 0)
        for _ in range(3 * rings.SLOTS):
            world.send(0, 0, ROWS)
        assert world.sent == rings.SLOTS * ROWS
        assert not world.first.has_exit(world.sent)
        world.settle()
        assert len(world.last.brick.rows) == world.sent
        assert world.first.has_exit(world.sent)
    finally:
        world.close()


def test_a_keyed_brick_has_no_second_hop_by_name():
    world = World()
    try:
        with pytest.raises(BrickError, match="needs every batch in order"):
            world.first.exits.set_rings([f"{world.prefix}-x"], ROWS)
    finally:
        world.close()
