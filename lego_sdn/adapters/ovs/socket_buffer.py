"""Room for packets before a port of the userspace switch.

It reads each port from a packet socket whose buffer, by default, holds some 250 small packets: a busy machine that lets the switch wait for
a fifth of a second at 1,500 packets/s loses packets that no rule ever saw. Nobody but the switch has that socket, and it has no option for
its size; so a copy of its descriptor is taken (pidfd_getfd, Linux 5.6) and the size set there.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from lego_sdn.adapters.ovs import unixctl

ROOM_BYTES = 32 << 20  # some 40,000 small packets
_GETFD, _FORCED_SIZE = 438, 33  # pidfd_getfd; SO_RCVBUFFORCE: beyond net.core.rmem_max


def give_room(port: str, size: int = ROOM_BYTES) -> int:
    """Let so many bytes of packets wait before this port; the sockets that were found.

    0 where the kernel itself switches, which reads no socket. OSError where this process may not, HostError if no switch runs.
    """
    pid, found = unixctl.pid(), 0
    numbers = {row.split()[8] for row in Path(f"/proc/{pid}/net/packet").read_text().splitlines()[1:] if _is_of(row, port)}
    held = os.pidfd_open(pid)
    try:
        for number in _descriptors(pid, {f"socket:[{inode}]" for inode in numbers}):
            with socket.socket(fileno=_copied(held, number)) as reader:
                reader.setsockopt(socket.SOL_SOCKET, _FORCED_SIZE, size)
            found += 1
    finally:
        os.close(held)
    return found


def _is_of(row: str, port: str) -> bool:
    """Whether a line of /proc/net/packet tells of this interface."""
    return int(row.split()[4]) == socket.if_nametoindex(port)


def _descriptors(pid: int, wanted: set[str]) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(path) in wanted:
                yield int(path.name)
        except FileNotFoundError:  # closed meanwhile
            continue


def _copied(held: int, number: int) -> int:
    """A descriptor of ours for one of that process."""
    copy = ctypes.CDLL(None, use_errno=True).syscall(_GETFD, held, number, 0)
    if copy < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return copy
