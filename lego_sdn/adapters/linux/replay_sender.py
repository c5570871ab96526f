"""Raw frames into an interface at a given rate: AF_PACKET with sendmmsg, whole batches of frames per system call, none copied here."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import astuple, dataclass, replace
from typing import Any, Protocol

import numpy as np

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.linux.pace import FASTEST, Pace, Pacer
from lego_sdn.core.facts.errors import HostError

# linux/if_packet.h
_SOL_PACKET = 263
_QDISC_BYPASS = 20

STAMP = np.dtype([("magic", ">u4"), ("seq", ">u8"), ("time_ns", ">u8")])  # the trailer, as of bricks/records/packets.py
STAMP_MAGIC = 0x4C45474F

# struct iovec and struct mmsghdr of a 64-bit Linux
_PIECE = np.dtype([("base", "<u8"), ("bytes", "<u8")])
_MESSAGE = np.dtype(
    [
        ("name", "<u8"), ("name_bytes", "<u8"), ("pieces", "<u8"), ("piece_count", "<u8"),
        ("control", "<u8"), ("control_bytes", "<u8"), ("flags", "<i8"), ("sent", "<u8"),
    ]
)  # fmt: skip
_PIECES = 3  # the captured bytes, zeros up to the length on the wire, the stamp
_LONGEST = 1 << 18  # bytes of zeros at hand: no frame is longer

PREPARED = 4096  # frames made ready at a time
_ETHERNET_HEADER = 14
_RETRY_S = 1.0  # how long a full queue may take to empty


class FramesLike(Protocol):
    """Frames of one time line: frame i is buffer[offsets[i] : offsets[i] + captured[i]], of lengths[i] bytes in full, at times_ns[i]."""

    buffer: np.ndarray
    offsets: np.ndarray
    captured: np.ndarray
    lengths: np.ndarray
    times_ns: np.ndarray


@dataclass(frozen=True)
class Stamps:
    """A trailer on every frame: sequence numbers from `first` on; times of the capture's time line, or of this replay's clock."""

    first: int = 0
    clock: bool = False
    shift_ns: int = 0  # added to the capture's times: a later round of a loop


@dataclass(frozen=True)
class Sent:
    """What became of the frames.

    bytes                of the frames sent, padding and stamps included
    too_long, too_short  beyond the interface's MTU, less than an Ethernet header: not sent
    interface_drops      sent, but dropped by the interface or, on a veth, on the way into its peer
    """

    sent: int = 0
    bytes: int = 0
    too_long: int = 0
    too_short: int = 0
    interface_drops: int = 0
    seconds: float = 0.0

    def __add__(self, other: Sent) -> Sent:
        return Sent(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def rate(self) -> float:
        """Packets per second sent."""
        return self.sent / self.seconds if self.seconds > 0 else 0.0


class Sender:
    """Sends into `interface` of `namespace` (None: the current one). A context manager. HostError if there is none, or without root."""

    def __init__(self, interface: str, namespace: str | None = None) -> None:
        self.interface, self.namespace = interface, namespace
        self.stopped = False
        self._where = interface + (f" of namespace {namespace}" if namespace else "")
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        with netns.inside(namespace) if namespace else nullcontext():
            self._socket = self._open()
            # its content is that of the namespace in which it was opened
            self._interfaces = open("/proc/thread-self/net/dev")  # noqa: SIM115

    def _open(self) -> socket.socket:
        opened = None
        try:
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # no protocol: it receives nothing
            opened.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
            opened.bind((self.interface, 0))
        except OSError as error:
            if opened is not None:
                opened.close()
            raise HostError(f"cannot send into {self._where}: {_reason(error.errno or 0)}") from error
        except ValueError as error:  # a name with NUL, or one that cannot be encoded
            if opened is not None:
                opened.close()
            raise HostError(f"cannot send into {self._where!r}: such a name cannot be used") from error
        return opened

    def send(
        self, frames: FramesLike, pace: Pace = FASTEST, stamps: Stamps | None = None, progress: Callable[[int], None] | None = None
    ) -> Sent:
        """Send all frames, in order, or those before `stop`; `progress` is told the frames done after every portion.

        HostError if the interface goes.
        """
        run = _Run(self, frames, stamps)
        before = self.drops()
        for done in run.steps(pace):
            if progress is not None:
                progress(done)
        return replace(run.result(), interface_drops=self.drops() - before)

    def stop(self) -> None:
        """Send no further frame; what `send` returns is right. A signal handler or another thread may call it."""
        self.stopped = True

    def transmit(self, address: int, count: int) -> int:
        """Hand `count` messages (struct mmsghdr) at `address` to the kernel: how many it took, or minus the errno for the first."""
        taken = self._sendmmsg(self._socket.fileno(), address, count, 0)
        return -ctypes.get_errno() if taken < 0 else taken

    def drops(self) -> int:
        """Frames that the interface dropped when sending, since it was made."""
        self._interfaces.seek(0)
        for line in self._interfaces:
            name, _, numbers = line.partition(":")
            if name.strip() == self.interface:
                return int(numbers.split()[11])
        raise self.failed(errno.ENODEV)

    def failed(self, code: int) -> HostError:
        return HostError(f"cannot send into {self._where}: {_reason(code)}")

    def close(self) -> None:
        self._interfaces.close()
        self._socket.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sender into {self._where}>"


class _Run:
    """One pass over the frames: prepared some thousand at a time, handed over in the portions that the pace allows."""

    def __init__(self, sender: Sender, frames: FramesLike, stamps: Stamps | None) -> None:
        self.sender, self.frames, self.stamps = sender, frames, stamps
        self.sent = self.bytes = self.too_long = self.too_short = 0
        self.seconds = 0.0
        self._by_clock = stamps is not None and stamps.clock
        self._buffer = np.frombuffer(frames.buffer, np.uint8)
        self._zeros = np.zeros(_LONGEST, np.uint8)
        self._trailers = np.zeros(PREPARED, STAMP)
        self._trailers["magic"] = STAMP_MAGIC
        self._pieces = np.zeros((PREPARED, _PIECES), _PIECE)
        self._pieces["base"][:, 1] = self._zeros.ctypes.data
        self._pieces["base"][:, 2] = self._trailers.ctypes.data + np.arange(PREPARED) * STAMP.itemsize
        self._pieces["bytes"][:, 2] = STAMP.itemsize if stamps else 0
        self._messages = np.zeros(PREPARED, _MESSAGE)
        self._messages["pieces"] = self._pieces.ctypes.data + np.arange(PREPARED) * _PIECES * _PIECE.itemsize
        self._messages["piece_count"] = _PIECES if stamps else _PIECES - 1
        self._bytes = np.zeros(PREPARED, np.int64)  # of each frame prepared

    def steps(self, pace: Pace) -> Iterator[int]:
        """Send; yields the number of frames done after every portion."""
        times_ns = np.asarray(self.frames.times_ns, np.int64)
        pacer = Pacer(stopped=lambda: self.sender.stopped)
        for first in range(0, len(times_ns), PREPARED):
            some = slice(first, first + PREPARED)
            due = pace.schedule(times_ns[some], first, int(times_ns[0]))
            count = self._prepare(some)
            if self._by_clock and due is not None:
                self._trailers["time_ns"][:count] = pacer.wall_ns + due
            at = 0
            while at < count:
                stop = pacer.next_stop(due, at, count)
                if stop == at:
                    return
                if self._by_clock and due is None:
                    self._trailers["time_ns"][at:stop] = time.time_ns()
                self._transmit(at, stop)
                at = stop
                self.seconds = pacer.elapsed_s()
                yield first + at

    def result(self) -> Sent:
        return Sent(self.sent, self.bytes, self.too_long, self.too_short, 0, self.seconds)

    def _prepare(self, some: slice) -> int:
        """Point the messages to the frames of `some`; returns how many there are."""
        captured = np.asarray(self.frames.captured[some], np.int64)
        count = len(captured)
        padding = np.clip(np.asarray(self.frames.lengths[some], np.int64) - captured, 0, _LONGEST)
        pieces = self._pieces[:count]
        pieces["base"][:, 0] = self._buffer.ctypes.data + np.asarray(self.frames.offsets[some], np.int64)
        pieces["bytes"][:, 0], pieces["bytes"][:, 1] = captured, padding
        self._bytes[:count] = pieces["bytes"].sum(axis=1)
        if self.stamps is not None:
            trailers = self._trailers[:count]
            trailers["seq"] = np.arange(self.stamps.first + some.start, self.stamps.first + some.start + count)
            trailers["time_ns"] = np.asarray(self.frames.times_ns[some], np.int64) + self.stamps.shift_ns
        return count

    def _transmit(self, at: int, stop: int) -> None:
        """Hand over frames at to stop - 1 of those prepared; the kernel takes them in order and stops at the first it refuses."""
        deadline = None
        while at < stop:
            taken = self.sender.transmit(self._messages.ctypes.data + at * _MESSAGE.itemsize, stop - at)
            if taken > 0:
                self.sent += taken
                self.bytes += int(self._bytes[at : at + taken].sum())
                at, deadline = at + taken, None
            elif -taken == errno.EMSGSIZE:
                self.too_long += 1
                at += 1
            elif -taken == errno.EINVAL and self._bytes[at] < _ETHERNET_HEADER:
                self.too_short += 1
                at += 1
            elif -taken in (errno.ENOBUFS, errno.EAGAIN, errno.EINTR):
                deadline = deadline or time.monotonic() + _RETRY_S
                if time.monotonic() > deadline:
                    raise self.sender.failed(-taken)
            else:
                raise self.sender.failed(-taken)


def _reason(code: int) -> str:
    if code in (errno.EPERM, errno.EACCES):
        return "it needs root (CAP_NET_RAW); run the command as root"
    if code in (errno.ENODEV, errno.ENXIO):
        return "there is no interface of this name"
    if code == errno.ENETDOWN:
        return "the interface is down; set it up first"
    if code == errno.ENOBUFS:
        return f"the interface has taken no frame for {_RETRY_S:g} s; is its other end up?"
    return os.strerror(code)
