"""Splits simulated and held against the unsplit run: which packets differ, which must not, and the shape of the paper's Table II."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bricks.feature_quantization import extract
from bricks.learning.training import Training
from bricks.nfs.kitsune.declaration import EXTRACTORS
from bricks.offline.commands import score_captures
from bricks.offline.scoring import Scoring, train_on
from bricks.offline.simulated_split import BUCKETS, OwnershipChange, SimulatedSplit, Split, key_buckets
from bricks.offline.verify import Comparison, describe, relative, row_of, verify
from bricks.records.packets import ADDRESS_IPV4, ARP, DST_KIND_SHIFT, ICMP, NO_PORT, PACKET, SHADOW
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.headers import GROUPS
from lego_sdn.core.nf.granularity import split_plan
from tests.bricks.feature_traffic import START, traffic
from tests.examples import examples

A, B, C = 0x0A000000, 0x0A000001, 0x0A000002  # with 2 replicas the first owns A and C, the second B


def plan(granularity="SrcIP", layout="kitsune115", assume=()):
    return split_plan(EXTRACTORS[layout], GROUPS[granularity], assume)


def talk(*pairs):
    """A packet from the first to the second of each pair, 10 ms apart."""
    made = np.zeros(len(pairs), PACKET)
    made["seq"] = np.arange(len(pairs))
    made["time_ns"] = START + np.arange(len(pairs)) * 10_000_000
    made["src_lo"], made["dst_lo"] = np.array(pairs).T
    made["src_mac"], made["dst_mac"] = made["src_lo"], made["dst_lo"]
    made["src_port"] = made["dst_port"] = 80
    made["length"], made["flags"] = 100 + 10 * np.arange(len(pairs)), ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT
    return made


def differing(packets, split):
    """Numbers of the packets whose features differ from the unsplit run's, with any bit."""
    found, wanted = SimulatedSplit(split, "kitsune115", 1000).features(packets), extract(packets)
    return np.flatnonzero((found.view(np.uint64) != wanted.view(np.uint64)).any(axis=1)).tolist()


def test_without_shadows_just_the_packets_that_read_the_other_replica_differ():
    packets = talk((A, B), (B, A), (A, B), (C, A), (A, C), (B, 3), (3, B))  # 3 is with B
    assert differing(packets, Split(plan(), 2, shadows=False)) == [1, 2]
    assert differing(packets, Split(plan(), 2)) == []
    assert differing(packets, Split(plan(), 1, shadows=False)) == []


def test_a_split_by_channel_loses_what_the_source_sends_to_others():
    packets = talk(*((A, peer) for peer in range(1, 12)))
    owner = np.arange(BUCKETS)[key_buckets(packets, ("dst_ip", "src_ip"))] % 2
    first = int(np.flatnonzero(owner != owner[0])[0])
    lonely = [at for at in range(1, 11) if owner[at] != owner[:at].min() or owner[at] != owner[:at].max()]
    assert first in lonely
    assert differing(packets, Split(plan("SrcIP-DstIP"), 2)) == lonely


def test_an_event_moves_state_or_leaves_the_new_owner_cold():
    packets = talk(*[(A + host, A + 63) for host in range(BUCKETS - 1)] * 2)
    events = (OwnershipChange(BUCKETS - 1, 2),)
    warm, cold = (SimulatedSplit(Split(plan(), 1, shadows, events), "kitsune115", 1000) for shadows in (True, False))
    assert warm.features(packets).tobytes() == extract(packets).tobytes()
    cold.features(packets)
    (moved,), (left,) = warm.moved, cold.moved
    assert moved.buckets == left.buckets
    assert 0.4 * BUCKETS < moved.buckets <= 0.5 * BUCKETS
    assert moved.state_bytes > 0 == left.state_bytes
    taken = [at for at in range(BUCKETS - 1, len(packets)) if cold.owners[packets["src_lo"][at] % BUCKETS] == 1]
    assert len(taken) >= moved.buckets - 1
    assert differing(packets, Split(plan(), 1, False, events)) == taken


def test_shadows_are_only_sent_where_another_replica_owns_the_destination():
    fleet = SimulatedSplit(Split(plan(), 2), "kitsune115", 1000)
    fleet.features(talk((A, B), (A, C), (B, A), (C, C)))
    assert (fleet.packets, fleet.shadows) == (4, 2)


def test_shadows_in_the_capture_are_taken_as_such():
    packets = talk((A, B), (B, A), (A, B), (B, A))
    packets["flags"][1] |= SHADOW
    found = SimulatedSplit(Split(plan(), 2), "kitsune115", 1000).features(packets)
    assert found.shape == (3, 115)
    assert found.tobytes() == extract(packets).tobytes()


@pytest.mark.parametrize("granularity", ["SrcIP", "SrcIP-DstIP", "Socket"])
def test_a_shadow_goes_to_the_owner_of_the_opposite_packet(granularity):
    rng, there = np.random.default_rng(5), talk(*[(A, B)] * 300)
    for name, most in {"src_hi": 3, "src_lo": 99, "dst_hi": 3, "dst_lo": 99, "src_port": 9, "dst_port": 9}.items():
        there[name] = rng.integers(0, most, 300)
    there["flags"][::3] |= ARP
    there["flags"][1::3] |= ICMP
    back = there.copy()
    for word in ("hi", "lo", "mac", "port"):
        back[f"src_{word}"], back[f"dst_{word}"] = there[f"dst_{word}"], there[f"src_{word}"]
    found = plan(granularity)
    (target,) = found.shadows
    assert np.array_equal(key_buckets(there, target), key_buckets(back, sorted(found.granularity.fields)))
    assert len(np.unique(key_buckets(there, target))) > 50


def test_keys_spread_evenly_and_ports_of_arp_are_one():
    packets = talk(*[(A, B)] * 6400)
    packets["src_port"] = np.arange(6400)
    counts = np.bincount(key_buckets(packets, ("src_ip", "src_port")), minlength=BUCKETS)
    assert counts.min() > 50
    assert counts.max() < 160
    packets["flags"] |= ARP
    packets["dst_port"] = NO_PORT
    assert len(np.unique(key_buckets(packets, ("src_ip", "src_port")))) == 1


@pytest.mark.slow
@given(packets=traffic(60), cuts=st.lists(st.integers(0, 59), max_size=4, unique=True), seed=st.integers(0, 99))
@settings(max_examples=examples(60), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_by_source_with_shadows_no_bit_changes_whatever_happens(packets, cuts, seed):
    rng = np.random.default_rng(seed)
    events = tuple(OwnershipChange(cut, int(rng.integers(1, 7))) for cut in sorted(cuts) if cut < len(packets))
    assert differing(packets, Split(plan(), int(rng.integers(1, 7)), True, events)) == []


def test_what_is_counted_of_a_difference():
    found = Comparison(2, threshold=1.0)
    features = np.array([[1.0, 0.0], [2.0, 4.0], [8.0, 4.0]])
    other = np.array([[1.0, -0.0], [2.0, 5.0], [8.0, 3.0]])
    found.add(np.array([7, 8, 9]), (features, other), (np.array([0.5, 2.0, 4.0]), np.array([0.5, 0.5, 4.25])))
    assert (found.packets, found.different, found.counts.tolist(), found.largest.tolist()) == (3, 3, [0, 3], [0.0, 0.25])
    assert (found.scores, found.first_feature, found.first_score) == (2, 7, 8)
    assert (found.alerts, found.lost, found.fine, found.coarse) == (1, 1, 2, 1)
    assert (found.total, found.largest_score) == (5.25, 0.75)
    found.add(np.array([10]), (features[:1], features[:1]), (np.array([2.0]), np.array([2.0])))
    assert (found.packets, found.different, found.scores, found.alerts) == (4, 3, 2, 2)


def test_a_relative_difference_of_nothing_is_against_the_other_value():
    assert relative(np.array([0.0, 0.0, -2.0]), np.array([3.0, -0.0, 2.0])).tolist() == [1.0, 0.0, 2.0]


@pytest.fixture(scope="module")
def infected(data):
    """(captures, model) of a time line with an infected host."""
    captures = [data / "mirai-benign-20000.pcap", data / "mirai-attack-5000.pcap"]
    model, _ = train_on(captures[:1], Training(fm_grace=5000, ad_grace=14_999))
    return captures, model


@pytest.mark.slow
@pytest.mark.data
def test_with_shadows_every_score_has_the_bits_of_the_unsplit_run(infected, tmp_path):
    captures, model = infected
    splits = [Split(plan(), replicas) for replicas in (2, 3, 5)]
    splits += [
        Split(
            plan(), 2, events=(OwnershipChange(5000, 3), OwnershipChange(9000, 1), OwnershipChange(16_384, 5), OwnershipChange(21_000, 2))
        )
    ]
    outcome = verify(captures, model, splits)
    score_captures(captures, tmp_path / "s.npy", Scoring(model))
    scores = np.load(tmp_path / "s.npy")
    assert outcome.unsplit.total == pytest.approx(scores.sum(), rel=1e-12)
    assert outcome.unsplit.alerts == np.count_nonzero(scores > model.threshold) > 4000
    for run in outcome.runs:
        shown = describe(run)
        assert (run.same, run.found.packets, run.found.different, run.found.alerts) == (True, 25_000, 0, outcome.unsplit.alerts)
        assert (shown["features"], shown["promised_exact"], shown["promise_broken"]) == ([], 115, [])
        assert 1.3 < shown["split"]["deliveries_per_packet"] < 1.9
    assert [moved.event.packet for moved in outcome.runs[-1].fleet.moved] == [5000, 9000, 16_384, 21_000]
    assert all(moved.state_bytes > 10_000 for moved in outcome.runs[-1].fleet.moved)


@pytest.mark.slow
@pytest.mark.data
def test_features_that_the_plan_calls_exact_are(infected):
    captures, model = infected
    splits = [Split(plan(name), 3, shadows) for name in ("SrcIP", "SrcIP-DstIP", "Socket") for shadows in (True, False)]
    for run in verify(captures, model, splits).runs[1:]:
        shown = describe(run)
        allowed = set(run.split.plan.approximate) if run.split.shadows else {f.name for f in EXTRACTORS["kitsune115"].features}
        found = {one["name"] for one in shown["features"]}
        assert found
        assert found <= allowed - set(run.split.plan.alone)
        assert shown["promise_broken"] == []


@pytest.mark.slow
@pytest.mark.data
def test_an_assumption_that_the_traffic_breaks_is_named(infected):
    captures, model = infected
    assume = ("one-mac-per-address",)
    shown = describe(verify(captures, model, [Split(plan("SrcMAC-SrcIP", assume=assume), 3, assume=assume)]).runs[0])
    assert shown["promised_exact"] == 115
    assert shown["promise_broken"]  # hosts behind the gateway appear with its address and their own
    assert shown["promise_rests_on"] == "the traffic does not keep to one-mac-per-address"


@pytest.mark.slow
@pytest.mark.data
def test_table_2_has_the_shape_of_the_papers(infected):
    captures, model = infected
    names = ["SrcMAC-SrcIP", "SrcIP", "SrcIP-DstIP", "Socket"]
    outcome = verify(captures, model, [*(Split(plan(name), 3, shadows=False) for name in names), Split(plan(), 3)])
    rows = dict(zip([*names, "ours"], (row_of("", run.found, outcome.unsplit) for run in outcome.runs), strict=True))
    for name in names[:2]:
        assert 0.98 < rows[name]["ratio"] < 1.02
        assert 0.05 < rows[name]["share_off_fine"] < 0.5
    for name in names[2:]:
        assert 0.2 < rows[name]["ratio"] < 0.4
        assert rows[name]["share_off_fine"] > 0.9
        assert rows[name]["alerts_lost"] > rows["SrcIP"]["alerts_lost"]
    assert rows["ours"]["ratio"] == 1.0
    assert rows["ours"]["scores_different"] == rows["ours"]["alerts_lost"] == 0


@pytest.mark.data
def test_an_event_after_the_end_is_said(infected):
    captures, model = infected
    with pytest.raises(LegoError, match="event 5000:3 never comes: the captures have 5000 packets"):
        verify(captures[1:], model, [Split(plan(), 2, events=(OwnershipChange(10, 1), OwnershipChange(5000, 3)))])
