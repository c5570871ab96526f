"""Processes by identity: a pid together with its start time, so that a pid that was used again is never taken for the one that was meant.

A run also marks its processes by an environment variable that their children inherit: whatever it started can be found again after a crash.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lego_sdn.core.facts.errors import HostError

PROC = Path("/proc")
MARK = "LEGO_RUN"
DEAD, STOPPED = frozenset("ZX"), frozenset("Tt")
PYTHON = (sys.executable, "-I")  # for what root starts: without the current folder, PYTHONPATH and the user's packages
UNSAFE = ("PYTHON", "LD_", "NUMBA_", "LLVM", "GCONV_")  # variables that make a process load what they name


@dataclass(frozen=True)
class Process:
    """A process of this host; `start` in clock ticks since the boot."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The living process with that pid, or None."""
        state, start = _stat(pid)
        return None if state in DEAD else cls(pid, start)

    def is_alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return Process.of(self.pid) == self

    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it."""
        state, start = _stat(self.pid)
        return state in STOPPED and start == self.start

    def send(self, number: int) -> bool:
        """Send a signal to exactly this process; False if it is gone."""
        with _pidfd(self) as handle:
            if handle is None:
                return False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
                return True
        return False

    def wait(self, deadline: float) -> bool:
        """Wait until it is gone or `deadline` (monotonic) passes; returns whether it is gone."""
        with _pidfd(self) as handle:
            if handle is None:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(max(0, deadline - time.monotonic()) * 1e3))


def await_end(pid: int) -> None:
    """Wait until the process with that pid has ended, whoever's it is. Where eventlet has replaced `select`, a greenthread waits alone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)


def environment() -> dict[str, str]:
    """This process's environment for one that it starts; root's is without what names code to load, and with root's home."""
    if os.geteuid() != 0:
        return dict(os.environ)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(UNSAFE)}
    return kept | {"HOME": pwd.getpwuid(0).pw_dir}


def end(processes: Iterable[Process], patience_s: float = 3.0) -> None:
    """End processes: SIGTERM, and SIGKILL for those that are still there after `patience_s` together. HostError if one survives that."""
    left = [process for process in processes if process.send(signal.SIGTERM)]
    deadline = time.monotonic() + patience_s
    left = [process for process in left if not process.wait(deadline)]
    for process in left:
        process.send(signal.SIGKILL)
    deadline = time.monotonic() + patience_s
    for process in left:
        if not process.wait(deadline):
            raise HostError(
                f"process {process.pid} does not end, not even by SIGKILL: it hangs in the kernel; see /proc/{process.pid}/stack"
            )


def marked(run: str) -> list[Process]:
    """Living processes, other than this one, that carry the mark of a run."""
    wanted = f"{MARK}={run}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                process = Process.of(int(entry.name))
                found += [process] if process else []
    return found


def last_line(log: Path) -> str:
    """The last line of a log that says something, or an empty text; of a traceback that is the error."""
    with contextlib.suppress(OSError), open(log, errors="replace") as file:
        return next((line.strip() for line in reversed(deque(file, 50)) if line.strip()), "")
    return ""


@contextlib.contextmanager
def _pidfd(process: Process):
    """A handle on the process, or None if it is gone; checked after opening, so that it is the one that was meant."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if process.is_alive() else None
    finally:
        os.close(handle)


def _stat(pid: int) -> tuple[str, int]:
    """(state, start time); state X if there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold blanks and brackets
    return fields[0], int(fields[19])
