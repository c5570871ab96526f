"""Makes the switch's rules those of the assignment: the only sender of OpenFlow.

What the switch holds is read from it, never assumed: when it connects, after an error, and when the number of its rules is not what it
should be. Changes are differences, each in one atomic bundle.
"""

from __future__ import annotations

import logging
import queue
import time

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub

from lego_sdn.core.audit import sampled
from lego_sdn.core.errors import LegoError, RpcError
from lego_sdn.core.events import Note, Steer, SwitchDown, SwitchUp
from lego_sdn.core.rules import Rule
from lego_sdn.core.steering import OWN, Change, Options, compile_rules, diff
from ryu_apps import openflow
from ryu_apps.ahead import Ahead
from ryu_apps.hurry import Hurry
from ryu_apps.mover import Mover, Rules
from ryu_apps.observed import Bridge, BucketRates, PortLosses
from ryu_apps.shared import Shared, every, spawn
from ryu_apps.switch import Switch, SwitchError

LOG = logging.getLogger("lego.steering")
REPAIR = "repair"
AGENT_S, AGENT_LOOK_S = 10.0, 0.1  # for an agent to come back while packets wait for it; between two looks


class Steering(app_manager.RyuApp):
    """One bridge is steered: the one of the configured name. Others that connect are shown and left alone."""

    OFP_VERSIONS = [openflow.VERSION]  # noqa: RUF012 (Ryu's declaration)
    _CONTEXTS = {"lego": Shared}  # noqa: RUF012

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared = lego
        self.switch: Switch | None = None
        self.switches: dict[int, Switch] = {}
        self.wanted: Steer | None = None
        self.installed: frozenset[Rule] | None = None  # None: read it
        self.foreign: frozenset[Rule] = frozenset()
        self.in_the_way: frozenset[Rule] = frozenset()  # of them, those that kept LEGO's last rules out
        self.work: queue.Queue[Steer | str] = queue.Queue()
        self.revision = 0  # odd while rules are being changed
        self.rates = BucketRates()
        self.ahead: Ahead | None = None
        self.mover = Mover(lego, Rules(self._prepare, self._carry_out, self._send_frames, lambda: self.switch is not None))
        self.losses = PortLosses()
        lego.performers[Steer] = self.work.put
        lego.read_flows, lego.audit_anew = self.flows, self._audit_anew

    def start(self) -> None:
        super().start()
        spawn(self._work)
        spawn(self.mover.keep_open)
        every(self.shared.config.scaling.period_s, self._watch)

    # ---- connections ----
    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _state_changed(self, event) -> None:
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            self._connected(Switch(datapath))
        elif datapath.id in self.switches and self.switches[datapath.id].datapath is datapath:
            self._gone(self.switches[datapath.id])

    def _connected(self, switch: Switch) -> None:
        old = self.switches.get(switch.dpid)
        if old is not None:
            self._gone(old)
        ours = switch.name == self.shared.config.switch.bridge
        self.switches[switch.dpid] = switch
        self.shared.observed.bridges[switch.dpid] = Bridge(switch.dpid, switch.name, ours, time.monotonic(), switch.port_numbers())
        if not ours:
            LOG.info(
                "switch %s (%016x) connected; it is not %s and is left alone", switch.name, switch.dpid, self.shared.config.switch.bridge
            )
            return
        self.switch, self.installed = switch, None
        self.rates.forget()
        self.shared.put(SwitchUp(switch.dpid))
        self.shared.agent_to_be_told = True
        self.shared.wake_agent.set()

    def _gone(self, switch: Switch) -> None:
        switch.close()
        del self.switches[switch.dpid]
        self.shared.observed.bridges.pop(switch.dpid, None)
        if switch is self.switch:
            self.switch, self.installed = None, None
            self.shared.put(SwitchDown(switch.dpid))

    # ---- answers of a switch ----
    @set_ev_cls(
        [
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPAggregateStatsReply,
            ofp_event.EventOFPPortStatsReply,
            ofp_event.EventOFPBundleCtrlMsg,
            ofp_event.EventOFPBarrierReply,
            ofp_event.EventOFPErrorMsg,
        ],
        [CONFIG_DISPATCHER, MAIN_DISPATCHER],
    )
    def _answered(self, event) -> None:
        switch = self.switches.get(event.msg.datapath.id)
        taken = switch is not None and switch.answer(event.msg)
        if not taken and openflow.is_error(event.msg):
            LOG.warning(
                "switch %s: %s, about no message that waits for an answer", switch or "that connects", openflow.error_text(event.msg)
            )

    @set_ev_cls(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)
    def _ports_changed(self, event) -> None:
        switch = self.switches.get(event.datapath.id)
        if switch is not None:
            self.shared.observed.bridges[switch.dpid].ports = switch.port_numbers()
            self.work.put(REPAIR)  # a wire's port may have come, or be another one now

    # ---- rules ----
    def flows(self) -> list[openflow.Flow]:
        """LEGO's flows on the steered bridge, read now. Raises SwitchError."""
        if self.switch is None:
            raise SwitchError(f"the bridge {self.shared.config.switch.bridge} is not connected")
        return self.switch.flows()

    def _work(self) -> None:
        while True:
            task = self.work.get()
            while not self.work.empty():  # only the latest assignment counts
                later = self.work.get()
                task = later if isinstance(later, Steer) or not isinstance(task, Steer) else task
            if isinstance(task, Steer):
                self.wanted = task
                self.shared.put(self.mover.steer(task))
            elif self.wanted is not None and self.switch is not None:
                answer = self.mover.steer(self.wanted)
                if answer.error is None:  # perhaps it was not in force before: a wire's port was missing
                    self.shared.put(answer)
                else:
                    LOG.warning("the rules could not be put right: %s", answer.error)

    def _send_frames(self, frames: list[tuple[int, bytes]]) -> None:
        if self.switch is not None:
            self.switch.send_frames(frames)

    def _audit_anew(self) -> None:
        self.mover.twinning.forget()
        self.work.put(REPAIR)

    def _carry_out(self, steer: Steer) -> str | None:
        """Why it failed, after a second try on what the switch says it holds; None if the rules are in force."""
        error = None
        self.revision += 1
        for _ in range(2):
            try:
                self._apply(steer)
                error = None
                break
            except LegoError as failure:
                self.installed, error = None, str(failure)
                if self.switch is None:
                    break
        self.revision += 1
        if self.switch is not None:
            self.shared.observed.bridges[self.switch.dpid].error = error
        return error

    def _apply(self, steer: Steer) -> None:
        switch, began = self.switch, time.monotonic()
        if switch is None:
            raise SwitchError(f"the bridge {self.shared.config.switch.bridge} is not connected")
        change = self._commit(steer, switch)
        replaced = {rule.key for rule in (*change.add, *change.delete)}
        self.installed = frozenset(rule for rule in self.installed or () if rule.key not in replaced) | frozenset(change.add)
        committed = time.monotonic()
        if steer.settle:
            self._settle(switch)
        self._record(steer, len(change.add), len(change.delete), committed - began)

    def _commit(self, steer: Steer, switch: Switch) -> Change:
        """What was staged for this very change has only to be put into force."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None and ahead.serves(steer, switch, self.installed):
            switch.commit_staged(ahead.staged)
            return ahead.change
        if ahead is not None and ahead.switch is switch:
            switch.discard(ahead.staged)
        change = self._change(steer, switch)
        switch.commit(change)
        return change

    def _change(self, steer: Steer, switch: Switch) -> Change:
        wanted = compile_rules(steer.assignment, steer.ports, self._options(switch))
        if self.installed is None:
            self._read(switch)
        change = diff(self.installed or (), wanted)
        if steer.keep:
            change = type(change)(add=change.add)
        self._refuse_to_overwrite(switch, change.add)
        return change

    def _prepare(self, steer: Steer) -> None:
        """Before packets wait for it: everything that takes time, so that only the commit is left. What fails now is told then."""
        if self.switch is None:
            return
        try:
            change = self._change(steer, self.switch)
            if change:
                self.ahead = Ahead(steer, self.switch, self.installed, change, self.switch.stage(change))
        except LegoError as error:
            LOG.warning("rules could not be prepared: %s", error)

    def _read(self, switch: Switch) -> None:
        flows = switch.flows(everyone=True)
        self.installed = frozenset(flow.rule for flow in flows if flow.ours)
        self.foreign = frozenset(flow.rule for flow in flows if not flow.ours)

    def _refuse_to_overwrite(self, switch: Switch, rules: tuple[Rule, ...]) -> None:
        wanted = {rule.key for rule in rules}
        self.in_the_way = frozenset(rule for rule in self.foreign if rule.key in wanted)
        for rule in self.in_the_way:
            raise SwitchError(
                f"a rule of somebody else stands on {switch.name} in table {rule.table} at priority {rule.priority} where LEGO's "
                f"must go (cookie {rule.cookie:#x}): remove it, or give it another priority"
            )

    def _look_whether_the_way_is_free(self, switch: Switch) -> None:
        """Once nobody's rules stand where LEGO's must go, those go in."""
        if self.in_the_way and not self.in_the_way & {flow.rule for flow in switch.flows(everyone=True)}:
            self.in_the_way = frozenset()
            self.work.put(REPAIR)

    def _settle(self, switch: Switch) -> None:
        """Cached flows of the datapath are those of the rules, too. Only the host of the switch can tell: its agent.

        Open vSwitch looks through its cached flows twice a second, and whenever a rule changed. Each question is answered at the end of a
        round: that of the first may have begun before the rules changed, that of the second has not.
        """
        rounds = Hurry(switch, self.installed or frozenset())
        try:
            for _ in range(2):
                self._flush(switch)
        finally:
            rounds.over = True

    def _flush(self, switch: Switch) -> None:
        """Wait for a round. The rules are in force: an agent that was killed meanwhile is waited for, so that nothing is half done."""
        deadline = time.monotonic() + AGENT_S
        while True:
            try:
                self.shared.host.flush_cache()
                return
            except RpcError as error:
                reason = str(error)
            if switch is not self.switch:
                raise SwitchError(f"switch {switch.name} went away before its cached flows were revalidated")
            if time.monotonic() > deadline:
                break
            LOG.warning("the agent is waited for, to tell whether cached flows are revalidated: %s", reason)
            hub.sleep(AGENT_LOOK_S)
        text = f"nobody could tell whether cached flows are revalidated; {AGENT_S:g} s were waited instead, and it takes 0.5 s: {reason}"
        self.shared.note(Note("inexact", text))

    def _options(self, switch: Switch) -> Options:
        config = self.shared.config
        numbers = switch.port_numbers()
        wires = tuple((_port(a, numbers, switch), _port(b, numbers, switch)) for a, b in config.forward.wires)
        return Options(
            config.buckets,
            config.exact,
            config.forward.mode,
            wires,
            frozenset(sampled(config.audit.share, config.buckets)),
            self.shared.key,
        )

    def _record(self, steer: Steer, added: int, deleted: int, seconds: float) -> None:
        seen = self.shared.observed
        facts = {"time": time.time(), "version": steer.version, "added": added, "deleted": deleted, "ms": round(seconds * 1e3, 3)}
        seen.steerings.append(facts)
        if self.switch is not None:
            seen.bridges[self.switch.dpid].rules = len(self.installed or ())
        if added or deleted:
            LOG.info(
                "rules of version %d are in force: %d added or replaced, %d deleted, %.1f ms", steer.version, added, deleted, seconds * 1e3
            )

    # ---- counters ----
    def _watch(self) -> None:
        """Counters at the monitor's pace, and whether the rules are still there."""
        for switch in list(self.switches.values()):
            try:
                ports = self.shared.observed.bridges[switch.dpid].counters = tuple(switch.ports())
                if switch is self.switch:
                    self.shared.observed.port_losses = self.losses.take(ports, time.monotonic())
                    self._count(switch)
                    self._look_whether_the_way_is_free(switch)
            except SwitchError as error:
                LOG.warning("%s", error)

    def _count(self, switch: Switch) -> None:
        self.shared.observed.bucket_rates = self.rates.take(switch.flows(OWN), time.monotonic())
        if self.installed is None or self.revision % 2:
            return
        revision, believed = self.revision, len(self.installed)
        there = switch.count()
        if there != believed and revision == self.revision:
            self.shared.note(Note("repair", f"switch {switch.name} has {there} of LEGO's rules instead of {believed}: they are put right"))
            self.installed = None
            self.work.put(REPAIR)


def _port(port: str | int, numbers: dict[str, int], switch: Switch) -> int:
    if isinstance(port, int):
        return port
    if port not in numbers:
        raise SwitchError(f"forward.wires: switch {switch.name} has no port {port!r}; it has {', '.join(sorted(numbers))}")
    return numbers[port]
