"""Eight bytes of memory that two processes share: one writes until when it may be busy, the other one reads it.

So a process that is silent because it works is told from one that hangs. A full disk hinders neither.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator

VARIABLE = "LEGO_BUSY"  # names the inherited descriptor
UNTIL = struct.Struct("d")  # monotonic seconds; 0: it is not busy


class BusyMark:
    """`file`: descriptor of the memory; None: nobody asks, and saying it does nothing."""

    def __init__(self, file: int | None) -> None:
        self.file = file

    @classmethod
    def made(cls) -> BusyMark:
        """For a process that is to be started with `file` inherited and `environment`."""
        mark = cls(os.memfd_create("lego-busy"))
        mark._say(0.0)
        return mark

    @classmethod
    def inherited(cls) -> BusyMark:
        """That of whoever started this process; what this process starts does not get it."""
        file = os.environ.pop(VARIABLE, "")
        if not file.isdecimal():
            return cls(None)
        os.set_inheritable(int(file), False)
        return cls(int(file))

    @property
    def environment(self) -> dict[str, str]:
        return {} if self.file is None else {VARIABLE: str(self.file)}

    @contextlib.contextmanager
    def lasting(self, seconds: float) -> Iterator[None]:
        """What is done inside may take so long, and nobody is answered meanwhile."""
        self._say(time.monotonic() + seconds)
        try:
            yield
        finally:
            self._say(0.0)

    def is_busy(self, now: float) -> bool:
        """Whether the other process has said that it may still be busy now (monotonic seconds)."""
        return self.file is not None and now < UNTIL.unpack(os.pread(self.file, UNTIL.size, 0))[0]

    def close(self) -> None:
        if self.file is not None:
            os.close(self.file)
        self.file = None

    def _say(self, until: float) -> None:
        if self.file is not None:
            os.pwrite(self.file, UNTIL.pack(until), 0)
