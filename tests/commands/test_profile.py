"""`lego profile`: what every brick costs on real packets, stored with the model."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from lego_sdn.adapters.files import costfile
from lego_sdn.cli import lego
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.errors import LegoError
from topologies.traffic import write_capture

QUICK = ["--runs", "2", "--batches", "1,16,64", "--packets", "1500"]


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "home.pcap"
    write_capture(path, benign=3000, attack=0)
    return path


def invoke(*words):
    return CliRunner().invoke(lego, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.slow
def test_costs_are_measured_stored_with_the_model_and_read_again(capture, tmp_path):
    model = tmp_path / "home.model"
    assert invoke("train", capture, "--out", model).exit_code == 0
    config = tmp_path / "lego.yaml"
    config.write_text(f"model: {model}\n")
    result = invoke("profile", capture, "--config", config, "--json", *QUICK)  # as with --model, which goes before it
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    costs = costfile.read(model)
    assert said["stored"] == str(costfile.path_of(model))
    assert costs == Costs.parse(said["costs"])
    assert costs.batches == (1, 16, 64)
    assert costs.shadows == 1
    assert [brick.kind for brick in costs.bricks if brick.keyed] == ["feature-quantization"]
    assert costs.process_bytes > 1 << 20
    for brick in costs.bricks:
        assert brick.items_out == 1.0
        assert brick.per_packet_us(64) < brick.per_packet_us(1)  # a batch shares its fixed cost
        assert [one.items_out for one in brick.measured] == [1.0, 1.0, 1.0]
        assert {one.bytes_out for one in brick.measured} == {brick.bytes_out}
    assert [brick.bytes_out for brick in costs.bricks] == [80.0, 1000.0, 1000.0, 88.0, 88.0]
    assert costs.of("feature-quantization").memory_bytes > costs.of("feature-mapping").memory_bytes
    assert {row["layout"] for row in said["predicted"]} == {"chained", "separate", "one replica more"}


@pytest.mark.slow
def test_a_table_for_people_names_every_brick(capture):
    result = invoke("profile", capture, "--packets", "300", "--runs", "1", "--batches", "16")
    assert result.exit_code == 0
    assert result.stderr == "no --model and none configured: one is learned from the capture, and the costs will not be stored\n"
    for word in ("packet-batching", "unsupervised-network", "us a batch", "predicted, separate", "not stored: name the model with --model"):
        assert word in result.stdout


@pytest.mark.parametrize("sizes", ["0", "1,x", "", "70000"])
def test_impossible_batch_sizes_are_refused(capture, sizes):
    result = CliRunner().invoke(lego, ["profile", str(capture), "--batches", sizes])
    assert result.exit_code == 2
    assert "no list of batch sizes" in result.output


def test_an_unknown_nf_is_refused_by_name(capture):
    with pytest.raises(LegoError, match="there is no NF 'snort'; there are doshi, kitsune"):
        invoke("profile", capture, "--nf", "snort", *QUICK)
