"""Where lines go: renamed files, readers that come and go, a full disk. A line is whole, or counted as dropped."""

from __future__ import annotations

import json
import socket
import threading
import time
from itertools import pairwise

import pytest

from lego_sdn.adapters.eve.outputs import WAITING_BYTES, FileOutput, SocketOutput, open_output
from lego_sdn.adapters.eve.writer import EveWriter, line_of
from lego_sdn.core.facts.errors import HostError
from tests.fakes.disk import fill, small_disk


def lines(first: int, count: int) -> list[bytes]:
    return [line_of({"n": number, "pad": "x" * 200}) for number in range(first, first + count)]


def numbers(data: bytes) -> list[int]:
    return [json.loads(line)["n"] for line in data.splitlines()]


def test_a_file_that_is_renamed_again_and_again_loses_and_cuts_no_line(tmp_path):
    path, output = tmp_path / "eve.json", open_output(str(tmp_path / "eve.json"))
    for turn in range(100):
        output.write(lines(turn * 50, 25))
        path.rename(tmp_path / f"eve.{turn}")
        output.write(lines(turn * 50 + 25, 25))  # before the signal: to the file of the new name
        output.reopen()
    output.close()
    assert path.read_bytes() == b""
    found = [number for turn in range(100) for number in numbers((tmp_path / f"eve.{turn}").read_bytes())]
    assert found == list(range(5000))
    assert (output.written, output.dropped) == (5000, 0)


def test_a_file_that_cannot_be_opened_anew_goes_on_to_be_written(tmp_path):
    path, output = tmp_path / "eve.json", FileOutput(str(tmp_path / "eve.json"))
    path.rename(tmp_path / "old")
    path.mkdir()
    output.reopen()
    output.write(lines(0, 3))
    output.close()
    assert numbers((tmp_path / "old").read_bytes()) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "eve.json"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "other")
    with pytest.raises(HostError, match=r"eve\.json"):
        open_output(str(path))


@pytest.mark.root
def test_on_a_full_disk_whole_lines_are_dropped_and_counted(tmp_path):
    with small_disk(tmp_path, 256) as disk:
        output = FileOutput(str(disk / "eve.json"))
        output.write(lines(0, 10))
        filler = fill(disk)
        output.write(lines(10, 1000))
        output.write(lines(1010, 10))
        assert output.dropped > 900
        filler.unlink()
        output.tick()
        output.write(lines(2000, 10))
        output.close()
        found = numbers((disk / "eve.json").read_bytes())
        assert (found[:10], found[-10:]) == (list(range(10)), list(range(2000, 2010)))
        assert (output.written, output.written + output.dropped) == (len(found), 1030)


class Reader(threading.Thread):
    """A server of a Unix stream socket that takes one connection and reads `most` bytes, or to the end."""

    def __init__(self, path, most: int | None = None) -> None:
        super().__init__()
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.door.bind(str(path))
        self.door.listen(1)
        self.most, self.data = most, b""
        self.start()

    def run(self) -> None:
        talk, _ = self.door.accept()
        self.door.close()
        while self.most is None or len(self.data) < self.most:
            part = talk.recv(65_536)
            if not part:
                break
            self.data += part
        talk.close()


def test_a_stream_socket_whose_reader_comes_late_gets_every_line(tmp_path):
    path, writer = tmp_path / "eve.sock", EveWriter(open_output(f"unix:{tmp_path / 'eve.sock'}"))
    writer.write([{"n": number} for number in range(100)])
    assert writer.counters == {"written": 0, "dropped": 0}
    reader, deadline = Reader(path), time.monotonic() + 20
    while writer.output.written < 100 and time.monotonic() < deadline:
        writer.output.tick()
        time.sleep(0.01)
    writer.output.close()
    reader.join(20)
    assert numbers(reader.data) == list(range(100))
    assert writer.counters == {"written": 100, "dropped": 0}


@pytest.mark.slow
def test_readers_that_come_and_go_get_whole_lines_only(tmp_path):
    """Each reads some lines and leaves. What each got begins with a whole line; nothing comes twice but a line that was cut."""
    path, output, sent, found = tmp_path / "eve.sock", None, 0, []
    for _turn in range(20):
        reader = Reader(path, most=20_000)
        output = output or SocketOutput(str(path))
        deadline = time.monotonic() + 20
        while reader.is_alive() and time.monotonic() < deadline:
            output.write(lines(sent, 50))
            sent += 50
            time.sleep(0.005)
        reader.join(20)
        path.unlink()
        whole = reader.data.rpartition(b"\n")[0]
        found.append(numbers(whole))
    output.close()
    assert output.written + output.dropped == sent
    assert all(len(got) > 10 and got == list(range(got[0], got[0] + len(got))) for got in found)
    assert all(one[-1] < other[0] + 1 for one, other in pairwise(found))


def test_a_reader_that_does_not_read_costs_lines_not_time_or_memory(tmp_path):
    path = tmp_path / "eve.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen(1)
        output, many = SocketOutput(str(path)), lines(0, 1000)
        began = time.monotonic()
        for _ in range(100):
            output.write(many)
        assert time.monotonic() - began < 20
        assert output.dropped > 0
        assert 0 < output.waiting_bytes <= WAITING_BYTES
        output.close()
        assert output.written + output.dropped == 100_000


def test_a_datagram_socket_takes_a_line_a_datagram(tmp_path):
    path = tmp_path / "eve.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(path))
        door.settimeout(10)
        output = SocketOutput(str(path))
        output.write([*lines(0, 3), line_of({"n": 3, "pad": "x" * (4 << 20)}), *lines(4, 1)])
        assert [json.loads(door.recv(65_536))["n"] for _ in range(4)] == [0, 1, 2, 4]
        assert (output.written, output.dropped) == (4, 1)  # one was longer than a datagram can be
        output.close()


@pytest.mark.parametrize("path", ["", "x" * 200, "a\0b"])
def test_what_can_be_no_socket_is_refused(path):
    with pytest.raises(HostError, match="cannot be a socket"):
        open_output(f"unix:{path}")


def test_a_file_is_no_socket(tmp_path):
    (tmp_path / "eve.json").write_text("")
    with pytest.raises(HostError, match="is no socket"):
        open_output(f"unix:{tmp_path / 'eve.json'}")
