"""The division of a header group's keys by low bits: the same in rules and offline, complete, and without a pattern."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.packets import ICMP, NO_PORT, PACKET
from lego_sdn.core.headers import DST_IP, SOCKET, SRC_IP, SRC_IP_DST_IP, SRC_MAC_SRC_IP
from lego_sdn.paper.group_rules import FORMS, Division

GROUPS = (SRC_IP, DST_IP, SRC_MAC_SRC_IP, SRC_IP_DST_IP, SOCKET)


def packets(count: int = 500) -> np.ndarray:
    rng, rows = np.random.default_rng(3), np.zeros(count, PACKET)
    for name in ("src_lo", "dst_lo", "src_mac", "dst_mac"):
        rows[name] = rng.integers(0, 1 << 40, count)
    for name in ("src_port", "dst_port"):
        rows[name] = rng.integers(0, 1 << 16, count)
    return rows


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_every_instance_gets_keys_and_no_key_two(group):
    division, rows = Division(group, 3), packets()
    owners = division.owners(rows)
    assert set(owners.tolist()) == {1, 2, 3}
    other = rows.copy()
    kept = {"src_ip": "src_lo", "dst_ip": "dst_lo"}
    for name in {"src_lo", "dst_lo", "src_mac", "dst_mac", "src_port", "dst_port"} - {kept.get(f, f) for f in group.fields}:
        other[name] = other[name][::-1]
    assert (division.owners(other) == owners).all()


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_rules_cover_every_combination_of_every_form_once(group):
    division = Division(group, 3)
    lines = division.rules(9, {1: 11, 2: 12, 3: 13})
    matches = [line.partition(",actions=")[0] for line in lines]
    assert len(set(matches)) == len(matches)
    for form in FORMS:
        fields = {form.fields[field] for field in group.fields if field in form.fields}
        begin = f"in_port=9,priority={form.priority},{form.match}"
        mine = [one for one in matches if one.startswith(begin) and (form.match or "nw_" not in one)]
        assert len([one for one in mine if one.count("/") == len(fields)]) >= 1 << division.bits * len(fields)


def test_rules_and_packets_agree_on_the_owner():
    """A packet whose key has these low bits goes where the rule for them says."""
    division, rows = Division(SRC_IP_DST_IP, 3), packets(50)
    rules = dict(line.split(",actions=output:") for line in division.rules(9, {1: 1, 2: 2, 3: 3}))
    for row, owner in zip(rows, division.owners(rows), strict=True):
        source, destination = (int(row[name]) & 15 for name in ("src_lo", "dst_lo"))
        match = f"in_port=9,priority=20,ip,nw_dst=0.0.0.{destination}/0.0.0.15,nw_src=0.0.0.{source}/0.0.0.15"
        assert rules[match] == str(owner)


def test_a_conversation_is_two_keys():
    division, rows = Division(SRC_IP_DST_IP, 3), packets()
    back = rows.copy()
    back["src_lo"], back["dst_lo"] = rows["dst_lo"], rows["src_lo"]
    assert 0.2 < (division.owners(rows) == division.owners(back)).mean() < 0.5


def test_ports_that_a_switch_does_not_see_count_as_none():
    division, rows = Division(SOCKET, 4), packets()
    bare = rows.copy()
    bare["src_port"] = bare["dst_port"] = NO_PORT
    rows["flags"] = ICMP
    assert (division.owners(rows) == division.owners(bare)).all()
