"""Learning a classifier: the same model from the same examples, and one sentence for examples that nothing can be learned from."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.learning.supervised import ESTIMATORS, Examples, Supervised, class_numbers, evaluate, train_classifier
from lego_sdn.core.facts.errors import ModelError


def features(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3)) + np.repeat([0.0, 6.0], count // 2)[:, None]


LABELS = np.repeat(["benign", "worm"], 30)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_learns_and_the_same_again(estimator):
    first, second = (train_classifier(Examples(features(), LABELS, "three"), Supervised(estimator)) for _ in range(2))
    assert (first.classes, first.ordinary, first.width, first.layout) == (("benign", "worm"), 0, 3, "three")
    assert first.program.numbers.tobytes() == second.program.numbers.tobytes()
    found = evaluate(first, features(), LABELS)
    assert (found["accuracy"], found["f1"], found["macro_f1"]) == (1.0, {"benign": 1.0, "worm": 1.0}, 1.0)
    assert first.about["examples"] == {"benign": 30, "worm": 30}


def test_the_ordinary_class_and_thresholds_are_told():
    model = train_classifier(Examples(features(), LABELS, "three"), Supervised("tree", ordinary="worm", thresholds={"benign": 0.9}))
    assert (model.ordinary, model.thresholds.tolist()) == (1, [0.9, 0.5])
    with pytest.raises(ModelError, match="'scan' is no class of the model; there are 'benign', 'worm'"):
        train_classifier(Examples(features(), LABELS, "three"), Supervised("tree", thresholds={"scan": 0.9}))
    with pytest.raises(ModelError, match="'' is no class"):
        train_classifier(Examples(features(), LABELS, "three"), Supervised("tree", ordinary=""))


def changed(row: int, column: int, value: float) -> np.ndarray:
    found = features()
    found[row, column] = value
    return found


@pytest.mark.parametrize(
    ("given", "labels", "says"),
    [
        (features(), np.full(60, "worm"), "all 60 have the label 'worm'; a classifier needs two or more"),
        (features(), np.where(np.arange(60) < 2, "rare", LABELS), "the class 'rare' has 2 of them; a class needs 5 or more"),
        (changed(7, 2, np.nan), LABELS, r"row 7, feature 2 is nan; .*\(1 rows have another\)"),
        (changed(0, 0, np.inf), LABELS, "row 0, feature 0 is inf"),
        (changed(0, 0, -np.inf), LABELS, "row 0, feature 0 is -inf"),
        (features(), LABELS[:9], "one label for each row"),
        (features()[:, 0], LABELS, "one label for each row"),
        (features()[:0], LABELS[:0], "two or more"),
    ],
)
def test_examples_that_teach_nothing_are_one_sentence(given, labels, says):
    with pytest.raises(ModelError, match=says):
        Examples(given, labels, "three")


def test_a_label_that_training_never_saw_is_named():
    model = train_classifier(Examples(features(), LABELS, "three"), Supervised("tree"))
    assert class_numbers(model, ["worm", "benign"]).tolist() == [1, 0]
    with pytest.raises(ModelError, match="the label 'scan' is none that the model has learned; there are 'benign', 'worm'"):
        evaluate(model, features()[:2], ["benign", "scan"])


def test_an_unknown_estimator_and_a_seed_out_of_range_are_named():
    with pytest.raises(ModelError, match="the estimator 'magic' is unknown; there are tree, forest"):
        Supervised("magic")
    with pytest.raises(ModelError, match="--seed is -1"):
        Supervised(seed=-1)
