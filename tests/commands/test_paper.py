"""The paper's experiments as a user starts them, with tiny settings: what they say must hold together, and nothing may be left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bricks.nfs.registry import load
from tests.live.traces import traces
from topologies.traffic import write_capture

LEGO = [sys.executable, "-m", "lego_sdn"]
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[str, str]:
    """A short capture, and a model learned from it."""
    folder = tmp_path_factory.mktemp("paper")
    capture, model = folder / "short.pcap", folder / "short.model"
    write_capture(capture, benign=1800, attack=400, seed=5)
    command = [*LEGO, "train", str(capture), "--out", str(model), "--fm-grace", "400", "--ad-grace", "1000"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return str(capture), str(model)


def run(*words: str, code: int = 0) -> dict[str, Any]:
    """What `lego paper` says as JSON; it must end with this code and leave nothing."""
    before = traces()
    done = subprocess.run([*LEGO, "paper", *words, "--json"], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == code, done.stderr
    assert traces() <= before
    return json.loads(done.stdout)


@pytest.mark.root
def test_figure_4_measures_the_monolith_and_lego_which_replicates_by_itself(inputs, tmp_path):
    capture, model = inputs
    said = run("figure4", capture, "--model", model, "--costs", "paper", "--seconds", "2", "--out", str(tmp_path))
    assert json.loads((tmp_path / "figure4.json").read_text()) == said
    assert (tmp_path / "figure4.png").read_bytes().startswith(PNG)
    (outcome,) = said["outcomes"]
    names = [phase["name"] for run in ("monolith", "lego") for phase in outcome[run]["phases"]]
    assert names == ["monolith", "monolith, pooled", "LEGO", "LEGO, one more replica"]
    assert all(phase["packets_per_s"] > 0 for run in ("monolith", "lego") for phase in outcome[run]["phases"])
    assert outcome["replicated"] == "unsupervised-network", "it is the slowest by far"
    assert outcome["replicated"] in outcome["said"]
    assert set(outcome["cost_us"]) == set(load("kitsune").graph.order)
    assert max(outcome["cost_us"], key=outcome["cost_us"].get) == outcome["replicated"]
    assert outcome["profiled"][1] > outcome["profiled"][0]
    slowest = max(outcome["in_place_us"].values())
    assert outcome["expected"][0] == pytest.approx(1e6 * outcome["setting"]["quota"] / slowest), "with a core each the slowest decides"
    assert outcome["in_place_us"].keys() == outcome["cost_us"].keys()
    assert said["traffic"] == Path(capture).name
    assert outcome["machine"]["cores"] >= 1
    assert outcome["setting"]["quota"] == 0.2


@pytest.mark.root
def test_table_2_through_the_switch(inputs):
    """No packet is lost or scored twice; every split gives the scores of its simulation, and with shadows those of the unsplit run."""
    capture, model = inputs
    said = run("table2", capture, "--model", model, "--replicas", "2", "--pps", "1500")
    rows = {row["split"]: row for row in said["rows"]}
    assert list(rows) == ["Original", "SrcMAC-SrcIP", "SrcIP", "SrcIP-DstIP", "Socket", "SrcIP with shadows"]
    for row in rows.values():
        assert (row["missing"], row["twice"], row["unlike_simulated"]) == (0, 0, 0), row
    assert rows["SrcIP with shadows"]["scores_different"] == 0
    assert rows["SrcIP with shadows"]["ratio"] == rows["SrcIP with shadows"]["ratio_verify"] == 1.0
    assert all(rows[name]["scores_different"] > 0 for name in ("SrcIP", "SrcIP-DstIP", "Socket"))


@pytest.mark.root
def test_both_ways_of_scaling_under_the_same_load(inputs, tmp_path):
    capture, model = inputs
    load = ("--low", "60", "--high", "450", "--seconds", "1", "7", "2")
    said = run("autoscale", capture, "--model", model, *load, "--out", str(tmp_path))
    assert (tmp_path / "autoscale.png").read_bytes().startswith(PNG)
    bricks, instances = said["ways"]
    assert bricks["most_instances"] == 1 or bricks["most_processes"] > bricks["most_instances"], "bricks are what it scales"
    assert instances["most_processes"] == instances["most_instances"] > 1
    for way in (bricks, instances):
        assert way["cpu_used_s"] > 0
        assert way["cpu_given_s"] > 0
        assert 0 < way["memory_mean"] <= way["memory_most"]
        assert way["windows_broken"] <= way["windows"]
        assert 0 < way["scored"] <= 60 * 3 + 450 * 7
        assert any(event["kind"] in ("replicate", "separate") for event in way["events"])
        assert any("latency" in event["fields"]["promises"] for event in way["events"] if event["type"] == "PromiseBroken"), way["events"]
        assert way["sla_events"]


@pytest.mark.slow
@pytest.mark.parametrize("words", [("table2",), ("figure4", "/nowhere.pcap"), ("autoscale", "--seconds", "1")])
def test_bad_use_is_said_at_the_door(words):
    done = subprocess.run([*LEGO, "paper", *words], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
