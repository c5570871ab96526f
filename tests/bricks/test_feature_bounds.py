"""Bounded state: what a full table forgets, that it is counted, and that nothing else is harmed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bricks.feature_quantization import LAYOUTS, FeatureQuantization, extract
from tests.bricks.feature_traffic import START, flood, in_a_process, in_batches, traffic
from tests.examples import examples


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


@pytest.mark.slow
def test_memory_of_a_flood_of_new_sources():
    """At most 1 kB for each new pair of source and destination, all tables together."""
    found = in_a_process("""
        from pathlib import Path
        from bricks.feature_quantization import FeatureQuantization
        def held():
            return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        brick, packets = FeatureQuantization(streams=150_000), flood(150_000)
        brick.state.advance(packets[:10], out := np.ones((100_000, 115)))
        before = held()
        brick.state.advance(packets[10:100_000], out)
        print((held() - before) / 100_000)
    """)
    assert 100 < float(found) < 1000


def held(state):
    return {name: count for name, count in state.counters().items() if count and not name.startswith("evicted")}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@given(packets=traffic(60), hosts=st.integers(3, 40), streams=st.integers(8, 20))
@settings(max_examples=examples(60), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_tables_stay_whole_under_eviction(layout, packets, hosts, streams):
    """Never above the bound; and what is held then leaves, enters a roomier brick and is all there."""
    rng = np.random.default_rng(hosts)
    packets["src_lo"], packets["dst_lo"] = rng.integers(0, hosts, len(packets)), rng.integers(0, hosts, len(packets))
    state, other = FeatureQuantization(layout=layout, streams=streams).state, FeatureQuantization(layout=layout).state
    for i in range(len(packets)):
        state.advance(packets[i : i + 1], np.empty((1, LAYOUTS[layout])))
        assert max(held(state).values()) <= streams
    other.adopt(state.export(frozenset([0]), 1))
    assert held(other) == held(state)
    for following in (state, other):
        following.forget(frozenset(), 1)
        assert held(following) == {}
