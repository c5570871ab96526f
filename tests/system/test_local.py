"""Everything together: started, watched and ended, whatever ends it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lego_sdn.adapters.linux import processes
from lego_sdn.adapters.linux.journal import peek
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError
from lego_sdn.system.children import await_end
from lego_sdn.system.local import System
from lego_sdn.system.shutdown import take_down
from tests.fakes.host import PATIENCE_S, ROOT, fake_host

pytestmark = pytest.mark.root
LEGO = (sys.executable, "-m", "lego_sdn")


@pytest.fixture
def place():
    """A folder and a bridge of their own; afterwards nothing of them is left, whatever the test did."""
    with fake_host() as host:
        yield host
        take_down(configuration(host))


def configuration(host, **more):
    return Config.parse(
        {
            "run_dir": str(host.folder),
            "switch": {"bridge": host.bridge, "openflow_port": free_port()},
            "rest": {"port": free_port()},
        }
        | more
    )


def marks(place) -> list[str]:
    """Runs of everything that a system in this place started."""
    words = [line.split('"') for journal in place.folder.glob("*.journal") for line in journal.read_text().splitlines()]
    return [line[line.index("run") + 2] for line in words if "run" in line]


def wait_for(fact, seconds=PATIENCE_S):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_inside_it_runs_and_afterwards_it_is_gone(place):
    said = []
    with System(configuration(place), say=said.append) as system:
        status = system.status()
        assert status["bridge"]["connected"]
        assert [system.log(role).stat().st_mode & 0o137 for role in ("agent", "controller")] == [0, 0]
        assert status["agent"]["answers"]
        assert system.agent.call("hello")["warm"]
        runs = marks(place)
        with pytest.raises(HostError, match="is in use: another LEGO process runs with this run_dir"):
            System(system.config).__enter__()
        system.check()
    assert said[0] in ("Open vSwitch runs", "Open vSwitch started")
    assert said[-2:] == ["agent ready", "controller ready"]
    assert place.left(*runs) == []


def test_a_part_that_ends_is_named_with_its_last_words(place):
    with System(configuration(place)) as system:
        runs = marks(place)
        system.kill("controller")
        with pytest.raises(HostError, match=r"the controller ended.* \(see .*controller\.log\)"):
            system.check()
        system.kill("agent")  # and the agent without a chance to clean up
    assert place.left(*runs) == []


@pytest.mark.parametrize("key", ["rest", "switch"])
def test_a_port_in_use(place, key):
    config = configuration(place)
    port = config.rest.port if key == "rest" else config.switch.openflow_port
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(HostError, match=rf"port {port} of 127.0.0.1 .* is in use by another process: stop it, or set {key}\."),
        System(config),
    ):
        pytest.fail("it must not start")
    assert place.left() == []


@pytest.fixture
def up(place):
    """Runs `lego up` in a process of its own; its configuration lies in another folder than the run_dir."""
    path = place.folder / "etc" / "lego.yaml"
    path.parent.mkdir(mode=0o700)
    config = configuration(place)
    path.write_text(f"run_dir: {place.folder}\nswitch: {{bridge: {place.bridge}, openflow_port: {config.switch.openflow_port}}}\n")
    path.write_text(path.read_text() + f"rest: {{port: {config.rest.port}}}\n")
    children = []

    def start(*options, command=LEGO, cwd=ROOT, env=None):
        log = open(place.folder / "up.log", "wb")  # noqa: SIM115 (the child's)
        with log:
            words = [*command, "up", "--config", str(path), *options]
            children.append(subprocess.Popen(words, cwd=cwd, env=env, stdout=log, stderr=log, start_new_session=True))
        return children[-1], path

    yield start
    for child in children:
        if child.poll() is None:
            child.terminate()
            child.wait(PATIENCE_S)


def lego(*words):
    done = subprocess.run([*LEGO, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def is_up(place, child):
    assert child.poll() is None, (place.folder / "up.log").read_text()
    return "status: http" in (place.folder / "up.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_lego_up_ends_and_leaves_nothing(place, up, number):
    """By Ctrl-C or SIGTERM at once; killed, `lego down` clears up."""
    child, path = up()
    wait_for(lambda: is_up(place, child))
    runs = marks(place)
    child.send_signal(number)
    child.wait(PATIENCE_S)
    if number == signal.SIGKILL:
        assert len([what for run in runs for what in processes.marked(run)]) >= 3, "agent, controller and warm process go on"
        code, text = lego("down", "--config", str(path))
        assert code == 0, text
        assert "ended controller (process" in text
    assert place.left(*runs) == []
    code, text = lego("down", "--config", str(path))
    assert (code, text) == (0, f"nothing of LEGO runs with run_dir {place.folder}\n")


def test_lego_up_starts_anew_what_was_killed_again_and_again(place, up):
    child, _ = up()
    wait_for(lambda: is_up(place, child))
    runs = marks(place)
    said = place.folder / "up.log"
    for nth in range(1, 6):
        role = "agent" if nth % 2 else "controller"
        killed = role_of(place, role)
        killed.send(signal.SIGKILL)
        wait_for(lambda nth=nth: said.read_text().count("it is started anew") == nth)
        wait_for(lambda role=role, killed=killed: len(of_role(place, role)) == 1 and role_of(place, role) != killed)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    child.wait(PATIENCE_S)
    assert place.left(*runs) == []


def of_role(place, role):
    return [thing for thing in peek(place.folder / "system.journal") if thing.kind == "process" and thing.detail["role"] == role]


def role_of(place, role):
    (thing,) = of_role(place, role)
    return Process(int(thing.name), thing.detail["start"])


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_further_signals_do_not_cut_the_end_short(place, up, first):
    child, _ = up()
    wait_for(lambda: is_up(place, child))
    runs = marks(place)
    child.send_signal(first)
    later = itertools.cycle((signal.SIGHUP, signal.SIGTERM, signal.SIGINT))
    while (place.folder / "system.journal").exists() and child.poll() is None:  # it goes with the last thing that is removed
        child.send_signal(next(later))
        time.sleep(0.05)
    child.wait(PATIENCE_S)
    assert place.left(*runs) == []


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0])
def test_ctrl_c_while_it_starts(place, up, seconds):
    child, _ = up()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    runs = marks(place)
    child.send_signal(signal.SIGINT)
    child.wait(PATIENCE_S)
    assert place.left(*runs) == []


POLICY = """
from lego_sdn.core.policy.base import NOTHING
class Calm:
    def __init__(self, scaling): self.scaling = scaling
    def suggest(self, memory, seen): return memory, NOTHING
"""


def test_a_daemon_with_a_policy_from_beside_the_configuration(place, up):
    path = place.folder / "etc" / "lego.yaml"
    (path.parent / "calm.py").write_text(POLICY)
    path.write_text(path.read_text() + 'scaling: {policy: "calm:Calm"}\n')
    child, _ = up("--daemon")
    assert child.wait(PATIENCE_S) == 0, (place.folder / "up.log").read_text()
    code, text = lego("status", "--config", str(path), "--json")
    assert (code, json.loads(text)["scaling"]["policy"]) == (0, "calm:Calm")
    runs = marks(place)
    code, text = lego("up", "--config", str(path))
    used = f"{place.folder}/system.journal is in use: another LEGO process runs with this run_dir"
    assert (code, text) == (2, f"lego: {used}; end it ('lego down'), or choose another run_dir\n")
    assert len([what for run in runs for what in processes.marked(run)]) >= 3
    assert lego("down", "--config", str(path))[0] == 0
    assert place.left(*runs) == []


def test_lego_up_is_refused_while_the_parts_of_a_killed_one_run(place, up):
    child, path = up()
    wait_for(lambda: is_up(place, child))
    runs = marks(place)
    child.kill()
    child.wait(PATIENCE_S)
    code, text = lego("up", "--config", str(path))
    assert (code, text) == (2, f"lego: LEGO runs already with run_dir {place.folder}: 'lego down' ends it\n")
    assert len([what for run in runs for what in processes.marked(run)]) >= 3
    assert lego("down", "--config", str(path))[0] == 0
    assert place.left(*runs) == []


def test_lego_down_ends_a_lego_up_that_runs(place, up):
    child, path = up()
    wait_for(lambda: is_up(place, child))
    runs = marks(place)
    code, text = lego("down", "--config", str(path))
    assert (code, text) == (0, f"ended lego process {child.pid}\n")
    child.wait(10)
    assert place.left(*runs) == []


def test_an_agent_that_was_started_by_hand_is_left_alone(place):
    place.start()
    assert take_down(configuration(place)) == []
    assert Process.of(place.child.pid)
    assert os.path.exists(Path(place.folder, "agent.sock"))


def test_a_child_is_waited_for_also_if_a_signal_came_while_it_was_looked_at():
    """The exception of a signal's handler leaves the lock of `Popen` taken, if it comes at the wrong moment."""
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    child._waitpid_lock.acquire()
    await_end(child)
    assert child.returncode == 3
    child._waitpid_lock.release()
    await_end(child)
