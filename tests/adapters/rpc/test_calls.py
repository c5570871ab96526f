"""Calls between processes: results, errors, deadlines, and peers that send anything at all."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lego_sdn.adapters.rpc import wire
from lego_sdn.adapters.rpc.calls import Client, PeerError, Server, Unreachable
from lego_sdn.core.facts.errors import BrickError, HostError, RpcError
from tests.examples import examples


def refuse():
    raise BrickError("no ring of that name: give another one")


HANDLERS = {
    "add": lambda a, b: a + b,
    "echo": lambda value: value,
    "zeros": lambda n: bytes(n),
    "refuse": refuse,
    "crash": lambda: {}["nothing"],
    "strange": object,
    "numbers": lambda: {"float": np.float64(0.5), "int": np.uint64(2**63), "set": {3, 1, 2}},
}


@contextlib.contextmanager
def serving(address, handlers=HANDLERS, **options):
    """A server that another thread serves."""
    with Server(str(address), handlers, **options) as server:
        ending = threading.Event()

        def loop():
            while not ending.is_set():
                server.serve_once(0.02)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield server
        finally:
            ending.set()
            thread.join()


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / "s.sock")


@pytest.fixture
def raw(address):
    """A bare connection to a serving server, for sending what a client never would."""
    with serving(address), socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(address)
        yield peer


def test_results_of_every_plain_kind(address):
    with serving(address), Client(address) as client:
        assert client.call("add", 2, 3) == 5
        for value in (None, True, 2**64 - 1, -(2**63), 0.1, "ü", b"\0\xff", [1, [2]], {"a": {1: 2}}):
            assert client.call("echo", value) == value
        assert client.call("numbers") == {"float": 0.5, "int": 2**63, "set": [1, 2, 3]}


def test_messages_larger_than_any_buffer(address):
    with serving(address), Client(address) as client:
        assert client.call("zeros", 5_000_000) == bytes(5_000_000)
        assert client.call("echo", bytes(3_000_000)) == bytes(3_000_000)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (("refuse",), "no ring of that name: give another one"),
        (("crash",), "crash failed: KeyError: 'nothing'"),
        (("strange",), "cannot be sent: a object is not plain data"),
        (("absent",), "has no method 'absent'"),
        (("add", 1), "add was called with 1 parameters: missing a required argument: 'b'"),
        (("add", 1, "2"), "add failed: TypeError"),
    ],
)
def test_errors_are_the_peers_sentence_and_the_server_goes_on(address, call, sentence):
    with serving(address), Client(address) as client:
        with pytest.raises(PeerError, match=f"(?s){sentence}"):
            client.call(*call)
        assert client.call("add", 1, 1) == 2


def test_parameters_that_are_no_plain_data_are_refused_before_sending(address):
    with pytest.raises(RpcError, match="parameters of echo cannot be sent"):
        Client(address).call("echo", object())


def test_nobody_there_and_a_peer_that_came_back(address):
    client = Client(address)
    with pytest.raises(Unreachable, match=r"cannot reach .*s\.sock for add: No such file"):
        client.call("add", 1, 2)
    for _ in range(2):  # the second time the kept connection is dead, and is made anew
        with serving(address):
            assert client.call("add", 1, 2) == 3
    client.close()


def test_deadline_covers_a_peer_that_answers_in_drops(address):
    """Bytes that trickle in do not make a call last longer than its timeout; the late answer is not taken for the next one's."""
    answer = msgpack.packb([1, 1, None, "late"])
    with socket.socket(socket.AF_UNIX) as listener, Client(address, timeout=0.3) as client:
        listener.bind(address)
        listener.listen()

        def trickle():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                for byte in answer:
                    time.sleep(0.06)
                    connection.sendall(bytes([byte]))

        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(Unreachable, match=r"did not answer add within 0\.3 s"):
            client.call("add", 1, 2)
        thread.join()
        assert "idle" in repr(client)


@pytest.mark.parametrize("answer", [b"\xc1", msgpack.packb("no"), msgpack.packb([1, 999, None, 0]), msgpack.packb([0, 1, "add", []])])
def test_a_peer_that_speaks_something_else(address, answer):
    with socket.socket(socket.AF_UNIX) as listener, Client(address, timeout=5) as client:
        listener.bind(address)
        listener.listen()

        def speak():
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(RpcError, match="answered add with something"):
            client.call("add", 1, 2)
        thread.join()


def test_requests_in_single_bytes_and_many_at_once(raw):
    one = msgpack.packb([0, 7, "add", [1, 2]])
    for byte in one:
        raw.sendall(bytes([byte]))
    unpacker = msgpack.Unpacker()
    raw.sendall(one * 500)
    answers = []
    while len(answers) < 501:
        unpacker.feed(raw.recv(1 << 16))
        answers += list(unpacker)
    assert answers == [[1, 7, None, 3]] * 501


def test_a_peer_that_does_not_read_is_not_served_and_harms_nobody(address):
    with serving(address) as server, socket.socket(socket.AF_UNIX) as deaf, Client(address) as client:
        deaf.connect(address)
        deaf.sendall(msgpack.packb([0, 1, "zeros", [1_000_000]]) * 200)  # answers of 200 MB that nobody takes
        for _ in range(20):
            assert client.call("add", 1, 2) == 3
        assert 0 < server.unsent <= 1_000_100, "one answer waits; the next ones are not even computed"


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.binary(min_size=1, max_size=200), st.recursive(st.none() | st.integers(-9, 9) | st.text(), st.lists).map(msgpack.packb))
)
def test_no_bytes_of_a_peer_end_the_server(address, garbage):
    with Server(address, HANDLERS) as server, socket.socket(socket.AF_UNIX) as peer, socket.socket(socket.AF_UNIX) as good:
        for connection in (peer, good):
            connection.connect(address)
        peer.sendall(garbage)
        good.sendall(msgpack.packb([0, 1, "add", [1, 2]]))
        for _ in range(4):  # accept, serve, and whatever the garbage asks for
            server.serve_once(0)
        good.settimeout(1)
        assert msgpack.unpackb(good.recv(100)) == [1, 1, None, 3]


@pytest.mark.parametrize("bomb", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 5000])
def test_headers_that_announce_gigabytes_cost_the_sender_its_connection(raw, bomb):
    raw.sendall(bomb)
    assert raw.recv(1) == b""


def test_a_message_above_the_limit_is_cut_off(address):
    with serving(address, limit=1000), Client(address) as client:
        with pytest.raises(RpcError):
            client.call("echo", bytes(2_000_000))
        assert client.call("echo", bytes(500)) == bytes(500)


def test_too_many_peers_are_turned_away(address, monkeypatch):
    with serving(address, peers=3), contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Client(address)).call("add", 1, 2)
        with pytest.raises(Unreachable):
            Client(address).call("add", 1, 2)


def test_serving_nothing_returns_at_once_and_fileno_tells(address):
    import select

    with Server(address, HANDLERS) as server, socket.socket(socket.AF_UNIX) as peer:
        assert server.serve_once(0) == 0
        assert select.select([server], [], [], 0)[0] == []
        peer.connect(address)
        assert select.select([server], [], [], 1)[0] == [server]
        server.serve_once(0)
        assert select.select([server], [], [], 0)[0] == []


def test_who_connects_and_calls_at_once_is_answered_at_the_next_look(address):
    with Server(address, HANDLERS) as server, socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(address)
        peer.sendall(wire.pack([wire.REQUEST, 1, next(iter(HANDLERS)), []]))
        assert server.serve_once(5) == 1
        assert peer.recv(wire.CHUNK)


def test_socket_files(tmp_path, address):
    with Server(address, HANDLERS, owner=os.getuid()):
        found = os.stat(address)
        assert stat.S_IMODE(found.st_mode) == 0o600
        with pytest.raises(HostError, match="in use: another process is listening"):
            Server(address, HANDLERS)
    assert not os.path.exists(address)
    with socket.socket(socket.AF_UNIX) as dead:  # a socket file whose process is gone
        dead.bind(address)
    with Server(address, HANDLERS):
        os.unlink(address)
        other = Server(address, HANDLERS)
    with other:  # closing the first server left the other's file alone
        assert os.path.exists(address)
    (tmp_path / "plain").write_text("keep me")
    with pytest.raises(HostError, match="not a socket"):
        Server(str(tmp_path / "plain"), HANDLERS)
    assert (tmp_path / "plain").read_text() == "keep me"
    with pytest.raises(HostError, match="longer than the 107 bytes"):
        Server("/tmp/" + "x" * 110, HANDLERS)
    with pytest.raises(HostError, match="cannot listen on /nowhere"):
        Server("/nowhere/s.sock", HANDLERS)


@pytest.mark.parametrize("lost", ["file", "folder"])
def test_a_lost_socket_file_comes_back_and_who_is_connected_stays_so(tmp_path, lost):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    address = str(folder / "s.sock")
    with serving(address), Client(address) as before:
        assert before.call("add", 1, 2) == 3
        os.unlink(address)
        if lost == "folder":
            folder.rmdir()
            time.sleep(1.2)  # it is looked for in vain
            folder.mkdir(mode=0o700)
        deadline = time.monotonic() + 10
        while not os.path.exists(address):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert stat.S_IMODE(os.stat(address).st_mode) == 0o600
        with Client(address) as newcomer:
            assert newcomer.call("add", 3, 4) == 7
        assert before.call("add", 5, 6) == 11
    assert not os.path.exists(address)


def test_tcp():
    with serving("tcp:127.0.0.1:0") as server:
        there = f"tcp:127.0.0.1:{server.port}"
        with Client(there) as client:
            assert client.call("add", 1, 2) == 3
        with pytest.raises(HostError, match="in use"):
            Server(there, HANDLERS)
        assert not wire.is_free("127.0.0.1", server.port)
    for wrong in ("tcp:", "tcp:host", "tcp:host:x", "tcp:host:70000"):
        with pytest.raises(RpcError, match="is no address"):
            Client(wrong).call("add")


def test_a_forked_child_forgets_without_harm(address):
    with serving(address) as server, Client(address) as client:
        assert client.call("add", 1, 2) == 3
        code = subprocess.run([sys.executable, "-c", FORGETS, address + "2"], timeout=30, check=False).returncode
        assert code == 0
        assert server.connections > 0


FORGETS = """
import os, sys
from lego_sdn.adapters.rpc.calls import Client, Server
server = Server(sys.argv[1], {"pid": os.getpid})
client = Client(sys.argv[1])
import socket
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
server.serve_once(1)
child = os.fork()
if child == 0:
    server.forget()
    os._exit(0)
os.waitpid(child, 0)
import msgpack
peer.sendall(msgpack.packb([0, 1, "pid", []]))
assert server.serve_once(1) == 1, "the parent still hears its peer"
assert msgpack.unpackb(peer.recv(100))[3] == os.getpid()
assert os.path.exists(sys.argv[1])
peer.close()
server.close()
"""


@pytest.mark.slow
def test_under_eventlets_monkey_patching(address):
    """The controller's way: calls from greenthreads to a process that is slow do not hold up each other."""
    with serving(address, HANDLERS | {"slow": lambda: time.sleep(0.1)}):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", GREEN, address], timeout=60, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["unreachable", "3", "timeout", "3"]


GREEN = """
import eventlet
eventlet.monkey_patch()
import sys
from lego_sdn.adapters.rpc.calls import Client, Unreachable
order = []
def work(what, *call, **how):
    try:
        order.append(str(Client(sys.argv[1] if what != "unreachable" else "/nowhere").call(*call, **how)))
    except Unreachable:
        order.append(what)
pool = eventlet.GreenPool()
client = Client(sys.argv[1])
pool.spawn_n(work, "timeout", "slow", timeout=0.02)
pool.spawn_n(work, "unreachable", "add", 1, 2)
pool.waitall()
order.sort(reverse=True)
assert order == ["unreachable", "timeout"], order
print("unreachable", client.call("add", 1, 2), "timeout", client.call("add", 1, 2))
"""


def test_bad_calls_without_end_make_a_log_with_one(address, caplog):
    with serving(address, HANDLERS | {"deep": lambda: {}["\x1b[2J\nnothing"]}), Client(address) as client:
        for _ in range(300):
            with pytest.raises(PeerError) as told:
                client.call("deep")
        assert str(told.value).isprintable()
    assert 0 < len(caplog.records) <= 20


def test_connections_of_one_peer_are_bounded_and_others_are_served(address):
    with serving("tcp:127.0.0.1:0") as server, contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        time.sleep(0.3)
        assert server.connections <= 64
    with serving(address), contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(100)]
        for peer in crowd:
            peer.connect(address)
        with Client(address) as client:
            assert client.call("add", 1, 2) == 3


def test_many_connections_at_once_do_not_turn_a_client_away(address):
    """The kernel refuses for a moment where more wait than it keeps: then the client tries again."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(0)
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    waiting.connect(address)
            with pytest.raises(Unreachable, match=r"did not answer add within 0\.2 s"):
                Client(address, timeout=0.2).call("add", 1, 2)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\x00\x01\x00\x00" + b"\x80" * 0x10000 + b"\xdd\x00\x01\x00\x00" + b"\x80" * 0x10000,
        b"\xdc\xff\xff" + (b"\xdc\x00\x10" + b"\x80" * 16) * 0xFFFF,
        b"\xdc\xff\xff" + (b"\xdc\x00\x10" + b"\x00" * 16) * 0xFFFF,
    ],
)
def test_items_of_a_message_are_counted_however_they_are_nested(raw, bomb):
    raw.settimeout(20)
    with contextlib.suppress(ConnectionError):  # reset, or closed in order
        raw.sendall(b"\x94\x00\x01\xa4echo\x91\x92" + bomb)
        assert raw.recv(1) == b""
