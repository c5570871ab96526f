"""`lego up` from outside: Open vSwitch ends, the disk is full, the run_dir is lost; traffic goes on or comes back, and all else does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs import unixctl
from tests.fakes.disk import fill, small_disk
from tests.fakes.host import PATIENCE_S, ROOT
from tests.fakes.lego_up import lego_up, until
from tests.system.test_local import marks

pytestmark = pytest.mark.root


@pytest.fixture
def up():
    with lego_up() as made:
        yield made


@pytest.mark.parametrize("daemon", ["ovs-vswitchd", "ovsdb-server"])
def test_an_open_vswitch_that_was_started_here_is_started_again(up, daemon):
    subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "stop"], check=True, capture_output=True)
    try:
        up.start()
        assert "Open vSwitch started" in up.said()
        os.kill(unixctl.pid(daemon), signal.SIGKILL)
        until(lambda: f"({daemon} ended)" in up.said() and "started anew" in up.said(), up.said)
        until(lambda: up.is_well() and up.forwards(), up.said)
        assert up.child.poll() is None
        up.close()
    finally:
        subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "start", "--system-id=random"], check=True, capture_output=True)


def test_an_open_vswitch_that_was_started_here_and_hangs_is_started_anew(up):
    subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "stop"], check=True, capture_output=True)
    try:
        up.start()
        victim = Process.of(unixctl.pid())
        victim.send(signal.SIGSTOP)
        until(lambda: any("Open vSwitch hangs" in one for one in up.missing()), up.said, 15)
        until(lambda: not victim.is_alive(), up.said, 45)
        until(lambda: up.is_well() and up.forwards(), up.said)
        assert "Open vSwitch has not answered for 10 s and was killed" in up.said()
        up.close()
    finally:
        subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "start", "--system-id=random"], check=True, capture_output=True)


def test_an_open_vswitch_of_somebody_else_that_hangs_is_told_and_left_alone(up):
    up.start()
    victim = Process.of(unixctl.pid())
    victim.send(signal.SIGSTOP)
    try:
        until(lambda: any("Open vSwitch hangs" in one for one in up.missing()), up.said, 15)
    finally:
        victim.send(signal.SIGCONT)
    until(lambda: up.is_well() and not any("hangs" in one for one in up.missing()), up.said)
    assert Process.of(unixctl.pid()) == victim
    assert up.forwards()


def test_a_limit_on_tags_that_is_changed_meanwhile_is_told(up):
    up.start()
    subprocess.run(["ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"], check=True)
    try:
        until(lambda: any("vlan-limit=2" in one for one in up.missing()), up.said, 20)
    finally:
        subprocess.run(["ovs-vsctl", "remove", "Open_vSwitch", ".", "other_config", "vlan-limit"], check=True)
    until(lambda: not any("vlan-limit" in one for one in up.missing()), up.said, 20)


def test_an_open_vswitch_of_somebody_else_is_told_of_in_true_words(up):
    up.start()
    os.kill(unixctl.pid(), signal.SIGKILL)
    try:
        until(lambda: any("ovs-vswitchd ended" in one for one in up.missing()), lambda: str(up.status()))
        assert not any("run 'lego up'" in one for one in up.missing())
        assert unixctl_is_dead(), "whoever started it is to start it again"
    finally:
        subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "start", "--system-id=random"], check=True, capture_output=True)
    until(lambda: up.is_well() and not any("ended" in one for one in up.missing()), up.said)
    assert up.forwards()


def unixctl_is_dead() -> bool:
    return Process.of(unixctl.pid()) is None


def test_a_full_disk_ends_nothing_and_hinders_no_end(up):
    with small_disk(up.host.folder, 4096):
        up.start()
        runs = marks(up.host)
        filler = fill(up.host.folder)
        up.role("controller").send(signal.SIGKILL)
        up.role("agent").send(signal.SIGKILL)
        until(lambda: up.said().count("it is started anew") >= 2, up.said)
        until(up.is_well, up.said)
        until(up.forwards, up.said, 10)
        until(lambda: any("not kept over a restart" in one for one in up.missing()), lambda: str(up.status()))
        filler.unlink()
        until(lambda: not any("not kept over a restart" in one for one in up.missing()), lambda: str(up.status()))
        fill(up.host.folder)
        up.child.send_signal(signal.SIGTERM)
        up.child.wait(PATIENCE_S)
        assert up.host.left(*runs) == []


def test_lego_down_clears_up_on_a_full_disk(up):
    with small_disk(up.host.folder, 4096):
        up.start()
        runs = marks(up.host)
        up.child.kill()
        up.child.wait()
        fill(up.host.folder)
        command = [sys.executable, "-m", "lego_sdn", "down", "--config", str(up.path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert up.host.left(*runs) == []


def test_a_run_dir_that_was_lost_comes_back(up):
    up.start()
    while up.host.folder.exists():  # what runs writes into it meanwhile
        shutil.rmtree(up.host.folder, ignore_errors=True)
    until(lambda: (up.host.folder / "system.journal").exists() and (up.host.folder / "agent.journal").exists(), up.said)
    until(lambda: (up.host.folder / "agent.sock").exists() and up.is_well(), up.said)
    assert up.forwards()
    until(lambda: (up.host.folder / "controller.db").exists(), up.said, 10)
