"""Since when the scores of an instance are surely those of the unsplit run: one fact for each instance, set back by every loss.

`LOSSES` decides which counters of load reports are losses. Whatever else loses packets or streams (rules, ports, deaths) calls `lose`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from lego_sdn.core.control.state import Turn
from lego_sdn.core.facts.change_notes import Inexact
from lego_sdn.core.facts.counters import EVICTED
from lego_sdn.core.facts.exact_since import ExactSince
from lego_sdn.core.facts.notes import Kind, Notice
from lego_sdn.core.facts.reports import Report

ONSET_S = 30.0  # without a loss of a reason, after which the next one is told as an event again
SETTLED = 3  # looks at an instance that is alone, after which its gaps count

STREAMS_LOST, TAKEN_OVER, GAP, SWITCH_DROPS, LINK_DOWN = "streams-lost", "taken-over", "gap", "switch-drops", "link-down"


class Words(NamedTuple):
    """The reason that a counter of a load report stands for, and the sentence about it, with `{instance}` and the growth of any counter."""

    reason: str
    text: str


# counter of a load report -> what it means that it grew. Counters of the interface, of bricks and of their `dropped` have one name space;
# those that are not named here lose nothing that belongs to the scores.
LOSSES: dict[str, Words] = {
    "kernel_drops": Words("kernel-drops", "the kernel had no room for {kernel_drops} packets of instance {instance}: they are lost"),
    "holds_expired": Words(
        "hold-expired",
        "instance {instance} waited too long for a move to go on: {expired} packets that it held were taken in as they were",
    ),
    "held_dropped": Words("held-dropped", "instance {instance} had no room for {held_dropped} packets that had to wait: they are lost"),
    "held_shadows_dropped": Words(
        "held-shadows-dropped",
        "instance {instance} had no room for {held_shadows_dropped} shadows that had to wait: later scores may differ",
    ),
    "lost": Words("replica-died", "{lost} packets were lost with a replica of instance {instance}"),
    "evicted": Words("evicted", "instance {instance} was full: it forgot {evicted} streams"),
    "implausible": Words(
        "implausible", "{implausible} packets with a stamp that cannot be true came to instance {instance}: they were not scored"
    ),
    "late": Words("late", "{late} packets came to instance {instance} after others with a higher stamp, too late to be put in order"),
    "repeats": Words("repeated", "{repeats} packets with the stamp of another one came to instance {instance}"),
    "set_back": Words("set-back", "{set_back} packets with a time more than 5 s before that of an earlier one came to instance {instance}"),
    "out_of_order": Words("reordered", "{out_of_order} packets came to instance {instance} too late to be put in order"),
}


# counter of a load report -> the kind of the event and the sentence when it grows; no score is wrong for that
ODD: dict[str, tuple[Kind, str]] = {
    "by_mac": (
        "switch",
        "instance {instance} takes packets by MAC only ({by_mac} more): tags, PPPoE, MPLS or a tunnel hide their IP header "
        "from the switch, so all of a MAC address go to one instance",
    ),
    "no_address": (
        "switch",
        "instance {instance} takes packets without an address ({no_address} more): the lengths in their headers do not fit the frame, "
        "so all of them go to one instance",
    ),
    "foreign": (
        "foreign",
        "frames come to instance {instance} that are none of the switch's packets ({foreign} more): they are not scored",
    ),
}


def begin(turn: Turn, instance: int, reason: str = "start") -> None:
    """An instance takes packets from now on. Counts of losses go on where one before it had its number."""
    before = turn.state.exact.get(instance)
    made = ExactSince(turn.now, reason, losses=before.losses if before is not None else {})
    turn.set(exact={**turn.state.exact, instance: made})
    if turn.state.orphaned is not None:
        orphaned = turn.state.orphaned
        turn.set(orphaned=None)
        lose(turn, instance, STREAMS_LOST, f"instance {instance} begins without streams: {orphaned}")


def lose(turn: Turn, instance: int, reason: str, text: str, good: float | None = None, count: int = 1) -> None:
    """An instance lost something. Told as an event when it begins, and not again while it goes on.

    good  as `after_loss` has it (None: now)
    """
    known = turn.state.exact.get(instance) or ExactSince(turn.now)
    last = known.seen.get(reason)
    after = known.after_loss(reason, count, turn.now if good is None else good, turn.now)
    turn.set(exact={**turn.state.exact, instance: after})
    if last is None or turn.now - last > ONSET_S:
        turn.do(Inexact(reason, text, count, instance=instance))


def lose_streams(turn: Turn, owners_before: Iterable[int | None], owners_after: Iterable[int | None], why: str) -> None:
    """Buckets have other owners, to whom nobody handed their streams; without an owner, the next instance that starts is concerned."""
    moved = [(old, new) for old, new in zip(owners_before, owners_after, strict=True) if old is not None and old != new]
    if any(new is None for _, new in moved):
        turn.set(orphaned=why)
    for heir, count in sorted(Counter(new for _, new in moved if new is not None).items()):
        lose(turn, heir, STREAMS_LOST, f"{count} buckets of instance {heir} begin without their streams: {why}")


def take_over(turn: Turn, old: int, new: int) -> None:
    """Streams of instance `old` were handed over to `new`: what is wrong with them is wrong there too."""
    giver = turn.state.exact.get(old)
    if giver is not None and giver.sure_until is not None:
        text = f"instance {new} took over streams of instance {old}, whose scores are not exact since: {', '.join(sorted(giver.losses))}"
        lose(turn, new, TAKEN_OVER, text, turn.state.sent_at)


def take_in(turn: Turn, instance: int, before: Mapping[str, Report], after: Mapping[str, Report]) -> None:
    """A round of load reports of one instance, by process: every counter of `LOSSES` that grew is a loss."""
    known = turn.state.exact.get(instance) or ExactSince(turn.now)
    good = before_last_look(known, turn.now)
    for name, report in sorted(after.items()):
        then, now = _counted(before.get(name), report.pid), counters(report)
        if name not in before and _is_heir(turn, instance):
            then = now
        grown = {counter: total - then.get(counter, 0) for counter, total in now.items()}
        for counter, (reason, text) in LOSSES.items():
            if grown.get(counter, 0) > 0:
                lose(turn, instance, reason, text.format_map({"instance": instance, **grown}), good, grown[counter])
        _tell_odd(turn, instance, grown)
    _look_for_gaps(turn, instance, before, after, good)
    stamps = [report.capture.next_stamp for report in after.values() if report.capture is not None]
    if stamps:
        turn.set(exact={**turn.state.exact, instance: turn.state.exact.get(instance, known).looked(turn.now, max(stamps))})


def _tell_odd(turn: Turn, instance: int, grown: Mapping[str, int]) -> None:
    """Packets that cannot be split, or are none, are told when they begin to come, and not again while they do."""
    for counter, (kind, text) in ODD.items():
        if grown.get(counter, 0) > 0:
            known = turn.state.exact.get(instance) or ExactSince(turn.now)
            last = known.seen.get(counter)
            turn.set(exact={**turn.state.exact, instance: replace(known, seen={**known.seen, counter: turn.now})})
            if last is None or turn.now - last > ONSET_S:
                turn.do(Notice(kind, text.format_map({"instance": instance, **grown}), instance=instance))


def before_last_look(known: ExactSince | None, now: float) -> float:
    """A moment before the last report was made, up to which the counters of losses are known. (It was asked for after the one before.)"""
    if known is None:
        return now
    return known.looks[-2][0] if len(known.looks) > 1 else known.since


def counters(report: Report) -> dict[str, int]:
    """All totals of a report by name; of streams that were evicted, of any kind, one; what the interface counts stands for itself."""
    total: Counter[str] = Counter()
    for brick in report.bricks:
        total.update(brick.dropped)
        for name, count in brick.counters.items():
            total["evicted" if name.startswith(EVICTED) else name] += count
    capture = report.capture
    return dict(total) | ({} if capture is None else {name: getattr(capture, name) for name in capture.__slots__ if name != "queue"})


def _counted(report: Report | None, pid: int) -> dict[str, int]:
    """What it was before; nothing, if the process is a new one."""
    return {} if report is None or report.pid != pid else counters(report)


def _is_heir(turn: Turn, instance: int) -> bool:
    """What a standby lost before it had every stream is no loss; of what it lost later it says so itself when it takes over."""
    member = turn.state.members.get(instance)
    return member is not None and member.heir


def _look_for_gaps(turn: Turn, instance: int, before: Mapping[str, Report], after: Mapping[str, Report], good: float) -> None:
    """An instance that is alone gets every packet: a gap of stamps that stays open is a loss before it. Of several, each has gaps."""
    state, known = turn.state, turn.state.exact.get(instance) or ExactSince(turn.now)
    alone = known.alone + 1 if len(state.members) == 1 and set(state.owners) == {instance} and state.confirmed >= state.version else 0
    pairs = [(before[name].capture, report.capture) for name, report in after.items() if name in before and before[name].pid == report.pid]
    for then, now in pairs:
        if then is None or now is None:
            continue
        stayed = min(then.gaps, now.gaps) if alone > SETTLED else max(then.gaps, now.gaps)
        if alone > SETTLED and stayed > known.gaps:
            count = stayed - known.gaps
            lose(turn, instance, GAP, f"{count} packets did not come to instance {instance}: their stamps are missing", good, count)
        known = replace(turn.state.exact.get(instance, known), gaps=max(stayed, known.gaps))
    turn.set(exact={**turn.state.exact, instance: replace(known, alone=alone)})
