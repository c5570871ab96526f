"""The brick: the same bits however packets are cut, split and moved; bounded state; clear errors."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bricks.base import BRICKS, Batch
from bricks.feature_quantization import LAYOUTS, FeatureQuantization, extract
from bricks.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET, SHADOW
from lego_sdn.core.errors import BrickError
from tests.bricks.feature_traffic import START, capture, shares, traffic

BUCKETS = 64


def in_batches(brick, packets, sizes):
    """Features of packets that come in batches of these sizes, again and again."""
    parts, begin, turn = [np.empty((0, brick.width))], 0, 0
    while begin < len(packets):
        end = begin + sizes[turn % len(sizes)]
        parts.append(brick.process(Batch(packets[begin:end])).values)
        begin, turn = end, turn + 1
    return np.concatenate(parts)


def flood(packets, spoofed=True):
    """Packets of a flood: a new source (or, spoofed=False, a new destination) each."""
    made = np.zeros(packets, PACKET)
    made["seq"] = np.arange(packets)
    made["time_ns"] = START + np.arange(packets) * 1_000_000
    made["length"], made["flags"] = 60, ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT
    made["src_lo"], made["dst_lo"] = 0x0A000001, 0x0A000002
    made["src_lo" if spoofed else "dst_lo"] = 0x0B000000 + np.arange(packets)
    return made


def test_the_brick_is_found_by_its_kind():
    assert BRICKS["feature-quantization"] is FeatureQuantization
    assert FeatureQuantization(3).id == "feature-quantization-3"
    assert FeatureQuantization.in_order


@pytest.mark.data
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch_cuts_change_no_bit(data, layout):
    packets = capture(data, "mirai-attack-5000.pcap", 2400)
    whole = extract(packets, layout)
    cuts = np.random.default_rng(7).permutation(np.arange(1, 301))
    assert in_batches(FeatureQuantization(layout=layout), packets, cuts).tobytes() == whole.tobytes()
    for size in (1, 2, 3, 64, 511, 513):
        assert in_batches(FeatureQuantization(layout=layout), packets[:700], [size]).tobytes() == whole[:700].tobytes()


@pytest.mark.data
@pytest.mark.parametrize("name", ["mirai-benign-20000.pcap", "mixed-4631.pcap", "synack-reflection-8000.pcap", "iot23-8-1.pcap"])
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_split_by_source_with_shadows_changes_no_bit(data, name, replicas):
    packets = capture(data, name, 6000)
    whole, split = extract(packets), np.full((len(packets), 115), np.nan)
    owner = np.random.default_rng(replicas).integers(0, replicas, BUCKETS)
    for replica in range(replicas):
        batch = FeatureQuantization().process(Batch(shares(packets, owner, replica)))
        split[np.searchsorted(packets["seq"], batch.head["seq"])] = batch.values
    assert split.tobytes() == whole.tobytes()


@pytest.mark.data
def test_split_without_shadows_differs(data):
    packets = capture(data, "mirai-benign-20000.pcap", 6000)
    owner = np.random.default_rng(2).integers(0, 2, BUCKETS)
    mine = shares(packets, owner, 0)
    mine = mine[mine["flags"] & SHADOW == 0]
    assert extract(mine).tobytes() != extract(packets)[mine["seq"].astype(int)].tobytes()


class Fleet:
    """Instances that own buckets between them, each with its brick; a move hands over, adopts, and forgets."""

    def __init__(self, replicas):
        self.bricks = [FeatureQuantization(n) for n in range(replicas)]
        self.owner = np.arange(BUCKETS) % replicas

    def play(self, packets, out):
        for replica, brick in enumerate(self.bricks):
            batch = brick.process(Batch(shares(packets, self.owner, replica)))
            out[batch.head["seq"].astype(int)] = batch.values

    def move(self, buckets, to):
        for giver in set(self.owner[buckets]) - {to}:
            given_away = frozenset(int(bucket) for bucket in buckets if self.owner[bucket] == giver)
            self.bricks[to].state.adopt(self.bricks[giver].state.export(given_away, BUCKETS))
            self.owner[list(given_away)] = to
            self.bricks[giver].state.forget(frozenset(np.flatnonzero(self.owner == giver).tolist()), BUCKETS)


@pytest.mark.data
@pytest.mark.parametrize("name", ["mirai-benign-20000.pcap", "mixed-4631.pcap"])
def test_moves_change_no_bit(data, name):
    packets = capture(data, name, 4500)
    packets["seq"] = np.arange(len(packets))
    rng, fleet, out = np.random.default_rng(11), Fleet(4), np.full((len(packets), 115), np.nan)
    for begin in range(0, len(packets), 90):
        fleet.play(packets[begin : begin + 90], out)
        fleet.move(rng.choice(BUCKETS, rng.integers(1, 33), replace=False), int(rng.integers(0, 4)))
    assert out.tobytes() == extract(packets).tobytes()


@given(packets=traffic(60), cuts=st.lists(st.integers(1, 20), min_size=1, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_moves_of_made_traffic_change_no_bit(packets, cuts, seed):
    rng, fleet, out, begin = np.random.default_rng(seed), Fleet(3), np.full((len(packets), 115), np.nan), 0
    while begin < len(packets):
        end = begin + int(rng.choice(cuts))
        fleet.play(packets[begin:end], out)
        fleet.move(rng.choice(BUCKETS, 24, replace=False), int(rng.integers(0, 3)))
        begin = end
    assert out.tobytes() == extract(packets).tobytes()


@pytest.mark.data
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fresh_brick_goes_on_from_an_export(data, layout):
    packets = capture(data, "mirai-benign-20000.pcap", 3000)
    first, second = FeatureQuantization(layout=layout), FeatureQuantization(layout=layout)
    first.process(Batch(packets[:1700]))
    everything = frozenset(range(8))
    taken = second.state.adopt(first.state.export(everything, 8))
    assert taken > 100
    assert second.state.adopt(first.state.export(everything, 8)) == 0
    assert second.process(Batch(packets[1700:])).values.tobytes() == extract(packets, layout)[1700:].tobytes()


@pytest.mark.data
def test_forgetting_everything_leaves_nothing(data):
    brick = FeatureQuantization()
    brick.process(Batch(capture(data, "mixed-4631.pcap", 2000)))
    held = sum(count for name, count in brick.state.counters().items() if name.startswith("streams_"))
    assert brick.state.forget(frozenset(range(16)), 16) == 0
    assert brick.state.forget(frozenset(), 16) == held
    assert not any(brick.state.counters().values())


def test_shadows_give_no_rows_and_are_counted():
    packets = flood(10)
    packets["flags"][::2] |= SHADOW
    brick = FeatureQuantization()
    batch = brick.process(Batch(packets))
    assert batch.head["seq"].tolist() == [1, 3, 5, 7, 9]
    assert batch.values.shape == (5, 115)
    assert (brick.counters["packets"], brick.counters["shadows"]) == (10, 5)
    assert (brick.counters["streams_hh"], brick.counters["streams_h"]) == (10, 5)


@pytest.mark.parametrize("spoofed", [True, False])
def test_a_flood_is_bounded_and_evictions_are_counted(spoofed):
    brick, packets = FeatureQuantization(streams=100), flood(1000, spoofed)
    in_batches(brick, packets, [64])
    kinds = ("mi", "h", "hh", "hp") if spoofed else ("hh", "hp")
    for kind in kinds:
        assert 75 <= brick.counters[f"streams_{kind}"] <= 100
        assert brick.counters[f"streams_{kind}"] + brick.counters[f"evicted_{kind}"] == 1000
    assert in_batches(FeatureQuantization(streams=100), packets, [1, 7, 300]).tobytes() == extract(packets, streams=100).tobytes()


def test_eviction_takes_the_faintest():
    """A stream with many packets outlives a flood of single ones, and its statistics go on as if there was none."""
    busy, packets = flood(1), flood(3000)
    packets[::3] = busy[0]
    packets["time_ns"] = START + np.arange(3000) * 1_000_000
    alone = extract(packets[::3])
    assert extract(packets, streams=64)[::3].tobytes() == alone.tobytes()


def test_an_evicted_stream_begins_again():
    packets = flood(200)
    packets[150:] = packets[0]
    packets["time_ns"] = START + np.arange(200) * 1_000_000_000
    features = extract(packets, streams=16)
    assert features[150, 0] == 1.0  # its first packet is forgotten
    assert features[151, 0] > 1.0


def test_unknown_layout_and_a_bound_too_low_are_said():
    with pytest.raises(BrickError, match=r"kitsune116.*kitsune115"):
        FeatureQuantization(layout="kitsune116")
    with pytest.raises(BrickError, match="at least 8"):
        extract(flood(1), streams=7)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x00", b"\x80", b"nonsense"])
def test_foreign_streams_are_refused(data):
    with pytest.raises(BrickError, match="streams to adopt"):
        FeatureQuantization().state.adopt(data)


def test_impossible_buckets_are_refused():
    state = FeatureQuantization().state
    for buckets, of in ((frozenset([0]), 3), (frozenset([8]), 8), (frozenset([-1]), 8), (frozenset(), 0)):
        with pytest.raises(BrickError, match="power of two"):
            state.export(buckets, of)
