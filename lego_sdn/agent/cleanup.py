"""Removing what a journal says was made, whoever made it: the same for a clean end and after a crash."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from bricks.transport import ring_place
from lego_sdn.adapters.linux import netns, processes
from lego_sdn.adapters.linux.cgroups import Cgroups
from lego_sdn.adapters.linux.journal import Journal, Thing
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.core.facts.errors import HostError, LegoError

LOG = logging.getLogger(__name__)
RING = re.compile(r"lego-[A-Za-z0-9_.-]+")
PATIENCE_S = 3.0
Result = TypeVar("Result")


def _remove_ring(thing: Thing) -> None:
    """A ring has a name of LEGO's and lies in the folder of its run: nothing else is ever removed with all that is in it."""
    if not RING.fullmatch(thing.name):
        raise HostError("that is no name of a ring of LEGO's")
    ring_place.remove(thing.name)


REMOVERS = {
    "namespace": lambda thing: netns.remove(thing.name),
    "veth": lambda thing: netns.remove_link(thing.name),
    "port": lambda thing: Ovs(thing.run).remove_port(thing.name),
    "bridge": lambda thing: Ovs(thing.run).remove_bridge(thing.name),
    "bridge-settings": lambda thing: Ovs(thing.run).restore_bridge(thing.name, thing.detail),
    "switch": lambda thing: Ovs(thing.run).stop(),
    "cgroup": lambda thing: Cgroups().group(thing.name).remove(),
    "file": lambda thing: Path(thing.name).unlink(missing_ok=True),
    "ring": _remove_ring,
    "instance": lambda thing: None,  # a note of how it is made up; its parts are things of their own
}


def remove(journal: Journal, things: list[Thing], patience_s: float = PATIENCE_S) -> None:
    """Remove these things of the journal: processes first and together, the rest from the newest to the oldest.

    What cannot be removed stays in the journal, and the rest is removed all the same; then HostError with the first reason.
    """
    problems: list[str] = []
    _end_processes(journal, things, patience_s, problems)
    for thing in reversed([thing for thing in things if thing.kind in REMOVERS]):
        try:
            REMOVERS[thing.kind](thing)
        except (LegoError, OSError) as error:
            LOG.error("%s %s is still there: %s", thing.kind, thing.name, error)
            problems.append(f"{thing.kind} {thing.name} could not be removed: {error}")
        else:
            journal.gone(thing)
    if problems:
        raise HostError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


def clear(journal: Journal, patience_s: float = PATIENCE_S) -> list[Thing]:
    """Remove everything in the journal; returns what that was."""
    things = journal.things
    remove(journal, things, patience_s)
    return things


def _end_processes(journal: Journal, things: list[Thing], patience_s: float, problems: list[str]) -> None:
    known = [Process(int(thing.name), thing.detail["start"]) for thing in things if thing.kind == "process"]
    found = [process for thing in things if thing.kind == "marked" for process in processes.marked(thing.run)]
    try:
        processes.end({*known, *found}, patience_s)
    except HostError as error:
        problems.append(str(error))
        return
    for thing in things:
        if thing.kind in ("process", "marked"):
            journal.gone(thing)


class OwnedResources:
    """The things of one owner (an instance, an agent) in a journal: written down, then made; removed on request or all together.

    owner  an instance's number, by which an agent that comes later finds what belongs to it
    """

    def __init__(self, journal: Journal, run: str, owner: str | None = None) -> None:
        self.journal, self.run = journal, run
        self.things: list[Thing] = []
        self._owner = {} if owner is None else {"owner": owner}

    def make(self, kind: str, name: str, maker: Callable[[], Result], **detail: Any) -> Result:
        """Write a thing down and make it. If that fails, its half is removed; what has had the name before is left alone."""
        thing = self.note(kind, name, **detail)
        try:
            return maker()
        except netns.NameTaken:
            self.things.remove(thing)
            self.journal.gone(thing)
            raise
        except LegoError:
            self.remove([thing])
            raise

    def note(self, kind: str, name: str, **detail: Any) -> Thing:
        """Write down a thing that somebody else (a brick process) is about to make, or has just been made."""
        thing = self.journal.made(Thing(kind, name, self.run, self._owner | detail))
        self.things.append(thing)
        return thing

    def note_all(self, wanted: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
        """Write down several such things, (kind, name, detail), with one sync of the disk."""
        things = [Thing(kind, name, self.run, self._owner | detail) for kind, name, detail in wanted]
        self.journal.all_made(things)
        self.things += things

    def forget(self, things: list[Thing]) -> None:
        """Somebody else removed these things."""
        for thing in things:
            self.things.remove(thing)
            self.journal.gone(thing)

    def of(self, process: str) -> list[Thing]:
        """What was made for one process."""
        return [thing for thing in self.things if thing.detail.get("of") == process]

    def remove(self, things: list[Thing] | None = None) -> None:
        """Remove these things (all, if not said). HostError with the first reason if something stays."""
        chosen = self.things if things is None else things
        self.things = [thing for thing in self.things if thing not in chosen]
        remove(self.journal, list(chosen))
