"""The tab-separated form that Kitsune users exchange: tshark fields, one packet a line, columns named by the first line."""

from __future__ import annotations

import re

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.files.reader import Reader
from bricks.kernels.parse import tsv
from bricks.kernels.parse.tsv import parse_lines
from lego_sdn.core.facts.errors import CaptureError

_LINE_BYTES_MAX = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN = 40  # characters of a value
_WRITE = "write it with tshark -T fields -E header=y -E separator=/t -e ..."
_COLUMNS = {
    "frame.time_epoch": tsv.TIME,
    "frame.len": tsv.LENGTH,
    "eth.src": tsv.MAC,
    "eth.dst": tsv.MAC + 1,
    "ip.src": tsv.IPV4,
    "ip.dst": tsv.IPV4 + 1,
    "tcp.srcport": tsv.TCP,
    "tcp.dstport": tsv.TCP + 1,
    "udp.srcport": tsv.UDP,
    "udp.dstport": tsv.UDP + 1,
    "arp.src.proto_ipv4": tsv.ARP_ADDRESS,
    "arp.dst.proto_ipv4": tsv.ARP_ADDRESS + 1,
    "ipv6.src": tsv.IPV6,
    "ipv6.dst": tsv.IPV6 + 1,
    "icmp.type": tsv.ICMP_TYPE,
    "arp.opcode": tsv.ARP_OPCODE,
    "icmp.code": tsv.ICMP_CODE,
}
_NEEDED = sorted(_COLUMNS.keys() - {"icmp.code"})


class TsvReader(Reader):
    """Reads the line of names, then lines in a kernel.

    A text has no frames: the flags VLAN, FRAGMENT and MALFORMED stay unset.
    """

    unit = "line"

    def __init__(self, source: ByteWindow) -> None:
        super().__init__(source)
        head = _first_line(source)
        text = head.removeprefix(_BYTE_ORDER_MARK).decode("ascii", "replace").rstrip("\r\n")
        quote = text[:1] if text[:1] in ('"', "'") else ""
        self._titles = [name.strip(quote) if quote else name for name in text.split("\t")]
        _require_columns(source.path, self._titles, text)
        self._form = np.array([_COLUMNS.get(name, -1) for name in self._titles], np.int64), ord(quote) if quote else 0
        self._names = {field: name for name, field in _COLUMNS.items()}
        self._line = 2  # the number of the line at the start of the window
        source.skip(len(head))

    @staticmethod
    def fits(source: ByteWindow) -> bool:
        """Whether the first line names the time column, however its columns are parted."""
        return b"frame.time_epoch" in _first_line(source)

    def read(self, out: np.ndarray, row: int) -> int:
        source = self.source
        while self.truncated is None:
            at, count, lines, bad = parse_lines(source.buffer, source.start, source.stop, self._form, out, row)
            source.use(at)
            self._line += lines
            out["seq"][row : row + count] = np.arange(self.packets, self.packets + count, dtype=np.uint64)
            self.packets += count
            if bad >= 0:
                self._leave_out_line(bad)
            if count:
                return count
            if bad < 0 and not self._proceed():
                break
        return 0

    def _leave_out_line(self, bad: int) -> None:
        """Count the line at the start of the window, and pass over it. `bad`: as `parse_lines` tells it."""
        source = self.source
        line = source.peek(_LINE_BYTES_MAX).partition(b"\n")[0]
        if not self._left_out:
            place = f"line {self._line} (packet {self.packets + 1})"
            self.leave_out(place, f"{self._reason(bad, line)} in the line {_shown(line)}")
        else:
            self._left_out += 1
        source.use(min(source.start + _end_of_line(source), source.stop))
        self._line += 1

    def _reason(self, bad: int, line: bytes) -> str:
        """What is wrong with a line."""
        values = line.rstrip(b"\r").split(b"\t")
        if bad in (tsv.SHORT, tsv.LONG):
            return f"there are {len(values)} values for {len(self._titles)} columns"
        name = self._names[bad]
        at = self._titles.index(name)
        value = values[at].decode("ascii", "replace") if at < len(values) else ""
        return f"its {name} cannot be read{_hint(name, value)}"

    def _proceed(self) -> bool:
        """Read on; at the end, a last line without a newline counts if it has all its columns."""
        source = self.source
        if len(source) >= _LINE_BYTES_MAX:
            self.stop(f"a line of more than {_LINE_BYTES_MAX} bytes begins there")
            return True
        if source.fill():
            return True
        if source.peek(1) and not source.trouble and source.peek(len(source)).count(b"\t") == len(self._titles) - 1:
            source.end_line()
            return True
        if len(source) or source.trouble:
            self.stop("the file stops within its line")
        return False


def _require_columns(path: str, titles: list[str], text: str) -> None:
    """CaptureError unless the first line names each column that is needed, once, with tabs between."""
    if "\r" in text:
        raise CaptureError(f"capture {path} has lines that end with a carriage return alone: end them with a newline")
    if "frame.time_epoch" not in titles:
        raise CaptureError(f"capture {path} has no tabs between its columns, or quotes around some only: {_WRITE}")
    missing = [name for name in _NEEDED if name not in titles]
    if missing:
        raise CaptureError(f"capture {path} lacks the columns {', '.join(missing)}: {_WRITE}")
    twice = [name for name in _COLUMNS if titles.count(name) > 1]
    if twice:
        raise CaptureError(f"capture {path} has the columns {', '.join(twice)} more than once: {_WRITE}")


def _first_line(source: ByteWindow) -> bytes:
    while b"\n" not in (head := source.peek(_LINE_BYTES_MAX)) and len(head) < _LINE_BYTES_MAX:
        if not source.fill():
            break
    return head.partition(b"\n")[0] + b"\n" * (b"\n" in head)


def _end_of_line(source: ByteWindow) -> int:
    """Bytes of the line at the start of the window, with its newline."""
    at = source.start
    while True:
        piece = source.buffer[at : min(at + 512, source.stop)]
        found = np.flatnonzero(piece == ord("\n"))
        if len(found):
            return at + int(found[0]) + 1 - source.start
        at += len(piece)


def _shown(line: bytes) -> str:
    text = line.decode("ascii", "replace")
    return repr(text if len(text) < 160 else text[:160] + "...")


def _hint(name: str, value: str) -> str:
    """What is written where a number was wanted."""
    if value[:1] in ('"', "'") and value:
        return ": it is in quotes, and the first line is not"
    plain = value.lstrip("+-")
    if re.fullmatch(r"\d+,\d+", plain):
        return ": it has a decimal comma; write it with a point"
    if re.fullmatch(r"\d+(\.\d+)?[eE][+-]?\d+", plain):
        return ": it is written with an exponent; write all its digits"
    if re.fullmatch(r"\d+\.\d*", plain) and name != "frame.time_epoch":
        return ": it is written as a fraction; write a whole number"
    if re.match(r"\d{4}-\d\d-\d\d", value) or re.match(r"[A-Z][a-z]{2} +\d", value):
        return ": it is a date; write seconds since 1970"
    return f": {value[:_SHOWN]!r}" if value else ": it is empty"
