"""A cut or damaged capture gives what came before, and says where and why it ends."""

import gzip
import re

import numpy as np
import pytest

from bricks.files.captures import open_capture, read_packets
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.loss import is_partial
from tests.bricks.files import written
from tests.bricks.files.written import Packet, enhanced, interface, obsolete, section, simple
from tests.bricks.odd import FRAMES

FRAME = FRAMES["tcp"]
PACKETS = [Packet(10**9 * (i + 1), FRAME) for i in range(4)]
PCAP = written.pcap(PACKETS)
RECORD = 16 + len(FRAME)
HEADS = [section(), interface()]
PCAPNG = b"".join(HEADS + [enhanced(p.time_ns // 1000, p) for p in PACKETS])
BLOCK = len(enhanced(0, PACKETS[0]))


def read(path):
    with open_capture(path) as capture:
        blocks = list(capture)
    return sum(map(len, blocks)), capture.truncated


def test_a_pcap_cut_at_every_byte(tmp_path):
    for cut in range(24, len(PCAP)):
        count, truncated = read(written.save(tmp_path / "cut.pcap", PCAP[:cut]))
        whole, rest = divmod(cut - 24, RECORD)
        assert count == whole
        if rest:
            assert f"cut.pcap ends early, before packet {whole + 1}, at byte {24 + whole * RECORD}: the file stops within it" in truncated
        else:
            assert truncated is None


def test_a_pcapng_cut_at_every_byte(tmp_path):
    head = sum(map(len, HEADS))
    for cut in range(12, len(PCAPNG)):
        count, truncated = read(written.save(tmp_path / "cut.pcapng", PCAPNG[:cut]))
        whole, rest = divmod(max(0, cut - head), BLOCK)
        assert count == whole
        assert (truncated is None) == (rest == 0 and cut in (len(HEADS[0]), *range(head, len(PCAPNG), BLOCK)))


def test_a_gzip_cut_at_every_byte(tmp_path):
    rng = np.random.default_rng(1)  # noise, so that what is packed is as long as what is not
    content = written.pcap([Packet(10**9, FRAME + rng.bytes(200)) for _ in range(4)])
    packed = gzip.compress(content)
    seen, refusals = set(), []
    for cut in range(2, len(packed)):
        path = written.save(tmp_path / "cut.gz", packed[:cut])
        try:
            count, truncated = read(path)
        except CaptureError as refusal:  # not even the header is there
            refusals.append(str(refusal))
            continue
        assert "of the unpacked data: its gzip data stop in the middle" in truncated
        assert f"{count} packets were read" in truncated
        seen.add(count)
    assert seen == {0, 1, 2, 3, 4}
    assert all(re.search("its gzip data stop in the middle|is cut within its pcap header", text) for text in refusals)


def test_damaged_gzip_data(tmp_path):
    content = written.pcap([Packet(10**9, FRAME)] * 20_000)
    packed = bytearray(gzip.compress(content))
    packed[-6] ^= 0xFF  # the check sum
    count, truncated = read(written.save(tmp_path / "bad.gz", bytes(packed)))
    assert 0 < count <= 20_000
    assert count == 20_000  # all that was packed is there
    assert "do not match their checksum" in truncated


@pytest.mark.parametrize("length", [262_145, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_pcap_length_that_cannot_be(tmp_path, length):
    damaged = bytearray(PCAP)
    at = 24 + 2 * RECORD
    damaged[at + 8 : at + 12] = length.to_bytes(4, "little")
    count, truncated = read(written.save(tmp_path / "bad.pcap", bytes(damaged)))
    assert count == 2
    assert f"before packet 3, at byte {at}: the length given there cannot be; 2 packets were read" in truncated


@pytest.mark.parametrize(
    ("at", "value"),
    [(4, 0), (4, 16), (4, BLOCK + 1), (4, BLOCK + 4), (4, 0xFFFFFFFC), (BLOCK - 4, 0)],
)
def test_a_pcapng_block_whose_length_contradicts_itself(tmp_path, at, value):
    damaged = bytearray(PCAPNG)
    block = len(PCAPNG) - 2 * BLOCK
    damaged[block + at : block + at + 4] = value.to_bytes(4, "little")
    count, truncated = read(written.save(tmp_path / "bad.pcapng", bytes(damaged)))
    assert count == 2
    assert f"before packet 3, at byte {block}" in truncated


@pytest.mark.parametrize(("at", "value"), [(8, 1), (20, BLOCK), (20, 0xFFFFFFFF)])
def test_a_pcapng_block_whose_content_contradicts_its_length_is_left_out_and_counted(tmp_path, at, value):
    damaged = bytearray(PCAPNG)
    for nth in (3, 2):  # from the end
        block = len(PCAPNG) - nth * BLOCK
        damaged[block + at : block + at + 4] = value.to_bytes(4, "little")
    packets, warnings = read_packets([written.save(tmp_path / "bad.pcapng", bytes(damaged))])
    assert packets["time_ns"].tolist() == [PACKETS[0].time_ns, PACKETS[3].time_ns]
    assert packets["seq"].tolist() == [0, 1]
    assert len(warnings) == 1
    assert is_partial(warnings)
    assert f"2 packets cannot be read and are left out, the first: packet 2, a block of {BLOCK} bytes" in warnings[0]
    assert f"at byte {len(PCAPNG) - 3 * BLOCK}" in warnings[0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orders", ["<>", "><"])
@pytest.mark.parametrize("nano", [False, True])
def test_joined_pcaps_are_read_as_one(tmp_path, order, orders, nano):
    parts = [written.pcap(PACKETS, orders[0], nano), written.pcap([], order), written.pcap(PACKETS, orders[1], not nano)]
    packets, warnings = read_packets([written.save(tmp_path / "joined.pcap", b"".join(parts))])
    assert warnings == []
    assert packets["time_ns"].tolist() == 2 * [packet.time_ns for packet in PACKETS]
    assert (packets["length"] == len(FRAME)).all()


def test_a_joined_capture_that_cannot_be_read_is_told_with_its_place(tmp_path):
    other = bytearray(written.pcap(PACKETS))
    other[20] = 189
    for first, second in [(PCAP, PCAPNG), (PCAPNG, PCAP), (PCAP, bytes(other)), (PCAP, PCAP[:20])]:
        count, truncated = read(written.save(tmp_path / "joined", first + second))
        assert count == 4
        assert f"before packet 5, at byte {len(first)}: " in truncated
        assert is_partial([truncated])


@pytest.mark.parametrize("zeros", [1, 4, 15, 16, 17, 24, 4096, 3_000_000])
@pytest.mark.parametrize("content", [PCAP, PCAPNG], ids=["pcap", "pcapng"])
def test_zeros_at_the_end_are_no_packets_and_are_told(tmp_path, content, zeros):
    count, truncated = read(written.save(tmp_path / "zeros", content + bytes(zeros)))
    assert count == 4
    assert f"before packet 5, at byte {len(content)}: " in truncated


@pytest.mark.parametrize(("minor", "turned"), [(0, True), (2, True), (3, True), (3, False), (4, False)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_lengths_of_old_pcaps(tmp_path, minor, turned, order):
    """Before version 2.3 the length on the wire came first; in 2.3 either did."""
    content = bytearray(written.pcap([Packet(10**9, FRAME, len(FRAME) + 7)] * 3, order))
    content[6:8] = minor.to_bytes(2, "little" if order == "<" else "big")
    for at in range(24, len(content), RECORD) if turned else ():
        content[at + 8 : at + 16] = content[at + 12 : at + 16] + content[at + 8 : at + 12]
    packets, warnings = read_packets([written.save(tmp_path / "old.pcap", bytes(content))])
    assert warnings == []
    assert packets["length"].tolist() == 3 * [len(FRAME) + 7]
    assert (packets["src_port"] == 40_000).all()


def test_the_warning_names_the_capture_among_several(tmp_path):
    good = written.save(tmp_path / "good.pcap", PCAP)
    cut = written.save(tmp_path / "cut.pcap", PCAP[:-1])
    packets, warnings = read_packets([cut, good])
    assert len(packets) == 7
    assert packets["seq"].tolist() == list(range(7))
    assert len(warnings) == 1
    assert "cut.pcap" in warnings[0]


def test_noise_never_fails_otherwise_than_with_a_capture_error(tmp_path):
    rng = np.random.default_rng(5)
    kinds = [PCAP, PCAPNG, b"".join([*HEADS, simple(PACKETS[0]), obsolete(5, PACKETS[0]), simple(PACKETS[1])]), gzip.compress(PCAP)]
    outcomes = set()
    for _ in range(800):
        content = bytearray(kinds[rng.integers(len(kinds))])
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(len(content))] = rng.integers(256)
        try:
            count, truncated = read(written.save(tmp_path / "noise", bytes(content)))
        except CaptureError:
            outcomes.add("refused")
        else:
            assert count <= 8
            outcomes.add("cut" if truncated else "read")
    assert outcomes == {"refused", "cut", "read"}
