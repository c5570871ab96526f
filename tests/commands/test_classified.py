"""`lego features`, `train`, `score`, `verify` and `import` with `--nf doshi`, as whoever types them gets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bricks.device_features import DeviceFeatures
from bricks.files.captures import read_packets
from bricks.models.model_file import load_model
from bricks.records.brick import Batch
from lego_sdn.cli import lego
from lego_sdn.core.facts.errors import LegoError
from tests.onnx_models import write_linear
from topologies.traffic import Labels, write_capture

BENIGN, ATTACK = 600, 200


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> tuple[Path, Labels]:
    path = tmp_path_factory.mktemp("classified") / "a.pcap"
    return path, write_capture(path, benign=BENIGN, attack=ATTACK)


def run(*words: object) -> Result:
    return CliRunner().invoke(lego, [str(word) for word in words])


def told(*words: object) -> dict:
    done = run(*words, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.output)


def sentence(*words: object) -> str:
    """What is said of bad use or input; anything but one sentence fails."""
    done = run(*words)
    assert isinstance(done.exception, LegoError) or done.exit_code == 2, done.exception
    return str(done.exception) if isinstance(done.exception, LegoError) else done.output


@pytest.fixture(scope="module")
def model(capture) -> Path:
    path, labels = capture
    label = f"worm={labels.infected_mac}@{BENIGN}"
    facts = told("train", path, "--nf", "doshi", "--label", label, "--out", path.with_name("m"), "--estimator", "tree")
    assert facts["classes"]["worm"] > 20
    assert sum(facts["classes"].values()) == facts["packets"] == BENIGN + ATTACK
    return path.with_name("m")


def test_features(capture, tmp_path):
    facts = told("features", capture[0], "--nf", "doshi", "--layout", "doshi6", "--out", tmp_path / "f.npy")
    assert (facts["layout"], facts["features"], facts["packets"]) == ("doshi6", 6, BENIGN + ATTACK)
    packets, _ = read_packets([capture[0]])
    assert np.load(tmp_path / "f.npy").tobytes() == DeviceFeatures(0, "doshi6").process(Batch(packets)).values.tobytes()


def test_scores_and_alerts_by_class(capture, model, tmp_path):
    facts = told("score", capture[0], "--nf", "doshi", "--model", model, "--out", tmp_path / "s.npy")
    scores = np.load(tmp_path / "s.npy")
    assert facts["by_class"] == {"worm": facts["alerts"]}
    assert facts["alerts"] == int((scores > 0.5).sum()) > 20
    assert sum(facts["by_source"].values()) == facts["alerts"]
    skipped = told("score", capture[0], "--nf", "doshi", "--model", model, "--out", tmp_path / "t.npy", "--skip", 700)
    assert np.load(tmp_path / "t.npy").tobytes() == np.where(np.arange(len(scores)) < 700, 0, scores).tobytes()
    assert skipped["scored"] == len(scores) - 700


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_verify_is_exact_with_changes_of_ownership(capture, model, replicas):
    facts = told("verify", capture[0], "--nf", "doshi", "--model", model, "--replicas", replicas, "--events", "200:1,300:4,500:3")
    assert (facts["identical"], facts["packets_different"], facts["scores"]["different"]) == (True, 0, 0)
    assert facts["split"]["deliveries_per_packet"] == 1.0
    assert facts["promised_exact"] == 9


def test_a_model_of_onnx_scores(capture, tmp_path):
    pytest.importorskip("onnx", reason="the package onnx is not installed (pip install 'lego-sdn[onnx]')")
    write_linear(tmp_path / "m.onnx", 9, classes=3)
    words = ("--nf", "doshi", "--out", tmp_path / "m", "--classes", "worm,benign,scan")
    facts = told("import", tmp_path / "m.onnx", *words)
    assert (facts["classes"], facts["ordinary"], facts["layout"], facts["margins"]) == (
        ["worm", "benign", "scan"],
        "benign",
        "doshi9",
        False,
    )
    assert load_model(tmp_path / "m", "doshi9", kind="classifier").about["imported"] == "onnx"
    scored = told("score", capture[0], "--nf", "doshi", "--model", tmp_path / "m", "--out", tmp_path / "s.npy")
    assert scored["by_class"] == {"worm": 0, "scan": BENIGN + ATTACK}
    for words, says in (
        ((tmp_path / "m.onnx", "--nf", "doshi", "--layout", "doshi6"), "the model takes 9 features, and the layout has 6"),
        ((tmp_path / "m.onnx", "--nf", "kitsune", "--layout", "kitsune115"), "takes 9 features, and the layout has 115"),
        ((write_linear(tmp_path / "k.onnx", 115), "--nf", "kitsune"), "NF kitsune does not take such a model: .*not kitnet"),
        ((write_linear(tmp_path / "e.onnx", 9, "Erf"), "--nf", "doshi"), "operator Erf is not compiled"),
        ((tmp_path / "m.onnx", "--nf", "doshi", "--classes", "a,b"), "tells 3 classes, and 2 are named"),
        ((tmp_path / "m.onnx", "--nf", "doshi", "--classes", "a,b,b"), "two classes have one name"),
        ((tmp_path / "m.onnx", "--nf", "doshi", "--ordinary", "z"), "'z' is no class of the model"),
        ((tmp_path / "m.onnx", "--nf", "nope"), "there is no NF 'nope'"),
        ((tmp_path / "none.onnx", "--nf", "doshi"), "cannot be read"),
        ((capture[0], "--nf", "doshi"), "is no ONNX model"),
    ):
        with pytest.raises(LegoError, match=says):
            raise run("import", *words, "--out", tmp_path / "none").exception
    assert not (tmp_path / "none").exists()
    before = (tmp_path / "m.onnx").read_bytes()
    assert "it is the same file as" in sentence("import", tmp_path / "m.onnx", "--nf", "doshi", "--out", tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("train", "--nf", "doshi"), "learns from labels"),
        (("train", "--nf", "doshi", "--label", "worm"), "wanted NAME=ADDRESS"),
        (("train", "--nf", "doshi", "--label", "=1.2.3.4"), "wanted NAME=ADDRESS"),
        (("train", "--nf", "doshi", "--label", "worm=1.2.3.4@x"), "wanted NAME=ADDRESS"),
        (("train", "--nf", "doshi", "--label", "worm=1.2.3"), "'1.2.3' is neither an IP address nor a MAC address"),
        (("train", "--nf", "doshi", "--label", "worm=1.2.3.4"), "no packet of the captures has the source of the class 'worm'"),
        (("train", "--nf", "doshi", "--label", "worm={ip}@799"), "the class 'worm' has [1-4] of them; a class needs 5|no packet"),
        (("train", "--nf", "doshi", "--label", "benign={ip}"), "all 800 have the label 'benign'"),
        (("train", "--nf", "doshi", "--label", "worm={ip}", "--fm-grace", "9"), "--fm-grace says nothing to NF doshi"),
        (("train", "--label", "worm={ip}"), "--label says nothing to NF kitsune"),
        (("train", "--nf", "doshi", "--layout", "kitsune115"), "'kitsune115' is unknown; there are doshi9, doshi6"),
        (("features", "--nf", "doshi", "--layout", "nope"), "'nope' is unknown; there are doshi9, doshi6"),
        (("score", "--model", "{model}"), "is of the kind classifier, not kitnet"),
        (("score", "--nf", "doshi", "--model", "{model}", "--workers", "2"), "--workers says nothing to NF doshi"),
        (("score", "--nf", "doshi", "--model", "{model}", "--threshold", "2"), "it is a probability, 0 to 1"),
        (("score", "--nf", "doshi", "--model", "{capture}"), "is no LEGO model"),
    ],
)
def test_bad_use_is_one_sentence_and_writes_nothing(words, says, capture, model, tmp_path):
    values = {"ip": capture[1].infected, "model": model, "capture": capture[0]}
    given = [word.format(**values) for word in words]
    found = sentence(given[0], capture[0], *given[1:], "--out", tmp_path / "out")
    with pytest.raises(LegoError, match=says):
        raise LegoError(" ".join(found.split()))
    assert list(tmp_path.iterdir()) == []


def test_verify_wants_a_model_of_the_nf(capture, model):
    assert "give its model by --model" in sentence("verify", capture[0], "--nf", "doshi")
    assert "not kitnet" in sentence("verify", capture[0], "--model", model)
