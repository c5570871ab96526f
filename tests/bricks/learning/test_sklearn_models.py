"""Compiled classifiers against scikit-learn's own predictions, and the bits of a row in batches of any cut."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from bricks.learning.sklearn_models import compile_estimator, round_down
from lego_sdn.core.facts.errors import ModelError

WIDTH = 9
ESTIMATORS = {
    **{f"mlp-{name}": lambda name=name: MLPClassifier((11, 7), activation=name, max_iter=8) for name in ("relu", "tanh", "logistic")},
    "mlp-identity": lambda: MLPClassifier((), max_iter=8),
    "logistic": LogisticRegression,
    "svm": LinearSVC,
    "sgd-hinge": SGDClassifier,
    "sgd-log": lambda: SGDClassifier(loss="log_loss"),
    "perceptron": Perceptron,
    "ridge": RidgeClassifier,
    "tree": DecisionTreeClassifier,
    "extra-tree": ExtraTreeClassifier,
    "forest": lambda: RandomForestClassifier(12),
    "forest-best-first": lambda: RandomForestClassifier(7, max_leaf_nodes=9, class_weight="balanced"),
    "extra-forest": lambda: ExtraTreesClassifier(5),
    "neighbours": KNeighborsClassifier,
    "neighbours-by-distance": lambda: KNeighborsClassifier(7, weights="distance", algorithm="brute"),
    "gaussian": GaussianNB,
    "bernoulli": BernoulliNB,
    "multinomial": lambda: make_pipeline(MinMaxScaler(clip=True), MultinomialNB()),
    "complement": lambda: make_pipeline(MinMaxScaler(clip=True), ComplementNB()),
    "scaled": lambda: make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=8)),
    "centred": lambda: make_pipeline(StandardScaler(with_std=False), LogisticRegression()),
}


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH))


def fitted(estimator, classes: int):
    features = rows(240, 1)
    value = features[:, 0] + 0.5 * features[:, 1] ** 2
    labels = np.digitize(value, np.quantile(value, np.linspace(0, 1, classes + 1)[1:-1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rounds are enough here
        if hasattr(estimator, "random_state"):
            estimator.set_params(random_state=0)
        return estimator.fit(features, labels)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_decides_as_scikit_learn_does(name, classes):
    estimator, asked = fitted(ESTIMATORS[name](), classes), rows(200, 2) * 2
    program, names = compile_estimator(estimator)
    found = program.compiled()(asked)
    assert names == tuple(map(str, range(classes)))
    assert np.array_equal(found.argmax(axis=1), estimator.predict(asked))
    assert np.allclose(found.sum(axis=1), 1, atol=1e-9)
    if hasattr(estimator, "predict_proba"):
        assert np.abs(found - estimator.predict_proba(asked)).max() < 1e-6


def test_modified_huber_of_two_classes():
    estimator, asked = fitted(SGDClassifier(loss="modified_huber"), 2), rows(200, 2) * 2
    found = compile_estimator(estimator)[0].compiled()(asked)
    assert np.abs(found - estimator.predict_proba(asked)).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ["mlp-relu", "mlp-tanh", "forest", "neighbours-by-distance", "gaussian", "multinomial"])
def test_the_bits_of_a_row_do_not_depend_on_its_batch(name, precision):
    run = compile_estimator(fitted(ESTIMATORS[name](), 4))[0].compiled(precision)
    asked = rows(150, 3)
    whole = run(asked)
    for cut in (1, 7, 63, 64, 65):
        parts = [run(np.ascontiguousarray(asked[first : first + cut])) for first in range(0, len(asked), cut)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    turned = run(np.ascontiguousarray(asked[::-1]))[::-1]
    assert np.ascontiguousarray(turned).tobytes() == whole.tobytes()


def test_single_precision_is_near():
    program, asked = compile_estimator(fitted(ESTIMATORS["mlp-relu"](), 4))[0], rows(150, 3)
    assert np.abs(program.compiled("float32")(asked) - program.compiled()(asked)).max() < 1e-5


def test_a_value_on_a_threshold_goes_as_in_scikit_learn():
    estimator = fitted(DecisionTreeClassifier(), 4)
    tree = estimator.tree_
    inner = np.flatnonzero(tree.children_left >= 0)
    asked = rows(len(inner) * 3, 4)
    for number, node in enumerate(inner):
        near = np.float32(tree.threshold[node])
        for turn, value in enumerate((np.nextafter(near, np.float32(-9)), near, np.nextafter(near, np.float32(9)))):
            asked[3 * number + turn, tree.feature[node]] = value
    found = compile_estimator(estimator)[0].compiled()(asked)
    assert np.array_equal(found.argmax(axis=1), estimator.predict(asked))


def test_thresholds_are_rounded_down():
    numbers = np.array([0.1, -0.1, 0.5, 1e-30, -1e30])
    down = round_down(numbers)
    assert (down <= numbers).all()
    assert (np.nextafter(down.astype(np.float32), np.float32(np.inf)).astype(float) > numbers).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_has_no_probabilities_and_harms_no_other(value):
    run, asked = compile_estimator(fitted(RandomForestClassifier(5), 2))[0].compiled(), rows(130, 5)
    wanted = run(asked)
    asked[70, 3] = value
    found = run(asked)
    assert np.isnan(found[70]).all()
    assert np.array_equal(np.delete(found, 70, 0), np.delete(wanted, 70, 0))


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (lambda: fitted(SVC(), 2), r"scikit-learn's SVC is not compiled; there are .*LinearSVC"),
        (lambda: fitted(GradientBoostingClassifier(n_estimators=2), 2), "GradientBoostingClassifier is not compiled"),
        (lambda: fitted(make_pipeline(RobustScaler(), LogisticRegression()), 2), "RobustScaler is not compiled; there are MinMaxScaler"),
        (lambda: fitted(KNeighborsClassifier(metric="manhattan"), 2), "metric 'manhattan' is not compiled"),
        (lambda: fitted(SGDClassifier(loss="modified_huber"), 4), "for two classes only"),
        (LogisticRegression, "LogisticRegression is not fitted"),
        (lambda: DecisionTreeClassifier().fit(rows(9, 1), np.zeros(9)), "wanted two or more"),
        (lambda: DecisionTreeClassifier().fit(rows(9, 1), np.eye(9)[:, :2]), "wanted two or more of one label"),
    ],
)
def test_what_is_not_compiled_is_named(estimator, says):
    with pytest.raises(ModelError, match=says):
        compile_estimator(estimator())
