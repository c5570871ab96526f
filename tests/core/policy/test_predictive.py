"""The trend of the arrival rate, and what the predictive policy makes of it before anything is overloaded."""

from __future__ import annotations

import pytest

from lego_sdn.core.facts.change_notes import BrickChange
from lego_sdn.core.facts.config import ScalingSettings
from lego_sdn.core.policy.base import Trend
from lego_sdn.core.policy.bricks import TOLERATED_S
from lego_sdn.core.policy.predictive import Predictive, followed
from lego_sdn.simulation.evaluation import TOLERANCE, config_of, evaluate, simulate
from lego_sdn.simulation.loads import SimulatedLoad
from lego_sdn.simulation.recorded import like_the_papers
from lego_sdn.simulation.world import World


def test_a_steady_climb_is_followed_and_a_steady_level_has_no_slope():
    trend = None
    for at in range(200):
        trend = followed(trend, 100.0 + 5.0 * at)
    assert trend.slope == pytest.approx(5.0, rel=0.01)
    for _ in range(300):
        trend = followed(trend, 50.0)
    assert trend == Trend(pytest.approx(50.0, rel=1e-3), pytest.approx(0.0, abs=0.05))


def test_it_grows_before_the_load_is_there():
    """A load that climbs by 3 % of the capacity in a second; the reactive policy acts when it has reached the mark."""
    climb = SimulatedLoad("climb", 1, lambda s: 0.3 + 0.03 * s, lambda s: (1 / 64,) * 64)
    grown = {}
    for policy in ("bricks", Predictive.name):
        world = World(config_of(policy), like_the_papers(), climb, 1.0).run(45.0)
        grown[policy] = next(time for time, note in world.notes if isinstance(note, BrickChange) and note.kind == "replicate")
    assert grown[Predictive.name] < (1.0 + TOLERATED_S / ScalingSettings().horizon_s - 0.3) / 0.03 - 0.5
    assert grown[Predictive.name] < grown["bricks"]


@pytest.mark.slow
def test_evidence_names_what_is_expected():
    world = simulate(config_of("predictive"), "saw", 1)
    assert any("times the present load is expected" in note.evidence for _, note in world.notes if isinstance(note, BrickChange))
    assert sum(world.misses(TOLERANCE)) == 0
    assert evaluate(config_of("predictive"), "saw", 1).times < 1.25
