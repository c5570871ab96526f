"""The bench's generator of packets: it sends until it is told to stop, and what it says of that is true."""

from __future__ import annotations

import os

import pytest

from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.running import even_frames
from tests.adapters.linux.test_replay_sender import listen, veth

LONG_S = 600.0  # of traffic: no test waits for its end


def plan(interface: str) -> GeneratorPlan:
    return GeneratorPlan(even_frames(), interface, 2000.0, LONG_S, frozenset(os.sched_getaffinity(0)), stamp_from=0)


@pytest.mark.root
def test_a_generator_that_is_stopped_tells_how_many_packets_it_sent():
    with veth() as (here, there), listen(there) as wire, Generator(plan(here)) as generator:
        wire.recv(1 << 16)
        assert generator.running
        sent = generator.stop()
        wire.setblocking(False)
        seen = 1
        try:
            while wire.recv(1 << 16):
                seen += 1
        except BlockingIOError:
            pass
    assert not sent.interface_drops
    assert sent.sent == seen > 0


@pytest.mark.root
def test_a_generator_that_fails_says_why_when_it_is_stopped():
    with Generator(plan("lgnone0")) as generator, pytest.raises(HostError, match="there is no interface of this name"):
        generator.stop()
