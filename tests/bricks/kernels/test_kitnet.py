"""KitNET in execution and training: golden scores, and the same bits wherever a vector lies."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from bricks.feature_mapping import FeatureMapping
from bricks.feature_quantization import extract
from bricks.files.captures import read_packets
from bricks.kernels.kitnet.sums import LANES, weighted_sum
from bricks.learning.feature_map import learn_map
from bricks.learning.threshold import score_features
from bricks.learning.training import Training, fitted, train_model
from bricks.models.model_file import Model
from bricks.records.brick import Batch
from bricks.unsupervised_network import UnsupervisedNetwork
from lego_sdn.core.facts.errors import BrickError, ModelError

GOLDEN = ("kitsune115", "kitsunepy100")


@pytest.fixture(scope="module", params=GOLDEN)
def golden(request, data):
    """(golden values, features of the benign capture, model with reference numerics) of a layout."""
    packets, _ = read_packets([data / "mirai-benign-20000.pcap"])
    features = extract(packets, request.param)
    with np.load(data / f"golden-{request.param}.npz") as found:
        values = dict(found)
    return values, features, train_model(features, Training(request.param, 5000, 10_000, numerics="reference"))


def made_up(seed: int, sizes: tuple[int, ...] = (10, 1, 2, 7, 10, 4, 3)) -> Model:
    """A model of arbitrary weights: what is tested is arithmetic, not learning."""
    random = np.random.default_rng(seed)
    visible = np.array([*sizes, len(sizes)])
    hidden = (3 * visible + 3) // 4
    return Model(
        layout="made-up",
        order=random.permutation(sum(sizes)),
        sizes=np.array(sizes),
        low=random.normal(size=sum(sizes)),
        span=random.uniform(0.1, 5, sum(sizes)),
        weights=random.normal(size=int((visible * hidden).sum())),
        hidden_bias=random.normal(size=int(hidden.sum())),
        visible_bias=random.normal(size=int(visible.sum())),
        error_low=random.uniform(0, 0.1, len(sizes)),
        error_span=random.uniform(0.1, 1, len(sizes)),
        threshold=1.0,
    )


def plainly(model: Model, features: np.ndarray) -> np.ndarray:
    """Scores by matrix products, one vector at a time, straight from the definition."""
    inputs = ((features[:, model.order] - model.low) / model.span).T
    weight = unit = bias = 0
    errors = []
    for size in (*model.sizes, len(model.sizes)):
        hidden = -(-3 * size // 4)
        if bias == model.width:
            inputs, bias_at = (np.array(errors) - model.error_low[:, None]) / model.error_span[:, None], 0
        else:
            bias_at = bias
        x = inputs[bias_at : bias_at + size]
        w = model.weights[weight : weight + size * hidden].reshape(size, hidden)
        y = 1 / (1 + np.exp(-(w.T @ x + model.hidden_bias[unit : unit + hidden, None])))
        z = 1 / (1 + np.exp(-(w @ y + model.visible_bias[bias : bias + size, None])))
        errors.append(np.sqrt(((x - z) ** 2).mean(axis=0)))
        weight, unit, bias = weight + size * hidden, unit + hidden, bias + size
    return errors[-1]


@pytest.mark.data
def test_the_learned_map_is_the_golden_one(golden):
    values, _, model = golden
    np.testing.assert_array_equal(model.sizes, values["cluster_sizes"])
    np.testing.assert_array_equal(model.order, values["cluster_order"])


# Two packets whose correlation hangs on the last bit of a 2**x that libm, and with it the golden values, have wrong: the definition with
# correctly rounded powers misses their golden scores by as much (docs/decisions.md, 2026-11-25)
LIBMS = {"kitsune115": [19_763, 19_764], "kitsunepy100": []}


@pytest.mark.data
def test_scores_of_a_capture_equal_the_golden_ones(golden):
    """To 1e-8, but for two that are known, which have 3e-7."""
    values, features, model = golden
    first = int(values["first_scored"])
    assert first == 15_001
    error = np.abs(score_features(model, features[first:]) / values["scores"][first:] - 1)
    assert (first + np.flatnonzero(error > 1e-8)).tolist() == LIBMS[model.layout]
    assert error.max() < 3e-7


@pytest.mark.slow
@pytest.mark.data
def test_scores_of_the_definitions_features_equal_the_golden_ones(data, oracle):
    """KitNET alone: with the features of the executable definition, every score."""
    statistics = oracle.Statistics()
    features = np.array([statistics.features(*packet) for packet in oracle.packets(data / "mirai-benign-20000.tsv")])
    with np.load(data / "golden-kitsune115.npz") as found:
        scores = found["scores"]
    model = train_model(features, Training("kitsune115", 5000, 10_000, numerics="reference"))
    np.testing.assert_allclose(score_features(model, features[15_001:]), scores[15_001:], rtol=1e-12, atol=0)


@pytest.mark.data
def test_float32_scores_are_within_a_hundred_thousandth(golden):
    _, features, model = golden
    exact = score_features(model, features[15_001:])
    half = score_features(model, features[15_001:], "float32")
    np.testing.assert_allclose(half, exact, rtol=1e-5, atol=0)
    assert not np.array_equal(half, exact)


@pytest.mark.parametrize("seed", range(3))
def test_scores_follow_the_definition(seed):
    model = made_up(seed)
    features = np.random.default_rng(seed).normal(size=(130, model.width)) * 4
    np.testing.assert_allclose(score_features(model, features), plainly(model, features), rtol=1e-12)


@pytest.mark.parametrize("sizes", [(1,), (2, 1), (3, 4), (8,), (9, 1), (10, 10, 10, 2), (1,) * 20])
def test_scores_follow_the_definition_for_nets_of_any_shape(sizes):
    model = made_up(5, sizes)
    features = np.random.default_rng(5).normal(size=(70, model.width))
    np.testing.assert_allclose(score_features(model, features), plainly(model, features), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_every_batch_size_gives_the_same_bits(precision):
    model = made_up(7)
    features = np.random.default_rng(7).normal(size=(300, model.width)) * 3
    whole = score_features(model, features, precision)
    for size in range(1, 301):
        cut = np.concatenate([score_features(model, features[at : at + size], precision) for at in range(0, 300, size)])
        assert np.array_equal(cut.view(np.uint64), whole.view(np.uint64)), f"batches of {size}"


def test_neighbours_in_a_batch_do_not_matter_even_if_they_are_no_numbers():
    model = made_up(8)
    features = np.random.default_rng(8).normal(size=(64, model.width))
    alone = score_features(model, features[:1])
    features[1:] = np.nan
    features[5] = np.inf
    features[6] = 1e300
    assert score_features(model, features)[0] == alone[0]


def test_no_rows_are_no_error():
    model = made_up(9)
    assert score_features(model, np.empty((0, model.width))).shape == (0,)


def test_scores_far_from_the_model_stay_finite():
    model = made_up(10)
    features = np.full((3, model.width), 1e15)
    assert np.isfinite(score_features(model, features)).all()
    assert np.isfinite(score_features(model, features, "float32")).all()


def test_chained_bricks_equal_the_whole():
    model = made_up(11)
    features = np.random.default_rng(11).normal(size=(200, model.width))
    mapping, network = FeatureMapping(0, model), UnsupervisedNetwork(1, model)
    head = np.arange(200)
    chained = [network.process(mapping.process(Batch(head[at : at + 37], features[at : at + 37]))) for at in range(0, 200, 37)]
    assert np.array_equal(np.concatenate([batch.head for batch in chained]), head)
    assert np.array_equal(np.concatenate([batch.values for batch in chained])[:, 0], score_features(model, features))
    assert mapping.counters == network.counters == {"packets": 200}


def test_weights_in_strided_or_read_only_memory_change_nothing():
    model = made_up(12)
    features = np.random.default_rng(12).normal(size=(65, model.width))
    wide = np.empty((65, 2 * model.width))
    wide[:, ::2] = features
    frozen = features.copy()
    frozen.flags.writeable = False
    expected = score_features(model, features)
    assert np.array_equal(score_features(model, wide[:, ::2]), expected)
    assert np.array_equal(score_features(model, frozen), expected)


def test_a_network_of_an_unknown_precision_is_refused():
    with pytest.raises(BrickError, match=r"float16.*float64, float32"):
        UnsupervisedNetwork(0, made_up(13), "float16")


def test_values_of_another_width_are_refused():
    model = made_up(14)
    with pytest.raises(BrickError, match=r"feature-mapping-0: takes values of shape \(2, 37\), was given \(2, 36\)"):
        FeatureMapping(0, model).process(Batch(np.zeros(2), np.zeros((2, 36))))
    with pytest.raises(BrickError, match="unsupervised-network-3"):
        UnsupervisedNetwork(3, model).process(Batch(np.zeros(2), None))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_multiplication_and_addition_are_rounded_apart(kind):
    """A fused multiply-add would find the tail of the product, which rounding cuts off; bits must not hang on what a machine has."""

    @njit
    def run(inputs, weights, bias, out):
        weighted_sum(inputs, 2, weights, (1, 2), bias, out)

    tiny = kind(2.0**-30 if kind is np.float64 else 2.0**-13)
    inputs = np.full((2, LANES), 1 + tiny, kind)
    inputs[1] = 0
    out = np.empty(LANES, kind)
    run(inputs, np.array([9, 1 + tiny, 9, 7], kind), -(1 + 2 * tiny), out)
    assert not out.any()
    inputs[1] = np.arange(LANES)
    run(inputs, np.array([9, 1, 9, 0.5], kind), kind(0.25), out)
    assert np.array_equal(out, kind(0.25) + (1 + tiny) + np.arange(LANES, dtype=kind) * kind(0.5))


def ordinary(vectors: int, width: int = 12) -> np.ndarray:
    random = np.random.default_rng(3)
    hidden = random.normal(size=(vectors, 3))
    return hidden @ random.normal(size=(3, width)) + 0.05 * random.normal(size=(vectors, width))


def stepwise(vectors: np.ndarray, sizes: list[int], training: Training) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights after training as the definition says it: one vector through the whole net before the next one comes."""

    class Encoder:
        def __init__(self, visible: int) -> None:
            hidden = int(np.ceil(0.75 * visible))
            self.w = np.random.RandomState(training.seed).uniform(-1 / visible, 1 / visible, (visible, hidden))
            self.hb, self.vb = np.zeros(hidden), np.zeros(visible)
            self.low, self.high = np.full(visible, np.inf), np.full(visible, -np.inf)

        def train(self, x: np.ndarray) -> float:
            self.low, self.high = np.minimum(self.low, x), np.maximum(self.high, x)
            x = (x - self.low) / (self.high - self.low + 1e-16)
            y = 1 / (1 + np.exp(-(x @ self.w + self.hb)))
            z = 1 / (1 + np.exp(-(y @ self.w.T + self.vb)))
            l2 = x - z
            l1 = (l2 @ self.w) * y * (1 - y)
            self.w += training.rate * (np.outer(x, l1) + np.outer(l2, y))
            self.hb += training.rate * l1
            self.vb += training.rate * l2
            return float(np.sqrt(np.mean(l2**2)))

    ensemble, output = [Encoder(size) for size in sizes], Encoder(len(sizes))
    ends = np.cumsum([0, *sizes])
    for x in vectors:
        output.train(np.array([e.train(x[a:b]) for e, a, b in zip(ensemble, ends, ends[1:], strict=False)]))
    return [e.w.ravel() for e in (*ensemble, output)], output.low, output.high


@pytest.mark.slow
def test_training_follows_the_definition_across_chunks():
    vectors = ordinary(6000)
    training = Training("made-up", 500, 5200, max_size=5, numerics="reference")
    model = train_model(vectors, training)
    weights, low, high = stepwise(vectors[501:5701, model.order], model.sizes.tolist(), training)
    np.testing.assert_allclose(model.weights, np.concatenate(weights), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.error_low, low, rtol=1e-10)
    np.testing.assert_allclose(model.error_span, high - low, rtol=1e-9)


def test_training_twice_gives_the_same_bits_and_another_seed_others():
    vectors = ordinary(900)
    one, two = (train_model(vectors, Training("made-up", 200, 600)) for _ in range(2))
    other = train_model(vectors, Training("made-up", 200, 600, seed=5))
    assert np.array_equal(one.weights, two.weights)
    assert one.threshold == two.threshold
    assert not np.array_equal(one.weights, other.weights)


def test_what_comes_after_the_trained_vectors_does_not_matter():
    vectors = ordinary(900)
    changed = vectors.copy()
    changed[801:] *= 100
    one, two = (train_model(v, Training("made-up", 200, 600)) for v in (vectors, changed))
    assert np.array_equal(one.weights, two.weights)
    assert one.threshold == two.threshold


def test_progress_hears_of_every_vector():
    heard: list[int] = []
    train_model(ordinary(5200), Training("made-up", 100, 5000), heard.append)
    assert sum(heard) == 5000
    assert len(heard) > 1


def test_a_constant_feature_that_changes_does_not_drown_the_others():
    vectors = ordinary(2000)
    vectors[:, 4] = 7.0
    changed = vectors[1500:].copy()
    changed[:, 4] = 8.0
    robust, reference = (train_model(vectors, Training("made-up", 300, 1000, numerics=n)) for n in ("robust", "reference"))
    assert score_features(reference, changed).min() > 1e12
    assert score_features(robust, changed).max() < 1e4
    assert score_features(robust, changed).min() > robust.threshold


def test_the_threshold_leaves_ordinary_vectors_alone_and_catches_others():
    vectors = ordinary(4000)
    model = train_model(vectors, Training("made-up", 500, 2000))
    assert (score_features(model, vectors[2501:]) > model.threshold).mean() < 0.001
    strange = np.random.default_rng(0).permuted(vectors[2501:], axis=0)  # each feature ordinary, together not
    assert np.median(score_features(model, strange)) > np.median(score_features(model, vectors[2501:])) * 2
    assert (score_features(model, vectors[2501:] * 30) > model.threshold).mean() > 0.9
    assert model.about["calibration"]["vectors"] == 500


def test_too_few_packets_name_needed_found_and_flags():
    with pytest.raises(ModelError, match=r"needs 601 packets \(--fm-grace 100 \+ 1 \+ --ad-grace 500\), the capture has 600"):
        train_model(ordinary(600), Training("made-up", 100, 500))


def test_a_training_is_fitted_to_a_shorter_capture():
    asked = Training()
    assert fitted(asked, 55_001) == asked
    assert (fitted(asked, 20_000).fm_grace, fitted(asked, 20_000).ad_grace) == (5000, 14_999)
    assert fitted(asked, 101).vectors == 101
    with pytest.raises(ModelError, match="100 packets or more, the capture has 99"):
        fitted(asked, 99)


@pytest.mark.parametrize("wrong", [{"fm_grace": 0}, {"ad_grace": -1}, {"max_size": 0}, {"seed": -1}, {"numerics": "nice"}])
def test_impossible_trainings_are_refused(wrong):
    with pytest.raises(ModelError, match=next(iter(wrong)).replace("_", "-")):
        Training(**wrong)


def test_a_map_keeps_to_its_size_and_puts_what_goes_together_together():
    random = np.random.default_rng(1)
    two = random.normal(size=(500, 2))
    vectors = np.concatenate([two[:, [0]] * [1, 2, 3], two[:, [1]] * [1, -2, 5]], axis=1) + 1e-3 * random.normal(size=(500, 6))
    learned = learn_map(vectors, 3)
    clusters = np.split(learned.order, np.cumsum(learned.sizes)[:-1])
    assert any(sorted(cluster.tolist()) == [0, 1, 2] for cluster in clusters)
    assert learned.sizes.max() <= 3
    assert sorted(learned.order.tolist()) == list(range(6))
    assert learn_map(vectors[:, :1], 3).order.tolist() == [0]


def test_a_map_of_constant_features_is_still_one():
    learned = learn_map(np.ones((50, 30)), 10)
    assert sorted(learned.order.tolist()) == list(range(30))
    assert learned.sizes.max() <= 10
