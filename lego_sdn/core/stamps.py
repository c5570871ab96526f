"""What is wrong with the stamps of an instance's packets, as its load reports tell: scores may differ, and an operator must see it."""

from __future__ import annotations

from collections.abc import Mapping

from lego_sdn.core.holds import capture_before
from lego_sdn.core.load import Report
from lego_sdn.core.state import Turn

TOLD = {
    "implausible": "packets with a stamp that cannot be true: they were not scored",
    "late": "packets that came after others with a higher stamp, too late to be put in order: their scores may differ",
    "repeats": "packets with the stamp of another one: scores may differ",
    "set_back": "packets with a time more than 5 s before that of an earlier one: until then their sources' statistics do not fade",
}


def tell(turn: Turn, instance: int, before: Mapping[str, Report], after: Mapping[str, Report]) -> None:
    """A note `inexact` for each kind, when it first happens and whenever there are twice as many: a flood of them makes few notes."""
    for name, report in sorted(after.items()):
        then, now = capture_before(before.get(name), report.pid), report.capture
        if now is None:
            continue
        for kind, words in TOLD.items():
            count = getattr(now, kind)
            if count.bit_length() > getattr(then, kind).bit_length():
                turn.note("inexact", f"instance {instance} got {count} {words}", instance)
