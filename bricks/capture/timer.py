"""A clock that wakes a poll: a descriptor readable from a given time on (timerfd)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

from lego_sdn.core.facts.errors import BrickError

_MONOTONIC, _ABSOLUTE = 1, 1
_NEVER = struct.pack("4q", 0, 0, 0, 0)


class Alarm:
    """Readable once the time set is reached, until it is set again. A context manager."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise BrickError(f"no timer to be had: {os.strerror(ctypes.get_errno())}")
        self._due: int | None = None

    def fileno(self) -> int:
        return self._fd

    def set(self, due_ns: int | None) -> None:
        """Ring at `due_ns` of the monotonic clock, at once if that has passed; None: never."""
        if due_ns == self._due:
            return
        self._due = due_ns
        at = _NEVER if due_ns is None else struct.pack("4q", 0, 0, *divmod(max(due_ns, 1), 10**9))
        if self._libc.timerfd_settime(self._fd, _ABSOLUTE, at, None):
            raise BrickError(f"the timer cannot be set: {os.strerror(ctypes.get_errno())}")

    def close(self) -> None:
        """Again: nothing happens."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Alarm:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
