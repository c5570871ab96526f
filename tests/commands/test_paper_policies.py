"""`lego paper policies`: what becomes of runs in its table, its verdict and its picture."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from lego_sdn.commands import paper_policies
from lego_sdn.core.facts.config import ScalingSettings
from lego_sdn.simulation.evaluation import PolicyOutcome

GOOD = PolicyOutcome(ScalingSettings().policy, "saw", 1, 0.0, 3300.0, 3000.0, 4)


def run(monkeypatch, outcomes, *words):
    monkeypatch.setattr(paper_policies, "evaluate_all", lambda named, seeds, placement: outcomes)
    return CliRunner().invoke(paper_policies.policies, [*map(str, words)])


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({}, 0),
        ({"misses": 0.03}, 1),
        ({"brick_seconds": 4500.0}, 1),
        ({"policy": "water-marks", "misses": 0.5}, 0),  # only the default one has promised something
    ],
)
def test_the_default_policy_decides_the_exit_code(monkeypatch, bad, code):
    result = run(monkeypatch, [GOOD, replace(GOOD, seed=2, **bad)], "--json")
    assert result.exit_code == code
    row = json.loads(result.stdout)["rows"][0]
    assert row["default"] is True
    assert row["times"] >= 1.1
    assert len(row["runs"]) == (1 if "policy" in bad else 2)


@pytest.mark.slow
def test_the_table_shows_means_and_the_worst_and_the_picture_is_one(monkeypatch, tmp_path):
    picture = tmp_path / "policies.png"
    result = run(monkeypatch, [GOOD, replace(GOOD, seed=2, misses=0.01), replace(GOOD, policy="predictive")], "--plot", picture)
    assert result.exit_code == 0
    for word in ("bricks (default)", "predictive", "0.50%", "1.00%", "1.10"):
        assert word in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("seeds", ["", "1,x", "1,,2"])
def test_seeds_that_are_none_are_refused(seeds):
    result = CliRunner().invoke(paper_policies.policies, ["--seeds", seeds])
    assert result.exit_code == 2
    assert "no list of whole numbers" in result.output
