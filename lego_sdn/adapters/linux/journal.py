"""What a process made outside itself, written down before it is made, so that whoever comes after a crash removes exactly that.

One file of JSON lines, each synced to the disk before the call returns. A line cut off by a crash is ignored: what it announced was not
made yet. The line of what is gone is struck out in place, which a full disk allows. Only one process at a time has a journal open;
a journal of an earlier boot remembers only what survives a boot.
What a journal names is removed with root's rights, so one that somebody else may have written is not read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lego_sdn.adapters.linux.lines import Lines, read_lines
from lego_sdn.core.facts.errors import HostError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LONGEST = 1 << 18  # bytes of a journal, before what is gone is left out of it
Key = tuple[str, str, str]
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
        self._lines = Lines(self.path)
        self._to_strike: list[int] = []  # lines of what is gone, which could not be struck out yet
        found, dropped = _parse(self._lines.read(), self.boot_id)
        self._things = {key: one.thing for key, one in found.items()}
        self._starts = {key: one.starts for key, one in found.items()}
        try:
            self._rewrite()
        except OSError:  # no space for another file: this one goes on
            self._go_on(dropped)
        except BaseException:
            self.close()
            raise

    def made(self, thing: Thing) -> Thing:
        """Write down what is about to be made (or more detail of what was); call it before making. HostError if it cannot be written."""
        self.all_made([thing])
        return thing

    def all_made(self, things: Sequence[Thing]) -> None:
        """The same for several things, which are synced to the disk together. If they cannot be written, none of them is there."""
        if not things:
            return
        try:
            if self._lines.is_lost():
                self._rewrite()
            starts = self._lines.add(*(_line({"made": asdict(thing)}) for thing in things))
        except OSError as error:
            named = f"{things[0].kind} {things[0].name}" + (f" (and {len(things) - 1} more)" if len(things) > 1 else "")
            raise HostError(
                f"cannot write down {named} in the journal {self.path} ({error.strerror}), so it is not made: "
                "free space there, or make it writable"
            ) from error
        for thing, start in zip(things, starts, strict=True):
            self._starts.setdefault(_key(thing), []).append(start)
            self._things[_key(thing)] = thing

    def gone(self, thing: Thing) -> None:
        """Write down that it is not there any more. If the disk does not take it, `keep` tries again: to remove it twice does no harm."""
        if self._things.pop(_key(thing), None) is not None:
            self._to_strike += self._starts.pop(_key(thing), [])
            with contextlib.suppress(OSError):
                self._strike()

    def keep(self) -> str | None:
        """Make the file what it should be, if it was lost or could not be written; why it cannot be had, or None. To be called often."""
        try:
            if self._lines.is_lost() or self._lines.size > LONGEST + 2 * sum(map(self._length, self._things.values())):
                self._rewrite()
            self._strike()
            self._lines.refill()
        except OSError as error:
            return f"the journal {self.path} cannot be kept: {error.strerror}"
        return None

    @property
    def things(self) -> list[Thing]:
        """What is there, oldest first; removal goes from the end."""
        return list(self._things.values())

    def close(self) -> None:
        """Give the journal up; the file goes when nothing is left in it."""
        self._lines.close(remove=not self._things)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {self.path} {len(self._things)} things>"

    def _rewrite(self) -> None:
        """Shorten the file to what is there."""
        lines = [_line({"boot": self.boot_id}), *(_line({"made": asdict(thing)}) for thing in self._things.values())]
        starts = self._lines.rewrite(lines)
        self._to_strike = []
        self._starts = {key: [start] for key, start in zip(self._things, starts[1:], strict=True)}

    def _go_on(self, dropped: list[int]) -> None:
        """With the file as it was found: what an earlier boot left in it is struck out before this boot's lines come."""
        self._to_strike = dropped
        with contextlib.suppress(OSError):
            self._strike()
            self._lines.add(_line({"boot": self.boot_id}))

    def _strike(self) -> None:
        while self._to_strike:
            self._lines.strike(self._to_strike[-1])
            self._to_strike.pop()

    @staticmethod
    def _length(thing: Thing) -> int:
        return len(_line({"made": asdict(thing)}))


def peek(path: Path) -> list[Thing]:
    """What a journal says, without opening it: another process may hold it. Empty if there is none."""
    try:
        lines = [(0, line) for line in read_lines(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostError(f"cannot read the journal {path}: {error.strerror}") from error
    return [one.thing for one in _parse(lines, BOOT_ID.read_text().strip())[0].values()]


@dataclass
class _Found:
    """A thing, and where the lines that tell of it begin."""

    thing: Thing
    starts: list[int]


def _parse(lines: list[tuple[int, bytes]], boot_id: str) -> tuple[dict[Key, _Found], list[int]]:
    """What is there; and where the lines begin of what did not survive a boot."""
    found: dict[Key, _Found] = {}
    written_in = boot_id
    for start, line in lines:
        try:
            entry = json.loads(line)
            if "boot" in entry:
                written_in = entry["boot"]
            elif "made" in entry:
                thing = Thing(**entry["made"])
                earlier = found[_key(thing)].starts if _key(thing) in found else []
                found[_key(thing)] = _Found(thing, [*earlier, start])
            else:  # as versions before wrote it
                kind, name, run = entry["gone"]
                found.pop((kind, name, run), None)
        except (ValueError, TypeError, KeyError):
            continue  # struck out, or cut off by a crash
    there = {key: one for key, one in found.items() if written_in == boot_id or one.thing.kind in SURVIVES_A_BOOT}
    return there, [start for key, one in found.items() if key not in there for start in one.starts]


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode()


def _key(thing: Thing) -> Key:
    return thing.kind, thing.name, thing.run
