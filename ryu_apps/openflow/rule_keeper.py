"""Keeps the rules of the steered switch: what it holds, what it should hold, and the change from one to the other.

What the switch holds is read from it, never assumed: when it connects, after an error, and again and again (`rule_watch`). Changes are
differences, each in one atomic bundle.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

from lego_sdn.core.control.events import Disturbed, Steer
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.flow_rules import Flow, Rule
from lego_sdn.core.facts.instance_notes import RulesRepaired
from lego_sdn.core.observe.score_audit import sampled_buckets
from lego_sdn.core.traffic.rule_compiler import RuleChange, RuleOptions, compile_rules, diff
from ryu_apps.context.shared import Shared
from ryu_apps.openflow.connection import Switch, SwitchError
from ryu_apps.openflow.content import Content, Difference
from ryu_apps.openflow.revalidation import await_revalidation
from ryu_apps.openflow.staged_change import StagedChange

LOG = logging.getLogger("lego.steering")


class RuleKeeper:
    """`switch`: the steered one, while it is connected.

    installed   what the switch holds; None: it is to be read
    in_force    what it should hold, whatever connection told of it; None: not known
    in_the_way  of the rules of others, those that kept LEGO's last rules out
    revision    odd while rules are being changed
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.switch: Switch | None = None
        self.installed: frozenset[Rule] | None = None
        self.in_force: frozenset[Rule] | None = None
        self.foreign: frozenset[Rule] = frozenset()
        self.in_the_way: frozenset[Rule] = frozenset()
        self.revision = 0
        self.content = Content()
        self.ahead: StagedChange | None = None

    def steer(self, switch: Switch | None) -> None:
        """From now on these are the rules of this switch; None: it is gone."""
        self.switch, self.installed = switch, None

    def flows(self) -> list[Flow]:
        """LEGO's flows on the steered bridge, read now. Raises SwitchError."""
        return self._connected().flows()

    def send(self, frames: list[tuple[int, bytes]]) -> None:
        """Frames out of ports, in this order: (port, frame). Nothing while the switch is away."""
        if self.switch is not None:
            self.switch.send_frames(frames)

    def is_there(self) -> bool:
        """Whether the steered switch is connected."""
        return self.switch is not None

    def _connected(self) -> Switch:
        if self.switch is None:
            raise SwitchError(f"the bridge {self.shared.config.switch.bridge} is not connected")
        return self.switch

    # ---- changes ----
    def change(self, steer: Steer) -> str | None:
        """Put the rules of an assignment into force. Why that failed, after a second try on what the switch says it holds, or None."""
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
        switch, began = self._connected(), self.shared.clock()
        change = self._commit(steer, switch)
        replaced = {rule.key for rule in (*change.add, *change.delete)}
        self.installed = frozenset(rule for rule in self.installed or () if rule.key not in replaced) | frozenset(change.add)
        self.in_force = self.installed
        committed = self.shared.clock()
        if steer.settle:
            await_revalidation(switch, self.installed, self.shared, lambda: switch is self.switch)
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
        wanted = compile_rules(steer.assignment, steer.ports, replace(self._options(switch), standby=steer.standby))
        if self.installed is None:
            self._read(switch)
        change = diff(self.installed or (), wanted)
        if steer.keep:
            change = type(change)(add=change.add)
        self._refuse_to_overwrite(switch, change.add)
        return change

    def prepare(self, steer: Steer) -> None:
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
            self.tell_difference(switch, Difference.of(self.installed, self.in_force))

    def _refuse_to_overwrite(self, switch: Switch, rules: tuple[Rule, ...]) -> None:
        wanted = {rule.key for rule in rules}
        self.in_the_way = frozenset(rule for rule in self.foreign if rule.key in wanted)
        for rule in self.in_the_way:
            raise SwitchError(
                f"a rule of somebody else stands on {switch.name} in table {rule.table} at priority {rule.priority} where LEGO's "
                f"must go (cookie {rule.cookie:#x}): remove it, or give it another priority"
            )

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

    # ---- what is told ----
    def tell_difference(self, switch: Switch, difference: Difference) -> None:
        """What is not as it should be is told, once; whoever found it has it put right."""
        if not difference:
            return
        self.in_force = None  # once
        text = f"bridge {switch.name}: of LEGO's rules, {difference}: they are put right"
        self.shared.note(RulesRepaired(difference.missing, difference.changed, difference.added, text))
        self.disturbed("rules-repaired", text)

    def disturbed(self, reason: Literal["rules-repaired", "rules-of-others", "rules-refused"], text: str) -> None:
        """Packets may have been lost since all was last seen to be right."""
        self.shared.put(Disturbed(reason, text, self.content.sound_at))


def _port(port: str | int, numbers: dict[str, int], switch: Switch) -> int:
    if isinstance(port, int):
        return port
    if port not in numbers:
        raise SwitchError(f"forward.wires: switch {switch.name} has no port {port!r}; it has {', '.join(sorted(numbers))}")
    return numbers[port]
