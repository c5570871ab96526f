#!/usr/bin/env python3
"""The paper's testbed: two hosts, directly connected. The first replays a capture, the second runs LEGO or the monolith.

The first host is Mininet's: a network namespace of its own. The second is this machine itself, where Open vSwitch, the agent, the Ryu
app and the instances run as they do anywhere; the wire between the two ends in LEGO's bridge.

As a script: builds this, has LEGO do its work while a capture is replayed, shows its status and removes everything. `lego paper` uses the
same two hosts for its measurements. `mn --custom topologies/two_hosts.py --topo two-hosts` gives the bare topology.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lego_sdn.core.facts.errors import HostError, LegoError
from topologies import mininet_package

SOURCE, LEGO = "source", "lego"
INSIDE = "eth0"  # of the first host
MTU = 9000  # room for stamps behind the longest frames
READY_S = 180.0  # the first start on a machine compiles every kernel
END_S = 60.0


def topology(port: str = "lego0-src") -> Any:
    """The two hosts and their wire; `port` is the name of its end at the second host. A Mininet `Topo`."""
    mininet_package.load()
    from mininet.topo import Topo

    topo = Topo()
    topo.addHost(SOURCE, ip=None)
    topo.addHost(LEGO, ip=None, inNamespace=False)
    topo.addLink(SOURCE, LEGO, intfName1=INSIDE, intfName2=port)
    return topo


topos = {"two-hosts": topology}  # where `mn --custom` looks


class TwoHosts:
    """A context manager: inside it both hosts are there and nothing but what is sent goes over their wire; afterwards neither is.

    Only what was started here is ended: `mn -c` is never needed, and Mininet's system-wide limits are left as they are.
    """

    def __init__(self, port: str) -> None:
        self.port = port
        self._net: Any = None
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> TwoHosts:
        topo = topology(self.port)
        from mininet.net import Mininet

        Mininet.inited = True  # else it raises limits of the whole machine, and lowers none of them afterwards
        self._net = Mininet(topo, controller=None, build=False)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
            process.communicate()
        self._started = []
        if self._net is not None:
            self._net.stop()
        self._net = None

    def run_on_source(self, command: list[str], **how: Any) -> subprocess.Popen:
        """Start a command on the first host; it is ended with the hosts, if not before. `how`: as of `subprocess.Popen`."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
        process = self._net[SOURCE].popen(command, **how)
        self._started.append(process)
        return process

    def _start(self) -> None:
        if any(name == self.port for _, name in socket.if_nameindex()):
            raise HostError(f"an interface {self.port} exists already: remove it, or choose another bridge")
        try:
            self._net.start()
        except Exception as error:  # Mininet raises nothing more special
            raise HostError(f"Mininet cannot make the two hosts: {str(error).strip()}") from error
        for host, interface in ((SOURCE, INSIDE), (LEGO, self.port)):
            self._quiet(host, interface)

    def _quiet(self, host: str, interface: str) -> None:
        """No IPv6, by which the kernel would send packets of its own; room for stamps. HostError if the interface does not do it."""
        switch = f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
        words = self._net[host].cmd(f"[ ! -e {switch} ] || echo 1 > {switch}; ip link set {interface} mtu {MTU} up").strip()
        if words:
            raise HostError(f"Mininet's host {host} cannot set up {interface}: {words}")


def main(arguments: list[str] | None = None) -> int:
    """Both hosts, LEGO at work, a replay; exit code 0, or 2 with one sentence."""
    parser = argparse.ArgumentParser(prog="two_hosts.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("captures", nargs="+", metavar="CAPTURE", type=Path, help="what the first host replays")
    parser.add_argument("--config", required=True, type=Path, help="LEGO's configuration file; it names the model and the bridge")
    parser.add_argument("--bridge", default="lego0", help="the bridge of the configuration (default: lego0)")
    parser.add_argument("--pps", type=float, default=1000.0, help="packets per second (default: 1000)")
    wanted = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        with ExitStack() as stack:
            hosts = stack.enter_context(TwoHosts(f"{wanted.bridge[:11]}-src"))
            stack.enter_context(_Lego(wanted.config))
            _run(["ovs-vsctl", "--timeout=10", "add-port", wanted.bridge, hosts.port])
            stack.callback(_run, ["ovs-vsctl", "--timeout=10", "--if-exists", "del-port", wanted.bridge, hosts.port])
            replay = [*map(str, wanted.captures), "--interface", INSIDE, "--pps", str(wanted.pps)]
            out, words = hosts.run_on_source([sys.executable, "-m", "lego_sdn", "replay", *replay]).communicate()
            print(out or words, end="")
            print(_run([sys.executable, "-m", "lego_sdn", "status", "--config", str(wanted.config)]), end="")
    except LegoError as error:
        print(f"two_hosts.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


class _Lego:
    """`lego up` on the second host; inside, it is ready."""

    def __init__(self, config: Path) -> None:
        self._command = [sys.executable, "-u", "-m", "lego_sdn", "up", "--config", str(config)]

    def __enter__(self) -> _Lego:
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._process = subprocess.Popen(self._command, text=True, start_new_session=True, **pipe)
        assert self._process.stdout is not None
        began, line = time.monotonic(), ""
        for line in self._process.stdout:
            if line.startswith("status: "):
                return self
            if time.monotonic() - began > READY_S:
                break
        self.__exit__()
        raise HostError(f"LEGO did not start: {line.strip().removeprefix('lego: ')}")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=END_S)


def _run(command: list[str]) -> str:
    """What a command prints. HostError with its last line if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostError((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1].removeprefix("lego: "))
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
