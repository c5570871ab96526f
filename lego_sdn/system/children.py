"""The agent and the controller as child processes of this one, each with a log of its own in the run_dir."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from lego_sdn.adapters.files import configfile
from lego_sdn.adapters.linux import processes
from lego_sdn.adapters.linux.busy import BusyMark
from lego_sdn.adapters.linux.journal import Journal, Thing
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError
from lego_sdn.system.shutdown import AGENT, end

QUICKLY = {"EVENTLET_NO_GREENDNS": "yes"}  # no names are looked up; what eventlet does that with takes 0.4 s to import


class Children:
    """At most one child a role.

    run     the mark that they, and what they start, carry
    scores  folder into which instances write their scores
    """

    def __init__(self, config: Config, run: str, scores: Path | None = None) -> None:
        self.config, self.run, self.scores = config, run, scores
        self.run_dir = Path(config.run_dir)
        self._by_role: dict[str, subprocess.Popen] = {}
        self._busy = BusyMark(None)

    def log(self, role: str) -> Path:
        return self.run_dir / f"{role}.log"

    def start(self, journal: Journal, role: str, log_mode: str = "wb") -> None:
        """Start one; it is told the configuration as a file. HostError if that cannot be written, OSError if it cannot be started."""
        configfile.write(self.config, self._written)
        mark = BusyMark.made() if role == AGENT else BusyMark(None)
        with open(self.log(role), log_mode, opener=_private) as log:
            child = subprocess.Popen(
                self._command(role),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**processes.environment(), **QUICKLY, processes.MARK: self.run, **mark.environment},
                pass_fds=[] if mark.file is None else [mark.file],
                cwd="/",
                start_new_session=True,  # Ctrl-C is for this process, which ends them in order
            )
        self._by_role[role] = child
        if role == AGENT:
            self._busy.close()
            self._busy = mark
        process = Process.of(child.pid)
        if process is not None:
            with contextlib.suppress(HostError):  # a disk that is full: whoever clears up finds it by its mark
                journal.made(Thing("process", str(child.pid), self.run, {"start": process.start, "role": role}))

    def ended(self, role: str | None = None) -> str | None:
        """One sentence on one that does not run (without a role: on any that was started), or None."""
        for one in self._by_role if role is None else (role,):
            child = self._by_role.get(one)
            if child is None or child.poll() is not None:
                return self._last_words(one)
        return None

    def is_busy(self, role: str) -> bool:
        """Whether the agent is at something that takes long; one that is stopped is not."""
        process = Process.of(self._by_role[role].pid) if role in self._by_role else None
        return role == AGENT and process is not None and not process.is_stopped() and self._busy.is_busy(time.monotonic())

    def kill(self, role: str) -> None:
        """End it at once."""
        child = self._by_role[role]
        child.kill()
        await_end(child)

    def end(self, journal: Journal, role: str) -> None:
        """End it in order, if it still runs."""
        end(journal, role)
        if role in self._by_role:
            await_end(self._by_role.pop(role))

    def await_all(self) -> None:
        """Wait for all, once they have been told to end."""
        for child in self._by_role.values():
            await_end(child)

    def let_go(self) -> None:
        """They are not this process's any more."""
        self._by_role = {}
        self._busy.close()

    @property
    def _written(self) -> Path:
        """The configuration, as both are told it."""
        return self.run_dir / "config.yaml"

    def _last_words(self, role: str) -> str:
        words = processes.last_line(self.log(role)).removeprefix("lego: ")
        return f"the {role} ended{': ' + words if words else ''} (see {self.log(role)})"

    def _command(self, role: str) -> list[str]:
        if role == AGENT:
            scores = ["--scores", str(self.scores)] if self.scores else []
            return [*processes.PYTHON, "-m", "lego_sdn", "agent", "--config", str(self._written), *scores]
        manager = Path(sys.executable).with_name("ryu-manager")
        return [*processes.PYTHON, str(manager), "lego_sdn.app", "--lego-config", str(self._written)]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def await_end(child: subprocess.Popen) -> None:
    """Wait for a child. `Popen.wait` would wait for ever for its own lock, if a signal's exception came just when `poll` had taken it."""
    if child.returncode is None:
        try:
            child.returncode = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        except ChildProcessError:  # it was waited for already, and how it ended got lost with the exception
            child.returncode = 0
