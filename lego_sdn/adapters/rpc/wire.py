"""What MessagePack-RPC messages and addresses are on the wire: packing, bounded unpacking, connecting, listening.

A request is [0, id, method, params], an answer [1, id, error, result]. An address is the path of a Unix socket, or "tcp:host:port".
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import time
from typing import Any

import msgpack

from lego_sdn.adapters.linux.owned import require_folder
from lego_sdn.core.facts.errors import HostError, RpcError
from lego_sdn.core.facts.text import whole_number

REQUEST, ANSWER = 0, 1
LIMIT = 256 * 1024 * 1024  # bytes of one message: the state of some hundred thousand streams
FOREIGN_LIMIT = 1 << 20  # bytes of a message of another user's: it holds names and numbers, no state
ITEMS = 1 << 17  # of all lists and maps of one message together, and their number: an empty map of one byte costs 64 in memory
WAITING = 512  # connections that wait to be accepted
CHUNK = 1 << 18  # bytes read at once
FULL_S = 0.01  # between two attempts to connect where too many wait already
LONGEST_PATH = 107  # bytes of a Unix socket's path
NOT_MESSAGEPACK = (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException)


def pack(message: list) -> bytes:
    """One message; numpy numbers become numbers and sets become sorted lists. ValueError, TypeError or OverflowError if it cannot be."""
    return msgpack.packb(message, default=_plain)


class Incoming:
    """A stream of messages of at most `limit` bytes and ITEMS items each, as an iterator over those that are whole.

    Errors are among NOT_MESSAGEPACK; nothing more comes after one. pending: bytes of a message that is not whole yet.
    """

    def __init__(self, limit: int) -> None:
        self._items = self._fed = 0
        bounds = {"max_array_len": ITEMS, "max_map_len": ITEMS, "max_bin_len": limit, "max_str_len": limit}
        counting = {"list_hook": self._count, "object_hook": self._count}
        self._unpacker = msgpack.Unpacker(max_buffer_size=limit, strict_map_key=False, **bounds, **counting)

    def feed(self, data: bytes) -> None:
        self._fed += len(data)
        self._unpacker.feed(data)

    @property
    def pending(self) -> int:
        return self._fed - self._unpacker.tell()

    def __iter__(self) -> Incoming:
        return self

    def __next__(self) -> Any:
        message = next(self._unpacker)
        self._items = 0
        return message

    def _count(self, made: Any) -> Any:
        """Called for each list and each map, as soon as it is whole."""
        self._items += 1 + len(made)
        if self._items > ITEMS:
            raise ValueError(f"a message has more than {ITEMS} items")
        return made


def unpacker(limit: int) -> Incoming:
    """A stream of messages of at most `limit` bytes each; errors are among NOT_MESSAGEPACK."""
    return Incoming(limit)


def peer_of(connection: socket.socket) -> tuple[int | None, str]:
    """Who is at the other end: (user id, name). Beyond this host there is no user id, and the name is the address."""
    if connection.family == socket.AF_UNIX:
        pid, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return user, f"process {pid} of user {user}"
    try:
        return None, str(connection.getpeername()[0])
    except OSError:
        return None, "a peer that has gone"


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "item"):  # a numpy number
        return value.item()
    raise TypeError(f"a {type(value).__name__} is not plain data")


def left(deadline: float) -> float:
    """Seconds until `deadline` (monotonic); TimeoutError when it has passed (a socket timeout of 0 would mean: do not block)."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def is_tcp(address: str) -> bool:
    return address.startswith("tcp:")


def tcp_target(address: str) -> tuple[str, int]:
    """(host, port) of "tcp:host:port"; an IPv6 host may stand in brackets. RpcError if it is not such an address."""
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    if not host or (number := whole_number(port)) is None or number > 65535:
        raise RpcError(f"{address!r} is no address: use the path of a Unix socket, or tcp:host:port")
    return host.strip("[]"), number


def connect(address: str, deadline: float) -> socket.socket:
    """A connected socket; OSError (TimeoutError included) if that fails."""
    if is_tcp(address):
        connection = socket.create_connection(tcp_target(address), timeout=left(deadline))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect_unix(connection, _checked(address), deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_unix(connection: socket.socket, path: str, deadline: float) -> None:
    """Also where so many connections wait that the kernel takes no more for a moment."""
    while True:
        connection.settimeout(left(deadline))
        try:
            return connection.connect(path)
        except BlockingIOError:
            time.sleep(min(FULL_S, left(deadline)))


def hung_up(connection: socket.socket) -> bool:
    """Whether the peer of an idle connection has closed it (or sent something unasked)."""
    connection.settimeout(0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def listen(address: str, mode: int, owner: int | None) -> socket.socket:
    """A listening socket; a stale socket file is replaced. HostError if the address is in use or cannot be had."""
    return _listen_tcp(address) if is_tcp(address) else _listen_unix(_checked(address), mode, owner)


def inode(path: str) -> tuple[int, int] | None:
    """Identity of a file, or None if there is none."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _listen_tcp(address: str) -> socket.socket:
    try:
        return socket.create_server(tcp_target(address), backlog=WAITING, reuse_port=False)
    except OSError as error:
        used = "is in use by another process; stop it or choose another port" if error.errno == errno.EADDRINUSE else error.strerror
        raise HostError(f"cannot listen on {address}: {used}") from error


def _listen_unix(path: str, mode: int, owner: int | None) -> socket.socket:
    if os.geteuid() == 0 and os.path.isdir(os.path.dirname(path)):
        require_folder(os.path.dirname(path))  # another user could put a socket of their own in the place of this one
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), mode)  # before bind: the file is never open to more than `mode`
        listener.bind(path)
        os.chmod(path, mode)  # the umask may have taken bits away
        if owner is not None:
            os.chown(path, owner, -1, follow_symlinks=False)
        listener.listen(WAITING)
    except OSError as error:
        listener.close()
        raise HostError(f"cannot listen on {path}: {error.strerror}") from error
    return listener


def _remove_stale(path: str) -> None:
    found = inode(path)
    if found is None:
        return
    if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
        raise HostError(f"cannot listen on {path}: it exists and is not a socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError:  # it is there but busy, or belongs to another user
            pass
    raise HostError(f"{path} is in use: another process is listening on it; stop that one or choose another run_dir")


def _checked(path: str) -> str:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise HostError(f"the socket path {path} is longer than the {LONGEST_PATH} bytes a Unix socket may have; choose a shorter run_dir")
    return path


def is_free(host: str, port: int) -> bool:
    """Whether a TCP server could listen there now."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port where nothing listens, of the kernel's choice."""
    with socket.create_server((host, 0)) as server:
        return server.getsockname()[1]
