"""What an earlier test run left behind when it was killed: processes that go on, bridges, namespaces, and rings in the shared memory.

A run marks its processes by an environment variable, which their children inherit. Under scripts/own-machine nothing outlives a run.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lego_sdn.adapters.linux.processes import PROC, Process, end

MARK = "LEGO_TEST_RUN"
SHARED_MEMORY = Path("/dev/shm")
DOWN_S = 60.0  # for `lego down`, which removes what a system made
PATIENCE_S = 10.0  # an agent that is told to end removes what it made
OF_A_TEST = re.compile(r"lego-(?:test|bench)-(?P<pid>\d+)\b.*")


def mark_this_run() -> None:
    """Mark this process, for those that it starts. A worker of pytest-xdist keeps the mark of its run."""
    this = Process.of(os.getpid())
    os.environ.setdefault(MARK, f"{_namespace()}/{this.pid}/{this.start}")


def clear() -> None:
    """End the processes of runs that ended, and remove what they made. Other users' are left alone."""
    left = [process for process, mark in _marked() if _has_ended(mark)]
    for path in {path for process in left if (path := _configuration(process))}:  # while Open vSwitch, which may be one of them, still runs
        subprocess.run([sys.executable, "-m", "lego_sdn", "down", "--config", path], capture_output=True, timeout=DOWN_S, check=False)
    end(left, PATIENCE_S)
    for path in (*SHARED_MEMORY.glob("lego-*"), *SHARED_MEMORY.glob("lego-*/lego-*")):
        named = OF_A_TEST.fullmatch(path.name)
        if named and Process.of(int(named["pid"])) is None:
            shutil.rmtree(path, ignore_errors=True)


def _configuration(process: Process) -> str | None:
    """The configuration of a system that a process belongs to, as its command says: what the system made is in the journal there."""
    with contextlib.suppress(OSError):  # gone meanwhile
        words = (PROC / str(process.pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return next((path for option, path in itertools.pairwise(words) if option in ("--config", "--lego-config")), None)
    return None


def _marked() -> list[tuple[Process, str]]:
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                variables = (entry / "environ").read_bytes().split(b"\0")
                marks = [one.partition(b"=")[2].decode() for one in variables if one.startswith(f"{MARK}=".encode())]
                process = Process.of(int(entry.name))
                found += [(process, mark) for mark in marks if process]
    return found


def _has_ended(mark: str) -> bool:
    """Whether the run of a mark is one of this process namespace, where alone its pid means something, and has ended."""
    namespace, pid, start = mark.split("/")
    return namespace == _namespace() and Process.of(int(pid)) != Process(int(pid), int(start))


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")
