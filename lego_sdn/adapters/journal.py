"""What a process made outside itself, written down before it is made, so that whoever comes after a crash removes exactly that.

One file of JSON lines, each synced to the disk before the call returns. A line cut off by a crash is ignored: what it announced was not
made yet. Only one process at a time has a journal open; a journal of an earlier boot remembers only what survives a boot.
What a journal names is removed with root's rights, so one that somebody else may have written is not read.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lego_sdn.core.errors import HostError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # nor wait for the writer of a pipe
SURVIVES_A_BOOT = frozenset({"bridge", "bridge-settings", "port"})  # the rest lives in the kernel or below /run


@dataclass(frozen=True)
class Thing:
    """One thing on this host.

    kind    namespace, veth, port, bridge, bridge-settings, cgroup, process, marked (processes by their mark), file, ring, holder,
            instance (how it is made up)
    name    its name or path; of a process its pid
    run     the run that made it: mark in OVSDB and in the environment of processes
    detail  what its removal needs besides
    """

    kind: str
    name: str
    run: str = ""
    detail: dict[str, Any] = field(default_factory=dict, compare=False)


class Journal:
    """The things that are there, in the order in which they were made."""

    def __init__(self, path: Path, boot_id: str | None = None) -> None:
        self.path = Path(path)
        self.boot_id = boot_id or BOOT_ID.read_text().strip()
        self._things: dict[tuple[str, str, str], Thing] = {}
        self._file = self._open()
        try:
            self._read()
            self._rewrite()
        except BaseException:
            self.close()
            raise

    def made(self, thing: Thing) -> Thing:
        """Write down what is about to be made (or more detail of what was); call it before making."""
        self._things[_key(thing)] = thing
        self._append({"made": asdict(thing)})
        return thing

    def gone(self, thing: Thing) -> None:
        """Write down that it is not there any more."""
        if self._things.pop(_key(thing), None) is not None:
            self._append({"gone": _key(thing)})

    @property
    def things(self) -> list[Thing]:
        """What is there, oldest first; removal goes from the end."""
        return list(self._things.values())

    def close(self) -> None:
        """Give the journal up; the file goes when nothing is left in it."""
        if self._file < 0:
            return
        if not self._things and _same_file(self._file, self.path):
            self.path.unlink()
        os.close(self._file)
        self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {self.path} {len(self._things)} things>"

    def _open(self) -> int:
        try:
            while True:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | FLAGS, 0o600)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(file, self.path):  # not one that its owner has just removed
                    return _own(file, self.path)
                os.close(file)
        except BlockingIOError:
            os.close(file)
            raise HostError(
                f"{self.path} is in use: another LEGO process runs with this run_dir; stop it or choose another run_dir"
            ) from None
        except OSError as error:
            raise HostError(f"cannot open the journal {self.path}: {error.strerror}") from error

    def _read(self) -> None:
        self._things = _parse(os.pread(self._file, os.fstat(self._file).st_size, 0), self.boot_id)

    def _rewrite(self) -> None:
        """Shorten the file to what is there; the new file is locked and on the disk before it takes the place of the old one."""
        lines = [{"boot": self.boot_id}, *({"made": asdict(thing)} for thing in self._things.values())]
        fresh = self.path.with_name(self.path.name + ".new")
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        fresh.unlink(missing_ok=True)  # of a process that was killed here
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | FLAGS, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, data)
        os.fsync(file)
        os.replace(fresh, self.path)
        os.close(self._file)
        self._file = file

    def _append(self, entry: dict) -> None:
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        os.fsync(self._file)


def peek(path: Path) -> list[Thing]:
    """What a journal says, without opening it: another process may hold it. Empty if there is none."""
    try:
        with open(_own(os.open(path, os.O_RDONLY | FLAGS), path), "rb") as file:
            return list(_parse(file.read(), BOOT_ID.read_text().strip()).values())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostError(f"cannot read the journal {path}: {error.strerror}") from error


def _own(file: int, path: Path) -> int:
    """An open journal, if nobody but this user can have written it; else it is closed, and HostError."""
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return file
    os.close(file)
    raise HostError(f"the journal {path} may be another user's work (user {found.st_uid} owns it), so it is not believed: remove it")


def _parse(data: bytes, boot_id: str) -> dict[tuple[str, str, str], Thing]:
    things: dict[tuple[str, str, str], Thing] = {}
    written_in = boot_id
    for line in data.split(b"\n"):
        try:
            entry = json.loads(line)
            if "boot" in entry:
                written_in = entry["boot"]
            elif "made" in entry:
                thing = Thing(**entry["made"])
                things[_key(thing)] = thing
            else:
                kind, name, run = entry["gone"]
                things.pop((kind, name, run), None)
        except (ValueError, TypeError, KeyError):
            continue  # cut off by a crash
    if written_in == boot_id:
        return things
    return {key: thing for key, thing in things.items() if thing.kind in SURVIVES_A_BOOT}


def _key(thing: Thing) -> tuple[str, str, str]:
    return thing.kind, thing.name, thing.run


def _same_file(file: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), there)
