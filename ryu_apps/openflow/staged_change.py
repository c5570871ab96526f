"""A change of rules that is sent to the switch before it is put into force, so that nobody waits while it is built and sent."""

from __future__ import annotations

from dataclasses import dataclass

from lego_sdn.core.control.events import Steer
from lego_sdn.core.facts.flow_rules import Rule
from lego_sdn.core.traffic.rule_compiler import RuleChange
from ryu_apps.openflow.connection import Staged, Switch


@dataclass(frozen=True)
class StagedChange:
    """The switch has all of it but the commit. It serves the steer, the connection and the rules in force that it was made for."""

    steer: Steer
    switch: Switch
    installed: frozenset[Rule] | None
    change: RuleChange
    staged: Staged

    def serves(self, steer: Steer, switch: Switch, installed: frozenset[Rule] | None) -> bool:
        same = (steer.assignment, steer.ports, steer.keep) == (self.steer.assignment, self.steer.ports, self.steer.keep)
        return same and switch is self.switch and installed is not None and installed is self.installed
