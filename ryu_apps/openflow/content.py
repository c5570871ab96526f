"""What the tables of the steered switch hold, against what LEGO put there, and what others put before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lego_sdn.core.facts.flow_rules import Flow, Rule
from lego_sdn.core.traffic.rule_compiler import GUARD, OWN, SHADOW

WHOLE_S = 1.0  # between two readings of every table, where there are few rules of others
MANY = 1000  # rules of others: with so many more, the time between two readings is as much longer
AGAIN_S = 30.0  # before rules of others that changed are told again
NAMED = 3  # of them, in a sentence


@dataclass(frozen=True)
class Difference:
    """Of LEGO's rules: those that are not there, those with other actions (or cookie), those that LEGO did not put there."""

    missing: int
    changed: int
    added: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.added)

    def __str__(self) -> str:
        parts = ((self.missing, "missing"), (self.changed, "changed"), (self.added, "not put there by LEGO"))
        return ", ".join(f"{count} {what}" for count, what in parts if count)

    @classmethod
    def of(cls, there: Iterable[Rule], wanted: Iterable[Rule]) -> Difference:
        have, want = {rule.key: rule for rule in there}, {rule.key: rule for rule in wanted}
        changed = sum(have[key] != want[key] for key in have.keys() & want.keys())
        return cls(len(want.keys() - have.keys()), changed, len(have.keys() - want.keys()))


class Content:
    """Which reading is due, and when everything was last seen to be right (monotonic seconds)."""

    def __init__(self) -> None:
        self.sound_at: float | None = None
        self.before: tuple[str, ...] = ()  # rules of others before LEGO's, in words
        self._due = 0.0
        self._told: tuple[str, ...] = ()
        self._told_at = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether every table is to be read."""
        return now >= self._due

    def hurry(self) -> None:
        """The next reading is one of every table."""
        self._due = 0.0

    def take(self, flows: Iterable[Flow], now: float) -> str | None:
        """A reading of every table, everybody's rules. Returns what is to be told of rules of others, if that is anything new."""
        foreign = [flow.rule for flow in flows if not flow.ours]
        self._due = now + WHOLE_S * max(1.0, len(foreign) / MANY) - 0.05  # a period may be a little shorter than it should be
        first = sorted((rule for rule in foreign if rule.table in (GUARD, OWN, SHADOW)), key=lambda rule: rule.order)
        self.before = tuple(f"table {rule.table}, priority {rule.priority}, cookie {rule.cookie:#x}" for rule in first)
        if self.before == self._told or now - self._told_at < AGAIN_S:
            return None
        self._told, self._told_at = self.before, now if self.before else float("-inf")
        return self.words or "the rules of others that took packets before LEGO's are gone"

    @property
    def words(self) -> str:
        """What is wrong for as long as there are such rules, and what to do; empty where there are none."""
        if not self.before:
            return ""
        more = f" and {len(self.before) - NAMED} more" if len(self.before) > NAMED else ""
        named = "; ".join(self.before[:NAMED]) + more
        return f"rules of somebody else take packets before LEGO's rules ({named}): remove them, or put them into a table above 9"
