"""The standby as the handover executor sees it: whether it has every stream, and how it is given them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from ryu.lib import hub

from lego_sdn.core.control.events import Steer, Steered
from lego_sdn.core.facts.errors import LegoError, RpcError
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.traffic.handover import Moved, StateCopy
from lego_sdn.core.traffic.handover_steps import PAUSE_S
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.shared import Shared
from ryu_apps.handover.calls import Asking

LOG = logging.getLogger("lego.mover")
TOKEN_BITS = 50
QUESTIONS = 2000  # whether an instance has scored what it had at the cut


class StandbyStreams:
    """`copy` takes the steps of a `StateCopy` move.

    ready  the standby that has every stream and gets every packet; None: there is none
    heir   the last one that took over: it owns buckets and is a standby no more
    """

    def __init__(self, shared: Shared, asking: Asking, copy: Callable[[StateCopy, Steer], tuple[tuple[Moved, ...], str | None]]) -> None:
        self.shared, self._asking, self._copy = shared, asking, copy
        self._given: ObservedProcess | None = None  # the process of the standby that has every stream
        self.heir: int | None = None

    @property
    def ready(self) -> int | None:
        process = self._given
        if process is None or self.shared.observed.processes.get((process.instance, process.process)) is not process:
            return None
        return process.instance

    def took_over(self) -> None:
        """It owns buckets: it is a standby no more."""
        self.heir, self._given = self.ready, None

    def forget(self) -> None:
        self._given = None

    def adopt(self, ports: Collection[int]) -> dict[int, int]:
        """After a restart of the controller: find the standby of the one before. Buckets that such a one has taken over: bucket -> heir."""
        owned: dict[int, int] = {}
        for process in self._processes(ports) if self.shared.config.standby else ():
            try:
                standing = self._asking.call(process, "standing", [])
            except LegoError as error:
                LOG.warning("instance %d does not say whether it is a standby: %s", process.instance, error)
                continue
            if standing["standby"]:
                LOG.info("instance %d is a standby: %s", process.instance, standing)
            owned |= dict.fromkeys(standing["owned"], process.instance)
            if standing["standby"] and (standing["complete"] or standing["owned"]):
                self._given = process
        return owned

    def after(self, steer: Steer, done: Steered) -> Steered:
        """The rules are those of `steer`, or (`done`) they are not. A standby that lacks streams is given them."""
        if self.ready != steer.standby or any(one.error is not None and one.standby is None for one in done.moved):
            self.forget()
        if steer.standby is None or steer.standby not in steer.ports or done.error is not None:
            return done
        if self.ready is None:
            error = self._give(steer.standby, steer)
            if error is not None:
                self.shared.note(Notice("standby", f"the standby could not be given every stream: {error}", instance=steer.standby))
                return done
        return replace(done, standby=self.ready)

    def _processes(self, instances: Collection[int]) -> list[ObservedProcess]:
        return [process for process in list(self.shared.observed.processes.values()) if process.instance in instances]

    def _give(self, standby: int, steer: Steer) -> str | None:
        """Why it could not be given every stream, or None."""
        assignment = dict(steer.assignment)
        move = StateCopy(secrets.randbits(TOKEN_BITS) | 1, assignment, assignment, frozenset(), to=standby)
        copied, error = self._copy(move, steer)
        failed = error or next((one.error for one in copied if one.error is not None), None)
        if failed is not None or move.cut is None:
            return failed or "no instance told where it stands"
        try:
            for owner in sorted(set(assignment.values())):
                self._await_scored(owner)
            for process in self._processes([standby]):
                self._asking.call(process, "keep_from", [move.cut])
                if not self._asking.call(process, "standing", [])["complete"]:
                    return "it lost packets or streams meanwhile"
                self._given, self.heir = process, None
        except LegoError as problem:
            return str(problem)
        return None

    def _await_scored(self, owner: int) -> None:
        """Until it has scored all that it has taken by now, which is more than all up to the cut."""
        wanted = max((taken for taken, _ in self._progress(owner) if taken is not None), default=0)
        for _ in range(QUESTIONS):
            if max((scored for _, scored in self._progress(owner) if scored is not None), default=0) >= wanted:
                return
            hub.sleep(PAUSE_S)
        raise RpcError(f"instance {owner} does not come to an end of what it took in")

    def _progress(self, owner: int) -> list[tuple[Any, Any]]:
        told = [self._asking.call(process, "progress", []) for process in self._processes([owner])]
        return [(one["taken"], one["scored"]) for one in told]
