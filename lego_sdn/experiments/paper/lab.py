"""The two hosts of an experiment with LEGO on the second one: built, measured at, and removed without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from lego_sdn.adapters.linux import processes
from lego_sdn.adapters.linux.journal import Journal
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.core.facts.config import Config, ForwardSettings, RestSettings, SwitchSettings
from lego_sdn.core.facts.errors import HostError
from lego_sdn.system.session import Live
from topologies.two_hosts import INSIDE, TwoHosts


@dataclass(frozen=True)
class Offered:
    """What the first host replays: captures as one time line, `rounds` times over, with these further options of `lego replay`."""

    captures: tuple[Path, ...]
    how: tuple[str, ...]
    rounds: int = 1


class Lab(Live):
    """A `Live` system on the second host, with its own bridge and ports; scaling happens only when asked for, or after `ask("resume")`.

    Mininet's hosts are gone with whoever holds them, even if that is killed; all else is in the system's journal.
    """

    def __init__(self, config: Config, folder: Path, say: Callable[[str], None] = lambda line: None, *, scores: bool = False) -> None:
        bridge = f"lp{os.getpid() % 10**6}"
        config = replace(
            config,
            run_dir=str(folder / "run"),
            switch=SwitchSettings(bridge=bridge, openflow_port=free_port()),
            rest=RestSettings(port=free_port()),
            forward=ForwardSettings("drop"),
        )
        super().__init__(config, folder / "scores" if scores else None, say)
        self.folder, self.hosts, self._run = folder, TwoHosts(f"{bridge}-src"), ""
        self.system.on_bridge = self._attach
        self._all = ExitStack()

    def __enter__(self) -> Lab:
        with ExitStack() as stack:
            stack.enter_context(self.hosts)
            super().__enter__()
            stack.callback(super().__exit__, None, None, None)
            self._all = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    def replay(self, offered: Offered) -> subprocess.Popen:
        """Have the first host begin to send; `sent` waits for its end."""
        captures = [str(path.resolve()) for path in offered.captures]
        command = [sys.executable, "-m", "lego_sdn", "replay", *captures, "--interface", INSIDE, "--loop", str(offered.rounds), "--json"]
        return self.hosts.run_on_source([*command, *offered.how], env={**os.environ, processes.MARK: self._run})

    def _attach(self, journal: Journal, run: str) -> None:
        """The wire's end becomes a port of LEGO's bridge; the system's journal removes that."""
        self._run, port = run, self.hosts.port
        OwnedResources(journal, run).make("port", port, lambda: Ovs(run).add_port(self.system.config.switch.bridge, port, instance=False))


def require_running(replay: subprocess.Popen) -> None:
    """HostError, with its last words, if a replay has ended that should go on."""
    if replay.poll() is not None:
        words = replay.communicate()[1].strip().splitlines()
        raise HostError(f"the replay ended: {words[-1] if words else 'it was not long enough'}")
