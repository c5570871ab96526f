"""Captures of every format and byte order, written by the tests, give the packets that were put in."""

import gzip
import os
import threading

import numpy as np
import pytest

from bricks.files.byte_window import WINDOW
from bricks.files.captures import open_capture, read_packets
from bricks.records.packets import PACKET
from lego_sdn.core.facts.errors import CaptureError
from tests.bricks.files import written
from tests.bricks.files.written import Packet
from tests.bricks.odd import FRAMES

BEGIN = 1_700_000_000_123_456_789
PACKETS = [Packet(BEGIN + i * 1_000_001, frame, len(frame) + i % 3) for i, frame in enumerate(FRAMES.values())]


def check(path, unit_ns=1):
    packets, warnings = read_packets([path])
    assert warnings == []
    assert packets["time_ns"].tolist() == [p.time_ns // unit_ns * unit_ns for p in PACKETS]
    assert packets["length"].tolist() == [p.length for p in PACKETS]
    assert packets["seq"].tolist() == list(range(len(PACKETS)))
    macs = [int.from_bytes(p.frame[6:12], "big") for p in PACKETS]
    assert packets["src_mac"].tolist() == macs
    return packets


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap(tmp_path, order, nano):
    path = written.save(tmp_path / "x.pcap", written.pcap(PACKETS, order, nano))
    check(path, 1 if nano else 1000)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng(tmp_path, order):
    blocks = [written.section(order), written.interface(order, options=[(9, b"\x09"), (2, b"eth0")])]
    blocks += [written.enhanced(p.time_ns, p, order) for p in PACKETS]
    check(written.save(tmp_path / "x.pcapng", b"".join(blocks)))


def test_gzip_of_one_and_of_several_members(tmp_path):
    content = written.pcap(PACKETS, nano=True)
    one = check(written.save(tmp_path / "a.pcap.gz", gzip.compress(content)))
    parts = [gzip.compress(content[i : i + 1000]) for i in range(0, len(content), 1000)]
    two = check(written.save(tmp_path / "b.bin", b"".join(parts) + bytes(512)))
    np.testing.assert_array_equal(one, two)


def test_a_pipe_can_be_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(written.pcap(PACKETS, nano=True),))
    writer.start()
    try:
        check(path)
    finally:
        writer.join(timeout=10)


def test_blocks_have_the_size_asked_for_and_run_on(tmp_path):
    path = written.save(tmp_path / "x.pcap", written.pcap(PACKETS))
    whole, _ = read_packets([path])
    for size in (1, 7, len(PACKETS), 4096):
        with open_capture(path, block=size) as capture:
            blocks = list(capture)
        assert [len(b) for b in blocks[:-1]] == [size] * (len(blocks) - 1)
        assert all(block.dtype == PACKET for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
        assert capture.packets == len(PACKETS)
        assert capture.truncated is None


def test_the_window_slides_over_a_large_capture_and_does_not_grow(tmp_path):
    rng = np.random.default_rng(3)
    frames = [FRAMES["tcp"].ljust(int(size), b"x") for size in rng.integers(60, 1500, 5000)]
    packets = [Packet(BEGIN + i * 1000, frame) for i, frame in enumerate(frames)]
    content = written.pcap(packets)
    assert len(content) > 3 * WINDOW
    for path in (written.save(tmp_path / "x.pcap", content), written.save(tmp_path / "x.gz", gzip.compress(content, 1))):
        with open_capture(path, block=999) as capture:
            read = np.concatenate(list(capture))
            assert capture.window_bytes == WINDOW
        assert read["length"].tolist() == [len(frame) for frame in frames]
        assert read["time_ns"].tolist() == [p.time_ns // 1000 * 1000 for p in packets]
        assert (read["src_port"] == 40_000).all()


def test_several_captures_are_one_time_line(tmp_path):
    first = written.save(tmp_path / "a.pcap", written.pcap([Packet(5_000_000, FRAMES["tcp"]), Packet(9_000_000, FRAMES["udp"])]))
    second = written.save(tmp_path / "b.pcap", written.pcap([Packet(BEGIN, FRAMES["tcp"]), Packet(BEGIN + 3_000_000, FRAMES["udp"])]))
    joined, _ = read_packets([first, second, first])
    assert joined["time_ns"].tolist() == [5_000_000, 9_000_000, 9_000_000, 12_000_000, 12_000_000, 16_000_000]
    assert joined["seq"].tolist() == [0, 1, 2, 3, 4, 5]
    apart, _ = read_packets([first, second], joined=False)
    assert apart["time_ns"].tolist() == [5_000_000, 9_000_000, BEGIN // 1000 * 1000, (BEGIN + 3_000_000) // 1000 * 1000]
    assert apart["seq"].tolist() == [0, 1, 2, 3]


def test_no_packets(tmp_path):
    path = written.save(tmp_path / "empty.pcap", written.pcap([]))
    packets, warnings = read_packets([path])
    assert (len(packets), packets.dtype, warnings) == (0, PACKET, [])
    assert len(read_packets([])[0]) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"hello world, this is text\n", "its first bytes are 68 65 6c 6c 6f"),
        (b"PK\3\4" + bytes(30), "it is a zip archive"),
        (bytes(100), "its first bytes are 00 00 00 00"),
        (gzip.compress(b"text", mtime=0), "its first bytes are 74 65 78 74"),
        (gzip.compress(b"", mtime=0), "it is empty"),
        (b"\x1f\x8b" + bytes(50), "its gzip data are damaged"),
        (b"\xd4\xc3\xb2\xa1\2\0", "is cut within its pcap header: 6 of 24 bytes"),
        (b"\xd4\xc3\xb2\xa1\7\0\4\0" + bytes(16), "is of pcap version 7.4"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "its first block holds no byte order"),
    ],
)
def test_what_is_no_capture_is_refused_by_name(tmp_path, content, said):
    path = written.save(tmp_path / "thing.pcap", content)
    with pytest.raises(CaptureError) as refusal:
        open_capture(path)
    assert said in str(refusal.value)
    assert "thing.pcap" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(CaptureError, match=r"capture .*/none\.pcap cannot be opened: No such file"):
        open_capture(tmp_path / "none.pcap")
    with pytest.raises(CaptureError, match="cannot be opened: Is a directory"):
        open_capture(tmp_path)
