"""What the readers of all capture formats have in common."""

from __future__ import annotations

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.kernels.parse.capture_walk import DAMAGED, Index, parse_index
from bricks.kernels.parse.ethernet import LINKS
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.loss import LossWarning

# the first four bytes of pcap (both byte orders, micro- and nanoseconds) and of pcapng
BEGINNINGS = frozenset(bytes.fromhex(digits) for digits in ("d4c3b2a1", "a1b2c3d4", "4d3cb2a1", "a1b23c4d", "0a0d0d0a"))
READABLE = "only Ethernet (1), Linux cooked (113, 276), raw IP (12, 14, 101, 228, 229) and loopback (0, 108) can"
_HEAD_BYTES = 16
_ROWS = 4096  # frames found before they are parsed: their bytes are then still in the cache


class Reader:
    """Packet records out of one capture, in file order.

    packets    how many so far
    truncated  a sentence, once the end is reached, if the file is cut or damaged there; None if it is whole
    warnings   that sentence, and what else the user should know of what was read so far
    """

    unit = "packet"  # what is left out if it cannot be read

    def __init__(self, source: ByteWindow) -> None:
        self.source, self.packets = source, 0
        self.truncated: str | None = None
        self._left_out, self._first_left_out = 0, ""

    @property
    def warnings(self) -> list[str]:
        found: list[str] = [self.truncated] if self.truncated else []
        if self._left_out:
            many = self._left_out > 1
            count = f"{self._left_out:,} {self.unit}{'s' * many} cannot be read and {'are' if many else 'is'} left out"
            found.append(LossWarning(f"capture {self.source.path}: {count}{', the first' * many}: {self._first_left_out}"))
        return found

    def read(self, out: np.ndarray, row: int) -> int:
        """Write records to out[row:] (PACKET); returns how many, 0 at the end."""
        raise NotImplementedError

    def stop(self, reason: str) -> None:
        """The file cannot be read on: say where and why."""
        reason = self.source.trouble or reason
        where = f"packet {self.packets + 1}, at {self.source.where()}"
        self.truncated = LossWarning(f"capture {self.source.path} ends early, before {where}: {reason}; {self.packets} packets were read")

    def leave_out(self, place: str, reason: str) -> None:
        """Count a line or block that cannot be read where the next one can; `place` names it, besides the byte where it begins."""
        self._left_out += 1
        if self._left_out == 1:
            self._first_left_out = f"{place}, at {self.source.where()}: {reason}"


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
            self.stop(self._damage())
        elif not self.source.fill():
            if len(self.source) or self.source.trouble:
                self.stop("the file stops within it")
            return False
        return True

    def _damage(self) -> str:
        """Why the file cannot be read on from here."""
        head = self.source.peek(_HEAD_BYTES)
        if not any(head):
            return "there are zeros instead"
        if head[:4] in BEGINNINGS:
            return "another capture begins there, of another format; give the two as two files"
        return "the length given there cannot be"


def check_link(path: str, link: int) -> None:
    """Raise unless frames of this link type can be parsed."""
    if link not in LINKS:
        raise CaptureError(f"capture {path} has link type {link}, which cannot be read ({READABLE}): capture on an Ethernet interface")
