"""The sender: what leaves the interface, when, and what is said of frames that do not."""

import os
import socket
import struct
import time

import numpy as np
import pytest
from pyroute2 import netns

from bricks.records import packets
from lego_sdn.adapters.linux import replay_sender as module
from lego_sdn.adapters.linux.pace import FASTEST, Pace, Pacer
from lego_sdn.adapters.linux.replay_sender import Sender, Sent, Stamps
from lego_sdn.core.facts.errors import ConfigError, HostError
from tests.bricks.veth import frames, remove, set_link, udp, veth

SO_RCVBUFFORCE = 33  # asm-generic/socket.h


def listen(interface: str) -> socket.socket:
    """Everything that arrives there, as it is on the wire; at most 2 s of patience."""
    listening = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    listening.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    listening.bind((interface, 0))
    listening.settimeout(2)
    return listening


def trailer(frame: bytes) -> tuple[int, int, int]:
    return struct.unpack(">IQQ", frame[-20:])


def test_the_trailer_is_that_of_the_bricks():
    assert module.STAMP_MAGIC == packets.STAMP_MAGIC
    assert module.STAMP.itemsize == packets.STAMP_BYTES


@pytest.mark.root
def test_frames_leave_as_captured_padded_to_their_length():
    sent = [udp(60), udp(100)[:50], udp(1514)]
    with veth() as (here, there), listen(there) as wire, Sender(here) as sender:
        result = sender.send(frames(*sent, lengths=[60, 100, 1514]))
        assert [wire.recv(9000) for _ in sent] == [sent[0], sent[1] + bytes(50), sent[2]]
        assert (result.sent, result.bytes, result.too_long, result.too_short, result.interface_drops) == (3, 1674, 0, 0, 0)


@pytest.mark.root
def test_stamps_of_the_capture_run_on_over_prepared_parts():
    count = module.PREPARED + 10
    with veth() as (here, there), listen(there) as wire, Sender(here) as sender:
        sender.send(frames(*[udp()] * count, step_ns=7), Pace(pps=50_000), Stamps(first=5, shift_ns=3))
        got = [wire.recv(9000) for _ in range(count)]
    assert [trailer(f) for f in got] == [(packets.STAMP_MAGIC, 5 + i, 10**18 + 7 * i + 3) for i in range(count)]
    assert {f[:-20] for f in got} == {udp()}


@pytest.mark.root
@pytest.mark.parametrize("pace", [FASTEST, Pace(pps=2000)])
def test_stamps_of_the_clock(pace):
    with veth() as (here, there), listen(there) as wire, Sender(here) as sender:
        before = time.time_ns()
        sender.send(frames(*[udp()] * 100), pace, Stamps(clock=True))
        times = np.array([trailer(wire.recv(9000))[2] for _ in range(100)])
    assert before <= times[0]
    assert (np.diff(times) >= 0).all()
    if pace.pps:
        assert np.abs(np.diff(times) - 500_000).max() <= 1


@pytest.mark.root
def test_what_the_interface_does_not_take_is_counted_and_the_rest_goes():
    long, short = udp(1600), udp(60)[:9]
    with veth(mtu=1500) as (here, there), listen(there) as wire, Sender(here) as sender:
        result = sender.send(frames(udp(60), long, udp(61), short, long, udp(62)), stamps=Stamps())
        assert [trailer(wire.recv(9000))[1] for _ in range(4)] == [0, 2, 3, 5]
        assert (result.sent, result.too_long, result.too_short) == (4, 2, 0)  # nine bytes and a stamp are a frame
        result = sender.send(frames(short, udp(60), udp(1514), udp(1515)))
        assert (result.sent, result.too_long, result.too_short) == (2, 1, 1)


@pytest.mark.root
def test_a_length_beyond_reason_is_too_long():
    with veth() as (here, _), Sender(here) as sender:
        result = sender.send(frames(udp(60), udp(60), lengths=[2**32 - 1, 60]))
        assert (result.sent, result.too_long) == (1, 1)


@pytest.mark.root
def test_nothing_to_send():
    with veth() as (here, _), Sender(here) as sender:
        assert sender.send(frames(), Pace(speed=1)).sent == 0


@pytest.mark.root
@pytest.mark.parametrize("pace", [Pace(pps=1000), Pace(speed=0.5)])
def test_the_average_is_never_above_the_rate(pace):
    done = []
    with veth() as (here, _), Sender(here) as sender:
        result = sender.send(frames(*[udp()] * 201, step_ns=500_000), pace, progress=done.append)
    assert result.sent == 201
    assert result.seconds >= 0.2
    assert result.rate <= 1005  # 201 packets span 200 gaps
    assert done[-1] == 201
    assert done == sorted(done)


@pytest.mark.root
def test_into_another_namespace():
    name = f"lts{os.getpid()}"
    netns.create(name)
    try:
        home = os.readlink("/proc/self/ns/net")
        with Sender("lo", name) as sender:
            assert os.readlink("/proc/self/ns/net") == home
            with pytest.raises(HostError, match=f"cannot send into lo of namespace {name}: the interface is down"):
                sender.send(frames(udp()))
        with pytest.raises(HostError, match="nowhere0 of namespace"):
            Sender("nowhere0", name)
    finally:
        netns.remove(name)


@pytest.mark.root
def test_interfaces_that_are_missing_down_or_gone():
    with pytest.raises(HostError, match="cannot send into nowhere0: there is no interface of this name"):
        Sender("nowhere0")
    with pytest.raises(HostError, match="namespace"):
        Sender("lo", "no-such-namespace")
    with veth() as (here, there), Sender(here) as sender:
        set_link(here, "down")
        with pytest.raises(HostError, match=f"cannot send into {here}: the interface is down"):
            sender.send(frames(udp()))
        set_link(here, "up")
        set_link(there, "down")
        with pytest.raises(HostError, match="is its other end up"):
            sender.send(frames(udp()))
        remove(here)
        with pytest.raises(HostError, match="there is no interface of this name"):
            sender.send(frames(udp()))


@pytest.mark.root
def test_without_root_it_says_so():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # only this process gives up root
        try:
            os.setgid(65534)
            os.setuid(65534)
            Sender("lo")
        except HostError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        assert said.read() == "cannot send into lo: it needs root (CAP_NET_RAW); run the command as root"
    os.waitpid(child, 0)


@pytest.mark.parametrize(("wrong", "says"), [({"pps": 0}, "rate"), ({"speed": -1}, "speed"), ({"pps": float("inf")}, "rate")])
def test_an_impossible_pace_is_refused(wrong, says):
    with pytest.raises(ConfigError, match=f"the {says} must be above zero"):
        Pace(**wrong)


def test_one_pace_only():
    with pytest.raises(ConfigError, match="not two of them"):
        Pace(pps=1, speed=1)


def test_schedules():
    times = np.array([50, 60, 55, 90], np.int64)
    assert Pace(pps=4e6).schedule(times, 8, 50).tolist() == [2000, 2250, 2500, 2750]
    assert Pace(speed=0.1).schedule(times, 0, 50).tolist() == [0, 100, 100, 400]
    assert FASTEST.schedule(times, 0, 50) is None


def test_a_pacer_lets_no_more_than_a_millisecond_go_at_once():
    clock = Clock()
    pacer, due = Pacer(clock.monotonic_ns, clock.sleep), np.arange(10_000) * 10_000  # 100,000 packets/s
    clock.now += 50_000_000  # late by 50 ms
    at, went = 0, []
    while at < len(due):
        stop = pacer.next_stop(due, at, len(due))
        went.append((clock.now, stop - at))
        assert due[stop - 1] <= clock.now - pacer.start_ns
        at = stop
    assert max(n for _, n in went) <= 101
    late = [when for (when, n) in went if n > 90]
    assert len(late) > 50
    assert min(np.diff(late)) >= 490_000  # caught up with at twice the rate
    assert clock.now - pacer.start_ns <= due[-1] + 1_000_000


def test_a_pacer_that_is_stopped_lets_no_frame_go_and_does_not_wait_for_one_that_is_due_in_an_hour():
    clock, stopped = Clock(), [False, False, True]
    pacer = Pacer(clock.monotonic_ns, clock.sleep, lambda: stopped.pop(0) if len(stopped) > 1 else stopped[0])
    due = np.array([3600 * 10**9])
    assert pacer.next_stop(due, 0, 1) == 0
    assert clock.now - pacer.start_ns < 10**9
    assert pacer.next_stop(None, 0, 1) == 0


class Clock:
    """Time that passes only by sleeping."""

    now = 10**15

    def monotonic_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(1, round(seconds * 1e9))


def test_results_add_up():
    one = Sent(sent=3, bytes=180, too_long=1, seconds=0.5)
    assert one + one == Sent(sent=6, bytes=360, too_long=2, seconds=1.0)
    assert (one + one).rate == 6.0
    assert Sent().rate == 0.0
