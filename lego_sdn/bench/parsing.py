"""Parsing a capture, alone: from a file in the page cache to packet records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bricks.captures import open_capture
from lego_sdn.bench.inputs import Bench
from lego_sdn.bench.rows import Result, Row
from lego_sdn.bench.timing import in_turns, rates

PARSE = Row("parse", "parse a pcap into packet records", "packets/s", 2_000_000, 5_000_000)
ROWS = (PARSE,)


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    path = bench.large_capture
    count = read(path)  # into the page cache, and the kernels compiled
    laps = in_turns(bench.runs, {"parse": lambda: read(path)})["parse"]
    size = path.stat().st_size
    yield Result(PARSE, **rates(laps, count), note=f"{count:,} packets, {size / 1e6:,.0f} MB", detail={"packets": count, "bytes": size})


def read(path: Path) -> int:
    """Read a capture to its end; packets."""
    with open_capture(path) as capture:
        return sum(len(block) for block in capture)
