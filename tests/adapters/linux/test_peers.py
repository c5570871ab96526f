"""Whose process is at the other end of a connection, on real sockets."""

from __future__ import annotations

import os
import socket

import pytest

from lego_sdn.adapters.linux.peers import Peers, owner
from lego_sdn.core.facts.errors import HostError


@pytest.mark.parametrize(("listens", "asks"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::ffff:127.0.0.1")])
def test_a_process_of_this_machine_has_an_owner_while_it_holds_its_socket(listens, asks):
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    with socket.create_server((listens, 0), family=family, dualstack_ipv6=listens == "::") as server:
        client = socket.create_connection((asks, server.getsockname()[1]))
        connection, remote = server.accept()
        with connection:
            assert owner(remote, connection.getsockname()) == os.geteuid()
            assert Peers("rest").refusal(remote, connection.getsockname()) is None
            client.shutdown(socket.SHUT_WR)
            assert owner(remote, connection.getsockname()) == os.geteuid()
            client.close()
            assert owner(remote, connection.getsockname()) is None
            assert "gone" in (Peers("rest").refusal(remote, connection.getsockname()) or "")


def test_other_machines_are_known_by_their_address():
    peers, local = Peers("switch", networks=["192.0.2.0/28", "2001:db8::/64"]), ("192.0.2.1", 6653)
    for host in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"):
        assert peers.refusal((host, 4000), local) is None
    for host in ("192.0.2.77", "::ffff:192.0.2.77", "2001:db9::7", "fe80::1%eth0"):
        assert "switch.peers" in (peers.refusal((host, 4000), local) or "")
    assert Peers("rest").refusal(("192.0.2.7", 4000), local) is not None


def test_a_user_that_is_not_there_is_named():
    with pytest.raises(HostError, match=r"rest\.users: wanted a user of this machine, found 'no-such-user'"):
        Peers("rest", ["no-such-user"])
    assert 12345 in Peers("rest", [12345]).users
