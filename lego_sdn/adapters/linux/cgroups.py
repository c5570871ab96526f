"""CPU quotas and CPU accounts of groups of processes: cgroup v2 and v1; foreign errors become HostError here."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lego_sdn.core.facts.errors import HostError

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 20_000  # a fifth of the usual: a throttled brick waits at most 20 ms for its next share
LEAST_QUOTA_US = 1_000  # the kernel takes no less
INSTEAD = "or set instance.cpu_quota to null to run without CPU quotas"


@contextlib.contextmanager
def _mapped(doing: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise HostError(f"cannot {doing}: {error.strerror}; run the agent as root, {INSTEAD}") from error
    except OSError as error:
        raise HostError(f"cannot {doing}: {error.strerror}; see whether {error.filename} is a writable cgroup, {INSTEAD}") from error


class Cgroups:
    """The cgroups of this host; `version` is 2, 1, or None where there is no cpu controller.

    period_us  over which quotas are reckoned
    """

    def __init__(self, root: Path = ROOT, period_us: int = PERIOD_US) -> None:
        self.root, self.period_us = Path(root), period_us
        self.version, self._hierarchies = _find(self.root)

    def group(self, name: str) -> CpuGroup:
        """The group of that name, made or not. HostError if this host has no cpu controller."""
        if self.version is None:
            raise HostError(
                f"CPU quotas need the cpu controller of cgroups, and {self.root} has none; mount it (mount -t cgroup2 none {ROOT}), "
                f"{INSTEAD}"
            )
        return CpuGroup(self.version, [hierarchy / name for hierarchy in self._hierarchies], self.period_us)

    def create(self, name: str) -> CpuGroup:
        """A new group without a quota, right below the root. HostError if the host does not allow it."""
        group = self.group(name)
        if self.version == 2:
            with _mapped(f"give the cpu controller to the groups below {self.root}"):
                given = self.root / "cgroup.subtree_control"
                if "cpu" not in given.read_text().split():
                    given.write_text("+cpu")
        with _mapped(f"create the cgroup {name}"):
            for directory in group.directories:
                directory.mkdir(exist_ok=True)
        return group

    def __repr__(self) -> str:
        return f"<Cgroups v{self.version} {self.root}>"


class CpuGroup:
    """One group of processes. `directories[0]` has the cpu controller; v1 may keep its accounts in a second hierarchy."""

    def __init__(self, version: int, directories: list[Path], period_us: int = PERIOD_US) -> None:
        self.version, self.directories, self.period_us = version, directories, period_us

    @property
    def directory(self) -> Path:
        """Where a process writes its pid into `cgroup.procs` to come under the quota."""
        return self.directories[0]

    def set_quota(self, cores: float | None) -> None:
        """Let the group's processes use `cores` together (0.2 is a fifth of one core); None: as much as there is."""
        if cores is not None and not cores > 0:
            raise HostError(f"a CPU quota of {cores} cores is impossible: it must be above 0, or null for none")
        period = self.period_us if cores is None else max(self.period_us, math.ceil(LEAST_QUOTA_US / cores))
        quota = None if cores is None else round(cores * period)
        with _mapped(f"set the CPU quota of {self.directory.name}"):
            if self.version == 2:
                (self.directory / "cpu.max").write_text(f"{'max' if quota is None else quota} {period}")
                return
            (self.directory / "cpu.cfs_quota_us").write_text("-1")  # a period that does not fit the old quota is refused
            (self.directory / "cpu.cfs_period_us").write_text(str(period))
            if quota is not None:
                (self.directory / "cpu.cfs_quota_us").write_text(str(quota))

    def quota(self) -> float | None:
        """The quota in cores, or None."""
        with _mapped(f"read the CPU quota of {self.directory.name}"):
            if self.version == 2:
                quota, period = (self.directory / "cpu.max").read_text().split()
            else:
                quota, period = ((self.directory / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if quota in ("max", "-1") else int(quota) / int(period)

    def add(self, pid: int) -> None:
        """Put a process into the group; children that it has already stay where they are."""
        with _mapped(f"put process {pid} into the cgroup {self.directory.name}"):
            for directory in self.directories:
                (directory / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        """Processes in the group."""
        with _mapped(f"read the cgroup {self.directory.name}"):
            return [int(pid) for pid in (self.directory / "cgroup.procs").read_text().split()]

    def cpu_s(self) -> float:
        """CPU seconds that the group has used."""
        with _mapped(f"read the CPU account of {self.directory.name}"):
            if self.version == 2:
                return _stat(self.directory)["usage_usec"] / 1e6
            return int((self.directories[-1] / "cpuacct.usage").read_text()) / 1e9

    def exists(self) -> bool:
        return any(directory.exists() for directory in self.directories)

    def remove(self, deadline_s: float = 2.0) -> None:
        """Remove the group, waiting up to `deadline_s` for the last of its processes to be gone; nothing happens if it is not there."""
        deadline = time.monotonic() + deadline_s
        for directory in self.directories:
            with _mapped(f"remove the cgroup {directory}"):
                while not _removed(directory, deadline):
                    time.sleep(0.005)

    def __repr__(self) -> str:
        return f"<Group v{self.version} {self.directory}>"


def _find(root: Path) -> tuple[int | None, list[Path]]:
    """(version, hierarchies): the one with the cpu controller first, the one with the accounts last."""
    with contextlib.suppress(OSError):
        if "cpu" in (root / "cgroup.controllers").read_text().split():
            return 2, [root]
    for name in ("cpu", "cpu,cpuacct"):
        if (root / name / "cpu.cfs_quota_us").exists() or (root / name / "cpu.shares").exists():
            accounts = [root / other for other in (name, "cpuacct", "cpuacct,cpu") if (root / other / "cpuacct.usage").exists()]
            same = not accounts or os.path.samefile(accounts[0], root / name)
            return 1, [root / name] if same else [root / name, accounts[0]]
    return None, []


def _stat(directory: Path) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in (directory / "cpu.stat").read_text().splitlines())}


def _removed(directory: Path, deadline: float) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY or time.monotonic() > deadline:
            raise
        return False
    return True
