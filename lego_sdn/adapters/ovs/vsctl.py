"""Open vSwitch of this host, through its own tools; everything made here carries external_ids:lego=<run>, and only that is removed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs import unixctl
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.flow_rules import COOKIE_MAGIC

CONTROL = Path("/usr/share/openvswitch/scripts/ovs-ctl")
DAEMONS = ("ovs-vswitchd", "ovsdb-server")
SILENT_S = 1.5  # seconds within which a switch process that is well answers, also on a busy machine
MARK = "lego"
BACKOFF_MS = 1000  # the switch looks for its controller once a second, also one that was away for long
NO_FLOOD = "trunks=4095"  # the only VLAN that NORMAL forwarding may put into instance ports: 802.1Q allows no frame to be in it
EVERY_VERSION = "--protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"  # whichever a bridge allows
NAMED = 2  # flows in a sentence
START = f"start it with '{CONTROL} start --system-id=random' as root, or with 'lego up'"


@dataclass(frozen=True)
class Bridge:
    """A bridge as LEGO wants it. `datapath` is auto, netdev (userspace) or system (kernel module)."""

    name: str
    controller: str = "tcp:127.0.0.1:6653"
    datapath: str = "auto"

    @property
    def dpid(self) -> int:
        """48 bits from the names of host and bridge: the same after every start, whatever ports come and go."""
        return int.from_bytes(hashlib.sha256(f"{socket.gethostname()}/{self.name}".encode()).digest()[:6]) or 1


def _is_alive(daemon: str) -> bool:
    try:
        return Process.of(unixctl.pid(daemon)) is not None
    except HostError:
        return False


class Ovs:
    """Calls the tools with a deadline; `run` marks what is made. HostError says what is missing and what to do."""

    def __init__(self, run: str, timeout_s: int = 10) -> None:
        self.run, self.timeout_s = run, timeout_s

    def is_running(self) -> bool:
        """Whether both the database and the switch process answer."""
        try:
            self._tool("ovs-vsctl", "--no-wait", "--timeout=2", "get", "Open_vSwitch", ".", "ovs_version")
            self._tool("ovs-appctl", "--timeout=2", "version")
        except HostError:
            return False
        return True

    def require(self) -> None:
        """HostError, with how to start it, if Open vSwitch does not run."""
        if not shutil.which("ovs-vsctl"):
            raise HostError("Open vSwitch is not installed: 'apt-get install openvswitch-switch' as root, then 'lego up'")
        if not self.is_running():
            raise HostError(f"Open vSwitch does not run: {START}")

    def start(self) -> bool:
        """Start it if it does not run; returns whether it had to be started."""
        if self.is_running():
            return False
        if not CONTROL.exists():
            raise HostError(f"Open vSwitch is not installed ({CONTROL} is missing): 'apt-get install openvswitch-switch' as root")
        self._tool(str(CONTROL), "start", "--system-id=random", timeout_s=60)
        self.require()
        return True

    def problem(self) -> str | None:
        """One sentence on what of it does not run, or None. It is asked only where its process ids say so: they may be of a container."""
        dead = [daemon for daemon in DAEMONS if not _is_alive(daemon)]
        if not dead or self.is_running():
            return None
        lost = "nothing is forwarded on its bridges" if DAEMONS[0] in dead else "no port can be made or removed"
        return f"Open vSwitch does not run on this host ({' and '.join(dead)} ended), so {lost}"

    def silence(self) -> str | None:
        """One sentence if the switch process lives and does not answer within `SILENT_S`. It hangs, or was stopped."""
        if not _is_alive(DAEMONS[0]):
            return None
        try:
            unixctl.ask("version", timeout_s=SILENT_S)
        except HostError:
            return f"Open vSwitch hangs ({DAEMONS[0]} lives and does not answer within {SILENT_S:g} s), so rules and ports stay as they are"
        return None

    def kill(self) -> None:
        """End a switch process that hangs, at once; `start` starts it again."""
        with contextlib.suppress(HostError):
            process = Process.of(unixctl.pid(DAEMONS[0]))
            if process is not None and process.send(signal.SIGKILL):
                process.wait(time.monotonic() + self.timeout_s)

    def stop(self) -> None:
        """Stop it, unless it serves somebody: a bridge that is not this run's."""
        if not any(map(_is_alive, DAEMONS)):
            return
        self.start()  # one of its two processes may have died
        if not set(self._vsctl("list-br").split()) - set(self.marked("Bridge")):
            self._tool(str(CONTROL), "stop", timeout_s=60)

    def datapath_type(self) -> str:
        """`system` where the kernel has the openvswitch module, else `netdev`."""
        try:
            self._tool("ovs-dpctl", "dump-dps")
        except HostError:
            return "netdev"
        return "system"

    def bridge_exists(self, name: str) -> bool:
        return name in self._vsctl("list-br").split()

    def add_bridge(self, bridge: Bridge) -> None:
        """A new bridge: OpenFlow 1.3 and 1.4, fail_mode=secure (its rules stay when the controller is gone), a fixed datapath id."""
        self._require_one_tag()  # before there is a bridge to remove again
        kind = self.datapath_type() if bridge.datapath == "auto" else bridge.datapath
        self._vsctl("add-br", bridge.name, "--", "set", "Bridge", bridge.name, f"datapath_type={kind}", f"external_ids:{MARK}={self.run}")
        self.adjust_bridge(bridge, bridge.dpid)

    def adjust_bridge(self, bridge: Bridge, dpid: int) -> None:
        """Give an existing bridge what LEGO needs. HostError if another controller has it, or the switch looks into two tags."""
        self._require_one_tag()
        there = self._vsctl("get-controller", bridge.name).split()
        if there not in ([], [bridge.controller]):
            raise HostError(
                f"the bridge {bridge.name} has another controller ({' '.join(there)}): "
                f"take it off (ovs-vsctl del-controller {bridge.name}) or set switch.bridge to another bridge"
            )
        settings = ["protocols=OpenFlow13,OpenFlow14", "fail_mode=secure", f"other-config:datapath-id={dpid:016x}"]
        settings += ["other-config:disable-in-band=true"]  # else hidden rules take packets of the bridge's own interface before LEGO's
        backoff = ["--", "set", "Controller", bridge.name, f"max_backoff={BACKOFF_MS}"]
        self._vsctl("set", "Bridge", bridge.name, *settings, "--", "set-controller", bridge.name, bridge.controller, *backoff)

    def _require_one_tag(self) -> None:
        """A frame that has as many tags as the switch can hold would lose one when it gets the switch's own."""
        problem = self.tag_problem()
        if problem is not None:
            raise HostError(f"{problem}, then start again")

    def tag_problem(self) -> str | None:
        """One sentence if the switch looks into another number of tags than the bricks do. HostError if it does not answer."""
        limit = self._vsctl("--if-exists", "get", "Open_vSwitch", ".", "other_config:vlan-limit").strip('"')
        if limit in ("", "1"):
            return None
        return (
            f"Open vSwitch looks into more or fewer than one VLAN tag (other_config:vlan-limit={limit}): frames with two would lose one, "
            "and scores may differ; 'ovs-vsctl remove Open_vSwitch . other_config vlan-limit'"
        )

    def require_no_flows(self, name: str) -> None:
        """HostError if a bridge has flows of its owner's: Open vSwitch deletes all of them when it gets a controller."""
        flows = [flow for flow in self.flows(name) if not _is_default(flow)]
        if flows:
            more = f" and {len(flows) - NAMED} more" if len(flows) > NAMED else ""
            raise HostError(
                f"the bridge {name} has flows of its own ({'; '.join(flows[:NAMED])}{more}), which would not be in force while LEGO steers "
                f"it: delete them (ovs-ofctl del-flows {name}), or set switch.bridge to another bridge"
            )

    def flows(self, name: str) -> list[str]:
        """Flows of a bridge that are not LEGO's, as `ovs-ofctl add-flow` takes them."""
        shown = self._tool("ovs-ofctl", f"--timeout={self.timeout_s}", EVERY_VERSION, "--no-stats", "dump-flows", name)
        flows = [line.strip().replace("reset_counts ", "") for line in shown.splitlines() if "actions=" in line]
        return [flow for flow in flows if not re.match(rf"cookie={COOKIE_MAGIC:#x}[0-9a-f]{{12}},", flow)]

    def identity(self, name: str) -> str:
        """Another one for each bridge that is made, also under an old name; empty if there is none of this name."""
        return self._vsctl("--if-exists", "get", "Bridge", name, "_uuid")

    def settings(self, name: str) -> dict[str, str]:
        """What `adjust_bridge` changes, as it is now, for `restore_bridge`."""
        return {
            "flows": "\n".join(self.flows(name)),
            "disable-in-band": self._vsctl("--if-exists", "get", "Bridge", name, "other-config:disable-in-band").strip('"'),
            "backoff": self._backoff(name),
            "protocols": self._vsctl("get", "Bridge", name, "protocols"),
            "fail_mode": self._vsctl("get", "Bridge", name, "fail_mode"),
            "datapath-id": self._vsctl("--if-exists", "get", "Bridge", name, "other-config:datapath-id").strip('"'),
            "controller": " ".join(self._vsctl("get-controller", name).split()),
        }

    def restore_bridge(self, name: str, settings: dict[str, str]) -> None:
        """Undo `adjust_bridge`; nothing happens if the bridge is gone."""
        if not self.bridge_exists(name):
            return
        dpid, in_band = settings["datapath-id"], settings.get("disable-in-band")
        flows = dict.fromkeys([*settings.get("flows", "").splitlines(), *self.flows(name)])
        steps = [
            ["clear", "Bridge", name, "protocols"] if settings["protocols"] == "[]" else _set(name, "protocols", settings["protocols"]),
            ["clear", "Bridge", name, "fail_mode"] if settings["fail_mode"] == "[]" else _set(name, "fail_mode", settings["fail_mode"]),
            _set(name, "other-config:datapath-id", dpid) if dpid else ["remove", "Bridge", name, "other-config", "datapath-id"],
            _set(name, "other-config:disable-in-band", in_band)
            if in_band
            else ["remove", "Bridge", name, "other-config", "disable-in-band"],
            ["set-controller", name, *settings["controller"].split()] if settings["controller"] else ["del-controller", name],
        ]
        if settings["controller"] and settings.get("backoff", "[]") != "[]":
            steps += [["set", "Controller", name, f"max_backoff={settings['backoff']}"]]
        self._vsctl(*[word for step in steps for word in ("--", *step)][1:])
        if flows:  # Open vSwitch deletes all of them when the last controller goes
            self._tool("ovs-ofctl", f"--timeout={self.timeout_s}", EVERY_VERSION, "add-flows", name, "-", given="\n".join(flows))

    def dpid(self, name: str) -> int:
        """The bridge's datapath id; waits for the switch process to have made the bridge."""
        return int(self._wanted("Bridge", name, "datapath_id").strip('"'), 16)

    def datapath(self, name: str) -> str:
        """The datapath type of a bridge: netdev or system."""
        return self._vsctl("get", "Bridge", name, "datapath_type").strip('"') or "system"

    def remove_bridge(self, name: str) -> None:
        """Remove a bridge of this run; one that is gone, or not of this run, is left alone."""
        if self._is_mine("Bridge", name):
            self._vsctl("--if-exists", "del-br", name)

    def add_port(self, bridge: str, port: str, instance: bool = True) -> int:
        """Put an interface on the bridge, as an instance's (NORMAL forwarding puts nothing into it) or as one of the traffic's own.

        Returns its OpenFlow number.

        HostError if the switch cannot open it.
        """
        if self.is_stale(port):
            self._vsctl("--if-exists", "del-port", bridge, port)
        self._vsctl("add-port", bridge, port, *([NO_FLOOD] if instance else []), f"external_ids:{MARK}={self.run}")
        number = int(self._wanted("Interface", port, "ofport"))
        if number < 0:
            reason = self._vsctl("get", "Interface", port, "error").strip('"')
            self.remove_port(port)
            raise HostError(f"Open vSwitch cannot use {port} on bridge {bridge}: {reason}")
        return number

    def remove_port(self, port: str) -> None:
        """Remove a port of this run; one that is gone, or not of this run, is left alone."""
        if self._is_mine("Port", port):
            self._vsctl("--if-exists", "del-port", port)

    def marked(self, table: str) -> list[str]:
        """Names of this run's rows in table Bridge or Port."""
        found = json.loads(self._vsctl("--format=json", "--columns=name", "find", table, f"external_ids:{MARK}={self.run}"))
        return sorted(row[0] for row in found["data"])

    def replace_flows(self, bridge: str, flows: Path) -> None:
        """Give a bridge that no controller steers the flows of a file, as ovs-ofctl reads them, instead of all that it has."""
        self._tool("ovs-ofctl", f"--timeout={self.timeout_s}", "--protocols=OpenFlow13", "replace-flows", bridge, str(flows))

    def ofport(self, port: str) -> int:
        """The OpenFlow number of a port."""
        return int(self._wanted("Interface", port, "ofport"))

    def flush_cache(self) -> float:
        """Wait until no cached flow of the datapath predates the rules as they are now; milliseconds it took.

        A host with bridges on both datapath types cannot wait; there the cache is emptied, and every flow is looked up anew.
        """
        began = time.monotonic()
        try:
            unixctl.ask("revalidator/wait", timeout_s=self.timeout_s)
        except unixctl.UnixctlRefused as error:
            if "multiple udpifs" not in str(error):
                raise
            unixctl.ask("revalidator/purge", timeout_s=self.timeout_s)
        return (time.monotonic() - began) * 1e3

    def _backoff(self, name: str) -> str:
        """Of a bridge's controller, or []."""
        return self._vsctl("get", "Controller", name, "max_backoff") if self._vsctl("get-controller", name).split() else "[]"

    def _is_mine(self, table: str, name: str) -> bool:
        return name in self.marked(table)

    def is_stale(self, port: str) -> bool:
        """Whether a LEGO run that is gone (a reboot came between) left this port in the database, its interface missing."""
        found = json.loads(self._vsctl("--format=json", "--columns=external_ids", "find", "Port", f"name={port}"))
        marked = any(MARK in dict(row[0][1]) for row in found["data"])
        return marked and self._vsctl("get", "Interface", port, "ofport") == "-1"

    def _wanted(self, table: str, name: str, column: str) -> str:
        """A column that the switch process fills in, once it has."""
        try:
            return self._vsctl("wait-until", table, name, f"{column}!=[]", "--", "get", table, name, column)
        except HostError as error:
            raise HostError(
                f"ovs-vswitchd gave {name} no {column} within {self.timeout_s} s: see /var/log/openvswitch ({error})"
            ) from error

    def _vsctl(self, *words: str) -> str:
        return self._tool("ovs-vsctl", f"--timeout={self.timeout_s}", *words).strip()

    def _tool(self, *command: str, timeout_s: int | None = None, given: str = "") -> str:
        patience_s = (timeout_s or self.timeout_s) + 5
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=patience_s, check=False)
        except FileNotFoundError:
            raise HostError(f"{command[0]} is not installed: 'apt-get install openvswitch-switch' as root") from None
        except subprocess.TimeoutExpired:
            raise HostError(f"{Path(command[0]).name} did not answer: Open vSwitch hangs or is stopped; {START}") from None
        if done.returncode:
            raise HostError(_sentence(command[0], done.stderr))
        return done.stdout


def _is_default(flow: str) -> bool:
    """The flow that Open vSwitch gives a new bridge."""
    return flow.replace("cookie=0x0, ", "").replace("table=0, ", "").split() in (
        ["priority=0", "actions=NORMAL"],
        ["priority=0,actions=NORMAL"],
    )


def _set(name: str, column: str, value: str) -> list[str]:
    return ["set", "Bridge", name, f"{column}={value}"]


def _sentence(tool: str, stderr: str) -> str:
    """The first line with a reason, and what to do where that is known."""
    lines = [line for line in stderr.splitlines() if line.strip() and "|INFO|" not in line]
    reason = lines[0].removeprefix(f"{tool}: ") if lines else "it failed without a word"
    if "database connection failed" in stderr or "cannot connect" in stderr:
        return f"Open vSwitch does not run ({reason}): {START}"
    if "Permission denied" in stderr:
        return f"{tool} may not talk to Open vSwitch ({reason}): run as root"
    return f"{Path(tool).name}: {reason}"
