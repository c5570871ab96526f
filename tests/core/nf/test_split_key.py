"""The split key: from what an extractor declares to what is carried out, or refused with the statistic and the reason."""

from __future__ import annotations

import pytest

from bricks.nfs.kitsune import EXTRACTORS
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.headers import ALL, DST_IP, SOCKET, SRC_IP, SRC_IP_DST_IP, SRC_IP_SRC_PORT, SRC_MAC_SRC_IP, HeaderGroup
from lego_sdn.core.nf.granularity import Extractor, Feature, Read, Statistic
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey, bits_of, split_key


def own(name: str, group: HeaderGroup) -> Statistic:
    """A statistic that each packet reads and writes by its own fields."""
    return Statistic(name, group, (Feature(f"{name}_value", (Read.same(name, *group.fields),)),))


def reverse(name: str, group: HeaderGroup, *links: tuple[str, str]) -> Statistic:
    """One that is read against the stream of the way back, besides."""
    return Statistic(name, group, (Feature(f"{name}_value", (Read.same(name, *group.fields), Read(name, frozenset(links)))),))


THERE_AND_BACK = (("src_ip", "dst_ip"), ("dst_ip", "src_ip"))


def key(*statistics: Statistic, exact: bool = True, by: HeaderGroup | None = None) -> SplitKey:
    return split_key(Extractor("made up", statistics), exact, by)


def test_kitsune_is_split_by_source_with_copies_to_the_owner_of_the_destination():
    assert split_key(EXTRACTORS["kitsune115"]) == BY_SOURCE == SplitKey(("src_ip",), (("dst_ip",),))


@pytest.mark.parametrize(
    ("statistics", "wanted"),
    [
        ((own("a", SRC_IP),), SplitKey(("src_ip",))),
        ((own("a", DST_IP),), SplitKey(("dst_ip",))),
        ((own("a", DST_IP), own("b", SRC_IP_DST_IP)), SplitKey(("dst_ip",))),
        ((own("a", DST_IP), reverse("b", SRC_IP_DST_IP, *THERE_AND_BACK)), SplitKey(("dst_ip",), (("src_ip",),))),
        ((own("a", SRC_MAC_SRC_IP),), SplitKey(("src_ip",))),
        ((own("a", HeaderGroup.of("DstMAC", "dst_mac")),), SplitKey(("dst_mac",))),
        ((own("a", SRC_IP_SRC_PORT),), SplitKey(("src_ip",))),
        ((own("a", SOCKET),), SplitKey(("src_ip",))),
        ((reverse("a", SRC_IP_DST_IP, *THERE_AND_BACK),), SplitKey(("src_ip",), (("dst_ip",),))),
        ((), SplitKey(("src_ip",))),
    ],
)
def test_a_granularity_is_bucketed_by_one_field_that_keeps_its_streams_whole(statistics, wanted):
    assert key(*statistics) == wanted


def test_of_several_fields_that_with_the_fewest_copies_is_chosen():
    """Read by whoever has the same destination, or is it: by destination one copy is needed; by source, copies to all."""
    group = SRC_IP_DST_IP
    back = Read("a", frozenset({("dst_ip", "dst_ip")}))
    assert key(Statistic("a", group, (Feature("x", (Read.same("a", *group.fields), back)),))) == SplitKey(("dst_ip",))


@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        ((own("everything", ALL),), ["statistic everything", "All"]),
        ((own("a", SRC_IP), own("sum", HeaderGroup.of("Total"))), ["statistic sum", "Total"]),
        ((own("one", SRC_IP), own("two", DST_IP)), ["statistic one", "SrcIP", "two", "DstIP", "neither lies within the other"]),
        ((own("ports", HeaderGroup.of("SrcPort", "src_port")),), ["statistic ports", "SrcPort", "cannot mask"]),
        ((own("names", HeaderGroup.of("Name", "host_name")),), ["statistic names", "host_name", "cannot mask"]),
        (
            (own("a", SRC_IP), Statistic("anyone", SRC_IP, (Feature("x", (Read("anyone", frozenset()),)),))),
            ["anyone", "every instance", "SrcIP"],
        ),
        (
            (Statistic("far", SRC_IP, (Feature("x", (Read("far", frozenset({("src_ip", "sni")})),)),)),),
            ["far", "sni", "cannot mask"],
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_the_statistic_and_the_reason(statistics, words):
    found = key(*statistics)
    found.require(1, "scaling.max_instances")
    with pytest.raises(LegoError) as refusal:
        found.require(2, "scaling.max_instances")
    sentence = str(refusal.value)
    assert sentence.startswith("scaling.max_instances is 2, ")
    assert [word for word in words if word not in sentence] == []
    assert "\n" not in sentence
    assert found.own == found.shadows == ()


def test_a_field_that_a_switch_can_mask_is_preferred_where_several_hold_the_value():
    links = frozenset({("src_ip", "channel_text"), ("src_ip", "dst_ip")})
    statistic = Statistic("a", SRC_IP, (Feature("x", (Read.same("a", "src_ip"), Read("a", links))),))
    assert key(statistic) == BY_SOURCE


def test_without_exactness_there_are_no_copies_and_the_features_that_change_are_named():
    found = key(own("one", SRC_IP), own("two", DST_IP), own("more", DST_IP), exact=False)
    assert found == SplitKey(("dst_ip",), (), ("one_value",))
    kitsune = split_key(EXTRACTORS["kitsune115"], exact=False)
    assert (kitsune.own, kitsune.shadows, kitsune.exact) == (("src_ip",), (), False)
    assert {name.split("_")[0] for name in kitsune.inexact} == {"HH", "HpHp"}


def test_a_group_that_is_asked_for_is_taken_as_it_is_without_exactness_and_must_be_exact_with_it():
    extractor = EXTRACTORS["kitsune115"]
    assert split_key(extractor, exact=False, by=SOCKET).own == ("dst_ip", "dst_port", "src_ip", "src_port")
    assert split_key(extractor, by=SRC_IP_DST_IP) == BY_SOURCE, "the coarser split keeps its streams whole"
    assert split_key(extractor, by=DST_IP).whole is not None
    assert split_key(extractor, exact=False, by=ALL).whole is not None


@pytest.mark.parametrize(
    ("buckets", "fields", "bits"), [(64, 1, (6,)), (64, 2, (3, 3)), (32, 2, (3, 2)), (1, 2, (0, 0)), (256, 4, (2, 2, 2, 2))]
)
def test_the_bits_of_a_bucket_are_shared_out(buckets, fields, bits):
    assert bits_of(buckets, fields) == bits


def test_the_price_is_shown():
    assert BY_SOURCE.deliveries(4) == 1.75
    assert SplitKey(("dst_ip",)).deliveries(4) == 1
    assert BY_SOURCE.as_dict()["deliveries_per_packet"]["2"] == 1.5
    assert str(BY_SOURCE) == "buckets of SrcIP, copies to the owner of DstIP"
