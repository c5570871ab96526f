"""A model learned from packets as they come is the one learned from all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bricks.feature_quantization import NAMES, extract
from bricks.files.captures import read_packets
from bricks.learning.live import LiveTraining, report_text
from bricks.learning.threshold import score_features
from bricks.learning.training import Training, train_model
from bricks.records.addresses import address_text, addresses

pytestmark = pytest.mark.data
TRAINING = Training(fm_grace=300, ad_grace=1500)
ARRAYS = ("order", "sizes", "low", "span", "weights", "hidden_bias", "visible_bias", "error_low", "error_span")


@pytest.fixture(scope="module")
def traffic(data):
    packets = read_packets([data / "mirai-benign-20000.pcap"])[0][:2500]
    return packets, extract(packets)


def learned(traffic, steps):
    packets, features = traffic
    training, at = LiveTraining(TRAINING), 0
    while not training.done:
        step = int(steps.integers(1, 700))
        at += training.add(packets[at : at + step], features[at : at + step])
    return training.model(), at


@pytest.mark.parametrize("seed", range(5))
def test_the_bits_are_those_of_training_at_once(traffic, seed):
    model, taken = learned(traffic, np.random.default_rng(seed))
    whole = train_model(traffic[1], TRAINING)
    assert taken == TRAINING.vectors
    for name in ARRAYS:
        assert getattr(model, name).tobytes() == getattr(whole, name).tobytes(), name
    assert model.threshold == whole.threshold


def test_the_report_says_what_was_learned_from(traffic):
    packets, features = traffic
    model, taken = learned(traffic, np.random.default_rng(1))
    report = model.about["report"]
    assert report["packets"] == taken
    assert report["sources"] == len(np.unique(packets["src_lo"][:taken]))
    flat = features[:taken].min(axis=0) == features[:taken].max(axis=0)
    assert report["constant_features"] == [name for name, constant in zip(NAMES["kitsune115"], flat, strict=True) if constant]
    cost = report["alerts_per_day"]
    assert 0 <= cost["expected"] <= cost["at_most"]
    assert report_text(report)


def test_the_report_lists_trained_packets_above_the_threshold(data):
    """Quiet traffic at the end makes a low threshold: what came before is above it, if the model did not learn to take it as usual."""
    packets = read_packets([data / "mirai-benign-20000.pcap"])[0][:10_000]
    features = extract(packets)
    training = LiveTraining(Training(fm_grace=2500, ad_grace=7499))
    training.add(packets, features)
    model = training.model()
    outliers = model.about["report"]["outliers"]
    above = score_features(model, features[2501:]) > model.threshold
    assert outliers["packets"] == np.count_nonzero(above) > 0
    assert outliers["sources"] == dict(
        Counter(address_text(*source) for source in addresses(packets[2501:][above]).tolist()).most_common(5)
    )


def test_without_time_no_rate_is_told(traffic):
    packets = traffic[0].copy()
    packets["time_ns"] = 5
    training = LiveTraining(TRAINING)
    training.add(packets, extract(packets))
    report = training.model().about["report"]
    assert report["alerts_per_day"] is None
    assert report_text(report)
