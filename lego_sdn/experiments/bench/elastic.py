"""Growing while packets flow: a replica of the learning network, a whole new instance; and packets behind the switch itself."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator

import numpy as np

from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.latency import score_pipe
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.running import INSIDE, RunningSystem, even_frames
from lego_sdn.system import machine

REPLICA = Row("elastic.replica", "replica of the learning network: decision to first batch scored", "ms", 100, fewer=True)
INSTANCE = Row("elastic.instance", "whole new instance: decision to first packet scored", "ms", 500, fewer=True)
BEHIND = Row("live.switch", "one instance behind the userspace switch, as fast as the switch forwards", "packets/s")
BEHIND_DROPS = Row.of_losses("live.switch.drops", "packets that reached its port and were lost by it")
ROWS = (REPLICA, INSTANCE, BEHIND, BEHIND_DROPS)

NETWORK = "unsupervised-network"
PPS = 2000.0  # while growing
FIRST, NEW = 1, 2  # instances
PATIENCE_S = 20.0
LONGEST_S = 3600.0


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    if not machine.is_root():
        yield from (Result(row, skipped="needs root, for the switch and namespaces") for row in ROWS if row.name in wanted)
        return
    frames = even_frames()
    everywhere = frozenset(os.sched_getaffinity(0))
    with RunningSystem(bench.folder, bench.model_file) as running:
        if {REPLICA.name, INSTANCE.name} & wanted:
            with Generator(GeneratorPlan(frames, INSIDE, PPS, LONGEST_S, everywhere, running.source)):
                running.wait_for("packets scored", lambda: running.load(FIRST)["bricks"][-1]["packets_out"] > 0)
                if REPLICA.name in wanted:
                    yield _replicas(bench, running)
                if INSTANCE.name in wanted:
                    yield _instances(bench, running)
        if {BEHIND.name, BEHIND_DROPS.name} & wanted:
            plan = GeneratorPlan(frames, INSIDE, None, bench.sizes.seconds, everywhere, running.source)
            yield from _behind(bench, running, plan)


def _replicas(bench: Bench, running: RunningSystem) -> Result:
    runs, started = [], []
    for _ in range(bench.runs):
        began = time.perf_counter()
        replica = running.agent.call("start_replica", FIRST, NETWORK)
        started.append((time.perf_counter() - began) * 1e3)
        with Client(replica["process"]["socket"]) as process:
            _until("a batch scored by the replica", lambda: process.call("load")["bricks"][0]["packets_out"] > 0)
            runs.append((time.perf_counter() - began) * 1e3)
        running.agent.call("stop_replica", FIRST, replica["brick"])
    return Result(REPLICA, runs=tuple(runs), note=f"of which {np.median(started):.0f} ms until the agent has it in place")


def _until(what: str, is_so: Callable[[], bool]) -> None:
    """Look without a pause: what is measured takes milliseconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise HostError(f"'{what}' did not come true within {PATIENCE_S:g} s")


def _instances(bench: Bench, running: RunningSystem) -> Result:
    runs, stages = [], []
    with score_pipe(running.scores / f"{NEW}-a.scores") as pipe:
        for _ in range(bench.runs):
            seen = _latest(running)
            began = time.time()
            running.ask("replicate")
            _first_score(pipe)
            scored = time.time()
            runs.append((scored - began) * 1e3)
            running.wait_for("two instances in force", lambda: running.settled(2), lambda: _empty(pipe))
            stages.append(_stages(running, seen, began))
            running.ask("merge", instance=NEW)
            running.wait_for("one instance again", lambda: running.settled(1), lambda: _empty(pipe))
    told = {name: float(np.median([one[name] for one in stages if name in one])) for name in stages[0]}
    note = "; ".join(f"{name} after {ms:.0f} ms" for name, ms in told.items())
    return Result(INSTANCE, runs=tuple(runs), note=note, detail=told)


def _latest(running: RunningSystem) -> int:
    """Number of the controller's last event."""
    return running.get("events?limit=10000")["next"]


def _stages(running: RunningSystem, seen: int, began: float) -> dict[str, float]:
    """Milliseconds until the controller noted what it did."""
    events = running.get(f"events?after={seen}")["events"]
    return {one["kind"]: (one["time"] - began) * 1e3 for one in reversed(events) if one["kind"] in ("replicate", "started")}


def _first_score(pipe: int) -> None:
    door = select.poll()
    door.register(pipe, select.POLLIN)
    if not any(event & select.POLLIN for _, event in _rung(door)):
        raise HostError(f"the new instance scored no packet within {PATIENCE_S:g} s")
    _empty(pipe)


def _rung(door: select.poll) -> list[tuple[int, int]]:
    """What a poll says once there is something to read; a pipe whose writer has gone rings all the time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        rung = door.poll(100)
        if any(event & select.POLLIN for _, event in rung):
            return rung
    return []


def _empty(pipe: int) -> None:
    """Take out what is there, so that the instance is never held up."""
    try:
        while os.read(pipe, 1 << 16):
            pass
    except BlockingIOError:
        pass


def _behind(bench: Bench, running: RunningSystem, plan: GeneratorPlan) -> Iterator[Result]:
    rates, lost, sent_rates = [], [], []
    for _ in range(bench.runs):
        before = running.load(FIRST)["capture"]
        with Generator(plan) as generator:
            sent = generator.result()
        after = _still(running)
        taken = after["received"] - before["received"]
        rates.append(taken / sent.seconds)
        sent_rates.append(sent.rate)
        lost.append(float(after["kernel_drops"] - before["kernel_drops"]))
    yield Result(BEHIND, runs=tuple(rates), note=f"the generator sent {np.median(sent_rates):,.0f} packets/s; the switch dropped the rest")
    yield Result(BEHIND_DROPS, runs=tuple(lost))


def _still(running: RunningSystem) -> dict[str, int]:
    """The instance's capture once nothing more comes."""
    seen: list[dict[str, int]] = [{"received": -1}]

    def stands() -> bool:
        seen.append(running.load(FIRST)["capture"])
        return seen[-1]["received"] == seen[-2]["received"]

    running.wait_for("the last packet taken in", stands)
    return seen[-1]
