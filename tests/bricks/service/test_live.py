"""Instances on a real interface in a namespace: stamped packets through the capture ring give the bits of the offline run."""

from __future__ import annotations

import contextlib
import os
import time
from itertools import count

import numpy as np
import pytest

from bricks.files.frames import read_frames
from bricks.files.scores import read_scores
from bricks.transport import rings
from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.linux.pace import FASTEST, Pace
from lego_sdn.adapters.linux.replay_sender import Sender, Stamps
from tests.bricks.chain import CHAIN, Instance, check
from tests.bricks.conftest import PACKETS

pytestmark = [pytest.mark.root, pytest.mark.data]
_NUMBER = count()


@pytest.fixture
def namespace():
    name = f"lgt{os.getpid() % 10**6}x{next(_NUMBER)}"
    with contextlib.ExitStack() as stack:
        stack.callback(netns.remove, name)
        netns.create(name)
        stack.callback(netns.remove_link, name)
        netns.add_veth(name, name, "in0")
        yield name


@pytest.fixture(scope="module")
def frames(data):
    return read_frames([data / "mirai-benign-20000.pcap"])


@pytest.fixture
def live(tmp_path, model, warm, namespace):
    """An instance whose first brick takes packets from the namespace's interface."""
    live = Instance(tmp_path, model, None, warm, nf="kitsune", namespace=str(netns.path(namespace)))
    yield live
    live.close()
    assert rings.names(live.name) == []


CAPTURE = {"interface": "in0", "stamps": "trailer", "capture": {"blocks": 64, "block_bytes": 1 << 17, "timeout_ms": 1}}


def send(namespace, frames, pace=FASTEST):
    first = type(frames)(frames.buffer, *(column[:PACKETS] for column in frames[1:]))
    with Sender(namespace) as sender:
        assert sender.send(first, pace, Stamps()).sent == PACKETS


@pytest.mark.parametrize("pace", [Pace(pps=60_000), FASTEST], ids=["paced", "as fast as it goes"])
def test_a_chained_instance(live, namespace, frames, offline, pace):
    live.start("a", CHAIN, **CAPTURE)
    live.call("a", "load")
    send(namespace, frames, pace)
    report = live.drain()
    check(live, offline)
    capture = report["capture"]
    assert (capture["received"], capture["kernel_drops"], capture["gaps"], capture["repeats"]) == (PACKETS, 0, 0, 0)


def test_every_brick_in_a_process_of_its_own(live, namespace, frames, offline):
    for at, brick in enumerate(CHAIN):
        out = {brick: [f"r{at}"]} if at < len(CHAIN) - 1 else {}
        live.start(f"p{at}", [brick], [f"r{at - 1}"] if at else [], out, **({} if at else CAPTURE))
    for name in live.started:
        live.call(name, "load")
    send(namespace, frames, Pace(pps=40_000))
    live.drain()
    check(live, offline)


def test_kernel_time_stamps_count_the_packets_of_the_ring(live, namespace, frames):
    live.start("a", CHAIN, **CAPTURE | {"stamps": "kernel"})
    live.call("a", "load")
    before = time.time_ns()
    send(namespace, frames)
    live.drain()
    scores = read_scores(live.scores)
    assert np.array_equal(scores["seq"], np.arange(PACKETS))
    assert before <= scores["time_ns"][0]
    assert scores["time_ns"][-1] <= time.time_ns()


def test_an_interface_that_goes_ends_the_process_with_a_sentence(live, namespace):
    live.start("a", CHAIN, **CAPTURE)
    live.call("a", "load")
    netns.remove_link(namespace)
    deadline, exits = time.monotonic() + 20, []
    while not exits:
        assert time.monotonic() < deadline
        exits = [one for one in live.warm.call("exits") if one["pid"] == live.started["a"]]
    assert exits[0]["status"] == 1
    assert "HostError: the interface in0 was removed" in (live.folder / "a.log").read_text()
