"""The agent's user tries to become root: every message of agent and bricks with hostile arguments, over the real sockets.

The attacker is another user (`setuid`), the one who may talk to the agent. Nothing outside may be read, written, imported or started,
and agent and bricks go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest

from bricks.models.model_file import save_model
from bricks.nfs.kitsune.learn import blank_models
from lego_sdn.adapters.rpc.calls import Client, PeerError, RpcError
from lego_sdn.core.facts.messages import AGENT, BRICK, Signature
from tests.fakes.host import fake_host

NOBODY = 65534
pytestmark = pytest.mark.root

# Imports first: as nobody it may not be able to read these files. Then it is nobody for the rest of its life.
ATTACK = """
import json, os, sys
import lego_sdn.core.facts.messages as messages
from lego_sdn.adapters.rpc.calls import Client, PeerError
import encodings.unicode_escape, encodings.idna
os.setgroups([]); os.setgid(65534); os.setuid(65534)
trap, address, which = sys.argv[1:]
table = getattr(messages, which)
HOSTILE = [None, True, False, -1, 2**63, 2**64 - 1, -(2**63), 0.5, 1e308, float("nan"), float("inf"), "", "x" * 5000, "../../etc/passwd",
           "\\x1b[2J\\n", "os:system", "/etc/shadow", trap, b"", b"\\xff" * 100, [], [None], [[[]]] * 10, list(range(5000)), ["../" + trap],
           {}, {1: 2}, {"a": None}, {"": []}, {"a": ["../../" + trap]}, {"a-0": ["../x"]}, {"a": {"ring": "r", "socket": trap}},
           {"a": {"ring": 7}}, {"instance": 5}]
GOOD = [7, 0, "a", [1, 2], ["a"], {"a": 1}, None, b"0" * 80, {"a": ["r"]}, {"a": {"ring": None}}]
answers = {}
def ask(method, params):
    with Client(address, 20.0) as client:
        try:
            client.call(method, *params)
            said = None
        except PeerError as error:
            said = str(error)
    answers.setdefault(method, []).append(said)
for method, signature in table.items():
    good = [next(value for value in GOOD if argument.fits(value)) for argument in signature.takes]
    if which == "BRICK" and signature.own:
        ask(method, good)
    for at in range(len(good)):
        for value in HOSTILE:
            ask(method, good[:at] + [value] + good[at + 1 :])
    ask(method, [*good, 1, 2, 3])
    if good:
        ask(method, [])
print(json.dumps(answers))
"""


def attack(trap: Path, address: str, which: str) -> dict[str, list[str | None]]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", ATTACK, str(trap), address, which], capture_output=True, text=True, timeout=300, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path):
    """A real agent with an instance in real bricks, whose user is nobody."""
    with fake_host(warm="real", owner=NOBODY) as host:
        agent = host.start()
        model = host.folder / "blank.lego"
        save_model(next(iter(blank_models("kitsune115").values())), model)
        one = agent.call("start_instance", {"instance": 1, "model": str(model)}, timeout=120.0)
        os.chmod(tmp_path, 0o700)
        yield host, agent, one["processes"][0], tmp_path / "trap"


def test_no_message_makes_root_of_the_agents_user(site):
    host, agent, process, trap = site
    before = sorted(os.listdir(host.folder))
    told = attack(trap, str(host.folder / "agent.sock"), "AGENT")
    told |= attack(trap, process["socket"], "BRICK")
    assert set(told) == set(AGENT | BRICK), "each message was tried"
    for method, answers in told.items():
        for said in answers:
            assert said is None or (said.isprintable() and len(said) < 1500 and "Traceback" not in said and "root:" not in said), (
                method,
                said,
            )
    for method, signature in BRICK.items():
        if signature.own:
            assert all(said == f"{method} is answered only to processes of the user that runs this one" for said in told[method]), method
    assert not trap.exists()
    assert sorted(os.listdir(host.folder)) == before, "nothing was started or written"
    assert agent.call("hello")["pid"] == host.child.pid
    with Client(process["socket"]) as brick:
        assert brick.call("load")["pid"] == process["pid"], "it is the same process, and works"


def test_what_an_instance_may_be_is_the_agents_to_say(site):
    """Models, folders, modules and bounds that are not the agent's own are refused, without a word on what is there."""
    host, agent, _, trap = site
    good = {"instance": 2, "model": str(host.folder / "blank.lego")}
    (host.folder / "away").symlink_to("/etc/shadow")
    same = set()
    for path in ("/etc/shadow", "/etc/no-such-file", "/root", "/dev/zero", str(host.folder / "away"), f"{host.folder}/../../etc/shadow"):
        with pytest.raises(PeerError) as told:
            agent.call("start_instance", good | {"model": path})
        same.add(str(told.value).replace(path, "X"))
    assert len(same) == 1, "whether a file exists is not told"
    for wrong in (
        {"nf": "os"},
        {"nf": "tests.bricks.chain"},
        {"nf": "../x"},
        {"scores": "/etc"},
        {"scores": str(trap)},
        {"limits": {"streams": 10**12}},
        {"capture": {"blocks": 60000, "block_bytes": 1 << 16}},
        {"buckets": 2**40},
        {"batch": 10**9},
        {"interface": "eth0"},
        {"socket": str(trap)},
        {"log": str(trap)},
    ):
        with pytest.raises(PeerError):
            agent.call("start_instance", good | wrong)
    assert [one["instance"] for one in agent.call("instances")] == [1]


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def test_a_message_of_ten_megabytes_of_maps_takes_no_more_memory_than_it_is_long(site):
    host, agent, process, _ = site
    bombs = [
        b"\x94\x00\x01\xa4load\xdd\x00\x01\x00\x00" + b"\x81\x80\x80" * 3_500_000,
        msgpack.packb([0, 1, "load", [[{}] * 100] * 100_000]),
    ]
    for address, pid in ((str(host.folder / "agent.sock"), host.child.pid), (process["socket"], process["pid"])):
        before = memory_mb(pid)
        for bomb in bombs:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(20)
                peer.connect(address)
                with contextlib.suppress(ConnectionError):  # reset, or closed in order
                    peer.sendall(bomb)
                    assert peer.recv(1) == b""
        assert memory_mb(pid) - before < 60
    assert agent.call("hello")["pid"] == host.child.pid


def test_wrong_arguments_of_root_itself_end_no_brick(site):
    """Also who may send a message is checked: `begin(None)` was death to a brick."""
    _, _, process, _ = site
    with Client(process["socket"]) as brick:
        for method, signature in BRICK.items():
            for params in hostile(signature):
                with pytest.raises(RpcError):
                    brick.call(method, *params)
        assert brick.call("load")["pid"] == process["pid"]


def hostile(signature: Signature) -> list[list[object]]:
    """Arguments of which one does not fit."""
    fitting = [1, 0, "a", [1], ["a"], {"a": 1}, {"a": ["r"]}, {"a": {"ring": None}}, b""]
    good = [next(value for value in fitting if one.fits(value)) for one in signature.takes]
    values = [None, -(2**40), 2**64 - 1, float("nan"), "\x00", b"x", [None], {"a": "b"}, [[0]]]
    wrong = [(at, value) for at, one in enumerate(signature.takes) for value in values if not one.fits(value)]
    return [[*good[:at], value, *good[at + 1 :]] for at, value in wrong]
