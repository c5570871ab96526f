"""Algorithm 1 and split plans: on Kitsune's declarations, against what was measured, and on others made up here."""

from __future__ import annotations

import itertools
import random

import pytest

from bricks.nfs.kitsune.declaration import KITSUNE115, KITSUNEPY100
from lego_sdn.core.facts.headers import DST_IP, SOCKET, SRC_IP, SRC_IP_DST_IP, SRC_IP_SRC_PORT, SRC_MAC_SRC_IP, HeaderGroup, spell, within
from lego_sdn.core.nf.granularity import Assumption, DeclarationError, Extractor, Feature, Read, Statistic, algorithm_1, split_plan

ONE_MAC = ("one-mac-per-address",)


def test_within_is_about_packets_not_fields():
    assert within(SRC_MAC_SRC_IP, SRC_IP)
    assert not within(SRC_IP, SRC_MAC_SRC_IP)
    assert within(SOCKET, SRC_IP_DST_IP)
    assert within(SRC_IP, SRC_IP)
    assert not within(SRC_IP, DST_IP)


@pytest.mark.parametrize("order", list(itertools.permutations([SRC_MAC_SRC_IP, SRC_IP, SRC_IP_DST_IP, SOCKET])))
def test_algorithm_1_finds_the_one_group_that_lies_within_no_other(order):
    assert algorithm_1(order) == (SRC_IP,)


@pytest.mark.parametrize(
    ("groups", "result"),
    [
        ((SRC_IP, DST_IP, SRC_IP_DST_IP), (SRC_IP, DST_IP)),
        ((SRC_MAC_SRC_IP, SRC_IP_DST_IP), (SRC_MAC_SRC_IP, SRC_IP_DST_IP)),
        ((SRC_IP, HeaderGroup.of("Source", "src_ip")), (HeaderGroup.of("Source", "src_ip"),)),  # one group under two names
        ((), ()),
    ],
)
def test_algorithm_1_tells_where_traffic_cannot_be_split_cleanly(groups, result):
    assert algorithm_1(groups) == result


def test_kitsune_is_split_by_source_in_both_layouts():
    assert algorithm_1(KITSUNE115.groups) == algorithm_1(KITSUNEPY100.groups) == (SRC_IP,)


def test_kitsune115_features_are_the_columns_of_the_definition(oracle):
    assert [feature.name for feature in KITSUNE115.features] == oracle.NAMES


def test_kitsune115_by_source_needs_shadows_to_the_owner_of_the_destination_and_is_then_exact():
    plan = split_plan(KITSUNE115, SRC_IP)
    assert plan.shadows == (("dst_ip",),)
    assert plan.spell(plan.shadows[0]) == "the owner of DstIP"
    assert len(plan.exact) == 115
    assert plan.rounding == plan.approximate == ()
    assert plan.deliveries(3) == pytest.approx(1.67, abs=0.01)  # measured: 1.67
    differ = {f.name for f in KITSUNE115.features} - set(plan.alone)
    assert {name.split("_", 2)[2] for name in differ} == {"magnitude", "radius", "covariance", "pcc"}


@pytest.mark.parametrize(
    ("granularity", "assume", "differ"),
    [(SRC_IP, (), 40), (SRC_MAC_SRC_IP, ONE_MAC, 40), (SRC_IP_DST_IP, (), 70), (SOCKET, (), 100), (SRC_MAC_SRC_IP, (), 100)],
)
def test_features_that_differ_without_shadows_are_those_that_were_measured(granularity, assume, differ):
    """The captures have one MAC for each address; where that is not assumed, more may differ."""
    plan = split_plan(KITSUNE115, granularity, assume)
    assert 115 - len(plan.alone) == differ


def test_finer_splits_stay_approximate_whatever_is_copied():
    assert len(split_plan(KITSUNE115, SRC_IP_DST_IP).approximate) == 30  # MI and H: no packet tells who else reads its source
    assert len(split_plan(KITSUNE115, SOCKET).approximate) == 80
    by_mac = split_plan(KITSUNE115, SRC_MAC_SRC_IP, ONE_MAC)
    assert by_mac.shadows == (("dst_ip", "dst_mac"),)
    assert by_mac.approximate == ()


def test_kitsunepy100_is_exact_only_where_no_other_sender_and_no_glued_key_has_a_part():
    plan = split_plan(KITSUNEPY100, SRC_IP)
    assert len(KITSUNEPY100.features) == 100
    assert {name.split("_")[0] for name in plan.exact} == {"MI"}
    assert len(plan.exact) == 15
    assert {name.split("_")[0] for name in plan.rounding} == {"HH"}
    assert len(plan.rounding) == 15
    assert plan.shadows == ()  # a peer's stream is written by all it sends, to anyone: no header field says who reads it


def test_kitsunepy100_with_distinct_keys_keeps_jitter_too():
    plan = split_plan(KITSUNEPY100, SRC_IP, ["distinct-keys"])
    assert {name.rsplit("_", 2)[0] for name in plan.exact} == {"MI", "HH_jit"}
    assert len(plan.rounding) == 30
    assert {name.rsplit("_", 1)[1] for name in plan.approximate} == {"radius", "magnitude", "covariance", "pcc"}


# ---- what a plan promises, against a simulation of streams as sets of packets ----
def streams_read(read: Read, packet: dict, packets: list[dict]) -> list[int]:
    return [i for i, other in enumerate(packets) if all(packet[mine] == other[theirs] for mine, theirs in read.links)]


@pytest.mark.slow
@pytest.mark.parametrize("granularity", [SRC_IP, SRC_IP_DST_IP, SRC_IP_SRC_PORT, SOCKET, DST_IP])
def test_what_is_called_exact_has_every_packet_it_reads_at_its_instance(granularity):
    """Random packets among few hosts: owner plus shadows see all packets that an exact feature reads; some approximate one does not."""
    random.seed(3)
    fields = ("src_mac", "src_ip", "dst_ip", "src_port", "dst_port")
    packets = [{field: random.randrange(3) for field in fields} for _ in range(150)]
    plan = split_plan(KITSUNE115, granularity)
    order = sorted(granularity.fields)

    def owner(packet: dict, names) -> int:
        return hash(tuple(packet[name] for name in names)) % 5

    at = [{owner(p, order)} | {owner(p, target) for target in plan.shadows} for p in packets]

    def complete(read: Read) -> bool:
        return all(owner(packet, order) in at[i] for packet in packets for i in streams_read(read, packet, packets))

    whole = {read: complete(read) for read in {read for feature in KITSUNE115.features for read in feature.reads}}
    missing = {feature.name for feature in KITSUNE115.features if not all(whole[read] for read in feature.reads)}
    assert missing == set(plan.approximate)


# ---- declarations ----
def test_what_writers_read_is_followed():
    """A pair's update reads a stream of the receiver's, which only other packets write: the pair is not exact either."""
    stream = Statistic("S", SRC_IP, (Feature("s", (Read.same("S", "src_ip"),)),))
    pair = Statistic(
        "P",
        SRC_IP_DST_IP,
        (Feature("p", (Read.same("P", "src_ip", "dst_ip"),)),),
        updates=(Read("S", frozenset({("dst_ip", "src_ip")})),),
    )
    plan = split_plan(Extractor("x", (stream, pair)), SRC_IP)
    assert plan.alone == ("s",)
    assert plan.approximate == ("p",)


def test_a_declaration_that_contradicts_itself_is_refused():
    stream = Statistic("S", SRC_IP, (Feature("s", (Read.same("T", "src_ip"),)),))
    with pytest.raises(DeclarationError, match="S reads T, which is not declared"):
        Extractor("x", (stream,))
    with pytest.raises(DeclarationError, match="two statistics have one name"):
        Extractor("x", (Statistic("S", SRC_IP), Statistic("S", DST_IP)))


def test_an_assumption_must_be_the_extractors_own():
    extractor = Extractor("x", (Statistic("S", SRC_IP),), (Assumption("a", "b", ()),))
    with pytest.raises(DeclarationError, match="assumption 'c': extractor x has a"):
        split_plan(extractor, SRC_IP, ["c"])


def test_fields_are_spelt_as_in_the_paper():
    assert spell(["dst_ip", "src_ip"]) == "SrcIP-DstIP"
    assert spell(["dst_mac", "dst_ip"]) == "DstMAC-DstIP"
