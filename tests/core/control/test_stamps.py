"""What is told of stamps: each kind by its name, and a flood of them in few events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.control.events import Loads
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.change_notes import Inexact
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.reports import CaptureLoad
from lego_sdn.simulation.memory import InMemorySystem


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("implausible", "7 packets with a stamp that cannot be true came to instance 1"),
        ("late", "7 packets came to instance 1 after others with a higher stamp, too late"),
        ("repeats", "7 packets with the stamp of another one came to instance 1"),
        ("set_back", "7 packets with a time more than 5 s before that of an earlier one came to instance 1"),
    ],
)
def test_each_kind_is_told_by_instance(kind, words):
    (note,) = told(at_counts(kind, [0, 7]))
    assert note.instance == 1
    assert words in note.text


@pytest.mark.slow
def test_a_flood_is_told_once():
    assert len(told(at_counts("implausible", range(0, 100_000, 100)))) == 1


def told(actions) -> list[Inexact]:
    return [one for one in actions if isinstance(one, Inexact)]


def at_counts(kind: str, counts) -> list:
    """All actions while instance 1 reports these totals, one round after the other."""
    world = InMemorySystem(Config(model="m.lego")).up().run(5)
    reports, found = world.loads().reports, []
    for number, count in enumerate(counts, 1):
        capture = replace(CaptureLoad(10, 0, 0.0), **{kind: count})
        later = tuple(replace(one, time=one.time + number, capture=capture) for one in reports if one.instance == 1)
        world.state, actions = step(world.state, Loads(later), world.now)
        found += actions
    return found
