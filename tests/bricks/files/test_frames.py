"""Raw frames for replay are the bytes of the captures, on the time line of the records."""

import gzip
import struct

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.files.frames import read_frames
from bricks.kernels.parse.ethernet import parse_frames, parse_switched
from bricks.records.packets import PACKET, STAMP_BYTES
from lego_sdn.core.facts.errors import CaptureError
from tests.bricks.files import written
from tests.bricks.files.written import Packet
from tests.bricks.odd import FRAMES
from tests.bricks.tshark import FIELDS
from topologies.traffic import write_pcap

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


@pytest.mark.slow
@pytest.mark.parametrize("beyond", [0, 1, 19, 20, 21])
def test_a_length_that_reaches_into_a_stamp_fits_the_frame_that_has_one(tmp_path, beyond):
    """The record is that of live capture, which takes the stamp off again: `parse_switched`."""
    udp = struct.pack(">HHHH", 1000, 2000, 12 + beyond, 0) + b"data"
    address = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp) + beyond, 1, 0, 64, 17, 0, *address)
    frame = bytes(range(12)) + b"\x08\x00" + ip + udp
    write_pcap(tmp_path / "a.pcap", [frame], np.array([1_000_000]))
    found = read_frames([tmp_path / "a.pcap"]).stamped_packets()
    live, buffer = np.zeros(1, PACKET), np.frombuffer(frame + bytes(STAMP_BYTES), "u1")
    parse_switched(buffer, 0, len(frame), len(frame), (len(buffer), 0), live, 0)
    live["time_ns"] = found["time_ns"]
    assert found.tobytes() == live.tobytes()
    assert bool(found["src_lo"][0] == 0x0A000001) == (beyond <= STAMP_BYTES)
    unstamped = read_packets([tmp_path / "a.pcap"])[0]
    assert bool(unstamped["src_lo"][0] == 0x0A000001) == (beyond == 0)
