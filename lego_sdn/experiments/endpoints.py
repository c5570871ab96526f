"""Where the traffic of an experiment enters and leaves the switch: two namespaces of our own, wired through the bridge.

What goes in at the source leaves at the sink whatever LEGO does with its copies, so the sink's counter shows that forwarding never suffers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lego_sdn.adapters.linux import netns, processes
from lego_sdn.adapters.linux.journal import Journal
from lego_sdn.adapters.ovs.socket_buffer import give_room
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.core.facts.errors import HostError

INSIDE = "eth0"


@dataclass(frozen=True)
class OfferedTraffic:
    """What is sent: captures as one time line, packets/s (None: as fast as possible), how often."""

    captures: tuple[Path, ...]
    pps: float
    rounds: int = 1


class Testbed:
    """The two ends. `attach` makes them on the bridge; they are in the system's journal, which removes them at its end.

    source, sink  each the name of a namespace and of its port on the bridge
    """

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge
        self.source, self.sink = (f"{bridge[:11]}-{end}" for end in ("src", "dst"))  # an interface's name has 15 characters
        self.run = ""

    def attach(self, journal: Journal, run: str) -> None:
        """Make both ends. HostError if a name is taken or the switch cannot use a port."""
        self.run = run
        belongings, ovs = OwnedResources(journal, run), Ovs(run)
        for name in (self.source, self.sink):
            belongings.make("namespace", name, lambda name=name: netns.create(name))
            belongings.make("veth", name, lambda name=name: netns.add_veth(name, name, INSIDE))
            belongings.make("port", name, lambda name=name: ovs.add_port(self.bridge, name, instance=False))
        with contextlib.suppress(OSError):  # an old kernel: what is lost before the switch is counted all the same
            give_room(self.source)

    def send(self, load: OfferedTraffic) -> ReplayProcess:
        """Start to send, with stamps, in a process of its own."""
        return ReplayProcess(load, self.source, self.run)


class ReplayProcess:
    """A process that sends; `result` is what it says at its end."""

    def __init__(self, load: OfferedTraffic, namespace: str, run: str) -> None:
        command = [sys.executable, "-m", "lego_sdn", "replay", *map(str, load.captures), "--namespace", namespace, "--interface", INSIDE]
        command += ["--pps", str(load.pps), "--loop", str(load.rounds), "--stamp", "--json"]
        self._told = False
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, processes.MARK: run},
            start_new_session=True,  # Ctrl-C is for the parent, which ends this one
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def enough(self) -> None:
        """It sends no further packet; `result` has those that it sent."""
        if not self._told:  # a second signal would end it without a result
            self._process.send_signal(signal.SIGTERM)
        self._told = True

    def result(self) -> dict[str, Any]:
        """Packets sent, seconds, rate and what could not be sent. HostError, with its last words, if it failed."""
        out, words = self._process.communicate()
        if self._process.returncode not in ((0, 128 + signal.SIGTERM) if self._told else (0,)):
            raise HostError(f"the replay ended: {words.strip().splitlines()[-1] if words.strip() else 'without a word'}")
        return json.loads(out)

    def stop(self) -> None:
        """End it if it runs."""
        if self.running:
            self._process.terminate()
        self._process.communicate()
