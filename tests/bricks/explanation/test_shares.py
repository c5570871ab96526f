"""Shares of a score: they sum to 1, the score they are of has its bits, and the features that they name are those that make it."""

import numpy as np
import pytest

from bricks.explanation.shares import MIXED, Explainer, explain, groups_of
from bricks.explanation.words import reasons
from bricks.feature_quantization import NAMES
from bricks.learning.threshold import score_features
from bricks.learning.training import Training
from bricks.offline.scoring import CaptureSummary, OfflineChain, Scoring, read_blocks, train_on

pytestmark = pytest.mark.data
LAYOUT = "kitsune115"


@pytest.fixture(scope="module")
def attack(data):
    """(model, features and scores of the packets that raise an alert) of the infected host's traffic."""
    captures = [data / "mirai-benign-20000.pcap", data / "mirai-attack-5000.pcap"]
    model, _ = train_on(captures[:1], Training(fm_grace=2000, ad_grace=15_000))
    chain, found = OfflineChain(Scoring(model)), []
    for rows in read_blocks(captures, CaptureSummary()):
        for first in range(0, len(rows), 512):
            found.append(chain.features(rows[first : first + 512]))
    features = np.concatenate(found)[20_000:]
    scores = score_features(model, features)
    return model, features[scores > model.threshold], scores[scores > model.threshold]


def test_the_score_has_its_bits_and_shares_sum_to_1(attack):
    model, features, scores = attack
    for count in (1, 63, 64, len(features)):
        found = explain(model, features[:count])
        assert np.array_equal(found.scores.view(np.uint64), scores[:count].view(np.uint64))
        np.testing.assert_allclose(found.shares.sum(axis=1), 1, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.clusters.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (found.shares >= 0).all()


def test_shares_are_those_of_the_definition(attack):
    """From the values and what they are rebuilt as."""
    model, features, _ = attack
    found = explain(model, features[:50])
    at = 0
    for k, size in enumerate(model.sizes.tolist()):
        columns = model.order[at : at + size]
        np.testing.assert_allclose(found.shares[:, columns].sum(axis=1), found.clusters[:, k], rtol=1e-9, atol=1e-15)
        scaled = (features[:50, columns] - found.expected[:, columns]) / model.span[at : at + size]
        wanted = found.clusters[:, [k]] * scaled**2 / (scaled**2).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found.shares[:, columns], wanted, rtol=1e-5, atol=1e-5)  # values near their reconstruction: rounding
        at += size


def rebuilt(model, features, chosen):
    """Scores after the features `chosen` [n, k] were set to their reconstruction."""
    found, changed, rows = explain(model, features), features.copy(), np.arange(len(features))[:, None]
    changed[rows, chosen] = found.expected[rows, chosen]
    return score_features(model, changed)


@pytest.mark.parametrize(("count", "ratio", "below"), [(3, 0.75, 0.0), (10, 0.2, 0.8)])
def test_without_the_named_features_the_score_falls(attack, count, ratio, below):
    """Fidelity, held against as many features at random (docs/how-to/watch.md has the figures)."""
    model, features, scores = attack
    named = np.argsort(-explain(model, features).shares, axis=1, kind="stable")[:, :count]
    random = np.argsort(np.random.default_rng(1).random(features.shape), axis=1)[:, :count]
    without_named, without_random = rebuilt(model, features, named), rebuilt(model, features, random)
    ratios = [float(np.median(after / scores)) for after in (without_named, without_random)]
    print(f"\n{len(scores)} alerts, {count} features: score falls to {ratios[0]:.3f} (named), {ratios[1]:.3f} (random)")
    print(f"no alert any more: {np.mean(without_named <= model.threshold)}, {np.mean(without_random <= model.threshold)}")
    assert np.mean(without_named < scores) > 0.99
    assert ratios[0] < ratio * ratios[1]
    assert np.mean(without_named <= model.threshold) > below
    assert np.mean(without_random <= model.threshold) < 0.05


def test_a_record_names_the_largest_shares(attack):
    model, features, _ = attack
    records, found = Explainer(model, NAMES[LAYOUT]).records(features), explain(model, features)
    groups, group = groups_of(NAMES[LAYOUT])
    assert groups == ("MI_dir", "H", "HH", "HH_jit", "HpHp")
    for record, shares, row in zip(records[:200], found.shares, features, strict=False):
        order = np.argsort(-shares, kind="stable")[:5]
        assert record["features"].tolist() == order.tolist()
        said = reasons(record, model, NAMES[LAYOUT])
        assert [reason.value for reason in said] == row[order].tolist()
        of_group = [shares[group == number].sum() for number in range(5)]
        assert record["kind"] == (int(np.argmax(of_group)) if max(of_group) > 0.5 else MIXED)


def test_numbers_that_overflow_still_have_shares(attack):
    model, features, _ = attack
    wild = features[:3].copy()
    wild[0, 5], wild[1, 7], wild[2, :] = 1e300, -1e300, 0
    found = explain(model, wild)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert found.shares[0].argmax() == 5
    assert found.shares[1].argmax() == 7
