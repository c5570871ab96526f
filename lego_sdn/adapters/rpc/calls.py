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
from collections.abc import Callable, Mapping
from typing import Any

from lego_sdn.adapters.rpc import wire
from lego_sdn.adapters.rpc.complaints import Complaints
from lego_sdn.core.facts.errors import HostError, LegoError, RpcError
from lego_sdn.core.facts.messages import Signature
from lego_sdn.core.facts.text import printable, shown

LOG = logging.getLogger(__name__)
PEERS = 128
OF_ONE = 64  # connections of one other user, or from one other host
HALF_S = 30.0  # for a message that has begun to be whole
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
            raise PeerError(printable(str(answer[2])))
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


Connect = Callable[[str, float], Client]  # address, seconds that an answer may take


class Server:
    """Answers calls between other work: `serve_once(0)` returns at once when nobody calls.

    `fileno()` may be registered in any selector or poll; it is readable when `serve_once(0)` has something to do.
    A handler's LegoError is answered as its sentence; no input of a peer and no failing handler ends the server.
    A handler does not close the server it is called by. A socket file that was lost is made again, within seconds of calls of `serve_once`.
    """

    def __init__(self, address: str, handlers: dict[str, Callable], mode: int = 0o600, owner: int | None = None, **more: Any) -> None:
        """`limit`: bytes of a message; `peers`: connections at once; `takes`: who may send what, with which arguments; a method that it
        lacks is not answered."""
        self.address, self.handlers = address, dict(handlers)
        self._mode, self._owner = mode, owner
        self.limit: int = more.pop("limit", wire.LIMIT)
        self.most_peers: int = more.pop("peers", PEERS)
        self.takes: Mapping[str, Signature] | None = more.pop("takes", None)
        if more:
            raise TypeError(f"a server has no option {', '.join(more)}")
        self._listener = wire.listen(address, mode, owner)
        self._listener.setblocking(False)
        self._inode = None if wire.is_tcp(address) else wire.inode(address)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._peers: set[_Peer] = set()
        self._complaints = Complaints(self._log)
        self._swept = 0.0

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to serve."""
        return self._selector.fileno()  # type: ignore[attr-defined]

    @property
    def port(self) -> int | None:
        """The TCP port (for port 0: the one the system chose); None for a Unix socket."""
        return self._listener.getsockname()[1] if wire.is_tcp(self.address) else None

    @property
    def connections(self) -> int:
        """Peers that are connected."""
        return len(self._peers)

    @property
    def unsent(self) -> int:
        """Bytes of answers that peers have not taken yet."""
        return sum(len(peer.outgoing) for peer in self._peers)

    def serve_once(self, timeout: float | None = 0.0) -> int:
        """Wait up to `timeout` seconds (None: for ever), then serve what is there; returns the number of calls answered."""
        ready = self._selector.select(timeout)
        if any(key.data is None for key, _ in ready):
            self._accept()
            ready = self._selector.select(0)  # who connected to call has often called already: nobody waits for the next time
        answered = sum(self._serve(key.data, events) for key, events in ready if key.data in self._peers)
        self._sweep(time.monotonic())
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

    def _log(self, text: str, **details: Any) -> None:
        LOG.warning("%s: %s", self.address, text, **details)

    def _accept(self) -> None:
        """Take every connection that waits, but for those above the bounds."""
        for _ in range(wire.WAITING):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:  # no descriptor is left: those who wait go on waiting
                self._complaints.say(f"a connection cannot be taken: {_reason(error)}")
                return
            peer = _Peer(connection, self.limit)
            alike = sum(other.who == peer.who for other in self._peers)
            if len(self._peers) >= self.most_peers or (alike >= OF_ONE and not peer.is_own):
                connection.close()
                self._complaints.say(f"{peer.name} was turned away: there are {len(self._peers)} connections, {alike} of them of its kind")
                continue
            connection.setblocking(False)
            self._peers.add(peer)
            self._selector.register(connection, selectors.EVENT_READ, peer)

    def _sweep(self, now: float) -> None:
        """Cut off whoever began a message long ago and does not end it."""
        if now - self._swept < 1.0:
            return
        self._swept = now
        self._keep_file()
        for peer in [peer for peer in self._peers if peer.half_since is not None and now - peer.half_since > HALF_S]:
            self._cut_off(peer, f"a message is not whole after {HALF_S:g} s")

    def _keep_file(self) -> None:
        """Listen at the address again if its file was lost; those who are connected stay so."""
        if self._inode is None or wire.inode(self.address) is not None:
            return
        self._accept()  # who waits at the lost one
        with contextlib.suppress(HostError):  # its folder was lost, too: the next look tries again
            listener = wire.listen(self.address, self._mode, self._owner)
            listener.setblocking(False)
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener, self._inode = listener, wire.inode(self.address)
            self._selector.register(listener, selectors.EVENT_READ, None)

    def _cut_off(self, peer: _Peer, why: str | None) -> None:
        if why is not None:
            self._complaints.say(f"{peer.name} was cut off: {printable(why, 200)}")
        self._peers.discard(peer)
        self._selector.unregister(peer.socket)
        peer.socket.close()

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
                peer.outgoing = self._answer(message, peer)
                answered += 1
                peer.send()
        except (*wire.NOT_MESSAGEPACK, OSError) as error:
            self._cut_off(peer, None if isinstance(error, ConnectionError) else f"it sent something that is no MessagePack-RPC: {error!r}")
            return answered
        peer.look(time.monotonic())
        self._selector.modify(peer.socket, selectors.EVENT_WRITE if peer.outgoing else selectors.EVENT_READ, peer)
        return answered

    def _answer(self, message: Any, peer: _Peer) -> bytes:
        if not (isinstance(message, list) and len(message) == 4 and message[0] == wire.REQUEST and isinstance(message[1], int)):
            raise ValueError("a request is [0, id, method, params]")
        _, number, method, params = message
        error, result = self._run(method, params, peer)
        try:
            return wire.pack([wire.ANSWER, number, error, result])
        except (TypeError, ValueError, OverflowError) as wrong:
            self._complaints.say(f"the result of {method} cannot be sent: {wrong}")
            return wire.pack([wire.ANSWER, number, f"the result of {method} cannot be sent: {wrong}", None])

    def _run(self, method: Any, params: Any, peer: _Peer) -> tuple[str | None, Any]:
        handler = self.handlers.get(method) if isinstance(method, str) else None
        if handler is None:
            return f"{self.address} has no method {shown(method)}; it has {', '.join(sorted(self.handlers))}", None
        problem = self._problem(method, params, peer)
        if problem is not None:
            return problem, None
        try:
            return None, handler(*params)
        except LegoError as error:
            return printable(str(error)) or type(error).__name__, None
        except Exception as error:  # whatever a peer asks for, the process goes on; the traceback is in its log
            self._complaints.say(f"{method} failed", exc_info=True)
            return printable(f"{method} failed: {type(error).__name__}: {error}"), None

    def _problem(self, method: str, params: Any, peer: _Peer) -> str | None:
        """Why a call is not made, or None: all that can be said before."""
        if not isinstance(params, list):
            return f"the parameters of {method} must be a list"
        if self.takes is None:
            return _unbound(self.handlers[method], method, params)
        signature = self.takes.get(method)
        if signature is None:
            return f"{method} is not answered: nothing says which arguments it takes"
        if signature.own and peer.is_foreign:
            return f"{method} is answered only to processes of the user that runs this one"
        return signature.problem(method, params)


def _unbound(handler: Callable, method: str, params: list) -> str | None:
    try:
        inspect.signature(handler).bind(*params)
    except TypeError as error:
        return f"{method} was called with {len(params)} parameters: {error}"
    return None


class _Peer:
    """One connection to the server: what came in and is not a whole message yet, what is to go out.

    who         its user, or its host; is_own: it is root, or the user that runs this process; is_foreign: another user of this host
    half_since  monotonic seconds since when a message has been under way; None: none is
    """

    def __init__(self, connection: socket.socket, limit: int) -> None:
        user, self.name = wire.peer_of(connection)
        self.who: object = self.name if user is None else user
        self.is_own = user in (0, os.geteuid())
        self.is_foreign = user is not None and not self.is_own
        self.socket, self.outgoing = connection, memoryview(b"")
        self.unpacker = wire.unpacker(min(limit, wire.FOREIGN_LIMIT) if self.is_foreign else limit)
        self.half_since: float | None = None

    def look(self, now: float) -> None:
        """After it was served: whether a part of a message waits for the rest."""
        if not self.unpacker.pending or self.outgoing:
            self.half_since = None
        elif self.half_since is None:
            self.half_since = now

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
