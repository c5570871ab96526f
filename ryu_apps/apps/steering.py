"""Connections of switches, and the queue of what is asked of the steered one: its rules (`rule_keeper`), and handing over (`Mover`)."""

from __future__ import annotations

import logging
import queue
from typing import Any

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls

from lego_sdn.adapters.rpc.complaints import Complaints
from lego_sdn.core.control.events import PortsSeen, Steer, SwitchDown, SwitchUp
from lego_sdn.core.facts.instance_notes import ConnectionClosed, RulesRefused
from ryu_apps.context.facts import ObservedBridge
from ryu_apps.context.greenthreads import every, spawn
from ryu_apps.context.requests import ReadFlows, RestartAudit
from ryu_apps.context.shared import Shared
from ryu_apps.handover.executor import Mover
from ryu_apps.openflow import messages
from ryu_apps.openflow.connection import Switch
from ryu_apps.openflow.rule_keeper import RuleKeeper
from ryu_apps.openflow.rule_watch import RuleWatch

LOG = logging.getLogger("lego.steering")
REPAIR = "repair"
ANSWER_S = 3.0  # for a switch to show that it lives when another comes in its name


class Steering(app_manager.RyuApp):
    """One bridge is steered: the one of the configured name. Others that connect are shown and left alone."""

    OFP_VERSIONS = [messages.VERSION]  # noqa: RUF012 (Ryu's declaration)
    _CONTEXTS = {"lego": Shared}  # noqa: RUF012

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared = lego
        self.switches: dict[int, Switch] = {}
        self.wanted: Steer | None = None
        self.work: queue.Queue[Steer | str] = queue.Queue()
        self.told_error: str | None = None  # why they could not be put right
        self.keeper = keeper = RuleKeeper(lego)
        self.watch = RuleWatch(keeper, self._repair)
        self.mover = Mover(lego, keeper)
        self.complaints = Complaints(lambda text: lego.note(ConnectionClosed(text)))
        lego.performers[Steer] = self.work.put
        lego.performers |= {ReadFlows: lambda _: keeper.flows(), RestartAudit: self._restart_audit}

    def start(self) -> None:
        super().start()
        spawn(self._work)
        spawn(self.mover.keep_open)
        every(self.shared.config.scaling.period_s, lambda: self.watch.look(list(self.switches.values())))

    # ---- connections ----
    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _state_changed(self, event) -> None:
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            self._connected(Switch(datapath))
        elif (switch := self._sender(datapath)) is not None:
            self._gone(switch)

    def _connected(self, switch: Switch) -> None:
        rival = (self.keeper.switch if self._is_ours(switch) else None) or self.switches.get(switch.dpid)
        if rival is None:
            self._take_up(switch)
        elif self._is_ours(switch) and rival is not self.keeper.switch:  # what is left alone does not keep out what is to be steered
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
        self.keeper.steer(switch)
        self.watch.rates.forget()
        self.shared.put(SwitchUp(switch.dpid))
        self.shared.agent_to_be_told = True
        self.shared.wake_agent.set()

    def _gone(self, switch: Switch) -> None:
        switch.close()
        del self.switches[switch.dpid]
        self.shared.observed.bridges.pop(switch.dpid, None)
        if switch is self.keeper.switch:
            self.keeper.steer(None)
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
            self._repair()  # a wire's port may have come, or be another one now
            if switch is self.keeper.switch:
                self.shared.put(PortsSeen(switch.links()))

    # ---- what is asked ----
    def _work(self) -> None:
        while True:
            task = self.work.get()
            while not self.work.empty():  # only the latest assignment counts
                later = self.work.get()
                task = later if isinstance(later, Steer) or not isinstance(task, Steer) else task
            if isinstance(task, Steer):
                self.wanted = task
                self.shared.put(self.mover.steer(task))
            elif self.wanted is not None and self.keeper.switch is not None:
                answer = self.mover.steer(self.wanted)
                if answer.error is None:  # perhaps it was not in force before: a wire's port was missing
                    self.told_error = None
                    self.shared.put(answer)
                elif answer.error != self.told_error:
                    self.told_error = answer.error
                    self.shared.note(RulesRefused(None, answer.error))

    def _restart_audit(self, _: RestartAudit) -> None:
        self.mover.twinning.forget()
        self._repair()

    def _repair(self) -> None:
        self.work.put(REPAIR)
