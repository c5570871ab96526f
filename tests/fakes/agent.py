"""An agent and brick processes that do no work: one process that answers what the controller asks, as docs/reference/contract.md says.

python -m tests.fakes.agent ADDRESS [BRIDGE PREFIX]. With tcp:HOST:PORT it is a remote host: its processes answer on TCP too. With a
bridge, every instance is a real port of it, in a namespace of its own; without, a port number. Beyond the contract, `pretend` sets what
the brick processes report, and `quit` ends it all.
"""

from __future__ import annotations

import itertools
import os
import selectors
import sys
import time
from contextlib import ExitStack
from typing import Any

from lego_sdn.adapters.rpc.calls import Server
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.actions import BrickAction, StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.graph import Graph

WITHIN = "in0"
WITHIN_INSTANCES = ("start_replica", "stop_replica", "set_deadlines")
GRAPH = ["packet-batching", "unsupervised-network", "sample-result"]
BRICKS = [f"{kind}-0" for kind in GRAPH]


class Process:
    """A brick process: a socket that answers `load`, `alerts` and `drain`."""

    pids = itertools.count(100_000)

    def __init__(self, socket: str, instance: int) -> None:
        self.socket, self.instance, self.name, self.pid = socket, instance, f"{instance}-a", next(self.pids)
        self.began = self.before = time.monotonic()
        self.cpu_s, self.share, self.received, self.rate, self.hangs = 0.0, 0.05, 0.0, 100.0, False
        self.alerts: list[dict[str, Any]] = []
        handlers = {"load": self.load, "alerts": self.alerts_since, "drain": lambda deadline_ms: self.load()}
        self.server = Server(socket, handlers)

    def load(self) -> dict[str, Any]:
        now = time.monotonic()
        self.cpu_s += (now - self.before) * self.share
        self.received += (now - self.before) * self.rate
        self.before = now
        received = int(self.received)
        capture = dict.fromkeys(("kernel_drops", "shadows", "gaps", "repeats", "reordered"), 0) | {"received": received, "queue": 0.0}
        brick = {"id": "packet-batching-0", "kind": "packet-batching", "serial": 0, "packets_in": received, "packets_out": received}
        brick |= {
            "batches": 1,
            "cpu_s": self.cpu_s,
            "service_us": 1.5,
            "queue_in": 0,
            "queue_out": 0,
            "dropped": {"odd": 2},
            "counters": {},
        }
        report = {"instance": self.instance, "process": self.name, "pid": self.pid, "time": now, "uptime_s": now - self.began}
        return report | {"cpu_s": self.cpu_s, "rss_bytes": 1 << 20, "capture": capture, "bricks": [brick]}

    def alerts_since(self, since: int) -> dict[str, Any]:
        by_source: dict[str, int] = {}
        for alert in self.alerts:
            by_source[alert["source"]] = by_source.get(alert["source"], 0) + 1
        return {"next": len(self.alerts), "alerts": self.alerts[since:], "by_source": by_source}


class Agent:
    """As `lego_sdn.agent.server`, without brick processes."""

    def __init__(self, socket: str, bridge: str | None, prefix: str) -> None:
        self.socket, self.bridge, self.prefix, self.ending = socket, bridge, prefix, False
        self.instances: dict[int, tuple[dict[str, Any], Process, ExitStack]] = {}
        self.refusals: list[str] = []
        self.calls: list[str] = []
        self.free_bytes = 2_000_000_000
        self.warm = True
        names = ("hello", "start_instance", "stop_instance", "flush_cache", "pretend", "fail", "link_down", "refuse", "warm_up", "quit")
        self.server = Server(socket, {name: getattr(self, name) for name in (*names, *WITHIN_INSTANCES)} | {"called": lambda: self.calls})

    def serve(self) -> None:
        while not self.ending:
            with selectors.DefaultSelector() as selector:
                for server in self._servers():
                    selector.register(server, selectors.EVENT_READ, server)
                for key, _ in selector.select(0.2):
                    if key.data in self._servers():  # one that was served before it may have ended it
                        key.data.serve_once(0)
        for number in list(self.instances):
            self.stop_instance(number, 0)
        self.server.close()

    def _servers(self) -> list[Server]:
        return [self.server, *(process.server for _, process, _ in self.instances.values() if not process.hangs)]

    def hello(self) -> dict[str, Any]:
        instances = [one for one, _, _ in self.instances.values()]
        has = {"host": "fake", "cores": 2, "memory_bytes": 4_000_000_000, "free_bytes": self.free_bytes}
        bridge = {"bridge": self.bridge, "dpid": 0, "datapath": "netdev"}
        return has | bridge | {"warm": self.warm, "error": None, "instances": instances}

    def start_instance(self, spec: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("start_instance")
        if self.refusals:
            raise HostError(self.refusals.pop(0))
        number = spec["instance"]
        with ExitStack() as stack:
            remote = self.socket.startswith("tcp:")
            process = Process(f"tcp:127.0.0.1:{free_port()}" if remote else f"{self.socket}-{number}", number)
            stack.callback(process.server.close)
            ofport = self._plug_in(number, stack) if self.bridge else 100 + number
            kept = stack.pop_all()
        told = {"process": process.name, "pid": process.pid, "socket": process.socket, "bricks": BRICKS, "cpu_quota": None}
        one = {"instance": number, "namespace": self._name(number), "interface": WITHIN, "port": self._name(number), "ofport": ofport}
        one |= {
            "state": "running",
            "error": None,
            "cpu_quota": spec["cpu_quota"],
            "processes": [told],
            "graph": Graph.line(*GRAPH).to_dict(),
            "spec": spec,
        }
        self.instances[number] = one, process, kept
        return one

    def stop_instance(self, number: int, drain_ms: int, silent: tuple[str, ...] = ()) -> dict[str, Any]:
        self.calls.append("stop_instance")
        if number not in self.instances:
            return {"reports": []}
        _, process, kept = self.instances.pop(number)
        report = process.load()
        kept.close()
        return {"reports": [report]}

    def start_replica(self, number: int, kind: str) -> dict[str, Any]:
        """It is only told of: no process reports for it."""
        if self.refusals:
            raise HostError(self.refusals.pop(0))
        one, brick = self._change(StartReplica(number, kind))
        return one | {"brick": brick, "process": one["processes"][-1]}

    def stop_replica(self, number: int, brick: str) -> dict[str, Any]:
        one, _ = self._change(StopReplica(number, brick))
        return one | {"report": self.instances[number][1].load()}

    def _change(self, action: BrickAction) -> tuple[dict[str, Any], str | None]:
        """The instance as it is told of after an action, and the brick that is new."""
        one, process, _ = self.instances[action.instance]
        before = Arrangement.of(one)
        after, known = before.apply(action), {told["process"]: told for told in one["processes"]}
        for there in after.processes:
            known.setdefault(there.process, {"process": there.process, "pid": next(Process.pids), "socket": process.socket})
        changed = {there.process: {"bricks": list(there.bricks), "cpu_quota": there.quota} for there in after.processes}
        one["processes"] = [known[name] | more for name, more in changed.items()]
        return one, after.new_brick(before)

    def set_deadlines(self, number: int, ms: dict[str, float]) -> dict[str, Any]:
        self.calls.append(f"set_deadlines {number} {sorted(ms)}")
        return self.instances[number][0]

    def flush_cache(self) -> float:
        self.calls.append("flush_cache")
        return 0.0

    def pretend(self, number: int, facts: dict[str, Any]) -> bool:
        """Set `share` (cores), `rate` (packets/s), `hangs` or `alerts` of an instance's process."""
        for name, value in facts.items():
            setattr(self.instances[number][1], name, value)
        return True

    def link_down(self, number: int, times: int) -> bool:
        """Its link was off so often, each time for too short a time that the switch would tell of it."""
        self.instances[number][0]["link_downs"] = times
        return True

    def fail(self, number: int, error: str) -> bool:
        """Its process is dead."""
        one, process, _ = self.instances[number]
        one |= {"state": "failed", "error": error}
        process.hangs = True
        return True

    def refuse(self, sentences: list[str]) -> bool:
        """The next starts fail."""
        self.refusals = sentences
        return True

    def warm_up(self, done: bool) -> bool:
        """Whether its bricks are warm, from now on."""
        self.warm = done
        return True

    def quit(self) -> bool:
        self.ending = True
        return True

    def _name(self, number: int) -> str:
        return f"{self.prefix}i{number}"

    def _plug_in(self, number: int, stack: ExitStack) -> int:
        from lego_sdn.adapters.linux import netns
        from lego_sdn.adapters.ovs.vsctl import Ovs

        name, ovs = self._name(number), Ovs(self.prefix)
        netns.create(name)
        stack.callback(netns.remove, name)
        netns.add_veth(name, name, WITHIN)
        stack.callback(netns.remove_link, name)
        ofport = ovs.add_port(self.bridge, name)
        stack.callback(ovs.remove_port, name)
        return ofport


def main() -> None:
    socket, bridge, prefix = (*sys.argv[1:], None, "")[:3] if len(sys.argv) < 4 else sys.argv[1:4]
    Agent(socket, bridge, prefix).serve()


if __name__ == "__main__":
    os.umask(0o077)
    main()
