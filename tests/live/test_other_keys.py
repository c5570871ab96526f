"""The live proof for an NF that is keyed by destination, and that is a package of somebody else's: moves change no bit of any score."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.records.brick import Batch
from lego_sdn.adapters.linux import processes
from lego_sdn.core.nf.split_key import split_key
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.equivalence import Drive, merge, move, move_busiest, prove, replicate
from lego_sdn.experiments.run import Experiment, Prepared
from tests.destinations import NF
from tests.destinations.destination_load import DestinationLoad
from tests.fakes.environment import new_environment, write_facts
from tests.live.session import configuration
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root
ROOT = Path(__file__).resolve().parents[2]
PACKETS = 30_000  # more than the steps need: the sending ends with them
STEPS = (replicate(), replicate(), move_busiest(1, 2), move(range(32), 2), move(range(32), 1), merge(3), merge(2))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The NF, as an installer leaves it: the agent runs as root and loads no other."""
    python, site = new_environment(tmp_path)
    (site / "destinations.pth").write_text(f"{ROOT}\n")
    write_facts(site, "destinations", "1.0", {"lego.nfs": {"destinations": "tests.destinations:NF"}})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(processes, "PYTHON", (str(python), "-I"))


@pytest.mark.parametrize("layout", ["received", "answered"])
def test_a_split_by_destination_is_carried_out_and_proved(installed, tmp_path, layout):
    made = traffic(devices=10, benign_packets=PACKETS, attack_packets=0, seed=5)
    capture, no_model = tmp_path / "traffic.pcap", tmp_path / "none.model"
    write_pcap(capture, made.frames, made.times_us)
    no_model.write_text("this NF needs none")
    packets, _ = read_packets([capture])
    key = split_key(NF.extractor(layout))
    unsplit = DestinationLoad(0, layout, 0, key).process(Batch(packets)).values
    prepared = Prepared(no_model, layout, np.ascontiguousarray(unsplit[:, 0]), (), packets)
    config = configuration(tmp_path, no_model, nf="destinations", layout=layout)
    load = OfferedTraffic((capture,), 300.0)
    with Experiment(config, tmp_path, print) as experiment:
        shown = experiment.get("granularity")["key"]
        assert (shown["own"], shown["shadows"]) == (["dst_ip"], [["src_ip"]] if layout == "answered" else [])
        tables = {flow["table"] for flow in experiment.get("flows")["flows"]}
        proof = prove(Drive(experiment, load, whole=False), prepared, STEPS)
    assert proof.holds, proof.as_dict()
    assert proof.most_instances == 3
    assert proof.figures["streams"] > 0
    assert proof.figures["inexact"] == []
    assert (2 in tables) == (layout == "answered")
