"""Makes the switch's rules those of the assignment: the only sender of OpenFlow.

What the switch holds is read from it, never assumed: when it connects, after an error, and again and again, to be compared with what was
put there. Changes are differences, each in one atomic bundle.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable
from typing import Any, Literal

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub

from lego_sdn.adapters.rpc.complaints import Complaints
from lego_sdn.core.control.events import Disturbed, PortsSeen, Steer, SwitchDown, SwitchUp
from lego_sdn.core.facts.change_notes import Inexact
from lego_sdn.core.facts.errors import LegoError, RpcError
from lego_sdn.core.facts.flow_rules import Flow, Rule
from lego_sdn.core.facts.instance_notes import ConnectionClosed, RulesRefused, RulesRepaired
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.observe.score_audit import sampled_buckets
from lego_sdn.core.traffic.rule_compiler import OWN, RuleChange, RuleOptions, compile_rules, diff
from ryu_apps.context.facts import BucketRates, ObservedBridge, PortLosses
from ryu_apps.context.greenthreads import every, spawn
from ryu_apps.context.shared import Shared
from ryu_apps.handover.executor import Mover, RuleAccess
from ryu_apps.openflow import messages
from ryu_apps.openflow.connection import Switch, SwitchError
from ryu_apps.openflow.content import Content, Difference
from ryu_apps.openflow.revalidation import ForcedRevalidation
from ryu_apps.openflow.staged_change import StagedChange

LOG = logging.getLogger("lego.steering")
REPAIR = "repair"
ANSWER_S = 3.0  # for a switch to show that it lives when another comes in its name
AGENT_S, AGENT_LOOK_S = 10.0, 0.1  # for an agent to come back while packets wait for it; between two looks


class Steering(app_manager.RyuApp):
    """One bridge is steered: the one of the configured name. Others that connect are shown and left alone."""

    OFP_VERSIONS = [messages.VERSION]  # noqa: RUF012 (Ryu's declaration)
    _CONTEXTS = {"lego": Shared}  # noqa: RUF012

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared = lego
        self.switch: Switch | None = None
        self.switches: dict[int, Switch] = {}
        self.wanted: Steer | None = None
        self.installed: frozenset[Rule] | None = None  # None: read it
        self.in_force: frozenset[Rule] | None = None  # what the switch should hold, whatever connection told of it; None: not known
        self.content = Content()
        self.foreign: frozenset[Rule] = frozenset()
        self.in_the_way: frozenset[Rule] = frozenset()  # of them, those that kept LEGO's last rules out
        self.work: queue.Queue[Steer | str] = queue.Queue()
        self.revision = 0  # odd while rules are being changed
        self.told_error: str | None = None  # why they could not be put right
        self.rates = BucketRates()
        self.ahead: StagedChange | None = None
        self.mover = Mover(lego, RuleAccess(self._prepare, self._carry_out, self._send_frames, lambda: self.switch is not None))
        self.losses = PortLosses()
        self.complaints = Complaints(lambda text: lego.note(ConnectionClosed(text)))
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
        elif (switch := self._sender(datapath)) is not None:
            self._gone(switch)

    def _connected(self, switch: Switch) -> None:
        rival = (self.switch if self._is_ours(switch) else None) or self.switches.get(switch.dpid)
        if rival is None:
            self._take_up(switch)
        elif self._is_ours(switch) and rival is not self.switch:  # what is left alone does not keep out what is to be steered
            self._close(rival, f"switch {switch.name} has its datapath id, and is the one to be steered")
            self._take_up(switch)
        else:
            spawn(self._one_of_two, rival, switch)

    def _one_of_two(self, first: Switch, second: Switch) -> None:
        """They claim the same datapath id or the steered bridge's name: the first stays, unless it does not answer any more."""
        if first.answers(ANSWER_S):
            self._close(second, f"{first.name} ({first.dpid:016x}) is connected already")
            return
        if self.switches.get(first.dpid) is first:
            self._close(first, f"it does not answer, and {second.name} ({second.dpid:016x}) has come in its place")
        if second.datapath.state == MAIN_DISPATCHER:
            self._connected(second)

    def _close(self, switch: Switch, why: str) -> None:
        switch.datapath.close()
        if self.switches.get(switch.dpid) is switch:
            self._gone(switch)
        self.complaints.say(f"the connection of switch {switch.name} ({switch.dpid:016x}) is closed: {why}")

    def _is_ours(self, switch: Switch) -> bool:
        return switch.name == self.shared.config.switch.bridge

    def _take_up(self, switch: Switch) -> None:
        ours = self._is_ours(switch)
        self.switches[switch.dpid] = switch
        self.shared.observed.bridges[switch.dpid] = ObservedBridge(
            switch.dpid, switch.name, ours, self.shared.clock(), switch.port_numbers()
        )
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

    def _sender(self, datapath: Any) -> Switch | None:
        """The switch of this very connection: another may claim the same datapath id."""
        switch = self.switches.get(datapath.id)
        return switch if switch is not None and switch.datapath is datapath else None

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
        switch = self._sender(event.msg.datapath)
        taken = switch is not None and switch.answer(event.msg)
        if not taken and messages.is_error(event.msg):
            LOG.warning(
                "switch %s: %s, about no message that waits for an answer", switch or "that connects", messages.error_text(event.msg)
            )

    @set_ev_cls(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)
    def _ports_changed(self, event) -> None:
        switch = self._sender(event.datapath)
        if switch is not None:
            self.shared.observed.bridges[switch.dpid].ports = switch.port_numbers()
            self.work.put(REPAIR)  # a wire's port may have come, or be another one now
            if switch is self.switch:
                self.shared.put(PortsSeen(switch.links()))

    # ---- rules ----
    def flows(self) -> list[Flow]:
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
                    self.told_error = None
                    self.shared.put(answer)
                elif answer.error != self.told_error:
                    self.told_error = answer.error
                    self.shared.note(RulesRefused(None, answer.error))

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
                self.installed, self.in_force, error = None, None, str(failure)
                if self.switch is None:
                    break
        self.revision += 1
        if self.switch is not None:
            self.shared.observed.bridges[self.switch.dpid].error = error
        return error

    def _apply(self, steer: Steer) -> None:
        switch, began = self.switch, self.shared.clock()
        if switch is None:
            raise SwitchError(f"the bridge {self.shared.config.switch.bridge} is not connected")
        change = self._commit(steer, switch)
        replaced = {rule.key for rule in (*change.add, *change.delete)}
        self.installed = frozenset(rule for rule in self.installed or () if rule.key not in replaced) | frozenset(change.add)
        self.in_force = self.installed
        committed = self.shared.clock()
        if steer.settle:
            self._settle(switch)
        self._record(steer, len(change.add), len(change.delete), committed - began)

    def _commit(self, steer: Steer, switch: Switch) -> RuleChange:
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

    def _change(self, steer: Steer, switch: Switch) -> RuleChange:
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
                self.ahead = StagedChange(steer, self.switch, self.installed, change, self.switch.stage(change))
        except LegoError as error:
            LOG.warning("rules could not be prepared: %s", error)

    def _read(self, switch: Switch) -> None:
        flows = switch.flows(everyone=True)
        self.installed = frozenset(flow.rule for flow in flows if flow.ours)
        self.foreign = frozenset(flow.rule for flow in flows if not flow.ours)
        if self.in_force is not None:
            self._tell_difference(switch, Difference.of(self.installed, self.in_force))

    def _refuse_to_overwrite(self, switch: Switch, rules: tuple[Rule, ...]) -> None:
        wanted = {rule.key for rule in rules}
        self.in_the_way = frozenset(rule for rule in self.foreign if rule.key in wanted)
        for rule in self.in_the_way:
            raise SwitchError(
                f"a rule of somebody else stands on {switch.name} in table {rule.table} at priority {rule.priority} where LEGO's "
                f"must go (cookie {rule.cookie:#x}): remove it, or give it another priority"
            )

    def _look_whether_the_way_is_free(self, flows: Iterable[Flow]) -> None:
        """Once nobody's rules stand where LEGO's must go, those go in."""
        if not self.in_the_way:
            return
        if self.in_the_way & {flow.rule for flow in flows}:
            self._disturbed("rules-refused", "rules of somebody else stand where LEGO's must go")
            self.content.hurry()
        else:
            self.in_the_way = frozenset()
            self.work.put(REPAIR)

    def _settle(self, switch: Switch) -> None:
        """Cached flows of the datapath are those of the rules, too. Only the host of the switch can tell: its agent.

        Open vSwitch looks through its cached flows twice a second, and whenever a rule changed. Each question is answered at the end of a
        round: that of the first may have begun before the rules changed, that of the second has not.
        """
        rounds = ForcedRevalidation(switch, self.installed or frozenset())
        try:
            for _ in range(2):
                self._flush(switch)
        finally:
            rounds.over = True

    def _flush(self, switch: Switch) -> None:
        """Wait for a round. The rules are in force: an agent that was killed meanwhile is waited for, so that nothing is half done."""
        deadline = self.shared.clock() + AGENT_S
        while True:
            try:
                self.shared.host.flush_cache()
                return
            except RpcError as error:
                reason = str(error)
            if switch is not self.switch:
                raise SwitchError(f"switch {switch.name} went away before its cached flows were revalidated")
            if self.shared.clock() > deadline:
                break
            LOG.warning("the agent is waited for, to tell whether cached flows are revalidated: %s", reason)
            hub.sleep(AGENT_LOOK_S)
        text = f"nobody could tell whether cached flows are revalidated; {AGENT_S:g} s were waited instead, and it takes 0.5 s: {reason}"
        self.shared.note(Inexact("revalidation-not-seen", text))

    def _options(self, switch: Switch) -> RuleOptions:
        config = self.shared.config
        numbers = switch.port_numbers()
        wires = tuple((_port(a, numbers, switch), _port(b, numbers, switch)) for a, b in config.forward.wires)
        scored_again = frozenset(sampled_buckets(config.audit.share, config.buckets))
        return RuleOptions(
            config.buckets, config.exact, config.forward.mode, wires, self._stamp_ports(numbers), scored_again, self.shared.key
        )

    def _stamp_ports(self, numbers: dict[str, int]) -> tuple[int, ...] | None:
        """One that is not there sends nothing; the rules are put right when it comes."""
        ports = self.shared.config.capture.stamp_ports
        if ports is None:
            return None
        missing = [port for port in ports if isinstance(port, str) and port not in numbers]
        if missing:
            LOG.warning("capture.stamp_ports: the switch has no port %s", ", ".join(missing))
        return tuple(port if isinstance(port, int) else numbers[port] for port in ports if port not in missing)

    def _record(self, steer: Steer, added: int, deleted: int, seconds: float) -> None:
        seen = self.shared.observed
        facts = {"time": self.shared.wall(), "version": steer.version, "added": added, "deleted": deleted, "ms": round(seconds * 1e3, 3)}
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
                    self.shared.observed.port_losses = self.losses.take(ports, self.shared.clock())
                    self.shared.put(PortsSeen(switch.links()))
                    self._look(switch)
            except SwitchError as error:
                LOG.warning("%s", error)

    def _look(self, switch: Switch) -> None:
        """Rates of buckets, and whether the rules are those that were put there: table 1 and their number each time, all once a second."""
        revision, began = self.revision, self.shared.clock()
        whole = self.content.is_due(began)
        flows = switch.flows(everyone=True) if whole else switch.flows(OWN)
        count = sum(flow.ours for flow in flows) if whole else switch.count()
        self.shared.observed.bucket_rates = self.rates.take(flows, self.shared.clock())
        if revision % 2 or revision != self.revision or switch is not self.switch:
            return  # they were changed meanwhile
        if whole:
            self._look_at_others(switch, flows)
        if self.installed is None:
            return
        wanted = self.installed if whole else {rule for rule in self.installed if rule.table == OWN}
        difference = Difference.of((flow.rule for flow in flows if flow.ours), wanted)
        if difference or count != len(self.installed):
            self._tell_difference(
                switch, difference or Difference(max(0, len(self.installed) - count), 0, max(0, count - len(self.installed)))
            )
            self.installed = None
            self.work.put(REPAIR)
        elif whole and not self.content.before:
            self.content.sound_at = began

    def _look_at_others(self, switch: Switch, flows: list[Flow]) -> None:
        """Rules of others that take packets before LEGO's are told, not removed: they are somebody's."""
        news = self.content.take(flows, self.shared.clock())
        self.shared.observed.bridges[switch.dpid].foreign = self.content.words
        if news:
            self.shared.note(Notice("foreign", f"bridge {switch.name}: {news}"))
        if self.content.before:
            self._disturbed("rules-of-others", self.content.words)
        self._look_whether_the_way_is_free(flows)

    def _tell_difference(self, switch: Switch, difference: Difference) -> None:
        if not difference:
            return
        self.in_force = None  # once
        text = f"bridge {switch.name}: of LEGO's rules, {difference}: they are put right"
        self.shared.note(RulesRepaired(difference.missing, difference.changed, difference.added, text))
        self._disturbed("rules-repaired", text)

    def _disturbed(self, reason: Literal["rules-repaired", "rules-of-others", "rules-refused"], text: str) -> None:
        self.shared.put(Disturbed(reason, text, self.content.sound_at))


def _port(port: str | int, numbers: dict[str, int], switch: Switch) -> int:
    if isinstance(port, int):
        return port
    if port not in numbers:
        raise SwitchError(f"forward.wires: switch {switch.name} has no port {port!r}; it has {', '.join(sorted(numbers))}")
    return numbers[port]
