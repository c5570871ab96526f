"""A tap on the socket of a process: every call passes through it, and one of them can be made the moment at which something happens."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from lego_sdn.adapters.rpc import wire


class Tap:
    """Takes the place of a Unix socket, whose process it goes on reaching under another name, until `remove`.

    Who was about to call then is served all the same, until `close`.
    """

    def __init__(self, path: str) -> None:
        self.path, self._behind = Path(path), Path(f"{path}.b")
        self._armed: tuple[str, Callable[[], None], bool] | None = None
        self.fired = threading.Event()
        os.link(self.path, self._behind)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{path}.t")
        self._listener.listen(64)
        os.rename(f"{path}.t", self.path)  # the path is never without a file: the process would listen there again
        threading.Thread(target=self._accept, daemon=True).start()

    def remove(self) -> None:
        os.rename(self._behind, self.path)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def arm(self, method: str, do: Callable[[], None], passes_on: bool) -> None:
        """At the next call of the method do something; then the process gets the call, or never does."""
        self._armed = method, do, passes_on
        self.fired.clear()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            callee = self._reach()
            if callee is None:
                caller.close()
                continue
            for pump, ends in ((self._requests, (caller, callee)), (_answers, (callee, caller))):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    def _reach(self) -> socket.socket | None:
        callee = socket.socket(socket.AF_UNIX)
        try:
            callee.connect(str(self._behind if self._behind.exists() else self.path))
        except OSError:
            callee.close()
            return None
        return callee

    def _requests(self, caller: socket.socket, callee: socket.socket) -> None:
        unpacker = wire.unpacker(wire.LIMIT)
        with contextlib.suppress(OSError):
            while data := caller.recv(wire.CHUNK):
                unpacker.feed(data)
                for request in unpacker:
                    if not self._may_pass(request[2]):
                        _end(caller, callee)
                        return
                    callee.sendall(wire.pack(request))
        _end(caller, callee)

    def _may_pass(self, method: str) -> bool:
        armed = self._armed
        if armed is None or armed[0] != method:
            return True
        self._armed = None
        armed[1]()
        self.fired.set()
        return armed[2]


def _answers(callee: socket.socket, caller: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := callee.recv(wire.CHUNK):
            caller.sendall(data)
    _end(callee, caller)


def _end(*connections: socket.socket) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
