"""How long the command line takes to say what it can do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import Lap

HELP = Row("help", "lego --help", "s", 0.3, fewer=True)
ROWS = (HELP,)


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    script = Path(sys.executable).with_name("lego")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "lego_sdn"]
    lap([*command, "--help"])  # into the page cache
    laps = [lap([*command, "--help"]) for _ in range(bench.runs)]
    yield Result(HELP, runs=tuple(one.wall for one in laps), by_cpu=tuple(one.cpu for one in laps))


def lap(command: list[str]) -> Lap:
    """Run it to its end. HostError if it fails."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise HostError(f"{' '.join(command)} ended with status {child.returncode}: run it by hand to see why")
    return Lap(wall, used.ru_utime + used.ru_stime)
