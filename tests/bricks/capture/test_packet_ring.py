"""The ring on real interfaces: veth pairs, and a bridge of the userspace Open vSwitch that marks shadows."""

import contextlib
import os
import select
import subprocess
import threading
import time

import numpy as np
import pytest

from bricks.capture.packet_ring import PacketRing
from bricks.records.packets import PACKET, SHADOW, STAMPED, VLAN
from lego_sdn.adapters.linux.pace import FASTEST, Pace
from lego_sdn.adapters.linux.replay_sender import Sender, Stamps
from lego_sdn.core.facts.errors import BrickError, HostError
from tests.bricks.veth import frames, remove, set_link, tag, udp, veth

DEADLINE_S = 20
SMALL = {"blocks": 8, "block_bytes": 1 << 16}


def collect(ring: PacketRing, count: int, rows: int = 256, quiet_s: float = DEADLINE_S) -> np.ndarray:
    """Rows read until there are `count`, or nothing came for `quiet_s`, or the deadline passed."""
    out, got = np.zeros(rows, PACKET), [np.zeros(0, PACKET)]
    poll = select.poll()
    poll.register(ring.fileno(), select.POLLIN)
    heard, total = time.monotonic(), 0
    deadline = heard + DEADLINE_S
    while total < count and time.monotonic() < min(deadline, heard + quiet_s):
        n = ring.read(out)
        heard = time.monotonic() if n else heard
        got.append(out[:n].copy())
        total += n
        if n == 0:
            poll.poll(100)
    return np.concatenate(got)


def wait_for(fact, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not fact():
        assert time.monotonic() < deadline, f"{what} did not happen in {DEADLINE_S} s"
        time.sleep(0.01)


@contextlib.contextmanager
def sending(interface: str, what, pace: Pace = FASTEST, stamps: Stamps | None = None):
    """Send in the background; the body reads meanwhile."""
    results = []

    def send() -> None:
        with Sender(interface) as sender:
            results.append(sender.send(what, pace, stamps))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield results
    finally:
        thread.join()


def send_all(interface: str, what, stamps: Stamps | None = None):
    with Sender(interface) as sender:
        return sender.send(what, stamps=stamps)


def in_order(rows: np.ndarray) -> np.ndarray:
    """By stamp: the userspace datapath takes packets in batches of 32 and lets each flow's through together."""
    return rows[np.argsort(rows["seq"], kind="stable")]


def port_number(name: str) -> str:
    return subprocess.check_output(["ovs-vsctl", "get", "interface", name, "ofport"], text=True).strip()


@contextlib.contextmanager
def bridge(first: str, second: str, actions: str):
    """A bridge of the userspace datapath that does `actions` to what comes from `first`; "OUT" stands for `second`."""
    name = f"ltbr{os.getpid()}"
    make = ["add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow14"]
    subprocess.run(["ovs-vsctl", *make, "--", "add-port", name, first, "--", "add-port", name, second], check=True)
    try:
        flow = f"priority=1,in_port={port_number(first)},actions={actions.replace('OUT', f'output:{port_number(second)}')}"
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "add-flow", name, flow], check=True)
        yield name
    finally:
        subprocess.run(["ovs-vsctl", "del-br", name], check=True)


@pytest.mark.root
def test_kernel_stamps_count_and_tell_the_time():
    with veth() as (here, there), PacketRing(there, **SMALL) as ring:
        before = time.time_ns()
        send_all(here, frames(*(udp(60 + i) for i in range(50))))
        rows = collect(ring, 50)
        assert rows["seq"].tolist() == list(range(50))
        assert rows["length"].tolist() == list(range(60, 110))
        assert (rows["time_ns"] >= before - 10**7).all()
        assert (rows["time_ns"] <= time.time_ns()).all()
        assert (np.diff(rows["time_ns"]) >= 0).all()
        assert not (rows["flags"] & STAMPED).any()
        assert ring.statistics()["received"] == 50
        assert ring.statistics()["first"] == -1


@pytest.mark.root
def test_only_incoming_packets_are_taken():
    with veth() as (here, there), PacketRing(there, **SMALL) as ring:
        send_all(there, frames(*[udp(port=1)] * 20))
        send_all(here, frames(udp(port=2)))
        assert collect(ring, 1)["src_port"].tolist() == [2]


@pytest.mark.root
@pytest.mark.parametrize("through_ovs", [False, True])
def test_no_size_is_padded_or_trimmed(through_ovs):
    sizes = [14, 15, 33, 42, 59, 60, 61, 64, 1514, 4000, 8990]
    sent = [udp(s) if s >= 42 else udp(42)[:12] + b"\x12\x34" + bytes(s - 14) for s in sizes]
    sent.append(udp(42) + bytes(9))  # more bytes than the IP packet has
    with contextlib.ExitStack() as stack:
        here, there = stack.enter_context(veth())
        if through_ovs:
            first = there
            second, there = stack.enter_context(veth())
            stack.enter_context(bridge(first, second, "OUT"))
        ring = stack.enter_context(PacketRing(there, **SMALL, stamps="trailer"))
        assert send_all(here, frames(*sent), Stamps(first=1000)).sent == len(sent)
        rows = in_order(collect(ring, len(sent)))
        assert rows["length"].tolist() == [*sizes, 51]
        assert rows["seq"].tolist() == list(range(1000, 1000 + len(sent)))
        assert rows["time_ns"].tolist() == [10**18 + i * 10**6 for i in range(len(sent))]
        assert ring.statistics()["unstamped"] == 0


@pytest.mark.root
def test_tags_on_the_wire():
    sent = [udp(64, tag(0x8100, 5)), udp(64, tag(0x88A8, 4094)), udp(68, tag(0x88A8, 4094) + tag(0x8100, 7)), udp(60)]
    with veth() as (here, there), PacketRing(there, **SMALL, stamps="trailer") as ring:
        send_all(here, frames(*sent), Stamps())
        rows = collect(ring, 4)
        assert rows["length"].tolist() == [64, 64, 68, 60]
        assert (rows["flags"] & (SHADOW | VLAN)).tolist() == [VLAN, VLAN, VLAN, 0]
        assert rows["dst_port"].tolist() == [53] * 4
        assert ring.statistics()["shadows"] == 0


@pytest.mark.root
def test_a_switch_marks_shadows():
    own, shadow = (f"push_vlan:0x88a8,set_field:{4096 + vid}->vlan_vid,OUT,pop_vlan" for vid in (4093, 4094))  # 4096: there is a tag
    actions = f"{own},{shadow},OUT,{own}"
    with (
        veth() as (here, first),
        veth() as (second, there),
        bridge(first, second, actions),
        PacketRing(there, **SMALL, stamps="trailer", switch=True) as ring,
    ):
        send_all(here, frames(udp(60), udp(64, tag(0x8100, 7)), udp(42)), Stamps())
        rows = in_order(collect(ring, 9))
        assert len(rows) == 9
        assert (rows["flags"] & SHADOW).tolist() == [0, SHADOW, 0] * 3
        assert rows["seq"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert rows["length"].tolist() == [60] * 3 + [64] * 3 + [42] * 3
        assert (rows["flags"] & VLAN).tolist() == [0] * 3 + [VLAN] * 3 + [0] * 3
        assert ring.statistics() | {"received": 9, "shadows": 3, "repeats": 6, "gaps": 0, "foreign": 3} == ring.statistics()


@pytest.mark.root
@pytest.mark.data
def test_a_switch_lets_flows_overtake_and_the_ring_puts_them_in_order(data):
    from bricks.files.frames import read_frames

    captured = read_frames([data / "mirai-benign-20000.pcap"])
    with (
        veth() as (here, first),
        veth() as (second, there),
        bridge(first, second, "OUT") as name,
        PacketRing(there, stamps="trailer") as ring,
    ):
        for bucket in range(16):
            flow = f"ip,nw_src=0.0.0.{bucket}/0.0.0.15,actions=output:{port_number(second)}"
            subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "add-flow", name, flow], check=True)
        with sending(here, captured, Pace(pps=20_000), Stamps()):
            rows = collect(ring, len(captured), quiet_s=2)
        stamps = rows["seq"].astype(np.int64)
        found = ring.statistics()  # on a busy machine the switch itself may lose some
        assert len(np.unique(stamps)) == len(stamps) == found["received"]
        assert found["gaps"] == found["last"] - found["first"] + 1 - len(stamps)
        assert found["reordered"] > 0  # else this shows nothing
        assert found["late"] == (stamps < np.maximum.accumulate(stamps)).sum()
        assert found["late"] <= found["reordered"] // 2


@pytest.mark.root
def test_what_is_held_for_its_order_wakes_the_poll():
    with veth() as (here, there), PacketRing(there, **SMALL, stamps="trailer") as ring:
        send_all(here, frames(udp()), Stamps(first=77))  # 0 to 76 may still come
        poll, out = select.poll(), np.zeros(8, PACKET)
        poll.register(ring.fileno(), select.POLLIN)
        deadline, n = time.monotonic() + DEADLINE_S, 0
        while n == 0:
            assert poll.poll(1000 * DEADLINE_S), "never woken"
            n = ring.read(out)
            assert time.monotonic() < deadline
        assert out["seq"][:n].tolist() == [77]
        ring.read(out)
        assert poll.poll(0) == []


@pytest.mark.root
def test_many_rounds_of_a_small_ring_lose_nothing():
    with veth() as (here, there), PacketRing(there, blocks=4, block_bytes=1 << 14, stamps="trailer") as ring, Sender(here) as sender:
        for start in range(0, 6000, 100):
            sender.send(frames(*[udp(100)] * 100), stamps=Stamps(first=start))
            assert collect(ring, 100, rows=7)["seq"].tolist() == list(range(start, start + 100))
        assert ring.statistics() | {"received": 6000, "kernel_drops": 0, "gaps": 0} == ring.statistics()
        assert ring.queue() == 0.0


@pytest.mark.root
def test_a_stalled_reader_fills_the_queue_and_drops_are_counted():
    with veth() as (here, there), PacketRing(there, blocks=4, block_bytes=1 << 14, stamps="trailer") as ring:
        send_all(here, frames(*[udp(100)] * 2000), Stamps())
        wait_for(lambda: ring.queue() == 1.0, "a full ring")
        rows = collect(ring, 1)
        while len(more := collect_what_is_there(ring)):
            rows = np.concatenate([rows, more])
        found = ring.statistics()
        assert found["kernel_drops"] > 0
        assert found["received"] == len(rows) == 2000 - found["kernel_drops"]
        assert ring.statistics() == found  # totals: asking does not reset them
        send_all(here, frames(udp(100)), Stamps(first=2000))
        assert collect(ring, 1)["seq"].tolist() == [2000]
        assert ring.statistics()["gaps"] == found["kernel_drops"]


def collect_what_is_there(ring: PacketRing) -> np.ndarray:
    out = np.zeros(256, PACKET)
    return out[: ring.read(out)]


@pytest.mark.root
def test_the_usual_ring_bears_a_reader_that_stalls_for_a_fifth_of_a_second():
    """As under a CPU quota; every block is handed over after a millisecond, however little is in it."""
    with veth() as (here, there), PacketRing(there) as ring, Sender(here) as sender:
        sender.send(frames(*[udp()] * 2000), Pace(pps=10_000))
        assert len(collect(ring, 2000)) == 2000
        assert ring.statistics()["kernel_drops"] == 0


@pytest.mark.root
def test_a_second_at_full_speed_without_a_drop():
    with veth() as (here, there), PacketRing(there, stamps="trailer") as ring:
        with sending(here, frames(*[udp(128)] * 150_000), stamps=Stamps()) as results:
            rows = collect(ring, 150_000, rows=1024)
        assert np.array_equal(rows["seq"], np.arange(150_000))
        assert ring.statistics() | {"kernel_drops": 0, "gaps": 0, "repeats": 0, "reordered": 0} == ring.statistics()
        assert results[0].sent == 150_000


@pytest.mark.root
@pytest.mark.data
def test_a_stamped_replay_is_the_capture(data):
    from bricks.files.captures import read_packets
    from bricks.files.frames import read_frames

    path = data / "mirai-benign-20000.pcap"
    expected, _ = read_packets([path])
    with veth() as (here, there), PacketRing(there, stamps="trailer") as ring:
        with sending(here, read_frames([path]), Pace(pps=60_000), Stamps()):  # the ring could hold it all: no reader is too slow
            rows = collect(ring, len(expected))
        assert len(rows) == len(expected)
        assert (rows["flags"] & STAMPED).all()
        rows["flags"] &= ~np.uint32(STAMPED)
        for field in PACKET.names:
            assert np.array_equal(rows[field], expected[field]), field


@pytest.mark.root
def test_an_interface_that_is_down_comes_back_and_one_removed_is_an_error():
    with veth() as (here, there), PacketRing(there, **SMALL) as ring:
        set_link(there, "down")
        assert len(collect_what_is_there(ring)) == 0
        set_link(there, "up")
        send_all(here, frames(udp(port=9)))
        assert collect(ring, 1)["src_port"].tolist() == [9]
        remove(here)
        with pytest.raises(HostError, match=f"the interface {there} was removed"):
            collect(ring, 1)


def test_a_missing_interface_is_one_sentence():
    wanted = "no interface of this name" if os.geteuid() == 0 else "needs root"
    with pytest.raises(HostError, match=rf"cannot capture on nowhere0: .*{wanted}"):
        PacketRing("nowhere0")


@pytest.mark.root
def test_without_root_it_says_so():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # only this process gives up root
        try:
            os.setgid(65534)
            os.setuid(65534)
            PacketRing("lo")
        except HostError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        assert said.read() == "cannot capture on lo: it needs root (CAP_NET_RAW); let the agent, run as root, start the instance"
    os.waitpid(child, 0)


@pytest.mark.root
def test_closing_twice_and_opening_again():
    with veth() as (_, there):
        for _ in range(3):
            ring = PacketRing(there, **SMALL)
            ring.close()
            ring.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stamps": "gps"}, "kernel, trailer, not from 'gps'"),
        ({"block_bytes": 1000}, "multiple of 4096, not 1000"),
        ({"block_bytes": 0}, "multiple of 4096, not 0"),
        ({"blocks": 1}, "needs 2 blocks"),
        ({"timeout_ms": 0}, "timeout of 1 ms"),
    ],
)
def test_an_impossible_ring_is_refused(wrong, says):
    with pytest.raises(BrickError, match=says):
        PacketRing("lo", **wrong)
