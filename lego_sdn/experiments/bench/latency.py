"""From capture to score at a low rate, against a process that does nothing but read the same ring."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bricks.capture.packet_ring import PacketRing
from bricks.files.scores import SCORE
from bricks.records.packets import PACKET
from lego_sdn.adapters.linux import netns
from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.workshop import INSIDE, RING, Workshop, cores

P50 = Row("live.p50", "from capture to score at 900 packets/s, median", "ms", 2, fewer=True)
P99 = Row("live.p99", "the same, 99th percentile", "ms", 2, fewer=True)
ROWS = (P50, P99)
PPS = 900.0
PATIENCE_S = 10.0
LOOK_MS = 50


def measure(bench: Bench, shop: Workshop, network: str) -> Iterator[Result]:
    """Both rows. Nothing is pinned to a core: as in a running system, a process may go where there is room."""
    plan = GeneratorPlan(bench.frames, network, PPS, bench.sizes.seconds, frozenset().union(*cores()))
    bare = np.median([np.percentile(_bare(plan), [50, 99]) for _ in range(bench.runs)], axis=0)
    path = bench.folder / "latency.scores"
    with score_pipe(path) as pipe:
        instance = shop.start_live(network, path)
        runs = []
        for _ in range(bench.runs):
            with Generator(plan) as generator:
                runs.append(np.percentile(_until_scored(pipe, generator), [50, 99, 100]))
        shop.stop(instance)
    note = f"by the kernel's stamp, until the score has left the process; a bare reader of the ring has the packet after {bare[0]:.2f} ms"
    yield Result(P50, runs=tuple(float(run[0]) for run in runs), note=note, detail={"bare_ms": float(bare[0])})
    note = f"longest {max(run[2] for run in runs):.2f} ms; a bare reader of the ring: {bare[1]:.2f} ms"
    yield Result(P99, runs=tuple(float(run[1]) for run in runs), note=note, detail={"bare_ms": float(bare[1])})


@contextmanager
def score_pipe(path: Path) -> Iterator[int]:
    """A pipe in the place of a file of scores: what is written into it is seen at once."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield pipe
    finally:
        os.close(pipe)
        path.unlink()


def _bare(plan: GeneratorPlan) -> np.ndarray:
    """Milliseconds from capture until this process has the packet: the kernel's blocks, and whatever else runs on the machine."""
    with netns.inside(plan.interface):  # the namespace has the name of the interface's end here
        ring = PacketRing(INSIDE, **RING)
    rows = np.zeros(4096, PACKET)

    def take() -> np.ndarray:
        return rows["time_ns"][: ring.read(rows)]

    with ring, Generator(plan) as generator:
        return _delays(ring.fileno(), generator, take)


def _until_scored(pipe: int, generator: Generator) -> np.ndarray:
    """Milliseconds from capture to score of all packets that a generator sends."""
    rest = b""

    def take() -> np.ndarray:
        nonlocal rest
        rest += os.read(pipe, 1 << 16)
        whole = len(rest) // SCORE.itemsize * SCORE.itemsize
        records, rest = np.frombuffer(rest[:whole], SCORE), rest[whole:]
        return records["time_ns"]

    return _delays(pipe, generator, take)


def _delays(door: int, generator: Generator, take: Callable[[], np.ndarray]) -> np.ndarray:
    """Now less each time that `take` gives when something is at the door, until all packets sent were seen."""
    out, wanted, poll = [np.zeros(0)], None, select.poll()
    poll.register(door, select.POLLIN)
    deadline = time.monotonic() + generator.plan.seconds * 2 + PATIENCE_S
    while (wanted is None or sum(map(len, out)) < wanted) and time.monotonic() < deadline:
        if wanted is None and not generator.running:
            sent = generator.result()
            wanted = sent.sent - sent.interface_drops
        if poll.poll(LOOK_MS):
            times = take()
            out.append((time.time_ns() - times) / 1e6)
    return np.concatenate(out)
