"""Ports of instances: an instance whose port is gone or down gets no packets and has failed, whatever its processes say."""

from __future__ import annotations

from lego_sdn.core.control import exact, instances, reference, standby
from lego_sdn.core.control.events import PortsSeen
from lego_sdn.core.control.state import Lacking, Turn
from lego_sdn.core.facts.assignment import REFERENCE

GONE_S = 1.0  # a switch tells of a new port a little later than the agent does
DOWN_S = 5.0  # for the agent to bring the link up again
GETS_PACKETS = ("running", "leaving", "draining")


def take_in(turn: Turn, event: PortsSeen) -> None:
    """Told when a link goes down; an instance whose port is gone, or whose link stays down, has failed."""
    found = {i: lacking for i, port in _watched(turn) if (lacking := _look(turn, i, port, event)) is not None}
    begun = [i for i, lacking in found.items() if lacking.text != getattr(turn.state.lacking.get(i), "text", None)]
    good = turn.state.ports_seen_at
    turn.set(lacking=found, ports_seen_at=turn.now)
    for instance in begun:
        if not found[instance].gone and instance in turn.state.members:
            exact.lose(turn, instance, exact.LINK_DOWN, f"instance {instance}: {found[instance].text}", good)
    for instance, lacking in found.items():
        if turn.now - lacking.since >= (GONE_S if lacking.gone else DOWN_S):
            _failed(turn, instance, lacking.text)


def _failed(turn: Turn, instance: int, text: str) -> None:
    if instance == REFERENCE:
        reference.failed(turn, text)
    elif instance == turn.state.standby.instance:
        standby.failed(turn, text)
    else:
        instances.died(turn, instance, text)


def forget(turn: Turn) -> None:
    """The switch is gone, and with it what was known of its ports."""
    turn.set(lacking={}, ports_seen_at=None)


def _watched(turn: Turn) -> list[tuple[int, int]]:
    members = sorted(turn.state.members.items())
    watched = [(i, member.ofport) for i, member in members if member.phase in GETS_PACKETS and member.ofport is not None]
    auditor, spare = turn.state.twin, turn.state.standby
    more = [(REFERENCE, auditor.ofport)] if auditor.phase == "running" else []
    more += [(spare.instance, spare.ofport)] if spare.instance is not None else []
    return watched + [(instance, port) for instance, port in more if port is not None]


def _look(turn: Turn, instance: int, port: int, event: PortsSeen) -> Lacking | None:
    if event.up.get(port):
        return None
    gone = port not in event.up
    text = f"its port {port} is gone from the bridge" if gone else f"the link of its port {port} is down"
    known = turn.state.lacking.get(instance)
    return known if known is not None and known.text == text else Lacking(text, turn.now, gone)
