"""The tab-separated form that Kitsune users exchange: tshark fields, one packet a line, columns named by the first line."""

from __future__ import annotations

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.files.reader import Reader
from bricks.kernels.parse import tsv
from bricks.kernels.parse.tsv import parse_lines
from lego_sdn.core.facts.errors import CaptureError

_LINE_BYTES_MAX = 1 << 16
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
}
_NEEDED = sorted(_COLUMNS)


class TsvReader(Reader):
    """Reads the line of names, then lines in a kernel.

    A text has no frames: the flags VLAN, FRAGMENT and MALFORMED stay unset.
    """

    def __init__(self, source: ByteWindow) -> None:
        super().__init__(source)
        names = _first_line(source).decode("ascii", "replace").rstrip("\r\n").split("\t")
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            raise CaptureError(
                f"capture {source.path} lacks the columns {', '.join(missing)}: write it with tshark -T fields -E header=y -e ..."
            )
        self._columns = np.array([_COLUMNS.get(name, -1) for name in names], np.int64)
        self._names = {field: name for name, field in _COLUMNS.items()}
        source.skip(len(_first_line(source)))

    @staticmethod
    def fits(source: ByteWindow) -> bool:
        """Whether the first line names the time column."""
        return b"frame.time_epoch" in _first_line(source).rstrip(b"\r\n").split(b"\t")

    def read(self, out: np.ndarray, row: int) -> int:
        source = self.source
        while self.truncated is None:
            at, count, bad = parse_lines(source.buffer, source.start, source.stop, self._columns, out, row)
            source.use(at)
            out["seq"][row : row + count] = np.arange(self.packets, self.packets + count, dtype=np.uint64)
            self.packets += count
            if bad >= 0:
                self.stop(f"its {self._names[bad]} cannot be read in the line {_shown(source)}")
            if count:
                return count
            if bad < 0 and not self._proceed():
                break
        return 0

    def _proceed(self) -> bool:
        """Read on; at the end, a last line without a newline counts if it has all its columns."""
        source = self.source
        if len(source) >= _LINE_BYTES_MAX:
            self.stop(f"a line of more than {_LINE_BYTES_MAX} bytes begins there")
            return True
        if source.fill():
            return True
        if source.peek(1) and not source.trouble and source.peek(len(source)).count(b"\t") == len(self._columns) - 1:
            source.end_line()
            return True
        if len(source) or source.trouble:
            self.stop("the file stops within its line")
        return False


def _first_line(source: ByteWindow) -> bytes:
    while b"\n" not in (head := source.peek(_LINE_BYTES_MAX)) and len(head) < _LINE_BYTES_MAX:
        if not source.fill():
            break
    return head.partition(b"\n")[0] + b"\n" * (b"\n" in head)


def _shown(source: ByteWindow) -> str:
    line = source.peek(200).partition(b"\n")[0].decode("ascii", "replace")
    return repr(line if len(line) < 160 else line[:160] + "...")
