"""What the readers of all capture formats have in common."""

from __future__ import annotations

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.kernels.parse.capture_walk import DAMAGED, Index, parse_index
from bricks.kernels.parse.ethernet import LINKS
from lego_sdn.core.facts.errors import CaptureError

_ROWS = 4096  # frames found before they are parsed: their bytes are then still in the cache


class Reader:
    """Packet records out of one capture, in file order.

    packets    how many so far
    truncated  a sentence, once the end is reached, if the file is cut or damaged there; None if it is whole
    """

    def __init__(self, source: ByteWindow) -> None:
        self.source, self.packets, self.truncated = source, 0, None

    def read(self, out: np.ndarray, row: int) -> int:
        """Write records to out[row:] (PACKET); returns how many, 0 at the end."""
        raise NotImplementedError

    def stop(self, reason: str) -> None:
        """The file cannot be read on: say where and why."""
        reason = self.source.trouble or reason
        where = f"packet {self.packets + 1}, at {self.source.where()}"
        self.truncated = f"capture {self.source.path} ends early, before {where}: {reason}; {self.packets} packets were read"


class FrameReader(Reader):
    """A reader of a format that holds frames: a subclass finds them, here they become records."""

    def __init__(self, source: ByteWindow) -> None:
        super().__init__(source)
        self.index = Index.empty(_ROWS)

    def read(self, out: np.ndarray, row: int) -> int:
        first = self.packets
        count = self.frames(len(out) - row)
        parse_index(self.source.buffer, self.index, count, first, out, row)
        return count

    def frames(self, limit: int) -> int:
        """Find up to `limit` frames, into `index`, as places in the source's buffer until the next call; 0 at the end."""
        while self.truncated is None:
            at, rows, why = self.walk(min(limit, _ROWS))
            self.source.use(at)
            self.packets += rows
            if rows:
                return rows
            if not self.proceed(why):
                break
        return 0

    def walk(self, limit: int) -> tuple[int, int, int]:
        """Run the format's kernel: (where it stopped, frames found, why)."""
        raise NotImplementedError

    def proceed(self, why: int) -> bool:
        """After a walk that found nothing: read on; False at the end of the file."""
        if why == DAMAGED:
            self.stop("the length given there cannot be")
        elif not self.source.fill():
            if len(self.source) or self.source.trouble:
                self.stop("the file stops within it")
            return False
        return True


def check_link(path: str, link: int) -> None:
    """Raise unless frames of this link type can be parsed."""
    if link not in LINKS:
        raise CaptureError(
            f"capture {path} has link type {link}, and only Ethernet (1), Linux cooked (113, 276), raw IP (12, 14, 101, 228, 229) "
            "and loopback (0, 108) can be read: capture on an Ethernet interface"
        )
