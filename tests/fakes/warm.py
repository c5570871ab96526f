"""A stand-in for the warm process: forks small processes that speak the bricks' protocol and move nothing.

Run as `python -m tests.fakes.warm SOCKET`. The model file may say how a process misbehaves: "die", "mute" (never answers).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from lego_sdn.adapters.rpc.calls import Server

CLONE_NEWNET = 0x40000000


class Warm:
    def __init__(self, address: str) -> None:
        self.children: set[int] = set()
        self.models: list[str] = []
        self.server = Server(address, {"preload": self.models.append, "fork": self.fork, "exits": self.exits})

    def fork(self, spec: dict) -> dict:
        pid = os.fork()
        if pid == 0:
            self.server.forget()
            os._exit(child(spec))
        self.children.add(pid)
        return {"pid": pid}

    def exits(self) -> list[dict]:
        ended = []
        for pid in list(self.children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.children.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                ended.append({"pid": pid, "status": max(code, 0), "signal": -code if code < 0 else None})
        return ended


class Brick:
    """What one process was told; `calls` is in its load report, so that a test sees the order of things."""

    def __init__(self, spec: dict) -> None:
        self.spec, self.calls, self.ended = spec, [], False

    def load(self) -> dict:
        bricks = [{"id": brick, "queue_in": 0} for brick in self.spec["bricks"]]
        interfaces = sorted(os.listdir("/proc/self/net/dev_snmp6")) if os.path.exists("/proc/self/net/dev_snmp6") else []
        links = [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]]
        return {
            "process": self.spec["process"],
            "bricks": bricks,
            "calls": self.calls,
            "links": sorted(links),
            "spec": self.spec,
            "i": interfaces,
        }

    def note(self, *call: object) -> bool:
        self.calls.append(list(call))
        return True

    def stop(self) -> bool:
        self.ended = True
        return True


def child(spec: dict) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for folder in spec["cgroup"]:
        Path(folder, "cgroup.procs").write_text(str(os.getpid()))
    os.dup2(os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    with open(spec["namespace"]) as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
            return 3
    orders = Path(spec["model"]).read_text().split()
    if "die" in orders or f"die-{spec['process']}" in orders:
        sys.stderr.write("Traceback\nValueError: the weights are rotten\n")
        sys.stderr.flush()
        return 1
    while "mute" in orders or f"mute-{spec['process']}" in orders:
        time.sleep(1)
    brick = Brick(spec)
    drain = lambda deadline_ms: brick.note("drain") and brick.load()  # noqa: E731
    inputs = lambda table: brick.note("inputs", table)  # noqa: E731
    routes = lambda table, seats=None: brick.note("routes", table, *([] if seats is None else [seats]))  # noqa: E731
    keyed = {name: (lambda *told, name=name: brick.note(name, *told)) for name in ("pause", "deal", "bury")}
    noted = keyed | {"routes": routes, "inputs": inputs, "deadlines": lambda ms: brick.note("deadlines", ms)}
    with Server(spec["socket"], {"load": brick.load, "drain": drain, "stop": brick.stop} | noted) as server:
        while not brick.ended:
            server.serve_once(1.0)
    return 0


def main() -> None:
    warm = Warm(sys.argv[-1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        warm.server.serve_once(1.0)


if __name__ == "__main__":
    main()
