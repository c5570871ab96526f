"""The stream of an instance shared out over keyed bricks: whatever comes and goes, here or among instances, no feature differs by a bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bricks.feature_quantization import LAYOUTS, FeatureQuantization, extract, new_state
from bricks.records.brick import Batch
from bricks.records.packets import PACKET, SHADOW, bucket_of
from bricks.records.sequence import NO_PART, SequenceRange
from bricks.runtime.reorder import ReorderBuffer
from bricks.streams.partitioner import EVERY, KeyTable, LoadSketch, partition
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey
from lego_sdn.simulation.moves import MovingInstances
from tests.bricks.service.test_handover import BUCKETS, check, split, talk
from tests.examples import examples, few_in_quick


def rows(sources: list[int], targets: list[int], shadows: list[bool] | None = None) -> Batch:
    made = np.zeros(len(sources), PACKET)
    made["seq"], made["src_lo"], made["dst_lo"] = np.arange(len(sources)), sources, targets
    made["flags"] = np.where(shadows, SHADOW, 0) if shadows else 0
    return Batch(made)


CUT = KeyTable(np.array([0, 1, 1, 2]), 3)
ENDS = some.lists(some.tuples(some.integers(0, 99), some.integers(0, 99), some.booleans()), min_size=1, max_size=40)


@pytest.mark.slow
@given(ENDS, some.booleans())
def test_every_row_is_scored_by_the_owner_of_its_source_and_seen_by_that_of_its_target(ends, exact):
    batch = rows(*map(list, zip(*ends, strict=True)))
    wanted = batch.copy()
    parts = list(partition(batch, SequenceRange(7, len(batch), 3, 4), CUT._replace(key=BY_SOURCE if exact else SplitKey(("src_ip",)))))
    assert batch.head.tobytes() == wanted.head.tobytes(), "the batch may lie in a ring"
    own = batch.head["flags"] & SHADOW == 0
    owner, other = (CUT.owners[bucket_of(batch.head, 4, fields)] for fields in BY_SOURCE.sides)
    for replica, part, _ in parts:
        seen = (owner == replica) | ((other == replica) & exact)
        assert part.head["seq"].tolist() == np.flatnonzero(seen).tolist()
        scored = part.head["seq"][part.head["flags"] & SHADOW == 0]
        assert scored.tolist() == np.flatnonzero(own & (owner == replica)).tolist()
    counted = [ticket for _, _, ticket in parts if ticket.part != NO_PART]
    assert [ticket.part for ticket in counted] == list(range(counted[0].parts)), "whoever joins them knows when all are there"
    assert {ticket[:4] for _, _, ticket in parts} == {(7, len(batch), 3, 4)}
    assert {(ticket.parts, ticket.scored) for _, _, ticket in parts} == {(len(counted), int(own.sum()))}


def test_a_part_of_which_nothing_is_scored_is_not_waited_for():
    parts = list(partition(rows([0, 0], [0, 3]), SequenceRange(0, 2), CUT))
    assert [(replica, len(part), ticket.part, ticket.parts) for replica, part, ticket in parts] == [
        (0, 2, 0, 1),
        (1, 0, NO_PART, 1),
        (2, 1, NO_PART, 1),
    ]
    parts = list(partition(rows([3], [1], [True]), SequenceRange(0, 1), CUT))
    assert [(len(part), ticket.part) for _, part, ticket in parts] == [(0, 0), (1, NO_PART), (1, NO_PART)], "one must come"


# ---- joining ----
def scores(part: Batch) -> Batch:
    own = part.head["flags"] & SHADOW == 0
    return Batch(part.head[own], part.head["seq"][own][:, None] * 1.0)


@settings(max_examples=examples(60))
@given(some.lists(ENDS, min_size=1, max_size=8), some.randoms(), some.booleans())
def test_parts_are_joined_in_stamp_order_however_they_come(batches, random, twice):
    arriving, first, every = [], 0, []
    for ends in batches:
        batch = rows(*map(list, zip(*ends, strict=True)))
        batch.head["seq"] += first
        every += batch.head["seq"][batch.head["flags"] & SHADOW == 0].tolist()
        arriving += [(scores(part), its) for _, part, its in partition(batch, SequenceRange(first, len(batch)), CUT) if its.part != NO_PART]
        first += len(batch)
    arriving *= 1 + twice
    random.shuffle(arriving)
    order, found = ReorderBuffer(), []
    for part, its in arriving:
        if order.offer(part, its, 0.0):
            found += part.head["seq"].tolist()
        while (there := order.due()) is not None:
            assert there[0].values[:, 0].tolist() == there[0].head["seq"].tolist()
            assert (there[1].parts, there[1].part) == (1, 0)
            found += there[0].head["seq"].tolist()
    assert found == every
    assert (order.lost, order.repeated, order.held_rows, len(order)) == (0, len(every) * twice, 0, 0)


def test_a_part_that_does_not_come_is_counted_and_the_rest_goes_on():
    """As when a replica is killed: what it had of any batch is lost, all after the same time."""
    order, first = ReorderBuffer(patience_s=1.0), 0
    for _ in range(5):
        batch = rows([0, 1, 3, 1], [0, 1, 3, 1])
        batch.head["seq"] += first
        for replica, part, its in partition(batch, SequenceRange(first, 4), CUT):
            if replica != 1:
                assert not order.offer(scores(part), its, 0.0)
        first += 4
    assert (order.due(), order.overdue(0.99), order.wait_s(0.75)) == (None, None, 0.25)
    found = []
    while (there := order.overdue(1.0)) is not None:
        found += there[0].head["seq"].tolist()
    assert found == [seq for seq in range(20) if seq % 2 == 0]
    assert (order.lost, order.wanted, order.held_rows) == (10, 20, 0)


# ---- who gets what ----
def test_buckets_are_shared_out_by_what_they_have_to_do():
    traffic = LoadSketch(4)
    for _ in range(EVERY):
        traffic.see(rows([0] * 60 + [1] * 20 + [2] * 20 + [3] * 20, [0] * 120).head)
    owners = traffic.shared_out((0, 0, 0, 0), 2)
    assert sorted(owners.count(replica) for replica in (0, 1)) == [1, 3]
    assert owners[0] != owners[1] == owners[2] == owners[3]
    assert traffic.shared_out(owners, 2) == owners, "what is even stays"
    assert set(traffic.shared_out(tuple(one if one == 0 else None for one in owners), 1)) == {0}


# ---- the whole: real holds and real feature bricks ----
def some_traffic(world: MovingInstances, random: np.random.Generator) -> None:
    world.send(int(random.integers(0, 400)))


@pytest.mark.parametrize("seed", few_in_quick(range(12), 3))
def test_keyed_bricks_come_and_go_in_one_instance(seed):
    random, packets = np.random.default_rng(seed), talk(seed)
    world = MovingInstances(packets, dict.fromkeys(range(BUCKETS), 1), seed)
    one = world.instances[1]
    for serials in ([0, 1], [0, 1, 2], [1, 2], [3], [3, 0], [0]):
        some_traffic(world, random)
        dealt = one.deal(serials)
        assert dealt["lost"] == []
        assert set(one.shards.owners) == set(range(len(serials)))
    assert world.instances[1].process.stages[2].brick.state.counters()["streams_hh"] == 0, "who left has forgotten everything"
    check(world, packets)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_buckets_move_between_instances_with_several_keyed_bricks(seed):
    """And these come and go in between."""
    random, packets = np.random.default_rng(seed), talk(seed, 3500)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    now = dict(world.rules)
    for _ in range(7):
        some_traffic(world, random)
        instance = world.instances[int(random.integers(1, 5))]
        instance.deal(sorted(random.choice(4, int(random.integers(1, 4)), replace=False).tolist()))
        some_traffic(world, random)
        now = split(random, range(1, int(random.integers(2, 5))), random.choice([0.0, 0.5, 0.9]), now)
        world.move(now)
    assert all(moved.error is None for moved in world.moved)
    assert sum(moved.records for moved in world.moved) > 0
    check(world, packets)


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_in_quick(range(12), 3))
def test_keyed_bricks_change_in_the_middle_of_a_move(seed):
    """Between any two steps of the mover: what is held waits, and the streams are those of the cut wherever they are."""
    random, packets = np.random.default_rng(seed), talk(seed, 3000)
    world = MovingInstances(packets, split(random, [1, 2]), seed)
    for instance in (1, 2):
        world.instances[instance].deal([0, 1])
    some_traffic(world, random)
    steps = iter(range(10**6))
    changes = {seed % 12: 1, (seed + 5) % 12: 2}

    def change():
        instance = changes.pop(next(steps), None)
        if instance is not None:
            world.instances[instance].deal([int(random.integers(0, 3)), 3])

    world.before_ask = change
    for _ in range(3):
        world.move(split(random, [1, 2], 0.5, world.rules))
        some_traffic(world, random)
    assert changes == {}
    assert all(moved.error is None for moved in world.moved)
    check(world, packets)


class OutOfOrder:
    """A state that refuses one kind of call while it is `broken`: `begin` is to forget everything, `keep` to forget a part."""

    broken = ""

    def __init__(self, state) -> None:
        self.state = state

    def __getattr__(self, name):
        return getattr(self.state, name)

    def forget(self, buckets, of):
        self.refuse("keep" if buckets else "begin")
        self.state.forget(buckets, of)

    def export(self, *asked):
        self.refuse("export")
        return self.state.export(*asked)

    def adopt(self, *given):
        self.refuse("adopt")
        return self.state.adopt(*given)

    def refuse(self, call: str) -> None:
        if OutOfOrder.broken == call:
            raise BrickError("out of order")


class Brittle(FeatureQuantization):
    kind = FeatureQuantization.kind

    def __init__(self, *settings) -> None:
        super().__init__(*settings)
        self.state = OutOfOrder(self.state)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["export", "adopt", "keep", "begin"])
def test_a_change_that_fails_leaves_everything_as_it_was(method):
    random, packets = np.random.default_rng(3), talk(3)
    world = MovingInstances(packets, dict.fromkeys(range(BUCKETS), 1), 3, new_brick=Brittle)
    one = world.instances[1]
    one.deal([0, 1])
    world.send(700)
    owners, there = one.shards.owners, one.shards.replicas

    OutOfOrder.broken = method
    try:
        with pytest.raises(BrickError, match="out of order"):
            one.deal([0, 1, 2])
    finally:
        OutOfOrder.broken = ""
    assert (one.shards.owners, one.shards.replicas) == (owners, there)
    some_traffic(world, random)
    one.deal([1, 2])
    check(world, packets)


def test_the_stream_is_shared_out_only_while_nothing_is_under_way():
    packets = talk(4, 800)
    world = MovingInstances(packets, dict.fromkeys(range(BUCKETS), 1), 4)
    one = world.instances[1]
    for told in ({}, {"feature-quantization-0": {"ring": None}}):
        with pytest.raises(BrickError, match="can be shared out only at the interface"):
            one.handlers["deal"](told)
    one.deal([0])
    check(world, packets)


def test_the_streams_of_the_dead_begin_anew_and_are_told():
    packets = talk(5)
    world = MovingInstances(packets, dict.fromkeys(range(BUCKETS), 1), 5)
    one = world.instances[1]
    one.deal([0, 1])
    world.send(1000)
    one.catch_up(10**6)
    owned = one.shards.of(1)
    one.handlers["bury"]([f"{FeatureQuantization.kind}-1"])
    assert one.deal([0])["lost"] == owned
    found, unsplit = world.finish(), extract(packets)
    assert sorted(found) == list(range(len(packets)))
    others = [seq for seq in found if packets[seq]["src_lo"] % BUCKETS not in owned and packets[seq]["dst_lo"] % BUCKETS not in owned]
    assert all(found[seq].tobytes() == unsplit[seq].tobytes() for seq in others)
    assert others != []


def test_replicas_that_are_nearly_full_take_in_what_is_theirs_and_forget_nothing():
    """Each got every record that came to its instance, and forgot the faintest for what it was to drop a moment later."""
    packets = talk(6, hosts=40)
    world = MovingInstances(packets, {bucket: 1 if bucket < 6 else 2 for bucket in range(BUCKETS)}, 6)
    two = world.instances[2]
    two.deal([0, 1])
    world.send(1500)
    moved = world.move(dict.fromkeys(range(BUCKETS), 2))
    needed = [stage.brick.state.counters() for stage in two.process.stages[1:]]
    world = MovingInstances(packets, {bucket: 1 if bucket < 6 else 2 for bucket in range(BUCKETS)}, 6)
    two = world.instances[2]
    two.deal([0, 1])
    room = max(count for held in needed for name, count in held.items() if name.startswith("streams_"))
    for stage in two.process.stages[1:]:
        stage.brick.state = new_state("kitsune115", room + 8)
    world.send(1500)
    moved = world.move(dict.fromkeys(range(BUCKETS), 2))
    assert [(one.error, one.evicted) for one in moved] == [(None, 0)]
    assert [stage.brick.state.counters() for stage in two.process.stages[1:]] == needed
    assert needed[0] != needed[1]


@pytest.mark.parametrize("layout", ["kitsune115", "kitsunepy100"])
def test_what_is_taken_in_for_some_buckets_is_all_that_these_need(layout):
    packets, buckets = talk(7), frozenset({1, 4, 6})
    whole, part, then, mine = (new_state(layout, 10_000) for _ in range(4))
    whole.advance(packets, np.empty((len(packets), LAYOUTS[layout])))
    everything = whole.export(frozenset(range(BUCKETS)), BUCKETS)
    assert 0 < part.adopt(everything, buckets, BUCKETS) < then.adopt(everything)
    mine.adopt(whole.export(buckets, BUCKETS))
    then.forget(buckets, BUCKETS)
    streams = [{name: count for name, count in one.counters().items() if name.startswith("streams_")} for one in (part, then)]
    assert streams[0] == streams[1]
    assert part.counters() == mine.counters()
    assert part.export(buckets, BUCKETS) == mine.export(buckets, BUCKETS)


@pytest.mark.parametrize("layout", ["kitsune115", "kitsunepy100"])
def test_who_is_full_forgets_nothing_for_what_it_has(layout):
    packets = talk(8)
    full = new_state(layout, 60)
    full.advance(packets, np.empty((len(packets), LAYOUTS[layout])))
    before = full.counters()
    assert full.adopt(full.export(frozenset(range(BUCKETS)), BUCKETS)) == 0
    assert full.counters() == before
