"""A command that goes on in the background once it is ready, while whoever started it gets its exit code."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from lego_sdn.adapters.linux import owned

READY = b"r"


@dataclass(frozen=True)
class WaitingParent:
    """The process that was started by the user. It ends when this one lets it go, or with this one's exit code if that comes before."""

    pipe: int

    def let_go(self, log: Path) -> None:
        """From now on what is said goes to the end of a log file."""
        sys.stdout.flush()
        sys.stderr.flush()
        file = owned.append_to(log)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, goes_to in enumerate((nothing, file, file)):
            os.dup2(goes_to, number)
        os.close(nothing)
        os.close(file)
        os.write(self.pipe, READY)
        os.close(self.pipe)


def go_on_in_background() -> WaitingParent:
    """Go on in a child process with a session of its own; returns in the child only. To be called before any thread is started."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they are for the one that does the work
            signal.signal(number, lambda number, _: os.kill(child, number))
        ready = os.read(reading, 1) == READY
        os._exit(0 if ready else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    os.close(reading)
    os.setsid()
    return WaitingParent(writing)
