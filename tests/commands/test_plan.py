"""`lego plan --model` and `--host`: what stored costs say of shadows, and where bricks would run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bricks.feature_quantization import extract
from bricks.files.captures import read_packets
from bricks.learning.training import Training, train_model
from bricks.models.model_file import save_model
from lego_sdn.adapters.files import costfile
from lego_sdn.commands.plan import plan
from lego_sdn.core.cost.capacity import shadow_share
from lego_sdn.core.facts.errors import LegoError
from tests.core.cost.costs import kitsune
from topologies.traffic import traffic, write_pcap


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Path, Path]:
    """A capture, and a model with stored costs."""
    folder = tmp_path_factory.mktemp("plan")
    made = traffic(devices=6, benign_packets=900, attack_packets=100, seed=5)
    capture, model = folder / "talk.pcap", folder / "kitsune.model"
    write_pcap(capture, made.frames, made.times_us)
    packets, _ = read_packets([capture])
    save_model(train_model(extract(packets, "kitsune115"), Training(fm_grace=200, ad_grace=600)), model)
    costfile.write(model, kitsune())
    return capture, model


def run(*words: Any) -> Any:
    return CliRunner().invoke(plan, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.slow
def test_a_shadow_is_priced_by_the_models_costs_unless_told(given):
    capture, model = given
    shown = json.loads(run(capture, "--model", model, "--json").stdout)
    assert shown["shadow_cost"] == pytest.approx(shadow_share(kitsune()))
    assert 0 < shown["shadow_cost"] < 1
    assert shown["shadow_cost_from"] == str(costfile.path_of(model))
    told = json.loads(run(capture, "--model", model, "--shadow-cost", 0.5, "--json").stdout)
    assert (told["shadow_cost"], told["shadow_cost_from"]) == (0.5, "--shadow-cost")
    assert json.loads(run(capture, "--json").stdout)["shadow_cost_from"] == "default"


def test_bricks_are_placed_on_the_first_host_and_what_is_left_of_it_is_used(given):
    capture, model = given
    words = (capture, "--instances", 2, "--model", model, "--pps", 8000)
    one = json.loads(run(*words, "--host", "a=8", "--json").stdout)["placement"]
    assert [host["host"] for host in one["hosts"]] == ["a"]
    assert one["carried_bytes_per_s"] == 0
    two = json.loads(run(*words, "--host", "a=8:3", "--host", "b=8", "--json").stdout)["placement"]
    assert [host["host"] for host in two["hosts"]] == ["a", "b"]
    cores = [sum(need["cores"] for need in host["replicas"]) for host in two["hosts"]]
    assert cores[0] <= 3 + 1e-9
    assert sum(cores) >= 8000 * 500e-6 * 0.99, "500 us a packet"
    assert two["carried_bytes_per_s"] > 0


def test_the_papers_example_is_shown_with_both_ways_onto_the_second_host(given):
    """Eight cores wanted, four free, split by source without shadows as in the paper."""
    capture, model = given
    words = (capture, "--instances", 2, "--model", model, "--no-shadow", "--pps", 16_000, "--host", "a=8:4:64", "--host", "b=8:8:64")
    growth = json.loads(run(*words, "--json").stdout)["growth"]
    assert growth["alone_packets_per_s"] == pytest.approx(8000, rel=1e-3)
    whole, brick = growth["ways"]
    assert (whole["way"], brick["way"]) == ("whole graph", "overloaded brick")
    assert growth["chosen"] == {"way": min(growth["ways"], key=lambda way: way["share"])["way"], "host": "b"}
    for way in growth["ways"]:
        assert (way["packets"], way["obstacle"]) == (16_000, None)
        here, there = (sum(need["cores"] for need in part["replicas"]) for part in way["parts"])
        assert (here, here + there) == (pytest.approx(4.0, abs=0.2), pytest.approx(8.0)), "leftovers are used, as far as buckets allow"
    assert {need["kind"] for need in brick["parts"][1]["replicas"]} == {"unsupervised-network"}
    shown = run(*words).stdout
    assert f"a alone takes {growth['alone_packets_per_s']:,.0f} packets/s; ways to grow" in shown
    assert "whole graph on b: 16,000 packets/s" in shown
    assert "overloaded brick on b: 16,000 packets/s, +0.00 cores" in shown
    assert f"chosen: {growth['chosen']['way']} on b: it costs" in shown


@pytest.mark.slow
def test_growth_wants_a_second_host_and_a_first_one_that_is_full(given):
    capture, model = given
    words = (capture, "--instances", 2, "--model", model, "--pps", 8000, "--json")
    assert json.loads(run(*words, "--host", "a=8", "--host", "b=8").stdout)["growth"] is None
    assert json.loads(run(*words, "--host", "a=8").stdout)["growth"] is None


@pytest.mark.parametrize("host", ["a", "a=", "a=0", "a=4:5", "a=x", "a=4:2:0", "a=4:2:1:0", "a=-1"])
def test_what_is_no_host_is_named(given, host):
    capture, model = given
    done = run(capture, "--model", model, "--pps", 100, "--host", host)
    assert done.exit_code == 2
    assert host in done.output


@pytest.mark.slow
def test_a_placement_wants_costs_a_rate_and_room(given, tmp_path):
    capture, model = given
    bare = tmp_path / "bare.model"
    bare.write_bytes(model.read_bytes())
    for words, sentence in (
        (("--host", "a=4", "--model", model), "--host and --pps go together"),
        (("--host", "a=4", "--pps", 10), "--host wants --model"),
        (("--host", "a=4", "--host", "a=2", "--pps", 10, "--model", model), "wanted each host once"),
        (("--host", "a=4", "--pps", 10, "--model", bare), "make it with `lego profile"),
        (("--host", "a=1", "--pps", 100_000, "--model", model), "there is no room for it"),
        (
            ("--host", "a=8:1", "--host", "b=1", "--pps", 8000, "--model", model),
            "whole graph on b, 4,000 packets/s at the most: .* free on b",
        ),
    ):
        with pytest.raises(LegoError, match=sentence):
            run(capture, *words)


@pytest.mark.slow
def test_a_standby_costs_what_a_copy_costs_and_the_features_that_it_keeps(given):
    capture, model = given
    words = (capture, "--instances", 2, "--model", model, "--standby")
    told = json.loads(run(*words, "--pps", 8000, "--json").stdout)["standby"]
    assert told["share"] == pytest.approx(shadow_share(kitsune()))
    assert told["cores"] == pytest.approx(told["packet_us"] * 8000 / 1e6)
    assert told["kept_bytes"] == 65536 * (115 * 8 + 82) < told["memory_bytes"]
    assert json.loads(run(*words, "--json").stdout)["standby"]["cores"] is None
    assert "a standby: " in run(*words).stdout
    assert "standby" not in json.loads(run(*words[:-1], "--json").stdout)


def test_what_a_standby_costs_is_not_guessed(given, tmp_path):
    capture, model = given
    with pytest.raises(LegoError, match="--standby wants --model"):
        run(capture, "--standby")
    bare = tmp_path / "bare.model"
    bare.write_bytes(model.read_bytes())
    with pytest.raises(LegoError, match="--standby wants costs"):
        run(capture, "--standby", "--model", bare)
