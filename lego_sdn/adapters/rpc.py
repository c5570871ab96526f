"""MessagePack-RPC: a client with deadlines and a server that is served between other work.

Plain sockets, no threads and no asyncio, so that it also works under eventlet's monkey patching.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from lego_sdn.adapters import wire
from lego_sdn.core.errors import LegoError, RpcError

LOG = logging.getLogger(__name__)
PEERS = 128
NOTHING = object()


class Unreachable(RpcError):
    """Nobody listens there, the peer closed, or it did not answer in time."""


class PeerError(RpcError):
    """The peer answered with an error; the text is the peer's sentence."""


class Client:
    """Calls one peer. Connects on first use and again after a failure; a call that may have reached the peer is never sent twice."""

    def __init__(self, address: str, timeout: float = 5.0, limit: int = wire.LIMIT) -> None:
        self.address, self.timeout, self.limit = address, timeout, limit
        self._socket: socket.socket | None = None
        self._unpacker = wire.unpacker(limit)
        self._ids = itertools.count(1)
        self._turn = threading.Lock()

    def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
        """The peer's result. `timeout` (seconds) bounds the whole call.

        Raises PeerError (the peer's own sentence) or Unreachable; both are RpcError.
        """
        seconds = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        if not self._turn.acquire(timeout=seconds):
            raise Unreachable(f"{self.address} did not answer {method} within {seconds:g} s: an earlier call is still waiting")
        try:
            return self._exchange(method, params, deadline)
        except TimeoutError:
            self.close()
            raise Unreachable(f"{self.address} did not answer {method} within {seconds:g} s") from None
        except OSError as error:
            self.close()
            raise Unreachable(f"cannot reach {self.address} for {method}: {_reason(error)}; is its process running?") from error
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.address} {'idle' if self._socket is None else 'connected'}>"

    def _exchange(self, method: str, params: tuple, deadline: float) -> Any:
        number = next(self._ids) & 0xFFFFFFFF
        try:
            request = wire.pack([wire.REQUEST, number, method, params])
        except (TypeError, ValueError, OverflowError) as error:
            raise RpcError(f"the parameters of {method} cannot be sent to {self.address}: {error}") from error
        connection = self._connected(deadline)
        connection.settimeout(wire.left(deadline))
        connection.sendall(request)
        answer = self._answer(connection, method, deadline)
        if not (isinstance(answer, list) and len(answer) == 4 and answer[:2] == [wire.ANSWER, number]):
            self.close()
            raise RpcError(f"{self.address} answered {method} with something else than [1, {number}, error, result]")
        if answer[2] is not None:
            raise PeerError(str(answer[2]))
        return answer[3]

    def _connected(self, deadline: float) -> socket.socket:
        if self._socket is not None and wire.hung_up(self._socket):
            self.close()
        if self._socket is None:
            self._socket = wire.connect(self.address, deadline)
            self._unpacker = wire.unpacker(self.limit)
        return self._socket

    def _answer(self, connection: socket.socket, method: str, deadline: float) -> Any:
        while True:
            connection.settimeout(wire.left(deadline))
            data = connection.recv(wire.CHUNK)
            if not data:
                self.close()
                raise Unreachable(f"{self.address} closed the connection during {method}")
            try:
                self._unpacker.feed(data)
                answer = next(self._unpacker, NOTHING)
            except wire.NOT_MESSAGEPACK as error:
                self.close()
                raise RpcError(f"{self.address} answered {method} with something that is no MessagePack-RPC: {error!r}") from error
            if answer is not NOTHING:
                return answer


class Server:
    """Answers calls between other work: `serve_once(0)` returns at once when nobody calls.

    `fileno()` may be registered in any selector or poll; it is readable when `serve_once(0)` has something to do.
    A handler's LegoError is answered as its sentence; no input of a peer and no failing handler ends the server.
    A handler does not close the server it is called by.
    """

    def __init__(
        self, address: str, handlers: dict[str, Callable], mode: int = 0o600, owner: int | None = None, *, limit: int = wire.LIMIT
    ) -> None:
        self.address, self.handlers, self.limit = address, dict(handlers), limit
        self._listener = wire.listen(address, mode, owner)
        self._listener.setblocking(False)
        self._inode = None if wire.is_tcp(address) else wire.inode(address)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._peers: set[_Peer] = set()

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to serve."""
        return self._selector.fileno()  # type: ignore[attr-defined]

    @property
    def port(self) -> int | None:
        """The TCP port (for port 0: the one the system chose); None for a Unix socket."""
        return self._listener.getsockname()[1] if wire.is_tcp(self.address) else None

    def serve_once(self, timeout: float | None = 0.0) -> int:
        """Wait up to `timeout` seconds (None: for ever), then serve what is there; returns the number of calls answered."""
        answered = 0
        for key, events in self._selector.select(timeout):
            if key.data is None:
                self._accept()
            elif key.data in self._peers:
                answered += self._serve(key.data, events)
        return answered

    def close(self) -> None:
        """Close every connection and remove the socket file, if it is still this server's."""
        self.forget()
        if self._inode is not None and self._inode == wire.inode(self.address):
            os.unlink(self.address)

    def forget(self) -> None:
        """For a forked child: close its copies of the descriptors, and leave the parent's socket file and connections as they are."""
        self._selector.close()  # first: unregistering would reach into the selector that parent and child share
        for peer in self._peers:
            peer.socket.close()
        self._peers = set()
        self._listener.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.address} peers={len(self._peers)} methods={sorted(self.handlers)}>"

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._listener.accept()
            if len(self._peers) >= PEERS:
                connection.close()
                return
            connection.setblocking(False)
            peer = _Peer(connection, self.limit)
            self._peers.add(peer)
            self._selector.register(connection, selectors.EVENT_READ, peer)

    def _serve(self, peer: _Peer, events: int) -> int:
        answered = 0
        try:
            if events & selectors.EVENT_READ:
                peer.receive()
            peer.send()
            while not peer.outgoing:  # a peer that does not read its answers is not served further
                message = next(peer.unpacker, NOTHING)
                if message is NOTHING:
                    break
                peer.outgoing = self._answer(message)
                answered += 1
                peer.send()
        except (*wire.NOT_MESSAGEPACK, OSError) as error:
            if not isinstance(error, ConnectionError):
                LOG.warning("%s: a peer sent something that is no MessagePack-RPC and was cut off: %r", self.address, error)
            self._peers.discard(peer)
            self._selector.unregister(peer.socket)
            peer.socket.close()
            return answered
        self._selector.modify(peer.socket, selectors.EVENT_WRITE if peer.outgoing else selectors.EVENT_READ, peer)
        return answered

    def _answer(self, message: Any) -> bytes:
        if not (isinstance(message, list) and len(message) == 4 and message[0] == wire.REQUEST and isinstance(message[1], int)):
            raise ValueError("a request is [0, id, method, params]")
        _, number, method, params = message
        error, result = self._run(method, params)
        try:
            return wire.pack([wire.ANSWER, number, error, result])
        except (TypeError, ValueError, OverflowError) as wrong:
            LOG.error("%s: the result of %s cannot be sent: %s", self.address, method, wrong)
            return wire.pack([wire.ANSWER, number, f"the result of {method} cannot be sent: {wrong}", None])

    def _run(self, method: Any, params: Any) -> tuple[str | None, Any]:
        handler = self.handlers.get(method) if isinstance(method, str) else None
        if handler is None:
            return f"{self.address} has no method {method!r}; it has {', '.join(sorted(self.handlers))}", None
        if not isinstance(params, list):
            return f"the parameters of {method} must be a list", None
        try:
            inspect.signature(handler).bind(*params)
        except TypeError as error:
            return f"{method} was called with {len(params)} parameters: {error}", None
        try:
            return None, handler(*params)
        except LegoError as error:
            return str(error) or type(error).__name__, None
        except Exception as error:  # whatever a peer asks for, the process goes on; the traceback is in its log
            LOG.exception("%s: %s failed", self.address, method)
            return f"{method} failed: {type(error).__name__}: {error}", None


class _Peer:
    """One connection to the server: what came in and is not a whole message yet, what is to go out."""

    def __init__(self, connection: socket.socket, limit: int) -> None:
        self.socket, self.unpacker, self.outgoing = connection, wire.unpacker(limit), memoryview(b"")

    def receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = self.socket.recv(wire.CHUNK)
            if not data:
                raise ConnectionResetError("the peer hung up")
            self.unpacker.feed(data)

    def send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.outgoing:
                self.outgoing = memoryview(self.outgoing)[self.socket.send(self.outgoing) :]


def _reason(error: OSError) -> str:
    """In words: what eventlet raises carries only the error's short name."""
    return os.strerror(error.errno) if error.errno else str(error)
