"""`lego synth`: one capture or two, and which device is infected."""

import json

from click.testing import CliRunner

from bricks.files.captures import read_packets
from lego_sdn.cli import lego
from lego_sdn.core.facts.errors import LegoError


def run(*arguments):
    return CliRunner().invoke(lego, ["synth", *map(str, arguments)])


def test_one_capture_and_a_sentence(tmp_path):
    out = tmp_path / "x.pcap"
    result = run(out, "--benign", 300, "--attack", 100)
    assert result.exit_code == 0
    assert "wrote 400 packets" in result.output
    assert "is infected from packet 300 on" in result.output
    assert len(read_packets([out])[0]) == 400


def test_two_captures_are_the_one_in_parts(tmp_path):
    out = tmp_path / "x.pcap"
    assert run(out, "--benign", 300, "--attack", 100, "--seed", 5).exit_code == 0
    result = run(out, "--benign", 300, "--attack", 100, "--seed", 5, "--split", "--json")
    facts = json.loads(result.output)
    assert facts["files"] == [str(tmp_path / "x-benign.pcap"), str(tmp_path / "x-attack.pcap")]
    assert (facts["packets"], facts["first_attack"]) == (400, 300)
    assert 0 < facts["attack_packets"] < 100
    whole, _ = read_packets([out])
    parts = [read_packets([path])[0] for path in facts["files"]]
    assert [len(part) for part in parts] == [300, 100]
    assert whole["time_ns"].tolist() == [time for part in parts for time in part["time_ns"].tolist()]


def test_no_attack_and_no_packets(tmp_path):
    assert "infected" not in run(tmp_path / "x.pcap", "--benign", 50, "--attack", 0).output
    assert "wrote 0 packets" in run(tmp_path / "x.pcap", "--benign", 0, "--attack", 0).output


def test_wrong_use(tmp_path):
    assert run(tmp_path / "x.pcap", "--devices", 1).exit_code == 2
    assert run(tmp_path).exit_code == 2
    refused = run(tmp_path / "none" / "x.pcap", "--benign", 1)
    assert isinstance(refused.exception, LegoError)
