"""How an agent is run, and what it needs of its host: root, and a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bricks.nfs.registry import load_installed
from lego_sdn.adapters.linux import owned
from lego_sdn.adapters.ovs.vsctl import Bridge
from lego_sdn.agent import launcher
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.text import shown
from lego_sdn.core.nf.network_function import NetworkFunction

NEEDED = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # bits of linux/capability.h


@dataclass(frozen=True)
class AgentOptions:
    """How an agent is run.

    address  its socket
    period_ms  over which CPU quotas are reckoned
    model    the one that instances may use, besides any in the run_dir; in memory before the first instance wants it
    owner    user id that may talk to it besides root
    scores   folder for the scores of instances that are not told another one
    warm     command of the warm process, to which the path of its socket is added
    load     an NF by its name: of what is installed here, for whoever asks must not choose what root imports
    """

    run_dir: Path
    address: str
    bridge: Bridge
    model: str | None = None
    owner: int | None = None
    scores: str | None = None
    period_ms: int = 20
    warm: tuple[str, ...] = launcher.COMMAND
    load: Callable[[str], NetworkFunction] = load_installed

    @classmethod
    def of(cls, config: Config, **more: Any) -> AgentOptions:
        switch = config.switch
        controller = f"tcp:{switch.openflow_host}:{switch.openflow_port}"
        bridge = Bridge(switch.bridge, controller, switch.datapath)
        return cls(Path(config.run_dir), config.agent, bridge, config.model, period_ms=config.instance.cpu_period_ms, **more)

    @property
    def prefix(self) -> str:
        """Of namespaces and ports: lego1 with the usual bridge, else br0-1 (of a name's 15 characters, 11 are the bridge's)."""
        return "lego" if self.bridge.name == "lego0" else f"{self.bridge.name[:11]}-"


def require_root(user: int | None = None, held: int | None = None) -> None:
    """HostError if a user may not make namespaces: it is not root, or root of a container without the capabilities.

    user  a number, held: its capabilities as the kernel's bits; if not said, those of this process
    """
    if (os.geteuid() if user is None else user) != 0:
        raise HostError("the agent makes network namespaces and switch ports and needs root: run it with sudo")
    held = _capabilities() if held is None else held
    lacking = [name for name, bit in NEEDED.items() if not held >> bit & 1]
    if lacking:
        raise HostError(
            f"the agent makes network namespaces and switch ports, and root may not do so here ({' and '.join(lacking)} missing): "
            "run it outside the container, or give the container these capabilities"
        )


def _capabilities() -> int:
    """Effective capabilities of this process, as the kernel's bits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))


def make_run_dir(run_dir: Path, owner: int | None = None) -> None:
    """The folder of sockets, logs and journals. HostError if others could put things into it: what is found there is believed.

    With an owner, others may pass through to the sockets, which alone are the owner's; they may neither list nor write.
    """
    mode = 0o700 if owner is None else 0o711
    try:
        owned.make_folder(run_dir, mode)
        found = run_dir.stat()
        if found.st_uid != os.geteuid():
            raise HostError(f"run_dir {run_dir} belongs to user {found.st_uid}: choose a folder of LEGO's own, or remove it")
        if found.st_mode & 0o022:
            raise HostError(f"run_dir {run_dir} is writable by others: choose a folder of LEGO's own, or 'chmod go-w {run_dir}'")
        owned.require_folder(run_dir)
        if owner is not None:
            os.chmod(run_dir, mode)
    except OSError as error:
        raise HostError(f"cannot use run_dir {run_dir}: {error.strerror}") from error


def require_scores_below(scores: str | None, options: AgentOptions) -> None:
    """HostError if an instance is to write scores, with root's rights, anywhere but below `options.scores` or the run_dir."""
    allowed = [Path(folder).resolve() for folder in (options.scores, options.run_dir) if folder is not None]
    if scores is not None and not any(Path(scores).resolve().is_relative_to(folder) for folder in allowed):
        raise HostError(
            f"scores: wanted a folder below {' or '.join(map(str, allowed))}, found {shown(scores)}; --scores names another one"
        )


def require_model(model: str, options: AgentOptions) -> None:
    """HostError if an instance is to read, with root's rights, another model than the agent's own, or one in the run_dir.

    Of a file that is neither nothing is said, not even whether it exists.
    """
    own = None if options.model is None else Path(options.model).resolve()
    wanted = Path(model).resolve()
    if wanted != own and wanted.parent != options.run_dir.resolve():
        allowed = f"a file in {options.run_dir}" if own is None else f"{own}, or a file in {options.run_dir}"
        raise HostError(
            f"model: wanted what this agent is configured with ({allowed}), found {shown(model)}; set `model` in its configuration"
        )
    if not wanted.is_file():
        raise HostError(f"model: wanted the path of a model file that exists, found {shown(model)}; learn one with 'lego train'")
