"""Classifiers of scikit-learn as programs of our own kernels. scikit-learn's predictions differ from theirs by rounding only.

An estimator is known by the name of its class; nothing of scikit-learn is imported to read one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bricks.kernels.network import opcodes as op
from bricks.models.program import Program, ProgramBuilder
from lego_sdn.core.facts.errors import ModelError

Writer = Callable[[Any, ProgramBuilder], None]
ACTIVATIONS = {"relu": op.RELU, "logistic": op.SIGMOID, "tanh": op.TANH}


def compile_estimator(estimator: Any) -> tuple[Program, tuple[str, ...]]:
    """The program of a fitted classifier, or of a pipeline of scalers and one, and the names of its classes.

    ModelError, with those that there are, if a part is not one that is compiled, or is not fitted.
    """
    parts = [part for _, part in estimator.steps] if _name(estimator) == "Pipeline" else [estimator]
    *scalers, last = [part for part in parts if not isinstance(part, str)]  # "passthrough"
    classes = getattr(last, "classes_", None)
    if classes is None:
        raise ModelError(f"scikit-learn's {_name(last)} is not fitted, or is no classifier: fit it before it is compiled")
    if isinstance(classes, list) or np.ndim(classes) != 1 or len(classes) < 2:
        raise ModelError(f"scikit-learn's {_name(last)} tells {np.shape(classes)} classes; wanted two or more of one label")
    builder = ProgramBuilder(int(parts[0].n_features_in_))
    for scaler in scalers:
        _writer(scaler, SCALERS)(scaler, builder)
    _writer(last, CLASSIFIERS)(last, builder)
    return builder.done(), tuple(map(str, np.asarray(classes).tolist()))


def _name(estimator: Any) -> str:
    return type(estimator).__name__


def _writer(estimator: Any, known: dict[str, Writer]) -> Writer:
    if _name(estimator) not in known or type(estimator).__module__.split(".")[0] != "sklearn":
        raise ModelError(f"scikit-learn's {_name(estimator)} is not compiled; there are {', '.join(sorted(known))}")
    return known[_name(estimator)]


# ---- scalers ----
def _standard(scaler: Any, builder: ProgramBuilder) -> None:
    offsets = np.zeros(builder.width) if scaler.mean_ is None else scaler.mean_
    divisors = np.ones(builder.width) if scaler.scale_ is None else scaler.scale_
    builder.add(op.SCALE, [offsets, divisors])


def _min_max(scaler: Any, builder: ProgramBuilder) -> None:
    builder.add(op.ADD, [scaler.scale_, scaler.min_])
    if scaler.clip:
        builder.add(op.CLIP, [scaler.feature_range])


# ---- networks and linear models ----
def _perceptron(net: Any, builder: ProgramBuilder) -> None:
    layers = list(zip(net.coefs_, net.intercepts_, strict=True))
    for weights, biases in layers[:-1]:
        builder.dense(weights, biases)
        if net.activation != "identity":
            builder.add(ACTIVATIONS[net.activation])
    _decisions(builder, *layers[-1])
    builder.add(op.SOFTMAX)


def _decisions(builder: ProgramBuilder, weights: np.ndarray, biases: np.ndarray) -> None:
    """A weighted sum for each class; of two classes told by one sum, that of the first is 0."""
    if np.shape(weights)[1] == 1:
        weights, biases = np.hstack([np.zeros_like(weights), weights]), np.append(0.0, biases)
    builder.dense(weights, biases)


def _logistic(model: Any, builder: ProgramBuilder) -> None:
    """Multinomial, but for liblinear, which has a model for each class against the others."""
    _decisions(builder, _weights(model), _intercept(model))
    if getattr(model, "solver", "") == "liblinear" and len(model.classes_) > 2:
        builder.add(op.SIGMOID)
        builder.add(op.NORMALISE)
    else:
        builder.add(op.SOFTMAX)


def _margin(model: Any, builder: ProgramBuilder) -> None:
    """A model without probabilities: e**margin, as shares of their sum, which decides as the margins do."""
    _decisions(builder, _weights(model), _intercept(model))
    builder.add(op.SOFTMAX)


def _descent(model: Any, builder: ProgramBuilder) -> None:
    """Stochastic gradient descent: what its margins mean depends on the loss."""
    several = len(model.classes_) > 2
    if model.loss == "log_loss" and several:
        builder.dense(_weights(model), _intercept(model))
        builder.add(op.SIGMOID)
        builder.add(op.NORMALISE)
    elif model.loss == "modified_huber":
        if several:  # more than one class may have the probability 1
            raise ModelError("scikit-learn's SGDClassifier with the loss modified_huber is compiled for two classes only")
        builder.dense(*_both(model))
        builder.add(op.CLIP, [[-1.0, 1.0]])
        builder.add(op.ADD, [np.full(builder.width, 0.5), np.full(builder.width, 0.5)])
        builder.add(op.NORMALISE)
    else:
        _margin(model, builder)


def _both(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """The margin of the second class, and its opposite for the first."""
    return np.hstack([-_weights(model), _weights(model)]), np.append(-_intercept(model), _intercept(model))


def _weights(model: Any) -> np.ndarray:
    """[inputs, outputs]"""
    return np.atleast_2d(model.coef_).T


def _intercept(model: Any) -> np.ndarray:
    return np.broadcast_to(model.intercept_, (_weights(model).shape[1],))


# ---- trees ----
def _one_tree(tree: Any, builder: ProgramBuilder) -> None:
    _forest_of([tree], builder)


def _forest(forest: Any, builder: ProgramBuilder) -> None:
    _forest_of(forest.estimators_, builder)


def _forest_of(trees: list[Any], builder: ProgramBuilder) -> None:
    """Sums of the shares in the leaves, as shares of their sum. scikit-learn compares float32 inputs with float64 thresholds; the largest
    float32 that is not above the threshold decides alike."""
    parts = [tree.tree_ for tree in trees]
    starts = np.cumsum([0, *(part.node_count for part in parts)])
    feature = np.concatenate([part.feature for part in parts])
    children = [
        np.concatenate([np.where(side(part) < 0, -1, side(part) + start) for part, start in zip(parts, starts, strict=False)])
        for side in (lambda part: part.children_left, lambda part: part.children_right)
    ]
    thresholds = round_down(np.concatenate([part.threshold for part in parts]))
    values = np.concatenate([part.value[:, 0, :] / part.value[:, 0, :].sum(axis=1, keepdims=True) for part in parts])
    numbers, indices = [thresholds, values], [starts[:-1], np.maximum(feature, 0), *children]
    builder.add(op.TREES, numbers, indices, outputs=values.shape[1], size=len(parts), extra=int(starts[-1]), option=1)
    builder.add(op.NORMALISE)


def round_down(numbers: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each number, as float64."""
    near = numbers.astype(np.float32)
    return np.where(near.astype(np.float64) > numbers, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)


# ---- examples and densities ----
def _neighbours(model: Any, builder: ProgramBuilder) -> None:
    if model.weights not in ("uniform", "distance") or model.effective_metric_ != "euclidean":
        raise ModelError(
            f"scikit-learn's KNeighborsClassifier with weights {model.weights!r} and metric {model.effective_metric_!r} is not compiled; "
            "there are uniform and distance, and euclidean"
        )
    points, weighted = model._fit_X, model.weights == "distance"
    known = {"outputs": len(model.classes_), "size": len(points), "extra": model.n_neighbors, "option": int(weighted)}
    builder.add(op.NEAREST, [points], [model._y], **known)


def _gaussian(model: Any, builder: ProgramBuilder) -> None:
    constants = np.log(model.class_prior_) - 0.5 * np.log(2.0 * np.pi * model.var_).sum(axis=1)
    builder.add(op.GAUSSIAN, [np.hstack([constants[:, None], model.theta_, model.var_])], outputs=len(constants))
    builder.add(op.SOFTMAX)


def _multinomial(model: Any, builder: ProgramBuilder) -> None:
    builder.dense(model.feature_log_prob_.T, model.class_log_prior_)
    builder.add(op.SOFTMAX)


def _complement(model: Any, builder: ProgramBuilder) -> None:
    builder.dense(model.feature_log_prob_.T, np.zeros(len(model.classes_)))
    builder.add(op.SOFTMAX)


def _bernoulli(model: Any, builder: ProgramBuilder) -> None:
    if model.binarize is not None:
        builder.add(op.ABOVE, [[model.binarize]])
    absent = np.log(1 - np.exp(model.feature_log_prob_))
    builder.dense((model.feature_log_prob_ - absent).T, model.class_log_prior_ + absent.sum(axis=1))
    builder.add(op.SOFTMAX)


SCALERS: dict[str, Writer] = {"StandardScaler": _standard, "MinMaxScaler": _min_max}
CLASSIFIERS: dict[str, Writer] = {
    "MLPClassifier": _perceptron,
    "LogisticRegression": _logistic,
    "LinearSVC": _margin,
    "RidgeClassifier": _margin,
    "Perceptron": _margin,
    "SGDClassifier": _descent,
    "DecisionTreeClassifier": _one_tree,
    "ExtraTreeClassifier": _one_tree,
    "RandomForestClassifier": _forest,
    "ExtraTreesClassifier": _forest,
    "KNeighborsClassifier": _neighbours,
    "GaussianNB": _gaussian,
    "MultinomialNB": _multinomial,
    "ComplementNB": _complement,
    "BernoulliNB": _bernoulli,
}
