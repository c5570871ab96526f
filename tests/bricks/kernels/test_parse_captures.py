"""Every packet of every real capture, every field, against tshark; and the tsv of the same packets, record by record."""

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.records.packets import BYTE_MASK, CODE_SHIFT, FRAGMENT, MALFORMED, PROTOCOL_SHIFT, TYPED, VLAN, seconds
from bricks.records.protocols import protocol_of
from tests.bricks import tshark

pytestmark = pytest.mark.data

CAPTURES = {
    "iot23-8-1": 23_623,
    "mirai-attack-5000": 5_000,
    "mirai-benign-20000": 20_000,
    "mixed-4631": 4_631,
    "synack-reflection-8000": 8_000,
    "synflood-37841": 37_841,
    "vlan-4096": 4_096,
    "webddos-3104": 3_104,
}


@pytest.mark.slow
@tshark.needs_tshark
@pytest.mark.parametrize("name", CAPTURES)
def test_every_field_is_what_tshark_shows(name, data, tmp_path):
    packets, warnings = read_packets([data / f"{name}.pcap"])
    assert (len(packets), warnings) == (CAPTURES[name], [])
    tsv = tshark.write_tsv(data / f"{name}.pcap", tmp_path / "fields.tsv")
    assert tshark.difference(tshark.expected(tsv), tshark.found(packets)) == ""
    again, warnings = read_packets([tsv])
    assert warnings == []
    assert tshark.difference(tshark.found(packets), tshark.found(again)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mirai-benign-20000", "mirai-attack-5000"])
def test_tsv_and_pcap_of_the_same_packets_give_the_same_records(name, data):
    from_pcap, _ = read_packets([data / f"{name}.pcap"])
    from_tsv, warnings = read_packets([data / f"{name}.tsv"])
    assert warnings == []
    frame_facts = np.uint32(VLAN | FRAGMENT | MALFORMED)  # a text has no frames to see them in
    from_pcap["flags"] &= ~frame_facts
    protocol = np.uint32(BYTE_MASK << PROTOCOL_SHIFT | BYTE_MASK << CODE_SHIFT | TYPED)
    untold = from_tsv["flags"] & protocol == 0  # it has columns for TCP, UDP and ICMP only
    assert not {protocol_of(flags).number for flags in from_pcap["flags"][untold].tolist()} & {1, 6, 17}
    from_pcap["flags"][untold] &= ~protocol
    np.testing.assert_array_equal(from_pcap, from_tsv)


def test_a_tsv_of_other_origin(data, oracle):
    packets, warnings = read_packets([data / "kitsune-camera-load-10001.tsv"])
    assert warnings == []
    path = data / "kitsune-camera-load-10001.tsv"
    assert tshark.difference(tshark.expected(path), tshark.found(packets)) == ""
    assert [p[0] for p in oracle.packets(path)] == seconds(packets["time_ns"]).tolist()


def test_vlan_flags(data):
    packets, _ = read_packets([data / "vlan-4096.pcap"])
    assert (packets["flags"] & VLAN != 0).all()
