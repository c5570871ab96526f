"""Transition of a running instance from one layout to another while packets flow: no row is lost, repeated or put out of order.

A process downstream listens before the one upstream sends. A process that leaves gets no more rows and finishes those that it has; its
rings are read until then.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.agent.layout import InstanceLayout, Rings, merged
from lego_sdn.agent.processes import BrickProcesses
from lego_sdn.core.facts.errors import BrickError, LegoError
from lego_sdn.core.facts.graph import node_of

LOG = logging.getLogger(__name__)
DRAIN_S = 2.0  # after which it is looked whether what waits gets less
MOST_S = 60.0  # for all of it: a ring of 8,192 rows is done by then, at 140 rows/s
SETTLE_S = 20.0  # until keyed bricks have taken in what is on its way to them
LEASE_S = 3.0  # of a pause: should the agent die, packets are taken again
DEAL_S = 60.0


@dataclass
class LayoutTransition:
    """One change: the wiring before and after it, and the processes that are dead already (nobody waits for them).

    reports  final load reports of the processes that went; dealt: what the process at the interface says of the streams that moved
    undone   what failed when packets went the new way already, a sentence each
    """

    processes: BrickProcesses
    old: InstanceLayout
    new: InstanceLayout
    dead: frozenset[str] = frozenset()
    reports: list[dict[str, Any]] = field(default_factory=list)
    dealt: dict[str, Any] | None = None
    undone: list[str] = field(default_factory=list)

    @property
    def fresh(self) -> list[str]:
        return [name for name in self.new.processes if name not in self.old.processes]

    @property
    def gone(self) -> list[str]:
        return [name for name in self.old.processes if name not in self.new.processes]

    @property
    def staying(self) -> list[str]:
        return [name for name in self.new.processes if name in self.old.processes and name not in self.dead]

    # ---- the steps ----
    def carry_out(self) -> LayoutTransition:
        """All of it. If something fails before packets go the new way, everything is as it was; LegoError says why."""
        try:
            self._announce()
            for name in self.fresh:
                self.processes.fork(name, self.new)
            self._listen()
            for name in self.fresh:
                self.processes.await_answer(name)
            self._send(self.new, self.old)
            self._share_out()
        except BaseException:
            self._call_off()
            raise
        self._finish()
        return self

    def _announce(self) -> None:
        """In the journal, with one sync: the new rings, and what the new processes make by themselves."""
        known = {thing.name for thing in self.processes.belongings.things}
        wanted = [thing for name in self.fresh for thing in self.processes.makes(name)]
        for ring in self.new.rings:
            if ring.name not in known:
                ends = [self.new.process_of(end) for end in (ring.source, ring.target)]
                owner = next((end for end in ends if end in self.fresh), None)
                wanted.append(("ring", ring.name, {} if owner is None else {"of": owner}))
        self.processes.belongings.note_all(wanted)

    def _listen(self) -> None:
        """Who stays reads old rings and new ones."""
        for name in self.staying:
            added = {brick: self._joint(brick) for brick in self.new.processes[name] if self._joint(brick) != self.old.inputs(brick)}
            if added:
                self.processes.call(name, "inputs", added)

    def _joint(self, brick: str) -> Rings:
        return merged(self.old.inputs(brick), self.new.inputs(brick))

    def _send(self, to: InstanceLayout, instead_of: InstanceLayout) -> None:
        """Who stays sends where `to` says; an idle brick keeps its rings until it is empty. The shares of keyed bricks are another step."""
        for name in self.staying:
            routes = {brick: (_undealt(to, brick), _undealt(instead_of, brick)) for brick in to.working(name)}
            changed = {brick: wanted for brick, (wanted, before) in routes.items() if wanted != before}
            if to.idle(name) != instead_of.idle(name):
                self.processes.call(name, "routes", changed, to.idle(name))
            elif changed:
                self.processes.call(name, "routes", changed)

    def _share_out(self) -> None:
        """Streams and packets go to the keyed bricks that there are now; packets wait at the interface meanwhile."""
        for node in self.new.graph.keyed:
            if self.new.of_kind(node) != self.old.of_kind(node):
                self._share_out_among(node)

    def _share_out_among(self, node: str) -> None:
        front = self.new.process_of(self.new.source)
        lost = [brick for name in self.dead for brick in self.old.processes[name] if node_of(brick) == node]
        if lost:
            self.processes.call(front, "bury", lost)
        self._pause(front, node)
        self.dealt = self.processes.call(front, "deal", self.processes.shares(self.new, node), timeout=DEAL_S)

    def _pause(self, front: str, node: str) -> None:
        deadline = time.monotonic() + SETTLE_S
        while not self.processes.call(front, "pause", LEASE_S):
            if time.monotonic() > deadline:
                self.processes.call(front, "pause", 0)
                raise BrickError(f"{node} still had packets to take in after {SETTLE_S:g} s of a pause: try again under less load")
            time.sleep(0.002)

    def _finish(self) -> None:
        """Who goes is emptied; then nobody listens to it any more."""
        for name in self.gone:
            if name not in self.dead:
                self._attempt(lambda name=name: self.reports.append(self._drained(name)))
        for name in self.staying:
            vacated = [brick for brick in self.new.idle(name) if brick not in self.old.idle(name)]
            for brick in vacated:
                self._attempt(lambda name=name, brick=brick: self._vacate(name, brick))
            changed = {brick: self.new.inputs(brick) for brick in self.new.working(name) if self.new.inputs(brick) != self._joint(brick)}
            if changed:
                self._attempt(lambda name=name, changed=changed: self.processes.call(name, "inputs", changed))
        for name in self.gone:
            self.processes.stop(name)
            self.processes.belongings.remove(self.processes.belongings.of(name))
        if self.gone:
            self._attempt(lambda: self.processes.set_quotas(self.new.arrangement.quotas))

    def _drained(self, name: str) -> dict[str, Any]:
        """Its last report, when nothing waits in it any more. It may take long, if it is slow, as long as something gets done."""
        before, report, until = math.inf, self._drain(name), time.monotonic() + MOST_S
        while 0 < _waiting(report) < before and time.monotonic() < until:
            before, report = _waiting(report), self._drain(name)
        if _waiting(report):
            self.undone.append(f"{name} ended with {_waiting(report)} rows before it that it did not get done: they count as lost")
        return report

    def _drain(self, name: str) -> dict[str, Any]:
        return self.processes.call(name, "drain", round(DRAIN_S * 1e3), timeout=DRAIN_S + 2)

    def _vacate(self, name: str, idle: str) -> None:
        """An idle brick ends what was sent to it; then it neither reads nor sends."""
        if any(ring.target == idle for ring in self.old.rings):
            self.processes.call(name, "inputs", {idle: []})
            self.processes.await_empty(name, idle, DRAIN_S)
        if any(ring.source == idle for ring in self.old.rings):
            self.processes.call(name, "routes", {idle: []})

    def _attempt(self, act: Any) -> None:
        """Packets go the new way already: what fails now is told, and for `check`."""
        try:
            act()
        except LegoError as error:
            LOG.warning("instance %d: %s", self.new.instance, error)
            self.undone.append(str(error))

    def _call_off(self) -> None:
        """Back to the wiring of before."""
        self._attempt(lambda: self._send(self.old, self.new))
        for name in self.staying:
            added = {brick: self.old.inputs(brick) for brick in self.old.processes[name] if self._joint(brick) != self.old.inputs(brick)}
            if added:
                self._attempt(lambda name=name, added=added: self.processes.call(name, "inputs", added))
        for name in self.fresh:
            if name in self.processes.replicas:
                self.processes.stop(name)
            self.processes.belongings.remove(self.processes.belongings.of(name))


def _undealt(layout: InstanceLayout, brick: str) -> Rings:
    """A brick's routes but for those to keyed bricks: `deal` says which of these get what."""
    routes, keyed = layout.routes(brick), layout.graph.keyed
    if isinstance(routes, dict):
        return {node: rings for node, rings in routes.items() if node not in keyed}
    return [] if set(layout.graph.after(node_of(brick))) <= set(keyed) else routes


def _waiting(report: dict[str, Any]) -> int:
    """Rows that wait in a process."""
    return sum(brick["queue_in"] for brick in report["bricks"])
