"""Traffic is data: whatever a sender writes into frames, they are forwarded, and scored or counted by a name; no other score differs."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from lego_sdn.adapters.linux import netns
from lego_sdn.core.traffic.handover_steps import marker_frame
from lego_sdn.experiments.bench.running import RunningSystem
from lego_sdn.experiments.endpoints import INSIDE
from lego_sdn.experiments.run import Experiment, RunObservation
from tests.live.session import Live, configuration, traffic_in

pytestmark = pytest.mark.root
PPS, ROUNDS, SECONDS = 600.0, 4, 40.0  # more traffic than the steps need: the sending ends with them
VIDS = (0, 1, 4092, 4093, 4094, 4095, 1 << 13 | 4093, 0xE000 | 4094)
TPIDS = (0x8100, 0x88A8, 0x9100)
NUMBERS = (0, 5, 7000, 2**20, 2**56, 2**62, 2**63 + 5, 2**64 - 1)
TIMES = (0, 10**18, 4 * 10**18, 7_258_118_400 * 10**9, 2**64 - 1)
SIGN = b"hostile frame"


def bodies() -> Iterator[bytes]:
    """What comes behind the tags: a packet, and what instances take for a marker when it comes from the switch."""
    payload = SIGN + bytes(20)
    udp = struct.pack(">HHHH", 4000, 4001, 8 + len(payload), 0) + payload
    for source in (0x0A000003, 0xC0A80004):
        head = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, 0x0A000005)
        yield b"\x08\x00" + head + udp
    yield marker_frame(1)[16:] + SIGN
    yield marker_frame(2**64 - 1)[16:] + SIGN
    yield b"\x88\xb5" + SIGN + bytes(40)


def tags() -> Iterator[bytes]:
    single = [struct.pack(">HH", tpid, tci) for tpid in TPIDS for tci in VIDS]
    yield b""
    yield from single
    for outer in (b"\x88\xa8\x0f\xff", *single[8:16]):
        yield outer + struct.pack(">HH", 0x88A8, 4093)
        yield outer + struct.pack(">HH", 0x88A8, 4092)


def stamps() -> Iterator[bytes]:
    yield b""
    for seq, time_ns in itertools.product(NUMBERS, TIMES):
        yield struct.pack(">IQQ", 0x4C45474F, seq, time_ns)


def frames(trailers: list[bytes]) -> list[bytes]:
    """Each body under each tag; each trailer behind one of them in turn."""
    macs = b"\xff" * 6 + b"\x02\0\0\0\0\x07"
    bare = [macs + tag + body for tag in tags() for body in bodies()]
    turns = itertools.cycle(bare)
    return bare + [next(turns) + trailer for trailer in trailers for _ in range(7)]


def inside(namespace: str, kind: int) -> socket.socket:
    with netns.inside(namespace):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    opened.bind((INSIDE, kind))
    return opened


class Sink:
    """Counts the hostile frames that arrive."""

    def __init__(self, namespace: str) -> None:
        self.socket, self.count = inside(namespace, 3), 0
        self.socket.settimeout(0.2)
        self.over = False
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        while not self.over:
            with suppress(TimeoutError):
                data, address = self.socket.recvfrom(2048)
                self.count += address[2] != socket.PACKET_OUTGOING and SIGN in data

    def close(self) -> None:
        self.over = True
        self.thread.join()
        self.socket.close()


@contextmanager
def attack(where: dict[str, list[bytes]]) -> Iterator[dict[str, int]]:
    """From each namespace its frames, again and again, some thousand a second in all; how many were sent."""
    sent, over = dict.fromkeys(where, 0), threading.Event()

    def work(namespace: str) -> None:
        with inside(namespace, 0) as opened:
            for number, frame in enumerate(itertools.cycle(where[namespace])):
                if over.is_set():
                    return
                opened.send(frame)
                sent[namespace] += 1
                if number % 4 == 3:
                    time.sleep(0.004)

    threads = [threading.Thread(target=work, args=(namespace,)) for namespace in where]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def live(tmp_path):
    load, prepared = traffic_in(tmp_path, PPS, ROUNDS)
    with Experiment(configuration(tmp_path, prepared.model), tmp_path, lambda line: None) as experiment:
        yield Live(experiment, load, prepared)


def test_hostile_frames_from_both_sides_while_instances_move(live):
    """The source's port is trusted: there the attacker writes no stamp that could be true. The other one is not."""
    testbed = live.experiment.testbed
    absurd = [trailer for trailer in stamps() if trailer and int.from_bytes(trailer[4:12], "big") >= 2**56]
    hostile = {testbed.source: frames(absurd), testbed.sink: frames(list(stamps()))}
    steps = [
        ("replicate", {}),
        ("move", {"buckets": list(range(32)), "instance": 1}),
        ("move", {"buckets": list(range(48)), "instance": 2}),
    ]
    steps += [("replicate", {}), ("move", {"buckets": list(range(0, 64, 2)), "instance": 3}), ("merge", {"instance": 2})]
    sinks = {testbed.source: Sink(testbed.sink), testbed.sink: Sink(testbed.source)}
    moves = []
    with ExitStack() as stack:
        for sink in sinks.values():
            stack.callback(sink.close)
        sent = stack.enter_context(attack(hostile))
        for seen in live.experiment.watch(live.load, SECONDS):
            if steps and seen.quiet and live.experiment.sending and flows(seen) and live.post(steps[0][0], **steps[0][1]):
                steps.pop(0)
            elif not steps and seen.quiet:
                live.experiment.enough()
            if seen.quiet and not live.experiment.sending:
                break
        moves = live.experiment.get("moves")["moves"]
    assert steps == [], live.errors
    assert len(moves) >= 5
    assert [one["errors"] for one in moves if one["errors"]] == []
    assert sum(one["held"] for one in moves) > 0, "moves still hold what they must"
    summary = live.finish()
    given, counted = summary.comparison, summary.dropped
    assert (given.scored, given.twice, given.equal) == (summary.sent, 0, summary.sent), counted
    assert set(counted) == {"unstamped", "implausible"}, "of the hostile frames alone"
    assert counted["unstamped"] > sent[testbed.sink] * 0.9
    assert counted["implausible"] > 0
    assert "implausible" in [one["reason"] for one in live.fields("Inexact")]
    for namespace, sink in sinks.items():
        assert sink.count > 0.95 * sent[namespace], "forwarded"


def test_without_stamps_every_hostile_frame_is_scored(tmp_path):
    _, prepared = traffic_in(tmp_path, PPS)
    hostile = frames([])
    with RunningSystem(tmp_path, prepared.model) as running, inside(running.source, 0) as opened:
        for frame in hostile:
            opened.send(frame)
            time.sleep(0.001)
        running.wait_for("they are scored", lambda: scored(running) >= len(hostile))
        load = running.load(1)
        assert (load["capture"]["received"], load["capture"]["foreign"]) == (len(hostile), 0)
        assert scored(running) == len(hostile)


def flows(seen: RunObservation) -> bool:
    """Whether true packets are taken in: hostile ones are not passed on."""
    return any(brick["packets_in"] > 300 for brick in seen.bricks["bricks"])


def scored(running: RunningSystem) -> int:
    return running.load(1)["bricks"][-1]["packets_in"]
