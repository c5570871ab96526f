"""Forces Open vSwitch to revalidate its cached flows now instead of within half a second."""

from __future__ import annotations

import logging
from itertools import islice

from ryu.lib import hub

from lego_sdn.core.facts.flow_rules import Cookie, Rule
from lego_sdn.core.traffic.rule_compiler import RuleChange
from ryu_apps.context.greenthreads import spawn
from ryu_apps.openflow.connection import Switch, SwitchError

LOG = logging.getLogger("lego.steering")
HURRY_S = 0.01


class ForcedRevalidation:
    """Until it is `over`, puts a rule that no traffic meets in again, so that Open vSwitch looks through its cached flows at once."""

    def __init__(self, switch: Switch, rules: frozenset[Rule]) -> None:
        self.over = False
        self.switch, self.rules = switch, tuple(islice((rule for rule in rules if _meets_nothing(rule)), 1))
        spawn(self._work)

    def _work(self) -> None:
        while not self.over:
            try:
                self.switch.commit(RuleChange(add=self.rules))
            except SwitchError as error:
                LOG.warning("cached flows are not hurried: %s", error)
                return
            hub.sleep(HURRY_S)


def _meets_nothing(rule: Rule) -> bool:
    cookie = Cookie.decode(rule.cookie)
    return cookie is not None and cookie.role == "port"  # instances send nothing
