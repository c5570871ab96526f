"""Moves of buckets between two instances behind a real switch: how long they take, how long packets wait, and that no score differs."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bricks.files.captures import read_packets
from bricks.files.frames import Frames, read_frames
from lego_sdn.adapters.ovs.socket_buffer import give_room
from lego_sdn.experiments.accounting import dropped_in
from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.running import INSIDE, RunningSystem
from lego_sdn.experiments.bench.score_watch import ScoreWatch
from lego_sdn.experiments.bench.unsplit import UnsplitRun
from lego_sdn.system import machine

SOURCES, RATES = (100, 500, 1000), (3000, 20_000)
LOADS = tuple((sources, rate) for sources in SOURCES for rate in RATES)
HALF = list(range(32))  # buckets that go to the other instance, and back
APART_S, FIRST_S, LAST_S = 0.9, 1.5, 0.3  # of traffic: from one move to the next, before the first, and after the end of the last
LONGEST_S = 900.0  # of traffic, should the moves not end; it is stopped when they have


def _row(sources: int, rate: int, what: str, words: str) -> Row:
    return Row(f"moves.{sources}x{rate // 1000}k.{what}", f"{words}: half of {sources:,} sources at {rate:,} packets/s", "ms", fewer=True)


TIMES = {load: _row(*load, "time", "a move, from its first step to its last") for load in LOADS}
WAITS = {load: _row(*load, "wait", "latency added to a packet that waits for the move") for load in LOADS}
LOST = Row.of_losses("moves.lost", "packets that moves lost or had scored twice")
DIFFERENT = Row.of_losses("moves.different", "scores whose bits are not those of the unsplit run")
ROWS = (*(row for load in LOADS for row in (TIMES[load], WAITS[load])), LOST, DIFFERENT)


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    if not machine.is_root():
        yield from (Result(row, skipped="needs root, for the switch and namespaces") for row in ROWS if row.name in wanted)
        return
    everything = {LOST.name, DIFFERENT.name} & wanted
    loads = [load for load in LOADS if everything or {TIMES[load].name, WAITS[load].name} & wanted]
    lost, different, before = [], [], 0
    dropped: Counter[str] = Counter()
    folder = bench.folder / "moves"  # another group's instances may have left scores
    folder.mkdir()
    with (
        ScoreWatch(folder / "scores", ("1-a.scores", "2-a.scores")) as watch,
        RunningSystem(folder, bench.model_file, "trailer") as running,
    ):
        ground = _Ground(bench, running, watch)
        for load in loads:
            seen = ground.under(*load)
            lost.append(float(seen.lost))
            different.append(float(seen.different))
            before += seen.before_the_switch
            dropped.update(seen.dropped)
            yield from _results(load, seen)
    note = f"of {ground.first:,}, under {len(loads)} loads"
    if before:
        note += f"; besides, {before:,} were lost before the switch, which was not given the CPU to empty its socket in time"
    if any(lost):
        told = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        note += f"; of the lost ones the instances counted {told or 'none'}"
    yield Result(LOST, runs=tuple(lost), note=note, detail={"dropped": dict(dropped)})  # only the wanted rows are shown
    yield Result(DIFFERENT, runs=tuple(different), note=f"of {ground.first:,}, bit for bit")


@dataclass
class _Seen:
    """What some moves under one load were like.

    moves      rows of `GET moves`
    dropped    packets that the instances counted as dropped, by reason
    added_ms   of the packets that waited in each of them: latency beyond the usual one (`usual_ms`)
    """

    lost: int
    before_the_switch: int
    different: int
    moves: list[dict[str, Any]] = field(default_factory=list)
    usual_ms: float = 0.0
    added_ms: list[np.ndarray] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


def _results(load: tuple[int, int], seen: _Seen) -> Iterator[Result]:
    steps = {name: float(np.median([row["steps"].get(name, 0.0) for row in seen.moves])) for name in seen.moves[0]["steps"]}
    handed = [one for row in seen.moves for one in row["handovers"]]
    note = f"{np.median([one['records'] for one in handed]):,.0f} streams, {np.median([one['bytes'] for one in handed]):,.0f} bytes"
    longest = ", ".join(f"{name} {ms:.0f}" for name, ms in sorted(steps.items(), key=lambda item: -item[1])[:3])
    yield Result(
        TIMES[load],
        tuple(row["ms"] for row in seen.moves),
        note=f"{note}; of it {longest} ms",
        detail={"steps": steps, "moves": seen.moves},
    )
    waits = [added if len(added) else np.zeros(1) for added in seen.added_ms]  # no packet was sent while it lasted: none waited
    held = np.median([row["held"] for row in seen.moves])
    note = f"longest {max(added.max() for added in waits):.0f} ms; {held:,.0f} packets held in a move; otherwise {seen.usual_ms:.1f} ms"
    yield Result(WAITS[load], tuple(float(np.median(added)) for added in waits), note=note)


@dataclass
class _Ground:
    """The running system, and the unsplit run over everything that was sent so far; `first`: the next stamp."""

    bench: Bench
    running: RunningSystem
    watch: ScoreWatch
    first: int = 0
    entered: int = 0  # packets that the switch has taken in
    unsplit: UnsplitRun = field(init=False)

    def __post_init__(self) -> None:
        self.unsplit = UnsplitRun(self.bench.model)
        with contextlib.suppress(OSError):  # an old kernel: what is lost before the switch is counted all the same
            give_room(self.running.source)
        self.running.ask("replicate")
        self.running.wait_for("two instances", lambda: self.running.settled(2))
        self._move(range(64), 1)

    def _move(self, buckets: Any, to: int) -> None:
        """And wait for its end. Nothing happens if they are there already."""
        self.running.ask("move", buckets=list(buckets), instance=to)
        self.running.wait_for(f"buckets are at instance {to}", lambda: self.running.settled(2))

    def _await(self, due: float) -> None:
        """Let traffic flow until that monotonic time."""
        self.running.wait_for("its turn", lambda: time.monotonic() > due)

    def under(self, sources: int, rate: int) -> _Seen:
        """Moves there and back, while packets flow: they are sent until the last move has ended, however long the machine takes."""
        frames, packets = talk(self.bench, sources)
        before = self.running.get("moves?limit=1000")["total"]
        dropped = self._dropped()
        plan = GeneratorPlan(frames, INSIDE, rate, LONGEST_S, frozenset(os.sched_getaffinity(0)), self.running.source, self.first)
        began = time.monotonic()
        with Generator(plan) as generator:
            for number in range(self.bench.runs):
                self._await(began + FIRST_S + number * APART_S)
                self._move(HALF, 1 + (number + 1) % 2)
            self._await(time.monotonic() + LAST_S)
            sent = generator.stop().sent
        if self.bench.runs % 2:
            self._move(HALF, 1)
        records = self.watch.take(self.first, sent)
        moves = self.running.get("moves?limit=1000")["moves"][before:][: self.bench.runs]
        seen = self._account(packets, records, sent)
        seen.moves, seen.dropped = moves, dict(self._dropped() - dropped)
        seen.usual_ms, seen.added_ms = _waits(records, moves)
        self.first += sent
        return seen

    def _dropped(self) -> Counter[str]:
        """Packets that the instances dropped so far, by reason."""
        return Counter(dropped_in(self.running.load(instance) for instance in (1, 2)))

    def _account(self, packets: np.ndarray, records: np.ndarray, sent: int) -> _Seen:
        """Scores against those of the unsplit run over the packets that came through."""
        seqs, at, count = np.unique(records["seq"].astype(np.int64), return_index=True, return_counts=True)
        unsplit = self.unsplit.scores(packets[(seqs - self.first) % len(packets)], records[at])
        other = np.ascontiguousarray(records["score"][at]).view(np.uint64) != unsplit.view(np.uint64)
        before = 0 if len(seqs) == sent else sent - (self.running.entered_at_rest() - self.entered)
        self.entered += sent - before
        return _Seen(sent - before - len(seqs) + int((count > 1).sum()), before, int(np.count_nonzero(other)))


def _waits(records: np.ndarray, moves: list[dict[str, Any]]) -> tuple[float, list[np.ndarray]]:
    """Usual latency, and what the packets that were sent between a move's cut and its end had on top, all in milliseconds."""
    latency = (records["seen_ns"] - records["time_ns"]) / 1e6
    seqs, times = records["seq"].astype(np.int64), records["time_ns"] / 1e9
    waited = [(seqs > row["cut"]) & (times < row["began"] + row["ms"] / 1e3) for row in moves]
    usual = float(np.median(latency[~np.logical_or.reduce(waited)]))
    return usual, [latency[of_one] - usual for of_one in waited]


def talk(bench: Bench, sources: int) -> tuple[Frames, np.ndarray]:
    """Hosts that talk with two others each, and are answered: frames, and their records, PACKET [4 sources]."""
    from topologies.frames import Endpoint, udp
    from topologies.traffic import write_pcap

    hosts = [Endpoint(bytes.fromhex("02000000") + n.to_bytes(2, "big"), bytes([10, 0, n >> 8, n & 255])) for n in range(sources)]
    pairs = [(n, (n + step) % sources) for step in (1, 37) for n in range(sources)]
    sent = [udp(hosts[a], hosts[b], (5000, 53), bytes(60)) for pair in pairs for a, b in (pair, pair[::-1])]
    path = bench.folder / f"talk{sources}.pcap"
    write_pcap(path, sent, np.arange(len(sent)))
    return read_frames([path]), read_packets([path])[0]
