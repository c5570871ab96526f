"""What a round of load reports makes the core say."""

from __future__ import annotations

from dataclasses import replace

from lego_sdn.core.control.events import Loads
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings
from lego_sdn.core.facts.notes import Note
from lego_sdn.simulation.brick_queues import GRAPH
from lego_sdn.simulation.hosts import QUOTA, BrickHost
from lego_sdn.simulation.memory import InMemorySystem


def test_memory_at_its_mark_is_an_event_when_it_comes_there_and_not_again():
    """A mark, no limit: the instance runs on."""
    config = Config(
        model="m",
        instance=InstanceSettings(cpu_quota=QUOTA, placement="separate", memory_mb=10.0),
        scaling=ScalingSettings(policy="water-marks", max_instances=1),
    )
    made = InMemorySystem(config, lambda bucket, time: 2.0, host=BrickHost(cost_us=dict.fromkeys(GRAPH, 100.0))).up().run(5)
    assert made.notes("memory") == [], "five processes of 1 MiB"
    state, told = made.state, []
    first = sorted(state.reports.values(), key=lambda report: report.process)
    for turn, most in enumerate((6e6, 6e6, 3e6, 6e6), 1):
        later = [replace(one, time=one.time + turn, pss_bytes=int(most) if one.process == "1-b" else None) for one in first]
        state, actions = step(state, Loads(tuple(later)), made.now + turn)
        told.append([note.text.split("; ")[-1] for note in actions if isinstance(note, Note) and note.kind == "memory"])
    words = "102% of the memory mark is in use, 6.0 MB in process 1-b (feature-quantization-0)"
    assert told == [[words], [], [], [words]]
    assert state.running == (1,)
