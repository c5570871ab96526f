"""Raw frames for replay are the bytes of the captures, on the time line of the records."""

import gzip

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.files.frames import read_frames
from bricks.kernels.parse.ethernet import parse_frames
from bricks.records.packets import PACKET
from lego_sdn.core.facts.errors import CaptureError
from tests.bricks.files import written
from tests.bricks.files.written import Packet
from tests.bricks.odd import FRAMES
from tests.bricks.tshark import FIELDS

PACKETS = [Packet(10**9 + i * 1000, frame, len(frame) + i % 2) for i, frame in enumerate(FRAMES.values())]


def test_bytes_lengths_and_times(tmp_path):
    first = written.save(tmp_path / "a.pcap", written.pcap(PACKETS))
    second = written.save(tmp_path / "b.pcap.gz", gzip.compress(written.pcap(PACKETS[:5], ">", nano=True)))
    third = b"".join([written.section(), written.interface(), *(written.enhanced(p.time_ns // 1000, p) for p in PACKETS)])
    paths = [first, second, written.save(tmp_path / "c.pcapng", third)]
    frames = read_frames(paths)
    expected = [*PACKETS, *PACKETS[:5], *PACKETS]
    assert len(frames) == len(expected)
    assert frames.warnings == ()
    for i, packet in enumerate(expected):
        begin = frames.offsets[i]
        assert frames.buffer[begin : begin + frames.captured[i]].tobytes() == packet.frame
        assert frames.lengths[i] == packet.length
    assert [column.dtype.str[1:] for column in frames[:5]] == ["u1", "i8", "u4", "u4", "i8"]
    out = np.zeros(len(frames), PACKET)
    parse_frames(frames.buffer, frames.offsets, frames.captured, frames.lengths, frames.times_ns, out)
    np.testing.assert_array_equal(out, read_packets(paths)[0])


def test_many_frames_pass_through_the_window(tmp_path):
    packets = [Packet(i * 1000, FRAMES["udp"].ljust(60 + i % 1200, b"z")) for i in range(6000)]
    frames = read_frames([written.save(tmp_path / "x.pcap", written.pcap(packets))])
    for i, packet in enumerate(packets):
        begin = frames.offsets[i]
        assert frames.buffer[begin : begin + frames.captured[i]].tobytes() == packet.frame
    assert frames.times_ns.tolist() == [p.time_ns for p in packets]


def test_what_has_no_frames_to_send(tmp_path):
    tsv = written.save(tmp_path / "x.tsv", ("\t".join(FIELDS) + "\n").encode())
    with pytest.raises(CaptureError, match=r"x\.tsv is a tsv, which holds no frames to replay"):
        read_frames([tsv])
    cooked = written.save(tmp_path / "x.pcap", written.pcap([Packet(1, bytes(40))], link=113))
    with pytest.raises(CaptureError, match="frames that are not Ethernet"):
        read_frames([cooked])


def test_a_cut_capture_gives_what_came_before(tmp_path):
    content = written.pcap(PACKETS)
    frames = read_frames([written.save(tmp_path / "x.pcap", content[:-1])])
    assert len(frames) == len(PACKETS) - 1
    assert len(frames.warnings) == 1
    assert f"before packet {len(PACKETS)}" in frames.warnings[0]
    assert len(read_frames([])) == 0
