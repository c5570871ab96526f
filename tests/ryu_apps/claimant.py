"""Something that says over a socket that it is a switch, as far as the controller asks; `mute` makes it a machine without power."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Self

from tests.ryu_apps.openflow_messages import HELLO, message, statistics

LOCAL = 0xFFFFFFFE
FEATURES_REQUEST, ECHO_REQUEST, STATISTICS_REQUEST, BARRIER_REQUEST = 5, 2, 18, 20
PORTS, AGGREGATE = 13, 2


class Claimant:
    def __init__(self, port: int, dpid: int, name: str, source: str = "127.0.0.1") -> None:
        self.dpid, self.name, self.mute = dpid, name, False
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
        self.socket.sendall(HELLO[5])
        self.ended = threading.Event()  # the controller has closed it
        self.finished = threading.Event()  # it has answered all questions of a handshake
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.socket.close()

    def _serve(self) -> None:
        try:
            while head := self._read(8):
                _, kind, length, xid = struct.unpack("!BBHI", head)
                body = self._read(length - 8)
                if not self.mute:
                    self._answer(kind, body, xid)
        except OSError:
            pass
        self.ended.set()

    def _read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            more = self.socket.recv(size - len(got))
            if not more:
                return b""
            got += more
        return got

    def _answer(self, kind: int, body: bytes, xid: int) -> None:
        if kind == FEATURES_REQUEST:
            self.send(message(6, struct.pack("!QIBB2xII", self.dpid, 0, 254, 0, 0x47, 0), xid=xid))
        elif kind == ECHO_REQUEST:
            self.send(message(3, body, xid=xid))
        elif kind == BARRIER_REQUEST:
            self.send(message(21, xid=xid))
        elif kind == STATISTICS_REQUEST:
            self._tell(struct.unpack_from("!H", body)[0], xid)

    def _tell(self, kind: int, xid: int) -> None:
        port = struct.pack("!IH2x6s2x16sII", LOCAL, 40, b"\2\0\0\0\0\1", self.name.encode(), 0, 4)
        told = statistics(kind, {PORTS: port, AGGREGATE: bytes(24)}.get(kind, b""))
        self.send(told[:4] + struct.pack("!I", xid) + told[8:])
        if kind == PORTS:
            self.finished.set()
