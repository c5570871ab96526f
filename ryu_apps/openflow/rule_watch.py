"""Looks at the switches at the monitor's pace: counters of ports and buckets, and whether the rules are still those that were put there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from lego_sdn.core.control.events import PortsSeen
from lego_sdn.core.facts.flow_rules import Flow
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.traffic.rule_compiler import OWN
from ryu_apps.context.facts import BucketRates, PortLosses
from ryu_apps.openflow.connection import Switch, SwitchError
from ryu_apps.openflow.content import Difference
from ryu_apps.openflow.rule_keeper import RuleKeeper

LOG = logging.getLogger("lego.steering")


class RuleWatch:
    """`repair`: has the rules put right."""

    def __init__(self, keeper: RuleKeeper, repair: Callable[[], None]) -> None:
        self.keeper, self.shared, self._repair = keeper, keeper.shared, repair
        self.rates, self.losses = BucketRates(), PortLosses()

    def look(self, switches: Iterable[Switch]) -> None:
        """One round, of all switches that are connected."""
        for switch in switches:
            try:
                ports = self.shared.observed.bridges[switch.dpid].counters = tuple(switch.ports())
                if switch is self.keeper.switch:
                    self.shared.observed.port_losses = self.losses.take(ports, self.shared.clock())
                    self.shared.put(PortsSeen(switch.links()))
                    self._look(switch)
            except SwitchError as error:
                LOG.warning("%s", error)

    def _look(self, switch: Switch) -> None:
        """Rates of buckets, and whether the rules are those that were put there: table 1 and their number each time, all once a second."""
        keeper = self.keeper
        revision, began = keeper.revision, self.shared.clock()
        whole = keeper.content.is_due(began)
        flows = switch.flows(everyone=True) if whole else switch.flows(OWN)
        count = sum(flow.ours for flow in flows) if whole else switch.count()
        self.shared.observed.bucket_rates = self.rates.take(flows, self.shared.clock())
        if revision % 2 or revision != keeper.revision or switch is not keeper.switch:
            return  # they were changed meanwhile
        if whole:
            self._look_at_others(switch, flows)
        if keeper.installed is None:
            return
        wanted = keeper.installed if whole else {rule for rule in keeper.installed if rule.table == OWN}
        difference = Difference.of((flow.rule for flow in flows if flow.ours), wanted)
        if difference or count != len(keeper.installed):
            keeper.tell_difference(
                switch, difference or Difference(max(0, len(keeper.installed) - count), 0, max(0, count - len(keeper.installed)))
            )
            keeper.installed = None
            self._repair()
        elif whole and not keeper.content.before:
            keeper.content.sound_at = began

    def _look_at_others(self, switch: Switch, flows: list[Flow]) -> None:
        """Rules of others that take packets before LEGO's are told, not removed: they are somebody's."""
        news = self.keeper.content.take(flows, self.shared.clock())
        self.shared.observed.bridges[switch.dpid].foreign = self.keeper.content.words
        if news:
            self.shared.note(Notice("foreign", f"bridge {switch.name}: {news}"))
        if self.keeper.content.before:
            self.keeper.disturbed("rules-of-others", self.keeper.content.words)
        self._look_whether_the_way_is_free(flows)

    def _look_whether_the_way_is_free(self, flows: Iterable[Flow]) -> None:
        """Once nobody's rules stand where LEGO's must go, those go in."""
        if not self.keeper.in_the_way:
            return
        if self.keeper.in_the_way & {flow.rule for flow in flows}:
            self.keeper.disturbed("rules-refused", "rules of somebody else stand where LEGO's must go")
            self.keeper.content.hurry()
        else:
            self.keeper.in_the_way = frozenset()
            self._repair()
