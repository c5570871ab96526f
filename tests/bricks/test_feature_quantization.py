"""The brick: the same bits however packets are cut, split and moved; bounded state; clear errors."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bricks.feature_quantization import LAYOUTS, FeatureQuantization, extract
from bricks.kernels.kitsune import features115
from bricks.records.brick import BRICKS, Batch
from bricks.records.packets import PACKET, SHADOW
from lego_sdn.core.facts.errors import BrickError
from tests.bricks.feature_traffic import capture, flood, in_a_process, in_batches, shares, traffic
from tests.examples import examples

BUCKETS = 64


def test_the_brick_is_found_by_its_kind():
    assert BRICKS["feature-quantization"] is FeatureQuantization
    assert FeatureQuantization(3).id == "feature-quantization-3"
    assert FeatureQuantization.in_order


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch_cuts_change_no_bit(data, layout):
    packets = capture(data, "mirai-attack-5000.pcap", 2400)
    whole = extract(packets, layout)
    cuts = np.random.default_rng(7).permutation(np.arange(1, 301))
    assert in_batches(FeatureQuantization(layout=layout), packets, cuts).tobytes() == whole.tobytes()
    for size in (1, 2, 3, 64, 511, 513):
        assert in_batches(FeatureQuantization(layout=layout), packets[:700], [size]).tobytes() == whole[:700].tobytes()


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@given(packets=traffic(60), cuts=st.lists(st.integers(1, 20), min_size=1, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=examples(40), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
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


def test_any_kind_of_array_is_taken_without_compiling_again():
    packets = flood(40)
    wanted = extract(packets)
    twice = np.repeat(packets, 2)
    frozen = packets.copy()
    frozen.flags.writeable = False
    compiled = len(features115.advance.signatures)
    for same in (twice[::2], frozen, np.frombuffer(packets.tobytes(), PACKET)):
        assert FeatureQuantization().process(Batch(same)).values.tobytes() == wanted.tobytes()
    assert len(features115.advance.signatures) == compiled == 1


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_after_the_warm_up_nothing_is_compiled(layout):
    """In a process of its own: what moves, evicts and forgets has been compiled by the warm-up."""
    found = in_a_process(f"""
        from numba.core import event
        from bricks.feature_quantization import FeatureQuantization, warm_up
        warm_up({layout!r})
        with event.install_recorder("numba:compile") as compiled:
            one, other = FeatureQuantization(layout={layout!r}, streams=50), FeatureQuantization(layout={layout!r})
            one.process(Batch(flood(200)))
            other.state.adopt(one.state.export(frozenset([1, 2]), 8))
            one.state.forget(frozenset([1]), 8)
        print(len(compiled.buffer))
    """)
    assert found == "0"


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
