"""Learning a classifier from labelled features, and how well one does: scikit-learn learns, our kernels decide."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bricks.learning.sklearn_models import compile_estimator
from bricks.models.classifier import Classifier
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import shown

FEWEST = 5  # examples of a class
ORDINARY = ("benign", "normal", "ordinary", "background", "0")  # names of the class without alerts, unless it is told


@dataclass(frozen=True)
class Examples:
    """Labelled rows: features float64 [n, width], labels [n] (any values; their texts name the classes), layout of the features.

    ModelError if they do not fit together, a feature is not finite, there is one class only, or a class has fewer than FEWEST examples.
    """

    features: np.ndarray
    labels: np.ndarray
    layout: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", np.ascontiguousarray(self.features, np.float64))
        object.__setattr__(self, "labels", np.asarray(self.labels).astype(str))
        features, labels = self.features, self.labels
        if features.ndim != 2 or labels.shape != (len(features),):
            raise ModelError(f"examples: wanted one label for each row, found features {features.shape} and labels {labels.shape}")
        _check_finite(features)
        names, counts = np.unique(labels, return_counts=True)
        if len(names) < 2:
            raise ModelError(
                f"examples: all {len(labels)} have the label {shown(', '.join(names.tolist()))}; a classifier needs two or more"
            )
        if counts.min() < FEWEST:
            least = int(counts.argmin())
            few = f"the class {shown(str(names[least]))} has {counts[least]} of them"
            raise ModelError(f"examples: {few}; a class needs {FEWEST} or more: give more, or leave the class out")

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(np.unique(self.labels).tolist())


def _check_finite(features: np.ndarray) -> None:
    rows, columns = np.nonzero(~np.isfinite(features))
    if len(rows):
        where = f"row {rows[0]}, feature {columns[0]} is {features[rows[0], columns[0]]}"
        raise ModelError(f"examples: {where}; a feature must be a finite number ({len(np.unique(rows)):,} rows have another)")


@dataclass(frozen=True)
class Supervised:
    """How to learn. estimator: a name of ESTIMATORS; ordinary: the class that raises no alert (None: the first of ORDINARY that there is,
    else the first class); thresholds: by class, of its probability."""

    estimator: str = "forest"
    seed: int = 1234
    ordinary: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ModelError(f"the estimator {shown(self.estimator)} is unknown; there are {', '.join(ESTIMATORS)}")
        if not 0 <= self.seed < 2**32:
            raise ModelError(f"--seed is {self.seed}; it must be 0 to {2**32 - 1}")


def train_classifier(examples: Examples, how: Supervised) -> Classifier:
    """Learn from examples. The same examples and seed give the same model."""
    estimator = ESTIMATORS[how.estimator](how.seed)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        estimator.fit(examples.features, examples.labels)
    about = {"estimator": how.estimator, "seed": how.seed, "examples": _counts(examples.labels)}
    about |= {"warnings": sorted({str(one.message).split("\n")[0] for one in said})}
    return from_estimator(estimator, examples.layout, how, about)


def from_estimator(estimator: Any, layout: str, how: Supervised, about: Mapping[str, Any]) -> Classifier:
    """The model of a fitted classifier of scikit-learn."""
    program, classes = compile_estimator(estimator)
    return new_classifier(program, classes, layout, how, about)


def new_classifier(program: Any, classes: Sequence[str], layout: str, how: Supervised, about: Mapping[str, Any]) -> Classifier:
    """The model of a program. ModelError if the ordinary class, or one with a threshold, is none of its classes."""
    for name in (*how.thresholds, *([how.ordinary] if how.ordinary is not None else [])):
        if name not in classes:
            raise ModelError(f"{shown(name)} is no class of the model; there are {', '.join(map(shown, classes))}")
    ordinary = how.ordinary or next((name for name in ORDINARY if name in classes), classes[0])
    thresholds = np.array([how.thresholds.get(name, 0.5) for name in classes])
    return Classifier(layout, program, tuple(classes), list(classes).index(ordinary), thresholds, dict(about))


def class_numbers(model: Classifier, labels: Any) -> np.ndarray:
    """The number of each label's class: int64 [n]. ModelError if training never saw one."""
    names = np.asarray(labels).astype(str)
    places = {name: number for number, name in enumerate(model.classes)}
    unknown = [name for name in np.unique(names).tolist() if name not in places]
    if unknown:
        known = ", ".join(map(shown, model.classes))
        raise ModelError(f"the label {shown(unknown[0])} is none that the model has learned; there are {known}")
    return np.array([places[name] for name in names.tolist()], np.int64)


def evaluate(model: Classifier, features: np.ndarray, labels: Any) -> dict[str, Any]:
    """How well a model does: accuracy, F1 and counts of each class, and the mean of the F1s. Rows that are not finite are decided wrong."""
    wanted = class_numbers(model, labels)
    probabilities = model.program.compiled()(np.ascontiguousarray(features, np.float64))
    found = np.where(np.isnan(probabilities[:, 0]), -1, probabilities.argmax(axis=1))
    scores = {name: _f1(found == number, wanted == number) for number, name in enumerate(model.classes)}
    return {
        "rows": len(wanted),
        "accuracy": float(np.mean(found == wanted)) if len(wanted) else 0.0,
        "f1": scores,
        "macro_f1": float(np.mean(list(scores.values()))),
        "rows_by_class": _counts(np.asarray(labels).astype(str)),
    }


def _f1(found: np.ndarray, wanted: np.ndarray) -> float:
    right = int(np.count_nonzero(found & wanted))
    return 2 * right / max(1, int(np.count_nonzero(found)) + int(np.count_nonzero(wanted)))


def _counts(labels: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(labels, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


# ---- estimators by name; scikit-learn is imported where one is made ----
def _scaled(estimator: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator)


def _tree(seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=seed)


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(50, random_state=seed)


def _svm(seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return _scaled(LinearSVC(C=100, dual=False, random_state=seed))


def _neighbours(seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return _scaled(KNeighborsClassifier())


def _network(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return _scaled(MLPClassifier((11, 11, 11), batch_size=32, max_iter=100, random_state=seed))


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(max_iter=1000, random_state=seed))


def _bayes(seed: int) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return _scaled(GaussianNB())


ESTIMATORS: dict[str, Callable[[int], Any]] = {
    "tree": _tree,
    "forest": _forest,
    "svm": _svm,
    "neighbours": _neighbours,
    "network": _network,
    "logistic": _logistic,
    "bayes": _bayes,
}
