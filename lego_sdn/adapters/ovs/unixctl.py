"""Asks ovs-vswitchd over its control socket, as ovs-appctl does, without a process for every question."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from lego_sdn.core.facts.errors import HostError

RUNDIR = "/var/run/openvswitch"
DAEMON = "ovs-vswitchd"


class UnixctlRefused(HostError):
    """The daemon answered that it will not; the text is its own."""


def ask(command: str, *parameters: str, timeout_s: float = 10.0) -> str:
    """What ovs-vswitchd answers (JSON-RPC). HostError if it does not run or does not answer in time, `UnixctlRefused` if it will not."""
    request = {"id": 0, "method": command, "params": list(parameters)}
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.settimeout(timeout_s)
            opened.connect(str(_socket()))
            opened.sendall(json.dumps(request).encode())
            answer = _answer(opened)
    except (OSError, ValueError) as error:
        raise HostError(f"{DAEMON} does not answer {command} ({error}): is Open vSwitch running, and is this root?") from error
    if answer.get("error") is not None:
        raise UnixctlRefused(f"{DAEMON} refuses {command}: {str(answer['error']).strip()}")
    return str(answer["result"])


def pid(daemon: str = DAEMON) -> int:
    """Of the ovs-vswitchd that would be asked, or of its database server. HostError if there is none."""
    try:
        return int((_folder() / f"{daemon}.pid").read_text())
    except (OSError, ValueError) as error:
        raise HostError(f"{daemon} has no process id ({error}): is Open vSwitch running, and is this root?") from error


def _folder() -> Path:
    return Path(os.environ.get("OVS_RUNDIR") or RUNDIR)


def _socket() -> Path:
    return _folder() / f"{DAEMON}.{pid()}.ctl"


def _answer(opened: socket.socket) -> dict[str, object]:
    """The one JSON object that comes; ValueError if the connection ends before it does."""
    data = b""
    while True:
        part = opened.recv(1 << 16)
        if not part:
            raise ValueError("it hung up")
        data += part
        try:
            return json.loads(data)
        except ValueError:
            continue
