"""Launcher of brick processes: has the fork server fork them and report their exits.

The fork server is `python -I -m bricks.service.main --warm SOCKET`, in the root folder: it imports no module from a working folder or from
one that an environment variable names. It answers `preload(model)`, `fork(spec) -> {"pid"}` and
`exits() -> [{"pid", "status", "signal"}]`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lego_sdn.adapters.linux import owned, processes
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.rpc.calls import Client, Unreachable
from lego_sdn.core.facts.errors import BrickError, RpcError

START_S = 10.0  # of the warm process; its first start on a machine compiles every kernel and takes longer
FORK_S = 20.0  # of a replica, until it answers
STOP_S = 5.0  # of the warm process, before it is killed
COMMAND = (*processes.PYTHON, "-m", "bricks.service.main", "--warm")


@dataclass(frozen=True)
class Exit:
    """How a brick process ended: exit status, or the signal that ended it."""

    pid: int
    status: int | None
    signal: int | None

    def __str__(self) -> str:
        if self.signal:
            return f"was ended by {signal.Signals(self.signal).name}"
        return f"ended with status {self.status}"


@dataclass(frozen=True)
class BrickProcess:
    """A brick process that was started: its name in the instance ("1-a"), identity, socket and log."""

    name: str
    process: Process
    socket: str
    log: Path

    def client(self, timeout: float = 5.0) -> Client:
        return Client(self.socket, timeout)


class Launcher:
    """Starts brick processes and knows how they ended."""

    def __init__(self, run_dir: Path, run: str, command: tuple[str, ...] = COMMAND) -> None:
        self.run, self.command = run, command
        self.socket, self.log = run_dir / "warm.sock", run_dir / "warm.log"
        self._warm: subprocess.Popen | None = None
        self._client = Client(str(self.socket))
        self._exits: dict[int, Exit] = {}

    def start(self) -> Process:
        """Start the warm process, if it does not run; it is ready later (`wait_ready`)."""
        if self._warm is None or self._warm.poll() is not None:
            self._client.close()
            with open(owned.replace_file(self.log), "wb") as log:
                self._warm = subprocess.Popen(
                    [*self.command, str(self.socket)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**processes.environment(), processes.MARK: self.run},
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for the agent, which ends its processes in order
                )
        found = Process.of(self._warm.pid)
        if found is None:
            raise self._no_warm()
        return found

    def is_ready(self) -> bool:
        """Whether a replica could be forked now."""
        try:
            self._collect(timeout=0.2)
        except RpcError:
            return False
        return True

    def problem(self) -> str | None:
        """What became of a warm process that has ended, or None."""
        ended = self._warm is not None and self._warm.poll() is not None
        return str(self._no_warm()) if ended else None

    def wait_ready(self, seconds: float = START_S) -> None:
        """Wait until replicas can be forked. BrickError, with the last line of its log, if the warm process ends."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self._warm is None or self._warm.poll() is not None:
                raise self._no_warm()
            if time.monotonic() > deadline:
                raise BrickError(
                    f"the bricks were not ready within {seconds:g} s: the first start on a machine compiles their kernels; "
                    f"try again in a minute, or see {self.log}"
                )
            time.sleep(0.01)

    def preload(self, model: str) -> None:
        """Have the model in memory before the first instance wants it. RpcError if it cannot be read."""
        self._client.call("preload", model, timeout=FORK_S)

    def fork(self, spec: dict[str, Any]) -> BrickProcess:
        """Fork a brick process from the warm one; `launched` says when it answers. RpcError if the spec is impossible."""
        self.start()
        self.wait_ready()
        log = Path(spec["log"])
        log.unlink(missing_ok=True)
        pid = self._client.call("fork", spec, timeout=FORK_S)["pid"]
        process = Process.of(pid) or Process(pid, -1)  # it may have died already; then it is nobody's
        return BrickProcess(spec["process"], process, spec["socket"], log)

    def launched(self, replica: BrickProcess, seconds: float = FORK_S) -> dict[str, Any]:
        """Wait until a replica answers; returns its first load report. BrickError, with its last words, if it dies before."""
        deadline = time.monotonic() + seconds
        while True:
            with replica.client(timeout=max(0.1, deadline - time.monotonic())) as client:
                try:
                    return client.call("load")
                except Unreachable:
                    if not replica.process.is_alive():
                        raise BrickError(self.obituary(replica)) from None
                    if time.monotonic() > deadline:
                        raise BrickError(f"brick process {replica.name} did not answer within {seconds:g} s; see {replica.log}") from None
            time.sleep(0.002)

    def obituary(self, replica: BrickProcess) -> str:
        """One sentence on a brick process that is gone: how it ended, its last line, where the rest is."""
        with contextlib.suppress(RpcError):  # if the warm process is gone too, nobody knows the status
            self._collect(timeout=1.0)
        how = self._exits.get(replica.process.pid) or "ended"
        words = processes.last_line(replica.log)
        return f"brick process {replica.name} {how}{': ' + words if words else ''} (see {replica.log})"

    def end(self, replicas: list[BrickProcess]) -> None:
        """End brick processes that did not stop by themselves, and wait until they are gone."""
        processes.end(replica.process for replica in replicas)

    def stop(self) -> None:
        """End the warm process."""
        self._client.close()
        if self._warm is None:
            return
        self._warm.terminate()
        try:
            self._warm.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._warm.kill()
            self._warm.wait()
        self._warm = None
        self.socket.unlink(missing_ok=True)

    def _collect(self, timeout: float) -> None:
        for one in self._client.call("exits", timeout=timeout):
            self._exits[one["pid"]] = Exit(one["pid"], one.get("status"), one.get("signal"))

    def _no_warm(self) -> BrickError:
        words = processes.last_line(self.log)
        return BrickError(f"the warm process of the bricks ended{': ' + words if words else ''} (see {self.log})")
