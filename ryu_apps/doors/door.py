"""What stands before a TCP server: who is let in, how many at a time, and what is told of those who are not."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

from ryu.lib import hub

from lego_sdn.adapters.linux.peers import Address
from lego_sdn.adapters.rpc.complaints import Complaints

CLOSED = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)  # of the listening socket itself: there is nothing to accept any more
REST_S = 0.1  # after accepting failed, for want of descriptors, say


class Door:
    """A listening socket for a server that calls `accept` for ever; an error never ends it.

    Only whom `refusal` has nothing against gets in. Of those that have not said yet what they want at most `most` are kept: the one that
    has waited longest goes when another comes, since who means it needs milliseconds.
    """

    def __init__(self, listener: Any, most: int, refusal: Callable[[Address, Address], str | None], complaints: Complaints) -> None:
        self.listener, self.most, self.refusal, self.complaints = listener, most, refusal, complaints
        self.waiting: dict[Address, Any] = {}
        self.served: dict[Address, Any] = {}

    def accept(self) -> tuple[Any, Address]:
        """The next connection, and where it comes from."""
        while True:
            try:
                connection, remote = self.listener.accept()
            except OSError as error:
                if error.errno in CLOSED:
                    raise
                self.complaints.say(f"no connection could be accepted: {error.strerror or error}")
                hub.sleep(REST_S)
                continue
            if self._lets_in(connection, remote):
                self._make_room()
                self.waits(remote, connection)
                return connection, remote
            hub.sleep(0)  # whoever knocks without pause does not keep the others from their work

    def waits(self, remote: Address, connection: Any) -> None:
        """It has yet to say what it wants."""
        self.served.pop(remote, None)
        self.waiting[remote] = connection

    def serves(self, remote: Address) -> None:
        """It has said what it wants, and is given it."""
        if remote in self.waiting:
            self.served[remote] = self.waiting.pop(remote)

    def leaves(self, remote: Address) -> None:
        """It has gone, or need not be counted any more."""
        self.waiting.pop(remote, None)
        self.served.pop(remote, None)

    def expel(self, remote: Address, why: str) -> None:
        """End a connection; who serves it notices as if it had hung up."""
        connection = self.waiting.pop(remote, None) or self.served.pop(remote, None)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            self.complaints.say(f"the connection of {spelled(remote)} is closed: {why}")

    def _lets_in(self, connection: Any, remote: Address) -> bool:
        try:
            reason = self.refusal(remote, connection.getsockname())
        except OSError:  # it has gone already
            reason = "it hung up"
        if reason is not None:
            connection.close()
            self.complaints.say(f"the connection of {spelled(remote)} is refused: {reason}")
        return reason is None

    def _make_room(self) -> None:
        while len(self.waiting) + len(self.served) >= self.most:
            oldest = next(iter(self.waiting or self.served))
            self.expel(oldest, f"at most {self.most} are kept, and it waited longest")

    def __repr__(self) -> str:
        return f"<Door waiting={len(self.waiting)} served={len(self.served)} most={self.most}>"


def spelled(remote: Address) -> str:
    return f"{remote[0]}:{remote[1]}"
