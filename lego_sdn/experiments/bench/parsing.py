"""Parsing a capture, alone: from a file in the page cache to packet records."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bricks.files.captures import open_capture
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import in_turns, rates

PARSE = Row("parse", "parse a pcap into packet records", "packets/s", 2_000_000, 5_000_000)
ODD = Row(
    "parse.odd", "the same of tagged, tunnelled, fragmented, IPv6-extended, malformed and cut frames", "packets/s", 2_000_000, 5_000_000
)
ROWS = (PARSE, ODD)


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    paths = {PARSE: lambda: bench.large_capture, ODD: lambda: bench.odd_capture}
    chosen = {row: path() for row, path in paths.items() if row.name in wanted}
    counts = {row: read(path) for row, path in chosen.items()}  # into the page cache, and the kernels compiled
    laps = in_turns(bench.runs, {row.name: partial(read, path) for row, path in chosen.items()})
    for row, path in chosen.items():
        size, count = path.stat().st_size, counts[row]
        note = f"{count:,} packets, {size / 1e6:,.0f} MB"
        yield Result(row, **rates(laps[row.name], count), note=note, detail={"packets": count, "bytes": size})


def read(path: Path) -> int:
    """Read a capture to its end; packets."""
    with open_capture(path) as capture:
        return sum(len(block) for block in capture)
