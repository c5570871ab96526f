"""Waits until the cached flows of Open vSwitch are those of its rules, which it looks through at once instead of within half a second."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice

from ryu.lib import hub

from lego_sdn.core.facts.change_notes import Inexact
from lego_sdn.core.facts.errors import RpcError
from lego_sdn.core.facts.flow_rules import Cookie, Rule
from lego_sdn.core.traffic.rule_compiler import RuleChange
from ryu_apps.context.greenthreads import spawn
from ryu_apps.context.shared import Shared
from ryu_apps.openflow.connection import Switch, SwitchError

LOG = logging.getLogger("lego.steering")
HURRY_S = 0.01
AGENT_S, AGENT_LOOK_S = 10.0, 0.1  # for an agent to come back while packets wait for it; between two looks


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


def await_revalidation(switch: Switch, rules: frozenset[Rule] | None, shared: Shared, still: Callable[[], bool]) -> None:
    """Cached flows of the datapath are those of the rules, too. Only the host of the switch can tell: its agent.

    Open vSwitch looks through its cached flows twice a second, and whenever a rule changed. Each question is answered at the end of a
    round: that of the first may have begun before the rules changed, that of the second has not. `still`: whether the switch is there;
    SwitchError if it is not.
    """
    rounds = ForcedRevalidation(switch, rules or frozenset())
    try:
        for _ in range(2):
            _await_round(switch, shared, still)
    finally:
        rounds.over = True


def _await_round(switch: Switch, shared: Shared, still: Callable[[], bool]) -> None:
    """The rules are in force: an agent that was killed meanwhile is waited for, so that nothing is half done."""
    deadline = shared.clock() + AGENT_S
    while True:
        try:
            shared.host.flush_cache()
            return
        except RpcError as error:
            reason = str(error)
        if not still():
            raise SwitchError(f"switch {switch.name} went away before its cached flows were revalidated")
        if shared.clock() > deadline:
            break
        LOG.warning("the agent is waited for, to tell whether cached flows are revalidated: %s", reason)
        hub.sleep(AGENT_LOOK_S)
    text = f"nobody could tell whether cached flows are revalidated; {AGENT_S:g} s were waited instead, and it takes 0.5 s: {reason}"
    shared.note(Inexact("revalidation-not-seen", text))
