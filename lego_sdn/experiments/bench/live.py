"""One live instance on an interface: the rate that it holds without a drop, the time from capture to score, what it costs when idle."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lego_sdn.agent.launcher import BrickProcess
from lego_sdn.experiments.bench import latency
from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.workshop import CHAIN, Workshop, call, cores
from lego_sdn.system import machine

IDLE = Row("idle.ring", "an idle brick process that waits at a ring", "% CPU", 2, fewer=True)
IDLE_LIVE = Row("idle.interface", "an idle instance that waits at an interface", "% CPU", 2, fewer=True)
DROPS = Row.of_losses("live.drops", "packets lost by one instance at the wanted rate")
RATE = Row("live.rate", "highest rate that one instance holds without a drop", "packets/s", 150_000, 250_000)
ROWS = (IDLE, IDLE_LIVE, DROPS, RATE, *latency.ROWS)

STEP, HALVINGS = 1.25, 2  # of the search for the highest rate
SEARCH_S = 2.0  # of a trial in that search, at most
LAG_S = 0.15  # that the instance may be behind when the last packet is sent (50 ms of them say that nothing comes any more)
DRAIN_S = 10.0


@dataclass(frozen=True)
class Trial:
    """Some seconds of traffic at one rate.

    offered  packets/s that the generator really sent
    lost     packets that were sent and not taken in, of which the kernel dropped `kernel_drops` for want of room in the ring
    lag_s    from the last packet sent to the last one scored, and the time it takes to know
    cpu_us   of the instance, per packet
    """

    wanted: float
    offered: float
    packets: int
    lost: int
    kernel_drops: int
    lag_s: float
    cpu_us: float

    @property
    def held(self) -> bool:
        """Nothing was lost, and the ring was not filling up, which would only have put the loss off."""
        return self.lost == 0 and self.kernel_drops == 0 and self.lag_s <= LAG_S

    @property
    def starved(self) -> bool:
        """The generator did not reach the rate."""
        return self.offered < 0.95 * self.wanted


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    needs_root = wanted - {IDLE.name}
    with Workshop(bench.folder, bench.model_file) as shop:
        if IDLE.name in wanted:
            waiting = shop.start(CHAIN[1:], rings_in=[shop.ring()])
            yield Result(IDLE, runs=_idle(bench, waiting))
            shop.stop(waiting)
        if needs_root and not machine.is_root():
            yield from (Result(row, skipped="needs root, for an interface of its own") for row in ROWS[1:] if row.name in wanted)
        elif needs_root:
            yield from _on_interface(bench, shop, wanted)


def _on_interface(bench: Bench, shop: Workshop, wanted: frozenset[str]) -> Iterator[Result]:
    network = shop.network()
    instance = shop.start_live(network)
    os.sched_setaffinity(instance.process.pid, cores()[0])
    if IDLE_LIVE.name in wanted:
        yield Result(IDLE_LIVE, runs=_idle(bench, instance))
    if DROPS.name in wanted:
        yield _drops(bench, instance, network)
    if RATE.name in wanted:
        yield _highest(bench, instance, network)
    shop.stop(instance)
    if {row.name for row in latency.ROWS} & wanted:
        yield from latency.measure(bench, shop, network)


def _idle(bench: Bench, process: BrickProcess) -> tuple[float, ...]:
    """Percent of a core, for each run."""
    out = []
    for _ in range(bench.runs):
        before = call(process, "load")
        time.sleep(bench.sizes.seconds)  # idleness is what is measured
        after = call(process, "load")
        out.append(100 * (after["cpu_s"] - before["cpu_s"]) / (after["time"] - before["time"]))
    return tuple(out)


def _drops(bench: Bench, instance: BrickProcess, network: str) -> Result:
    sizes = bench.sizes
    trials = [attempt(bench, instance, RateStep(network, sizes.rate, sizes.seconds)) for _ in range(bench.runs)]
    offered, cpu_us = (float(np.median([getattr(one, name) for one in trials])) for name in ("offered", "cpu_us"))
    note = f"{sizes.seconds:g} s at {offered:,.0f} packets/s; {cpu_us:.2f} us of CPU a packet"
    if any(one.starved for one in trials):
        note += "; the generator did not reach the rate"
    details = {"offered": [one.offered for one in trials], "lag_s": [one.lag_s for one in trials], "cpu_us": cpu_us}
    return Result(DROPS, runs=tuple(float(one.lost) for one in trials), note=note, detail=details)


def _highest(bench: Bench, instance: BrickProcess, network: str) -> Result:
    best = [search(bench, instance, network) for _ in range(bench.runs)]
    note = "the generator is not faster" if any(starved for _, starved in best) else "then packets are lost or the ring fills up"
    return Result(RATE, runs=tuple(rate for rate, _ in best), note=note)


@dataclass(frozen=True)
class RateStep:
    """A rate to try on a network, for some seconds."""

    network: str
    rate: float
    seconds: float


def attempt(bench: Bench, instance: BrickProcess, step: RateStep) -> Trial:
    """Send at a rate, from the other core; what became of it."""
    before = call(instance, "load")
    with Generator(GeneratorPlan(bench.frames, step.network, step.rate, step.seconds, frozenset(cores()[1]))) as generator:
        sent = generator.result()
        ended = time.monotonic()
        after = call(instance, "drain", round(DRAIN_S * 1e3))
    taken, dropped = (after["capture"][key] - before["capture"][key] for key in ("received", "kernel_drops"))
    lost = sent.sent - sent.interface_drops - taken
    cpu_us = 1e6 * (after["cpu_s"] - before["cpu_s"]) / max(taken, 1)
    return Trial(step.rate, sent.rate, sent.sent, max(lost, dropped), dropped, time.monotonic() - ended, cpu_us)


def search(bench: Bench, instance: BrickProcess, network: str) -> tuple[float, bool]:
    """The highest rate that is held (0 if none is), and whether only the generator set the limit."""
    seconds = min(SEARCH_S, bench.sizes.seconds)

    def trial(rate: float) -> Trial:
        return attempt(bench, instance, RateStep(network, rate, seconds))

    low, high, rate = 0.0, 0.0, bench.sizes.rate
    while not (low and high) and rate > 100:
        tried = trial(rate)
        if tried.held and tried.starved:
            return tried.offered, True
        low, high = (tried.offered, high) if tried.held else (low, rate)
        rate = rate * STEP if tried.held else rate / STEP
    for _ in range(HALVINGS if low else 0):
        tried = trial((low + high) / 2)
        low, high = (max(low, tried.offered), high) if tried.held else (low, tried.wanted)
    return low, False
