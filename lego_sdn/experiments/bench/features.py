"""Feature quantization alone, both layouts, and against the definition of the statistics."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bricks.feature_quantization import FeatureQuantization
from bricks.kernels.transport.worker_pick import BATCH
from bricks.offline.scoring import STREAMS
from bricks.records.brick import Batch
from bricks.records.packets import ARP, DST_KIND_SHIFT, ICMP, KIND_MASK, NO_PORT, SRC_KIND_SHIFT, seconds
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import in_turns, rates, ratios

FEATURES = Row("features", "kitsune115 features, benign traffic repeated in time", "packets/s", 600_000, 1_200_000)
ORACLE = Row("features.oracle", "the same against the plain definition of the statistics", "times", 80)
PUBLIC = Row("features100", "kitsunepy100 features, benign traffic", "packets/s", 60_000, 200_000)
ROWS = (FEATURES, ORACLE, PUBLIC)
SAMPLE = 2000  # packets for the oracle


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    if {FEATURES.name, ORACLE.name} & wanted:
        yield from _against_oracle(bench)
    if PUBLIC.name in wanted:
        rows = bench.benign
        extract_all(rows[:BATCH], "kitsunepy100")  # compiled
        laps = in_turns(bench.runs, {"public": lambda: extract_all(rows, "kitsunepy100")})["public"]
        yield Result(PUBLIC, **rates(laps, len(rows)), note=f"{len(rows):,} packets, cold start")


def _against_oracle(bench: Bench) -> Iterator[Result]:
    rows = bench.repeated
    extract_all(rows[:BATCH])
    works = {"features": lambda: extract_all(rows)}
    sample = rows[:SAMPLE]
    if bench.oracle is not None:
        module, calls = load(bench.oracle), arguments(sample)
        works["oracle"] = lambda: _run_oracle(module, calls)
    laps = in_turns(bench.runs, works)
    yield Result(FEATURES, **rates(laps["features"], len(rows)), note=f"{len(rows):,} packets")
    if bench.oracle is None:
        yield Result(ORACLE, skipped="no file that defines the statistics: give one by --oracle")
        return
    share = len(rows) / len(sample)
    quotients = {key: tuple(value * share for value in values) for key, values in ratios(laps["oracle"], laps["features"]).items()}
    speed = rates(laps["oracle"], len(sample))["by_cpu"]
    note = f"it takes {np.median(speed):,.0f} packets/s, on the first {len(sample):,}"
    yield Result(ORACLE, **quotients, note=note, detail={"oracle_packets_per_s": list(speed)})


def extract_all(rows: np.ndarray, layout: str = "kitsune115", streams: int = STREAMS) -> FeatureQuantization:
    """Features of all rows, a batch at a time, from a cold start; the brick as it is then."""
    brick = FeatureQuantization(0, layout, streams)
    for first in range(0, len(rows), BATCH):
        brick.process(Batch(rows[first : first + BATCH]))
    return brick


def load(path: Path) -> ModuleType:
    """The oracle as a module. ConfigError if the file has no `Statistics`."""
    spec = importlib.util.spec_from_file_location("lego_bench_oracle", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--oracle {path} is no Python file; give one that defines the statistics")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "Statistics"):
        raise ConfigError(f"--oracle {path} has no class Statistics; give the file that defines the statistics")
    return module


def _run_oracle(module: ModuleType, calls: list[tuple[Any, ...]]) -> None:
    statistics = module.Statistics()
    for call in calls:
        statistics.features(*call)


def arguments(rows: np.ndarray) -> list[tuple[Any, ...]]:
    """Packets as the oracle takes them: (time, length, MACs, addresses, ports), addresses and ports being any hashable values."""
    out = []
    for row, time in zip(rows, seconds(rows["time_ns"]).tolist(), strict=True):
        flags = int(row["flags"])
        source, target = (f"{flags >> s & KIND_MASK}:{row[f'{e}_hi']}:{row[f'{e}_lo']}" for e, s in _ENDS)
        ports = [int(row["src_port"]), int(row["dst_port"])]
        if flags & (ARP | ICMP):
            ports = ["arp" if flags & ARP else "icmp"] * 2
        named = ("" if port == NO_PORT else port for port in ports)
        out.append((time, int(row["length"]), int(row["src_mac"]), int(row["dst_mac"]), source, target, *named))
    return out


_ENDS = (("src", SRC_KIND_SHIFT), ("dst", DST_KIND_SHIFT))
