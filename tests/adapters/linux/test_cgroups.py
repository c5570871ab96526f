"""CPU quotas on both versions of cgroups: against folders that look like them, and this machine's own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bricks.service.usage import throttled_s
from lego_sdn.adapters.linux.cgroups import Cgroups
from lego_sdn.core.facts.errors import HostError


@pytest.fixture
def v2(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
    return tmp_path


@pytest.fixture
def v1(tmp_path):
    """The cpu controller and the accounts in two hierarchies, and a v2 hierarchy without controllers beside them."""
    for name, file in (("cpu", "cpu.shares"), ("cpuacct", "cpuacct.usage"), ("unified", "cgroup.controllers")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("")
    return tmp_path


def test_v2_quota(v2):
    cgroups = Cgroups(v2)
    group = cgroups.create("lego-x")
    assert cgroups.version == 2
    assert (v2 / "cgroup.subtree_control").read_text() == "+cpu"
    assert group.directory == v2 / "lego-x"
    group.set_quota(0.2)
    assert (group.directory / "cpu.max").read_text() == "4000 20000"
    assert group.quota() == 0.2
    group.set_quota(1.5)
    assert group.quota() == 1.5
    group.set_quota(0.01)  # the kernel takes no quota below a millisecond: the period grows
    assert (group.directory / "cpu.max").read_text() == "1000 100000"
    group.set_quota(None)
    assert (group.directory / "cpu.max").read_text() == "max 20000"
    assert group.quota() is None
    group.add(42)
    assert group.pids() == [42]
    (group.directory / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nnr_throttled 3\nthrottled_usec 750000\n")
    assert (group.cpu_s(), throttled_s(group.directory / "cpu.stat")) == (2.5, 0.75)


def test_v1_quota(v1):
    cgroups = Cgroups(v1)
    group = cgroups.create("lego-x")
    assert cgroups.version == 1
    assert group.directories == [v1 / "cpu" / "lego-x", v1 / "cpuacct" / "lego-x"]
    group.set_quota(0.5)
    assert [(group.directory / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")] == ["10000", "20000"]
    group.set_quota(None)
    assert group.quota() is None
    group.add(42)
    assert [(directory / "cgroup.procs").read_text() for directory in group.directories] == ["42", "42"]
    (group.directory / "cpu.stat").write_text("nr_periods 5\nnr_throttled 3\nthrottled_time 750000000\n")
    (group.directories[1] / "cpuacct.usage").write_text("2500000000\n")
    assert (group.cpu_s(), throttled_s(group.directory / "cpu.stat")) == (2.5, 0.75)


def test_v1_with_both_controllers_in_one_hierarchy(tmp_path):
    (tmp_path / "cpu,cpuacct").mkdir()
    for file in ("cpu.shares", "cpuacct.usage"):
        (tmp_path / "cpu,cpuacct" / file).write_text("")
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    assert Cgroups(tmp_path).create("lego-x").directories == [tmp_path / "cpu" / "lego-x"]


def test_a_host_without_the_cpu_controller(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    assert Cgroups(tmp_path).version is None
    with pytest.raises(HostError, match=r"need the cpu controller .* mount it .* or set instance\.cpu_quota to null"):
        Cgroups(tmp_path).create("lego-x")


def test_what_the_host_refuses_is_said(v2):
    (v2 / "cgroup.subtree_control").unlink()
    (v2 / "cgroup.subtree_control").mkdir()
    with pytest.raises(HostError, match="cannot give the cpu controller"):
        Cgroups(v2).create("lego-x")
    group = Cgroups(v2).group("absent")
    with pytest.raises(HostError, match="cannot set the CPU quota of absent: No such file"):
        group.set_quota(1)
    for cores in (0, -1):
        with pytest.raises(HostError, match="impossible"):
            group.set_quota(cores)
    group.remove()
    assert not group.exists()


@pytest.mark.root
def test_this_machines_own():
    """A busy process under a quota of a fifth of a core is throttled; afterwards the group is gone."""
    cgroups = Cgroups()
    group = cgroups.create(f"lego-test-{os.getpid()}")
    try:
        group.set_quota(0.2)
        assert group.quota() == pytest.approx(0.2)
        child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            group.add(child.pid)
            assert child.pid in group.pids()
            while throttled_s(group.directory / "cpu.stat") == 0:  # ends, or the quota does nothing and the test's time runs out
                assert child.poll() is None
            assert group.cpu_s() > 0
            with pytest.raises(HostError, match=r"cannot remove the cgroup .*busy"):
                group.remove(deadline_s=0.05)
        finally:
            child.kill()
            child.wait()
    finally:
        group.remove()
    assert not group.exists()
