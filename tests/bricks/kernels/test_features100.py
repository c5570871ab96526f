"""The 100 statistics of the public implementation: golden values, its quirks one by one, its description on made traffic."""

import socket

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bricks.feature_quantization import LAYOUTS, NAMES, FeatureQuantization, extract
from bricks.kernels.streams.names import NAME, SOURCE, write_names
from bricks.kernels.streams.names import NAMES as ROWS
from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC, ARP, DST_KIND_SHIFT, ICMP, NO_PORT, PACKET
from tests.bricks.definition100 import defined100
from tests.bricks.feature_traffic import START, capture, traffic
from tests.examples import examples

LAYOUT = "kitsunepy100"
HH, JITTER, HPHP = 15, 50, 65


def packets_of(*talks):
    """Packets, a second apart, of (source, target, source port, target port): IPv4 as text or MAC as a number."""
    packets = np.zeros(len(talks), PACKET)
    for i, (packet, (source, target, source_port, target_port)) in enumerate(zip(packets, talks, strict=True)):
        kinds = []
        for side, address in (("src", source), ("dst", target)):
            kinds.append(ADDRESS_IPV4 if isinstance(address, str) else ADDRESS_MAC)
            packet[f"{side}_lo"] = int.from_bytes(socket.inet_aton(address), "big") if isinstance(address, str) else address
        packet["time_ns"], packet["length"], packet["src_mac"] = START + i * 1_000_000_000, 60 + 7 * i, 1
        packet["src_port"], packet["dst_port"] = source_port, target_port
        packet["flags"] = kinds[0] | kinds[1] << DST_KIND_SHIFT
    return packets


def test_layout():
    assert LAYOUTS[LAYOUT] == len(NAMES[LAYOUT]) == 100
    assert NAMES[LAYOUT][HH] == "HH_L5_weight"
    assert NAMES[LAYOUT][JITTER] == "HH_jit_L5_weight"
    assert NAMES[LAYOUT][HPHP + 7] == "HpHp_L3_weight"


@pytest.mark.data
@pytest.mark.parametrize(("part", "name"), [("benign", "mirai-benign-20000.pcap"), ("attack", "mirai-attack-5000.pcap")])
def test_golden_values(data, part, name):
    golden = np.load(data / "golden-kitsunepy100.npz")
    found = extract(capture(data, name), LAYOUT)[golden[f"{part}_rows"]]
    correlation = np.array([column.endswith("pcc") for column in NAMES[LAYOUT]])
    np.testing.assert_allclose(found[:, ~correlation], golden[part][:, ~correlation], rtol=1e-9, atol=0)
    assert (found == golden[part]).mean() > 0.999


@pytest.mark.data
@pytest.mark.parametrize("name", ["mixed-4631.pcap", "vlan-4096.pcap", "synack-reflection-8000.pcap"])
def test_as_described_on_real_traffic(data, name):
    packets = capture(data, name, 600)
    np.testing.assert_array_equal(extract(packets, LAYOUT), defined100(packets))


@pytest.mark.slow
@given(packets=traffic())
@settings(max_examples=examples(60), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_as_described_on_made_traffic(packets):
    np.testing.assert_array_equal(extract(packets, LAYOUT), defined100(packets))


def test_socket_keys_are_glued():
    """10.0.0.1 port 180 and 10.0.0.11 port 80 are one stream."""
    packets = packets_of(("10.0.0.1", "10.0.0.9", 180, 5), ("10.0.0.11", "10.0.0.9", 80, 5), ("10.0.0.12", "10.0.0.9", 80, 5))
    features = extract(packets, LAYOUT)
    assert features[1, HPHP + 28] > 1.9
    assert features[2, HPHP + 28] == 1.0


def test_jitter_keys_are_glued():
    packets = packets_of(("1.2.3.1", "12.5.5.5", 1, 1), ("1.2.3.11", "2.5.5.5", 1, 1), ("1.2.3.11", "2.5.5.6", 1, 1))
    features = extract(packets, LAYOUT)
    assert features[1, JITTER + 12] > 1.9
    assert features[2, JITTER + 12] == 1.0


def test_a_host_has_one_stream_towards_all():
    features = extract(packets_of(*(("10.0.0.1", f"10.0.0.{peer}", 1, 1) for peer in range(2, 9))), LAYOUT)
    assert (np.diff(features[:, HH + 28]) > 0.9).all()
    assert (features[:, JITTER + 12] == 1.0).all()


def test_arp_sockets_are_macs_and_meet_packets_without_addresses():
    packets = packets_of(("10.0.0.1", "10.0.0.2", NO_PORT, NO_PORT), (1, 0, NO_PORT, NO_PORT))
    packets["flags"][0] |= ARP
    assert extract(packets, LAYOUT)[1, HPHP + 28] > 1.9


def test_icmp_that_quotes_ports_counts_them():
    packets = packets_of(*[("10.0.0.1", "10.0.0.2", 7, 8)] * 3)
    packets["flags"][1:] |= ICMP
    packets["src_port"][2] = packets["dst_port"][2] = NO_PORT
    weights = extract(packets, LAYOUT)[:, HPHP + 28]
    assert weights[1] > 1.9
    assert weights[2] == 1.0


@given(groups=st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xAB, 0x1234]), min_size=8, max_size=8))
@settings(max_examples=examples(300), deadline=None, derandomize=True)
def test_ipv6_text_is_that_of_the_c_library(groups):
    raw = b"".join(group.to_bytes(2, "big") for group in groups)
    packet, text = np.zeros(1, PACKET), np.zeros((ROWS, NAME), np.uint8)
    packet["src_hi"], packet["src_lo"] = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
    packet["flags"] = ADDRESS_IPV6
    write_names(packet[0], text)
    assert text[SOURCE].tobytes().rstrip(b"\0").decode() == socket.inet_ntop(socket.AF_INET6, raw)


def test_eviction_is_bounded_and_counted():
    talks = [("10.0.0.1" if i % 2 else f"10.1.{i >> 8}.{i & 255}", f"10.2.{i >> 8}.{i & 255}", 1, 1) for i in range(600)]
    brick = FeatureQuantization(layout=LAYOUT, streams=64)
    packets = packets_of(*talks)
    out = np.empty((len(packets), 100))
    assert brick.state.advance(packets, out) == len(packets)
    counters = brick.state.counters()
    assert all(46 <= counters[name] <= 64 for name in ("streams_mi", "streams_hh", "streams_jit", "streams_hp"))
    assert all(0 < counters[name] <= 64 for name in ("pairs_hh", "pairs_hp"))
    assert counters["evicted_jit"] + counters["streams_jit"] == 600
    assert counters["evicted_hh"] + counters["streams_hh"] >= 901
    assert np.isfinite(out).all()
    assert extract(packets, LAYOUT, 64).tobytes() == out.tobytes()


def test_pairs_are_bounded_too():
    """One stream fewer than the bound, but more pairs than it."""
    hosts = [f"10.0.0.{i}" for i in range(30)]
    packets = packets_of(*((one, other, 1, 1) for one in hosts for other in hosts if one != other))
    brick = FeatureQuantization(layout=LAYOUT, streams=40)
    brick.state.advance(packets, np.empty((len(packets), 100)))
    counters = brick.state.counters()
    assert counters["streams_hh"] == 30
    assert counters["evicted_hh"] == 0
    assert 30 <= counters["pairs_hh"] <= 40
    assert counters["pairs_hh"] + counters["evicted_pairs_hh"] >= 435


@pytest.mark.data
def test_forgetting_keeps_what_the_owned_need(data):
    brick, packets = FeatureQuantization(layout=LAYOUT), capture(data, "mixed-4631.pcap", 1500)
    brick.state.advance(packets, np.empty((len(packets), 100)))
    before = brick.state.counters()
    dropped = brick.state.forget(frozenset(range(0, 64, 2)), 64)
    after = brick.state.counters()
    streams = [name for name in before if name.startswith("streams_")]
    assert dropped == sum(before[name] - after[name] for name in streams) > 0
    assert brick.state.forget(frozenset(range(0, 64, 2)), 64) == 0
    brick.state.forget(frozenset(), 64)
    assert not any(brick.state.counters().values())
