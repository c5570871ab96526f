"""Moves of buckets between instances: whatever the switch and the queues do meanwhile, every feature has the bits of the unsplit run."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_quantization import LAYOUTS, extract, new_state
from bricks.records.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET
from lego_sdn.simulation.moves import MovingInstances
from tests.bricks.feature_traffic import START
from tests.examples import few_in_quick

BUCKETS = 8


def talk(seed: int, packets: int = 2500, hosts: int = 24) -> np.ndarray:
    """Hosts that talk across each other, some much more than others."""
    random = np.random.default_rng(seed)
    made = np.zeros(packets, PACKET)
    made["seq"] = np.arange(packets)
    made["time_ns"] = START + np.cumsum(random.integers(0, 2_000_000, packets))
    made["flags"] = ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT
    made["length"] = random.choice([60, 90, 590, 1514], packets)
    weights = 1 / np.arange(1, hosts + 1)
    for side in ("src", "dst"):
        made[f"{side}_lo"] = 0x0A000000 + random.choice(hosts, packets, p=weights / weights.sum())
        made[f"{side}_port"] = random.choice([23, 80, 443], packets)
    made["src_mac"] = made["src_lo"]
    return made


def split(random, owners, keep: float = 0.5, before=None) -> dict[int, int]:
    """A random assignment to these owners; where `before` has one of them, it stays with this chance."""
    return {
        b: before[b] if before and before[b] in owners and random.random() < keep else int(random.choice(owners)) for b in range(BUCKETS)
    }


def check(world: MovingInstances, packets: np.ndarray) -> None:
    found, unsplit = world.finish(), extract(packets)
    assert sorted(found) == list(range(len(packets)))
    wrong = [seq for seq, row in sorted(found.items()) if row.tobytes() != unsplit[seq].tobytes()]
    assert wrong == []


def moving(world: MovingInstances, random, moves: int = 5) -> None:
    """Some traffic, then a move to a random number of instances, again and again."""
    now = dict(world.rules)
    for there in random.integers(1, 6, moves):
        world.send(int(random.integers(0, 500)))
        now = split(random, range(1, there + 1), random.choice([0.0, 0.5, 0.9]), now)
        world.move(now)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_random_moves_change_no_bit(seed):
    random, packets = np.random.default_rng(seed), talk(seed)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    moving(world, random)
    assert all(moved.error is None for moved in world.moved)
    assert sum(moved.packets for moved in world.moved) > 0
    check(world, packets)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_markers_that_are_lost_are_sent_again(seed):
    random, packets = np.random.default_rng(seed), talk(seed, 4000)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    world.lose_markers, world.pace = 0.4, 5
    moving(world, random, 3)
    assert all(moved.error is None for moved in world.moved)
    check(world, packets)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_a_mover_that_dies_at_any_step(seed):
    """Everyone goes on by itself; every packet is scored once; until rules change, and from the hand-over of all on, not a bit differs."""
    random, packets = np.random.default_rng(seed), talk(seed)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    world.send(700)
    world.move({b: owner % 4 + 1 if b % 2 else owner for b, owner in world.rules.items()}, stop_after=seed % 16)
    world.send(300)
    world.now_ns += 16 * 10**9
    if seed % 16 <= 3:  # the rules are as they were
        check(world, packets)
    else:
        assert sorted(world.finish()) == list(range(len(packets)))
    expired = sum(instance.hold.counters["holds_expired"] for instance in world.instances.values())
    assert (expired == 0) == (seed % 16 <= 1 or bool(world.moved))  # before anyone holds, rules are got ready


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_mover_that_dies_and_comes_back_changes_no_bit(seed):
    """It asks who took what over, and moves the rest anew, while everyone still holds."""
    random, packets = np.random.default_rng(seed), talk(seed)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    world.send(700)
    before, after = dict(world.rules), split(random, [1, 2, 3, 4], 0.5, world.rules)
    world.move(after, stop_after=seed % 14)
    world.send(int(random.integers(0, 200)))
    for instance in set(after.values()):
        before |= dict.fromkeys(world.call(instance, "taken", 1), instance)
    world.owners = before
    assert all(moved.error is None for moved in world.move(after))
    for instance in world.instances:
        world.call(instance, "release", 1, None)
    moving(world, random, 2)
    check(world, packets)


@pytest.mark.slow
@pytest.mark.parametrize("step", few_in_quick(range(4, 16, 2), 3))
def test_a_release_that_comes_late_changes_nothing_in_the_next_move(step):
    """It names what the instance owned after its own move; streams that came since are not forgotten for it."""
    random, packets = np.random.default_rng(step), talk(step)
    before = {bucket: 1 if bucket < 4 else 2 for bucket in range(BUCKETS)}
    world = MovingInstances(packets, before, step)
    world.send(600)
    world.refuse = {(1, "release"): "not now"}
    after = before | {0: 2, 1: 2}
    world.move(after)
    world.refuse = {}
    world.now_ns += 16 * 10**9  # it goes on by itself
    world.send(300)
    back = after | {0: 1, 5: 1, 6: 1}
    world.move(back, stop_after=step)
    world.call(1, "release", 1, [bucket for bucket, owner in after.items() if owner == 1])
    world.send(int(random.integers(0, 200)))
    now = dict(after) | dict.fromkeys(world.call(1, "taken", 2), 1)
    world.owners = now
    assert all(moved.error is None for moved in world.move(back))
    for instance in world.instances:
        world.call(instance, "release", 2, None)
    check(world, packets)


def steps_of(packets: np.ndarray, before: dict[int, int], after: dict[int, int]) -> int:
    """How many steps a move takes if nobody dies."""
    world = MovingInstances(packets, before, 0)
    world.send(400)
    world.move(after)
    return world.steps


@pytest.mark.slow
def test_a_mover_that_dies_at_every_single_step_and_comes_back():
    """Not a sample of steps: each of them, from the first to the last."""
    packets = talk(30, 700)
    before = {0: 1, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 3}
    after = before | {0: 2, 1: 3, 5: 1}
    total = steps_of(packets, before, after)
    assert total > 12
    for step in range(total):
        world = MovingInstances(packets, before, 0)
        world.send(400)
        world.move(after, stop_after=step)
        world.send(60)
        owners = dict(before)
        for instance in set(after.values()):
            owners |= dict.fromkeys(world.call(instance, "taken", 1), instance)
        world.owners = owners
        assert all(moved.error is None for moved in world.move(after)), step
        for instance in world.instances:
            world.call(instance, "release", 1, None)
        check(world, packets)


@pytest.mark.parametrize("seed", range(3))
def test_rules_that_cannot_be_changed_leave_everything_where_it_was(seed):
    """As when the agent, or the switch, is gone for too long."""
    packets = talk(seed, 1500)
    before = {bucket: 1 + bucket % 3 for bucket in range(BUCKETS)}
    world = MovingInstances(packets, before, seed)
    world.send(500)
    world.no_rules = "the switch is gone"
    moved = world.move({bucket: 1 + owner % 3 for bucket, owner in before.items()})
    assert {one.error for one in moved} == {"the switch is gone"}
    world.no_rules, world.owners = None, dict(before)
    world.send(200)
    assert all(one.error is None for one in world.move({bucket: 4 - owner for bucket, owner in before.items()}))
    check(world, packets)


METHODS = ["hold", "cut", "settled", "consumed", "give_streams", "give_rows", "take_streams", "take_rows", "release"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", few_in_quick(range(3)))
def test_an_instance_that_fails_at_any_step_costs_no_packet(seed, method):
    random, packets = np.random.default_rng(seed), talk(seed)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    world.send(700)
    world.refuse = {(2, method): "out of order"}
    moved = world.move(split(random, [1, 2, 3, 4], 0.3, world.rules))
    assert all(2 in (one.handover.old, one.handover.new) for one in moved if one.error)
    if any(one.error for one in moved):
        assert "out of order" in next(one.error for one in moved if one.error)
    else:
        assert method in ("release", "take_streams", "take_rows", "give_streams", "give_rows")
    world.refuse = {}
    world.send(500)
    world.now_ns += 16 * 10**9
    assert sorted(world.finish()) == list(range(len(packets)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_in_quick(range(6), 2))
def test_with_the_clock_of_the_kernel_every_packet_is_scored_once(seed):
    random, packets = np.random.default_rng(seed), talk(seed)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed, stamped=False)
    moving(world, random)
    assert all(moved.error is None for moved in world.moved)
    assert sorted(world.finish()) == list(range(len(packets)))


def test_a_new_owner_that_is_full_forgets_and_says_how_many():
    """Invariant 5: state is bounded; what that costs is told."""
    packets = talk(3)
    world = MovingInstances(packets, split(np.random.default_rng(3), [1, 2]), 3)
    world.instances[3].brick.state = new_state("kitsune115", 40)
    world.send(1500)
    moved = world.move({bucket: 3 if bucket % 2 else owner for bucket, owner in world.rules.items()})
    assert [one.error for one in moved] == [None] * len(moved)
    assert sum(one.evicted for one in moved) > 0
    assert sorted(world.finish()) == list(range(len(packets)))


@pytest.mark.parametrize("layout", ["kitsune115", "kitsunepy100"])
def test_portions_of_a_handover_are_together_what_one_message_would_be(layout):
    packets, state, whole, parts = talk(4), *(new_state(layout, 10_000) for _ in range(3))
    state.advance(packets, np.empty((len(packets), LAYOUTS[layout])))
    everything = state.export(frozenset(range(6)), BUCKETS)
    whole.adopt(everything)
    sizes = []
    for bucket in range(6):
        sizes.append(len(data := state.export(frozenset({bucket}), BUCKETS, frozenset(range(bucket)))))
        parts.adopt(data)
    assert parts.counters() == whole.counters()
    if layout == "kitsune115":  # each stream goes once; a message of its own costs a few bytes
        assert abs(sum(sizes) - len(everything)) < 200 * len(sizes)
    left = packets[-1:].copy()
    left["time_ns"] += 10**9
    outs = [np.empty((1, LAYOUTS[layout])) for _ in range(2)]
    for one, out in zip((whole, parts), outs, strict=True):
        one.advance(left, out)
    assert outs[0].tobytes() == outs[1].tobytes()
