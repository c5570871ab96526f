"""What went wrong with packets that waited in an instance, as its load reports tell: an operator must see it."""

from __future__ import annotations

from collections.abc import Mapping

from lego_sdn.core.load import CaptureLoad, Report
from lego_sdn.core.state import Turn


def tell(turn: Turn, instance: int, before: Mapping[str, Report], after: Mapping[str, Report]) -> None:
    """A note `inexact` for each hold that ended without its mover, and for packets that there was no room to keep waiting."""
    for name, report in sorted(after.items()):
        then, now = capture_before(before.get(name), report.pid), report.capture
        if now is None:
            continue
        if now.holds_expired > then.holds_expired:
            rows = now.expired - then.expired
            turn.note(
                "inexact",
                f"instance {instance} waited too long for a move to go on: {rows} packets that it held were taken in as they were",
                instance,
            )
        if now.held_dropped > then.held_dropped:
            turn.note(
                "inexact",
                f"instance {instance} had no room for {now.held_dropped - then.held_dropped} packets that had to wait: they are lost",
                instance,
            )
        if now.held_shadows_dropped > then.held_shadows_dropped:
            lost = now.held_shadows_dropped - then.held_shadows_dropped
            turn.note("inexact", f"instance {instance} had no room for {lost} shadows that had to wait: later scores may differ", instance)


def capture_before(report: Report | None, pid: int) -> CaptureLoad:
    """What it was before; nothing, if the process is a new one."""
    if report is None or report.pid != pid or report.capture is None:
        return CaptureLoad(0, 0, 0.0)
    return report.capture
