"""Where lines of events go: a file, a Unix socket, standard output. What cannot be written is counted, and never cut."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from lego_sdn.adapters.linux import owned
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.text import printable

RETRY_S = 0.5  # between two attempts to reach a socket
WAITING_BYTES = 8 << 20  # that wait for a socket, at most
_STDOUT = 1


class LineOutput(Protocol):
    """written, dropped: lines so far. Neither counts a line that waits."""

    written: int
    dropped: int

    def write(self, lines: Sequence[bytes]) -> None:
        """Take lines, each with its newline; one call of the operating system for all of them, if it takes them."""

    def tick(self) -> None:
        """Time has passed: write what waits, connect again."""

    def reopen(self) -> None:
        """The file was renamed: go on in a new one."""

    def close(self) -> None: ...


def open_output(place: str) -> LineOutput:
    """`-`: standard output; `unix:PATH`: a Unix socket that somebody listens on, stream or datagram; else a file that is appended to.

    HostError if a file cannot be written. A socket that is not there yet is tried again and again.
    """
    if place == "-":
        return StandardOutput()
    if place.startswith("unix:"):
        return SocketOutput(place.removeprefix("unix:"))
    return FileOutput(place)


class FileOutput:
    """Appends to a plain file of this user's own (`owned.append_to`). On a full disk whole lines are dropped; one that the disk took in
    part is ended before any other."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.written = self.dropped = 0
        self._file = owned.append_to(path)
        self._rest = b""  # of a line that is in the file in part

    def write(self, lines: Sequence[bytes]) -> None:
        self._rest = self._put(self._rest)
        if self._rest:
            self.dropped += len(lines)
            return
        data = b"".join(lines)
        taken = len(data) - len(self._put(data))
        begun = 0
        for line in lines:
            if taken <= 0:
                break
            begun += 1
            self._rest = line[taken:]
            taken -= len(line)
        self.written += begun
        self.dropped += len(lines) - begun

    def _put(self, data: bytes) -> bytes:
        """What the file did not take."""
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except OSError:
                break
        return data

    def tick(self) -> None:
        self._rest = self._put(self._rest)

    def reopen(self) -> None:
        """If that fails, the file of before goes on to be written, under the name that it has now."""
        self.tick()
        try:
            fresh = owned.append_to(self.path)
        except HostError:
            return
        os.close(self._file)
        self._file, self._rest = fresh, b""

    def close(self) -> None:
        os.close(self._file)


class StandardOutput:
    """Whoever reads it is waited for; HostError if nobody does any more."""

    def __init__(self) -> None:
        self.written = self.dropped = 0

    def write(self, lines: Sequence[bytes]) -> None:
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(_STDOUT, data) :]
        except OSError as error:
            raise HostError(f"events cannot be written to standard output: {error.strerror}") from None
        self.written += len(lines)

    def tick(self) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


class SocketOutput:
    """Sends to a Unix socket, never waits for its reader: lines wait here, at most WAITING_BYTES of them; then the oldest ones are kept and
    new ones dropped. A reader that went away is looked for each RETRY_S; a line that went out in part is sent again whole.

    What a reader had not read when it went away is lost with it: no one tells how much that was. `resets` counts how often it happened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.written = self.dropped = self.resets = 0
        self._lines: deque[bytes] = deque()
        self._waiting, self._sent = 0, 0  # bytes of all lines; bytes of the first one that are sent
        self._socket: socket.socket | None = None
        self._next_try = 0.0
        _require_socket_name(path)
        self.tick()

    @property
    def waiting_bytes(self) -> int:
        return self._waiting

    def write(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if self._waiting + len(line) > WAITING_BYTES:
                self.dropped += 1
                continue
            self._lines.append(line)
            self._waiting += len(line)
        self.tick()

    def tick(self) -> None:
        if self._socket is None and time.monotonic() >= self._next_try:
            self._connect()
        while self._socket is not None and self._lines and self._send():
            pass

    def _connect(self) -> None:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            door = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
            try:
                door.connect(self.path)
            except OSError as error:
                door.close()
                if error.errno == errno.EPROTOTYPE:
                    continue
                break
            self._socket, self._sent = door, 0
            return
        self._next_try = time.monotonic() + RETRY_S

    def _send(self) -> bool:
        """Send what the socket takes; False: no more for now."""
        assert self._socket is not None
        stream = self._socket.type == socket.SOCK_STREAM
        data = self._first_bytes() if stream else self._lines[0].rstrip(b"\n")
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self._take_out(written=False)
                return True
            self._lose(error)
            return False
        if not stream:
            self._take_out(written=True)
            return True
        self._sent += sent
        while self._lines and self._sent >= len(self._lines[0]):
            self._sent -= len(self._lines[0])
            self._take_out(written=True)
        return sent == len(data)

    def _first_bytes(self) -> bytes:
        """What is next, up to some 64 KiB."""
        pieces, size = [self._lines[0][self._sent :]], 0
        for at in range(1, len(self._lines)):
            size += len(pieces[-1])
            if size > 1 << 16:
                break
            pieces.append(self._lines[at])
        return b"".join(pieces)

    def _take_out(self, written: bool) -> None:
        self._waiting -= len(self._lines.popleft())
        self.written += written
        self.dropped += not written

    def _lose(self, error: OSError) -> None:
        assert self._socket is not None
        self._socket.close()
        self._socket, self._sent = None, 0
        self.resets += error.errno == errno.ECONNRESET
        self._next_try = time.monotonic() + RETRY_S

    def reopen(self) -> None: ...

    def close(self) -> None:
        """Give the reader a last chance; what still waits then is dropped."""
        end = time.monotonic() + 2 * RETRY_S
        while self._lines and time.monotonic() < end:
            self.tick()
            time.sleep(0.01)
        self.dropped += len(self._lines)
        self._lines.clear()
        if self._socket is not None:
            self._socket.close()


def _require_socket_name(path: str) -> None:
    """HostError if the path can be no socket's."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        raise HostError(f"unix:{printable(path)} cannot be a socket: {getattr(error, 'strerror', None) or error}") from None
    if not path or len(os.fsencode(path)) > 107:
        raise HostError(f"unix:{printable(path)} cannot be a socket: its path must have 1 to 107 bytes")
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        raise HostError(f"unix:{printable(path)} is no socket; to write a file, leave out 'unix:'")
