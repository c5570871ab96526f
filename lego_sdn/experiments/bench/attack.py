"""Features under attack: a scan of many addresses, a flood from many spoofed ones; speed against benign, memory, the bound."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bricks.feature_quantization import FeatureQuantization
from bricks.kernels.transport.worker_pick import BATCH
from bricks.records.brick import Batch
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.experiments.bench import captures
from lego_sdn.experiments.bench.features import extract_all
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import Lap, kernel_seconds, lap

SLICES = 16  # of an attack: none of them may be slow either
BOUND_SHARE = 5  # the bound on streams is this part of the addresses
_KINDS = {"scan": "one host scans {n} destinations", "flood": "{n} spoofed sources"}
_MEASURES = {
    "speed": ("speed against benign", "share", 0.5, False),
    "slowest": ("slowest sixteenth against benign", "share", 0.5, False),
    "bounded": ("speed with a full table, against benign", "share", 0.5, False),
    "bytes": ("memory per new source-destination pair", "bytes", 1000, True),
    "growth": ("memory per new pair once the table is full", "bytes", 1, True),
    "evictions": ("streams evicted and counted at the bound", "streams", 1, False),
}


def _rows() -> dict[tuple[str, str], Row]:
    return {
        (kind, measure): Row(f"attack.{kind}.{measure}", f"{what.format(n='many')}: {told}", unit, least, fewer=fewer)
        for kind, what in _KINDS.items()
        for measure, (told, unit, least, fewer) in _MEASURES.items()
    }


TABLE = _rows()
ROWS = tuple(TABLE.values())


@dataclass(frozen=True)
class AttackRun:
    """One attack from a cold start.

    start       lap of making the brick: its tables, and their indexes, which are there before the first packet
    slices      laps of its parts
    resident    bytes of memory before it and after each part
    streams     source-destination pairs held after each part
    evicted     streams of all kinds
    kernel_s    CPU of the operating system, which hands out new memory
    """

    start: Lap
    slices: tuple[Lap, ...]
    resident: tuple[int, ...]
    streams: tuple[int, ...]
    evicted: int
    kernel_s: float

    @property
    def whole(self) -> Lap:
        """The brick made, and every part."""
        return Lap(sum(part.wall for part in (self.start, *self.slices)), sum(part.cpu for part in (self.start, *self.slices)))


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    count = bench.sizes.packets
    attacks: dict[str, Callable[[], np.ndarray]] = {
        "scan": lambda: captures.scan(count),
        "flood": lambda: captures.flood(count, bench.flood_rows),
    }
    for kind, make in attacks.items():
        if any(name.startswith(f"attack.{kind}.") for name in wanted):
            yield from _attack(bench, kind, make())


def _attack(bench: Bench, kind: str, rows: np.ndarray) -> Iterator[Result]:
    benign, free, full = [], [], []
    bound = max(1024, len(rows) // BOUND_SHARE)
    extract_all(rows[:BATCH])
    for _ in range(bench.runs):
        benign.append(lap(lambda: extract_all(bench.repeated, streams=len(rows))))
        free.append(run(rows, len(rows)))
        full.append(run(rows, bound))
    pace = [Lap(one.wall / len(bench.repeated), one.cpu / len(bench.repeated)) for one in benign]
    part = -(-len(rows) // SLICES)
    slowest = [Lap(max(s.wall for s in one.slices), max(s.cpu for s in one.slices)) for one in free]
    memory_ns = 1e9 * float(np.median([one.kernel_s for one in free])) / len(rows)
    note = f"{len(rows):,} packets, each a new pair, and the tables made; {memory_ns:,.0f} ns a packet are the kernel's, for memory"
    yield Result(TABLE[kind, "speed"], **_shares(pace, [one.whole for one in free], len(rows)), note=note)
    yield Result(TABLE[kind, "slowest"], **_shares(pace, slowest, part), note=f"{part:,} packets")
    yield Result(TABLE[kind, "bounded"], **_shares(pace, [one.whole for one in full], len(rows)), note=f"{bound:,} streams of each kind")
    grown = tuple((one.resident[-1] - one.resident[0]) / len(rows) for one in free)
    yield Result(TABLE[kind, "bytes"], runs=grown, note=f"{one_mb(free[-1].resident):,.0f} MB in all, index included")
    yield Result(
        TABLE[kind, "growth"], runs=tuple(growth(one, bound, part) for one in full), note=f"{one_mb(full[-1].resident):,.0f} MB in all"
    )
    yield Result(TABLE[kind, "evictions"], runs=tuple(float(one.evicted) for one in full), note=f"at {bound:,} streams of each kind")


def run(rows: np.ndarray, streams: int) -> AttackRun:
    """Features of an attack, its parts timed one by one."""
    part = -(-len(rows) // SLICES)
    ctypes.CDLL(None).malloc_trim(0)  # what earlier runs left in the heap would be used again without a growth to be seen
    slices, resident, held, before = [], [resident_bytes()], [], kernel_seconds()
    made: list[FeatureQuantization] = []
    start = lap(lambda: made.append(FeatureQuantization(0, "kitsune115", streams)))
    for first in range(0, len(rows), part):
        some = rows[first : first + part]
        slices.append(lap(lambda some=some: _advance(made[0], some)))
        resident.append(resident_bytes())
        held.append(made[0].counters["streams_hh"])
    evicted = BrickCounters.of(made[0].counters).all_evicted
    return AttackRun(start, tuple(slices), tuple(resident), tuple(held), evicted, kernel_seconds() - before)


def _advance(brick: FeatureQuantization, rows: np.ndarray) -> None:
    for first in range(0, len(rows), BATCH):
        brick.process(Batch(rows[first : first + BATCH]))


def _shares(pace: list[Lap], laps: list[Lap], count: int) -> dict[str, tuple[float, ...]]:
    """Speed of `count` packets against the pace of the benign ones, in seconds a packet."""
    pairs = list(zip(pace, laps, strict=True))
    wall = tuple(p.wall * count / one.wall for p, one in pairs)
    return {"runs": wall, "by_cpu": tuple(p.cpu * count / max(one.cpu, 1e-9) for p, one in pairs)}


def growth(one: AttackRun, bound: int, part: int) -> float:
    """Bytes of memory for each pair that came after the part in which the table was full for the first time."""
    was_full = next((at for at in range(len(one.streams)) if (at + 1) * part >= bound), len(one.streams) - 1)
    later = (len(one.streams) - 1 - was_full) * part
    return (one.resident[-1] - one.resident[was_full + 1]) / later if later else 0.0


def one_mb(resident: tuple[int, ...]) -> float:
    """Megabytes by which memory grew."""
    return (resident[-1] - resident[0]) / 1e6


def resident_bytes() -> int:
    """Memory of this process that is there."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
