"""`lego verify`, as a user calls it."""

from __future__ import annotations

import json

import pytest

from bricks.learning.training import Training
from bricks.models.model_file import save_model
from bricks.offline.scoring import train_on
from lego_sdn.commands.verify import parse_events
from lego_sdn.core.facts.errors import LegoError
from tests.commands.test_offline import lego


@pytest.fixture(scope="module")
def attack(data, tmp_path_factory):
    """(capture, model) of an infected host."""
    where = tmp_path_factory.mktemp("model") / "m.model"
    model, _ = train_on([data / "mirai-benign-20000.pcap"], Training(fm_grace=500, ad_grace=1500))
    save_model(model, where)
    return data / "mirai-attack-5000.pcap", where


@pytest.mark.data
def test_with_shadows_it_ends_with_0(attack):
    capture, model = attack
    shown = json.loads(lego("verify", capture, "--model", model, "--replicas", "3", "--events", "1000:2,3000:4", "--json").stdout)
    assert shown["identical"]
    assert shown["scores"] | {"alerts": 0} == {
        "different": 0, "share": 0.0, "largest": 0.0, "first_packet": None, "alerts": 0, "alerts_lost": 0
    }  # fmt: skip
    assert shown["split"]["shadows"] == ["the owner of DstIP"]
    assert [(event["packet"], event["replicas"]) for event in shown["split"]["events"]] == [(1000, 2), (3000, 4)]
    assert (shown["layout"], shown["packets"], shown["notes"]) == ("kitsune115", 5000, [])


@pytest.mark.data
def test_without_shadows_it_ends_with_1_and_says_what_differs(attack):
    capture, model = attack
    words = ["verify", capture, "--model", model, "--replicas", "2", "--no-shadow"]
    shown = json.loads(lego(*words, "--json", code=1).stdout)
    assert not shown["identical"]
    first = shown["features"][0]
    assert first["packets"] == max(one["packets"] for one in shown["features"]) <= shown["packets_different"]
    assert first["largest"] > 0
    assert shown["first_packet_with_other_features"] <= shown["scores"]["first_packet"]
    assert 0 < shown["scores"]["share"] <= shown["share_of_packets"] < 1
    text = lego(*words, code=1).stdout
    assert first["name"] in text
    assert f"Scores: {shown['scores']['different']:,}" in text


@pytest.mark.data
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--granularity", "SrcMAC-SrcIP"], "a split by SrcMAC-SrcIP can have no shadows: 100 features"),
        (["--granularity", "Socket"], "shadows cannot keep 80 features exact"),
        (["--granularity", "SrcIP-DstIP", "--events", "99:3"], "new owners of a SrcIP-DstIP start cold"),
        (["--no-shadow", "--events", "99:3"], "without shadows no state moves"),
    ],
)
def test_what_a_split_cannot_have_is_said(attack, words, says):
    capture, model = attack
    notes = json.loads(lego("verify", capture, "--model", model, *words, "--json", code=1).stdout)["notes"]
    assert any(says in note for note in notes)


@pytest.mark.slow
@pytest.mark.data
def test_table_2_without_a_model_learns_from_the_capture(attack):
    capture, _ = attack
    shown = json.loads(lego("verify", capture, "--table2", "--json").stdout)
    assert [row["split"] for row in shown["rows"]] == ["Original", "SrcMAC-SrcIP", "SrcIP", "SrcIP-DstIP", "Socket", "SrcIP with shadows"]
    assert shown["model"] == "learned"
    assert shown["rows"][0]["ratio"] == shown["rows"][-1]["ratio"] == 1.0
    assert shown["rows"][-1]["scores_different"] == 0 < shown["rows"][2]["scores_different"]
    text = lego("verify", capture, "--table2").stdout
    assert "SrcIP with shadows: every score has the bits of the unsplit run" in text


@pytest.mark.slow
@pytest.mark.data
def test_of_a_layout_that_cannot_be_split_exactly_table_2_says_so(attack, tmp_path):
    capture, _ = attack
    model = tmp_path / "m.model"
    lego("train", capture, "--layout", "kitsunepy100", "--fm-grace", "200", "--ad-grace", "800", "--out", model)
    shown = json.loads(lego("verify", capture, "--model", model, "--table2", "--json", code=1).stdout)
    assert shown["layout"] == "kitsunepy100"
    assert shown["notes"] == [
        "a split by SrcIP can have no shadows: 70 features read streams whose readers no header field names",
        "15 features change by rounding only (which may be all of a variance near 0)",
    ]
    assert shown["rows"][-1]["scores_different"] == shown["rows"][2]["scores_different"] > 0


@pytest.mark.data
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--replicas", "0"], "0 is not in the range"),
        (["--granularity", "DstIP"], "'DstIP' is not one of"),
        (["--assume", "nope"], "assumption 'nope': extractor kitsune115 has one-mac-per-address"),
        (["--events", "9"], "'9' is no event; wanted PACKET:REPLICAS"),
        (["--events", "5000:3"], "event 5000:3 never comes"),
        (["--table2", "--no-shadow"], "--table2 has its own splits"),
        (["--model", "nix"], "'nix' does not exist"),
    ],
)
def test_bad_use_ends_with_2(attack, words, says):
    capture, model = attack
    assert says in lego("verify", capture, "--model", model, *words, code=2).stderr


def test_events_are_read():
    assert [(event.packet, event.replicas) for event in parse_events("5000:2, 9000:1")] == [(5000, 2), (9000, 1)]
    assert parse_events("") == ()


@pytest.mark.parametrize("text", ["x", "5:", ":2", "5:0", "5:65", "5:2:3", "-5:2", "9:2,9:3", "9:2,5:3", "5=2"])
def test_what_is_no_event_is_refused(text):
    with pytest.raises(LegoError, match="--events: "):
        parse_events(text)
