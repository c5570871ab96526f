"""NFs that are not split by source: one keyed by destination, with and without copies, and made-up keys with several copies."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_quantization import NAMES, extract
from bricks.nfs.kitsune import EXTRACTORS
from bricks.offline.simulated_split import BUCKETS, OwnershipChange, SimulatedSplit, Split
from bricks.records.brick import Batch
from bricks.records.packets import ICMP, NO_PORT, PACKET, bucket_of
from bricks.streams.assign import assign
from lego_sdn.core.facts.headers import DST_IP
from lego_sdn.core.nf.granularity import split_plan
from lego_sdn.core.nf.split_key import SplitKey, split_key
from lego_sdn.simulation.moves import MovingInstances
from tests.bricks.service.test_handover import split, talk
from tests.destinations import NF
from tests.destinations.destination_load import DestinationLoad
from tests.examples import few_in_quick

LAYOUTS = ("received", "answered")


def key_of(layout: str) -> SplitKey:
    return split_key(NF.extractor(layout))


def unsplit(packets: np.ndarray, layout: str) -> np.ndarray:
    values = DestinationLoad(0, layout, 0, key_of(layout)).process(Batch(packets)).values
    assert values is not None
    return values


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_a_split_by_destination_changes_no_bit(layout, replicas):
    packets = talk(replicas, 3000)
    events = (OwnershipChange(700, 1), OwnershipChange(1200, 5), OwnershipChange(1900, 2), OwnershipChange(2500, replicas))
    by_destination = Split(split_plan(NF.extractor(layout), DST_IP), replicas, events=events)
    assert by_destination.key == key_of(layout)
    fleet = SimulatedSplit(by_destination, layout, 0, DestinationLoad)
    assert fleet.features(packets).tobytes() == unsplit(packets, layout).tobytes()
    assert sum(moved.buckets for moved in fleet.moved) > BUCKETS
    assert all(moved.state_bytes > 1 for moved in fleet.moved if moved.buckets)
    assert (fleet.shadows > 0) == (layout == "answered")


def test_kitsune_by_destination_keeps_what_its_plan_says_through_changes_of_owners():
    packets, names = talk(4, 2000), NAMES["kitsune115"]
    plan = split_plan(EXTRACTORS["kitsune115"], DST_IP)
    fleet = SimulatedSplit(Split(plan, 3, events=(OwnershipChange(600, 2), OwnershipChange(1200, 4))), "kitsune115", 1000)
    same = [names[at] for at in np.flatnonzero((fleet.features(packets) == extract(packets)).all(axis=0))]
    assert plan.exact
    assert set(plan.exact) <= set(same)
    assert len(same) < len(names)


def test_a_split_by_source_would_change_them():
    packets = talk(1, 1000)
    mine = bucket_of(packets, BUCKETS, ("src_ip",)) % 2 == 0
    assert unsplit(packets[mine], "received").tobytes() != unsplit(packets, "received")[mine].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", few_in_quick(range(6), 2))
def test_moves_between_instances_and_their_replicas_change_no_bit(layout, seed):
    random, packets = np.random.default_rng(seed), talk(seed, 3000)
    more = {"layout": layout, "key": key_of(layout), "new_brick": DestinationLoad}
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed, **more)
    now = dict(world.rules)
    for there in random.integers(1, 6, 4):
        world.send(int(random.integers(100, 500)))
        now = split(random, range(1, there + 1), 0.5, now)
        world.move(now)
        world.instances[1].deal(sorted(random.choice(4, int(random.integers(1, 4)), replace=False).tolist()))
    assert all(moved.error is None for moved in world.moved)
    found, wanted = world.finish(), unsplit(packets, layout)
    assert sorted(found) == list(range(len(packets)))
    assert [seq for seq, row in found.items() if row.tobytes() != wanted[seq].tobytes()] == []


class Peers:
    """State of a made-up brick: last time and count of each end, whichever field of the key it stands in."""

    def __init__(self, key: SplitKey) -> None:
        self.key, self.counts = key, dict[int, int]()

    def export(self, buckets, of, but=frozenset()):
        import msgpack

        return msgpack.packb([(end, n) for end, n in self.counts.items() if end % of in buckets and end % of not in but])

    def adopt(self, data, buckets=None, of=1):
        import msgpack

        new = {e: n for e, n in msgpack.unpackb(data) if e not in self.counts and (buckets is None or e % of in buckets)}
        self.counts |= new
        return len(new)

    def forget(self, owned, of):
        gone = [end for end in self.counts if end % of not in owned]
        for end in gone:
            del self.counts[end]
        return len(gone)

    def counters(self):
        return {}


class Ends(DestinationLoad, kind="made-up-ends"):
    """How often a packet's source address was seen, as an address or as the low bits of either MAC: copies to three owners.

    In:    PACKET [n], in stamp order
    Out:   the rows that are no shadows, count  float64 [m, 1]
    State: counts by number; leaves and enters by bucket of the split key
    Reads: packets, shadows
    """

    def __init__(self, serial: int, layout: str, streams: int, key: SplitKey) -> None:
        super().__init__(serial, layout, streams, SplitKey(("dst_ip",)))
        self.state = Peers(key)

    def _load(self, row: np.void) -> float:
        ends = {int(row[name]) & 0xFF for name in ("src_lo", "dst_lo", "src_mac", "dst_mac")}
        for end in ends:
            self.state.counts[end] = self.state.counts.get(end, 0) + 1
        return float(self.state.counts[int(row["src_lo"]) & 0xFF])


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_in_quick(range(12), 3))
def test_moves_with_several_copies_of_a_packet_change_no_bit(seed):
    random, packets = np.random.default_rng(seed), talk(seed, 2500)
    packets["src_mac"], packets["dst_mac"] = random.integers(0, 256, (2, len(packets)))
    key = SplitKey(("src_ip",), (("dst_ip",), ("src_mac",), ("dst_mac",)))
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed, key=key, new_brick=Ends)
    now = dict(world.rules)
    for there in random.integers(1, 6, 4):
        world.send(int(random.integers(100, 400)))
        now = split(random, range(1, there + 1), 0.5, now)
        world.move(now)
    assert all(moved.error is None for moved in world.moved)
    found, wanted = world.finish(), Ends(0, "", 0, key).process(Batch(packets)).values
    assert [seq for seq, row in found.items() if row.tobytes() != wanted[seq].tobytes()] == []


# ---- buckets ----
def test_several_fields_share_the_bits_of_a_bucket():
    packets = np.zeros(200, PACKET)
    for name in ("src_lo", "dst_lo"):
        packets[name] = np.random.default_rng(1).integers(0, 1 << 32, 200)
    found = bucket_of(packets, 32, ("dst_ip", "src_ip"))
    assert found.tolist() == [(int(row["dst_lo"]) & 7) << 2 | int(row["src_lo"]) & 3 for row in packets]
    assert not bucket_of(packets, 32, ()).any(), "without a field there is one bucket"


def test_ports_that_a_switch_does_not_see_count_as_none():
    packets = np.zeros(3, PACKET)
    packets["src_port"] = [7, NO_PORT, 7]
    packets["flags"] = [0, 0, ICMP]
    assert bucket_of(packets, 8, ("src_port",)).tolist() == [7, 0, 0]


def test_owner_and_receivers_are_read_from_one_table():
    packets = talk(5, 300)
    table = np.arange(16) % 3
    owner, (copy,) = assign(packets, table, SplitKey(("dst_ip",), (("src_ip",),)))
    assert owner.tolist() == (packets["dst_lo"] % 16 % 3).tolist()
    assert copy.tolist() == (packets["src_lo"] % 16 % 3).tolist()
