"""Takes the place of Ryu's OpenFlow server and of its reading of messages: who may connect, until when, and what Ryu's parsers see.

Ryu 4.34 accepts anybody, ends its server when descriptors run out, and parses for ever what states a length of 0 (CVE-2024-34483 to
34489). A message is checked first (`lego_sdn.core.facts.openflow_shape`), and parsing it may take only so many steps.
"""

from __future__ import annotations

import math
import ssl
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from typing import Any

from ryu.base import app_manager  # noqa: F401 (these import each other: it must come first)
from ryu.controller import controller, ofp_event
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER
from ryu.lib import hub
from ryu.ofproto import nx_actions, ofproto_parser, oxx_fields

from lego_sdn.adapters.linux.peers import Address, Peers
from lego_sdn.adapters.rpc.complaints import Complaints
from lego_sdn.core.facts import openflow_shape
from lego_sdn.core.facts.lengths import MalformedError
from ryu_apps.doors.door import Door, spelled

UNFINISHED = 8  # connections that have not finished their handshake
HANDSHAKE_S = 5.0  # for a handshake, which takes a switch some milliseconds
CHUNK = 1 << 16  # bytes read at once
TURN = 1 << 15  # bytes of messages after which other greenthreads have their turn
SPARE_STEPS = 64


class Steps:
    """Stands for the module `struct` in Ryu's parsers, and counts what they unpack: no element is unpacked without consuming bytes."""

    def __init__(self) -> None:
        self.left = math.inf
        for name in ("calcsize", "pack", "pack_into", "unpack", "error"):
            setattr(self, name, getattr(struct, name))

    def unpack_from(self, *arguments: Any) -> tuple[Any, ...]:
        self.left -= 1
        if self.left < 0:
            raise MalformedError("its lengths lead its parser around in a circle")
        return struct.unpack_from(*arguments)

    @contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        self.left = count
        try:
            yield
        finally:
            self.left = math.inf


STEPS = Steps()


def parsed(datapath: Any, data: bytes) -> Any:
    """A message as Ryu's parser gives it. MalformedError if its structure is unsound; whatever Ryu raises if it cannot read it."""
    openflow_shape.check(data)
    version, kind, length, xid = struct.unpack_from("!BBHI", data)
    with STEPS.at_most(length + SPARE_STEPS):
        return message_of(datapath, version, kind, length, xid, data)


def message_of(datapath: Any, version: int, kind: int, length: int, xid: int, data: bytes) -> Any:
    """As `ryu.ofproto.ofproto_parser.msg`, which however writes into the log, whole, what it cannot read."""
    parser = ofproto_parser._MSG_PARSERS.get(version)
    if parser is None:
        raise MalformedError(f"OpenFlow has no version {version} on the wire that Ryu knows")
    return parser(datapath, version, kind, length, xid, data)


class GuardedDatapath(controller.Datapath):
    """Ryu's datapath, but for how it reads: every message is checked, and other greenthreads have their turn whatever comes."""

    def __init__(self, connection: Any, address: Address, complaints: Complaints, finished: Callable[[Address], None]) -> None:
        self.complaints, self.finished = complaints, finished
        super().__init__(connection, address)

    def set_state(self, state: str) -> None:
        if state == MAIN_DISPATCHER:
            self.finished(self.address)
        super().set_state(state)

    def close(self) -> None:
        """Over for the other side, too, which otherwise could go on sending for as long as it liked."""
        super().close()
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)

    def _recv_loop(self) -> None:
        try:
            self._receive()
        finally:
            self.socket.close()

    def _receive(self) -> None:
        buffer, turn = bytearray(), 0
        while self.state != DEAD_DISPATCHER:
            try:
                got = self.socket.recv(CHUNK)
            except (TimeoutError, ssl.SSLError):
                continue
            except OSError:
                return
            if not got:
                return
            buffer += got
            while self.state != DEAD_DISPATCHER and (data := _first(buffer)):
                self._take(data)
                turn += len(data)
                if turn > TURN:
                    turn = 0
                    hub.sleep(0)

    def _take(self, data: bytes) -> None:
        try:
            message = parsed(self, data)
        except MalformedError:
            raise
        except Exception as error:  # sound in structure, and yet beyond Ryu: an extension of the switch's, say
            self.complaints.say(f"a message of type {data[1]} from {spelled(self.address)} cannot be read ({type(error).__name__})")
            return
        event = ofp_event.ofp_msg_to_ev(message)
        self.ofp_brick.send_event_to_observers(event, self.state)
        handlers = [one for one in self.ofp_brick.get_handlers(event) if self.state in one.callers[type(event)].dispatchers]
        for handler in handlers:
            handler(event)


def _first(buffer: bytearray) -> bytes:
    """Take the first message out of what was read; nothing where it is not complete yet."""
    if len(buffer) < openflow_shape.HEADER:
        return b""
    (length,) = struct.unpack_from("!H", buffer, 2)
    if length < openflow_shape.HEADER:
        raise MalformedError(f"a message states {length} bytes, and its header alone has {openflow_shape.HEADER}")
    if len(buffer) < length:
        return b""
    data = bytes(buffer[:length])
    del buffer[:length]
    return data


class OpenFlowDoor:
    """What Ryu's controller is given in place of its own server and its own way to serve a connection."""

    def __init__(self, peers: Peers, complaints: Complaints) -> None:
        self.peers, self.complaints = peers, complaints
        self.doors: list[Door] = []

    def install(self) -> None:
        """From now on Ryu listens, accepts and reads by this door's rules."""
        entrance = self

        class Listener(hub.StreamServer):
            def serve_forever(self) -> None:
                door = entrance.door(self.server)
                while True:
                    connection, remote = door.accept()
                    hub.spawn_after(HANDSHAKE_S, entrance.expire, remote, connection)
                    hub.spawn(self.handle, connection, remote)

        controller.StreamServer = Listener
        controller.datapath_connection_factory = self.serve
        ofproto_parser.msg = message_of  # a forwarded request is read by it
        for module in (nx_actions, oxx_fields, *_parser_modules()):
            module.struct = STEPS

    def door(self, listener: Any) -> Door:
        self.doors.append(Door(listener, UNFINISHED, self.peers.refusal, self.complaints))
        return self.doors[-1]

    def expire(self, remote: Address, connection: Any) -> None:
        for door in self.doors:
            if door.waiting.get(remote) is connection:
                door.expel(remote, f"it did not finish its handshake within {HANDSHAKE_S:g} s")

    def serve(self, connection: Any, remote: Address) -> None:
        """One connection, from its first byte to its end; whatever it does costs no other."""
        datapath = None
        try:
            datapath = GuardedDatapath(connection, remote, self.complaints, self._leaves)
            datapath.serve()
        except MalformedError as error:
            self.complaints.say(f"the connection of {spelled(remote)} is closed: {error}")
        except Exception as error:  # of a handler of Ryu's that a message made fail, or of a socket that is gone
            self.complaints.say(f"the connection of {spelled(remote)} is closed by an error: {type(error).__name__}: {error}"[:300])
        finally:
            self._leaves(remote)
            if datapath is not None:
                datapath.close()

    def _leaves(self, remote: Address) -> None:
        for door in self.doors:
            door.leaves(remote)


def _parser_modules() -> list[Any]:
    return [module for name, module in sys.modules.items() if name.startswith("ryu.ofproto.ofproto_v1_") and name.endswith("_parser")]
