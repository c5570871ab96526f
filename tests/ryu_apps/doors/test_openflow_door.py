"""Attacks on the OpenFlow listener of a real controller, from outside: what they cost is their own connection."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import time

import psutil
import pytest

from lego_sdn.core.facts import openflow_shape
from lego_sdn.core.facts.lengths import MalformedError
from tests.ryu_apps.claimant import Claimant
from tests.ryu_apps.lab import MANAGER, ROOT, Lab, lab, until
from tests.ryu_apps.openflow_messages import HELLO, SOUND, element, message, statistics

AT_ONCE_S = 1.0
OURS, OTHER = 0x42, 0x43
READS = "+dac_read_search"  # the interpreter may lie in a folder of root's
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={READS}", f"--ambient-caps={READS}"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A controller with nothing around it."""
    with lab(tmp_path_factory.mktemp("door")) as made:
        made.start_controller()
        yield made


def unsound(data: bytes) -> list[bytes]:
    """A message with a length of 0 and one with a length that is too long, at the first places where it matters."""
    found = []
    for length in (0, 0xFFFF):
        for at in range(8, len(data) - 1, 2):
            broken = data[:at] + struct.pack("!H", length) + data[at + 2 :]
            with contextlib.suppress(MalformedError):
                openflow_shape.check(broken)
                continue
            found.append(broken)
            break
    return found


UNSOUND = {f"{name}, {number}": data for name, sound in SOUND.items() for number, data in enumerate(unsound(sound))}
HELLOS = {
    f"hello of version {version}, length {length}": message(0, struct.pack("!HHI", kind, length, 32), version)
    for version in (4, 5, 6)
    for kind in (1, 2)
    for length in (0, 1, 3, 9, 0xFFFF)
} | {"no length": b"\5\0\0\0\0\0\0\1", "no such version": message(0, version=99), "zeros": bytes(64), "hello of 1.1": HELLO[2]}


def answers_at_once(made: Lab) -> None:
    began = time.monotonic()
    assert made.ask("/lego/v1/status").status == 200
    assert time.monotonic() - began < AT_ONCE_S


def ends(connection: socket.socket, seconds: float = 5.0) -> bool:
    """Whether the other side closes, whatever it has to say before."""
    deadline, poll = time.monotonic() + seconds, select.poll()
    poll.register(connection, select.POLLIN)
    with contextlib.suppress(ConnectionError):
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000) and not connection.recv(65536):
                return True
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_message_keeps_ryu_s_own_parsers_busy(seed):
    command = [sys.executable, "-m", "tests.ryu_apps.openflow_fuzz", str(seed), "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_ryu_cannot_read_is_not_what_these_attacks_are_about():
    """Every type of message that Ryu reads has its attacks, but for those without any length within."""
    kinds = {data[1] for data in SOUND.values()}
    assert kinds == set(openflow_shape.MESSAGES)
    assert {struct.unpack_from("!H", data, 8)[0] for data in SOUND.values() if data[1] == 19} == set(openflow_shape.STATISTICS)
    assert len(UNSOUND) > 40


@pytest.mark.parametrize("name", HELLOS)
def test_a_greeting_that_is_unsound_ends_its_connection_alone(alone: Lab, name):
    with socket.create_connection(("127.0.0.1", alone.openflow)) as connection:
        connection.sendall(HELLOS[name])
        assert ends(connection)
    answers_at_once(alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNSOUND)
def test_a_message_that_is_unsound_ends_its_connection_alone(alone: Lab, name):
    """In the middle of the handshake, and after it."""
    with socket.create_connection(("127.0.0.1", alone.openflow)) as connection:
        connection.sendall(HELLO[5] + UNSOUND[name])
        assert ends(connection)
    with Claimant(alone.openflow, OTHER, "other") as claimant:
        until(lambda: any(row["name"] == "other" for row in alone.get("switches")["switches"]), "it is connected")
        claimant.send(UNSOUND[name])
        assert claimant.ended.wait(5)
    answers_at_once(alone)
    until(lambda: not alone.get("switches")["switches"], "it is gone")


def test_sound_messages_of_every_type_end_nothing(alone: Lab):
    with Claimant(alone.openflow, OTHER, "other") as claimant:
        until(lambda: alone.get("switches")["switches"], "it is connected")
        for data in SOUND.values():
            claimant.send(data)
        assert not claimant.ended.wait(1.0)
        answers_at_once(alone)
    until(lambda: not alone.get("switches")["switches"], "it is gone")


def test_what_is_told_of_attacks_does_not_grow_with_them(alone: Lab):
    before, events = len(alone.log()), len(alone.get("events")["events"])
    large = statistics(1, bytes(60_000))
    for _ in range(150):
        with socket.create_connection(("127.0.0.1", alone.openflow)) as connection:
            connection.sendall(HELLO[5] + large)
            assert ends(connection)
    assert len(alone.log()) - before < 20_000
    assert len(alone.get("events")["events"]) - events < 20
    assert any(event["type"] == "ConnectionClosed" for event in alone.get("events")["events"])


def test_a_flood_of_large_messages_leaves_rest_its_turns(alone: Lab):
    flood = SOUND["flows"][:16] + SOUND["flows"][16:] * 100
    flood = flood[:2] + struct.pack("!H", len(flood)) + flood[4:]
    with Claimant(alone.openflow, OTHER, "other") as claimant:
        claimant.finished.wait(10)
        claimant.socket.settimeout(0.2)
        for _ in range(10):
            claimant.send(flood * 4)
            assert alone.ask("/lego/v1/status").status == 200
    until(lambda: not alone.get("switches")["switches"], "it is gone")


@pytest.mark.slow
def test_few_connections_wait_and_not_for_long(alone: Lab):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", alone.openflow))) for _ in range(40)]
        with Claimant(alone.openflow, OTHER, "other"):
            until(lambda: alone.get("switches")["switches"], "a switch gets in all the same", 3.0)
        held = psutil.Process(alone.running["controller"].pid).net_connections("tcp")
        assert sum(c.laddr.port == alone.openflow and c.status == psutil.CONN_ESTABLISHED for c in held) <= 8
        for connection in idle:
            assert ends(connection, 8.0)
    until(lambda: not alone.get("switches")["switches"], "it is gone")


@pytest.mark.slow
def test_a_handshake_byte_by_byte_has_its_deadline(alone: Lab):
    with socket.create_connection(("127.0.0.1", alone.openflow)) as connection:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in HELLO[5] * 4:
                connection.sendall(bytes([byte]))
                time.sleep(0.3)
        assert ends(connection)
        assert time.monotonic() - began < 15


def steered(made: Lab) -> list[str]:
    return [row["dpid"] for row in made.get("switches")["switches"] if row["steered"]]


@pytest.mark.parametrize(("dpid", "same_name"), [(OURS, True), (OURS, False), (OTHER, True)])
def test_a_second_switch_does_not_displace_the_first(alone: Lab, dpid, same_name):
    with Claimant(alone.openflow, OURS, alone.bridge) as first:
        until(lambda: steered(alone), "it is steered")
        with Claimant(alone.openflow, dpid, alone.bridge if same_name else "other") as second:
            assert second.ended.wait(10)
            assert not first.ended.is_set()
            assert steered(alone) == [f"{OURS:016x}"]
            assert alone.get("status")["bridge"]["connected"]
    until(lambda: not alone.get("status")["bridge"]["connected"], "it is gone")
    with Claimant(alone.openflow, dpid, alone.bridge):
        until(lambda: steered(alone) == [f"{dpid:016x}"], "who comes afterwards is taken up")
    until(lambda: not alone.get("status")["bridge"]["connected"], "it is gone")


@pytest.mark.slow
@pytest.mark.parametrize("dpid", [OURS, OTHER])
def test_a_switch_that_comes_back_replaces_its_dead_connection(alone: Lab, dpid):
    with Claimant(alone.openflow, OURS, alone.bridge) as first:
        until(lambda: steered(alone), "it is steered")
        first.mute = True
        with Claimant(alone.openflow, dpid, alone.bridge) as second:
            assert first.ended.wait(10)
            until(lambda: steered(alone) == [f"{dpid:016x}"], "it is taken up")
            assert not second.ended.is_set()
    until(lambda: not alone.get("status")["bridge"]["connected"], "it is gone")


@pytest.mark.slow
def test_a_stranger_with_the_bridge_s_datapath_id_does_not_keep_it_out(alone: Lab):
    with Claimant(alone.openflow, OURS, "other") as stranger:
        until(lambda: alone.get("switches")["switches"], "it is connected")
        with Claimant(alone.openflow, OURS, alone.bridge):
            until(lambda: steered(alone), "the bridge is taken up")
            assert stranger.ended.wait(5)
    until(lambda: not alone.get("status")["bridge"]["connected"], "it is gone")


def as_nobody(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([*NOBODY, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


CALLS = "import socket; s = socket.create_connection(('{host}', {port})); s.settimeout(5); s.sendall({hello!r}); print(len(s.recv(100)))"


@pytest.mark.root
def test_another_user_s_process_is_no_switch_unless_it_is_named(alone: Lab, tmp_path):
    told = as_nobody(CALLS.format(host="127.0.0.1", port=alone.openflow, hello=HELLO[5]))
    assert told.stdout == "0\n" or "ConnectionResetError" in told.stderr, told
    with lab(tmp_path) as made:
        made.settings["switch"] = {"bridge": made.bridge, "openflow_port": made.openflow, "users": ["nobody"]}
        made.start_controller()
        told = as_nobody(CALLS.format(host="127.0.0.1", port=made.openflow, hello=HELLO[5]))
        assert int(told.stdout) >= 8, told


@pytest.mark.slow
def test_a_user_that_is_not_there_is_one_sentence(tmp_path):
    (tmp_path / "lego.yaml").write_text("switch: {users: [no-such-user]}\n")
    command = [MANAGER, "lego_sdn.app", "--lego-config", str(tmp_path / "lego.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "lego: switch.users: wanted a user of this machine, found 'no-such-user'"


@pytest.mark.slow
def test_without_descriptors_it_lives_on(tmp_path):
    with lab(tmp_path) as made:
        limited = ["prlimit", "--nofile=48:48", str(MANAGER), "lego_sdn.app", "--lego-config", str(made.write_config())]
        made.launch("controller", limited, env=os.environ)
        until(made.answers, "the controller answers", 60.0)
        with contextlib.ExitStack() as stack:
            for port in [made.rest, made.openflow] * 60:
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            time.sleep(1.0)
            assert made.running["controller"].poll() is None
        until(made.answers, "the controller answers again", 20.0)
        with Claimant(made.openflow, OTHER, "other"):
            until(lambda: made.get("switches")["switches"], "it accepts switches again")


@pytest.mark.slow
def test_a_hello_of_every_kind_of_element_is_heard(alone: Lab):
    """An element that nobody knows is passed over."""
    with socket.create_connection(("127.0.0.1", alone.openflow)) as connection:
        connection.sendall(message(0, element(9, b"what?!!!") + element(1, struct.pack("!I", 1 << 5))))
        connection.settimeout(5)
        got = b""
        while len(got) < 16:
            got += connection.recv(100)
        assert got[9] == 5, "the features are asked for"
