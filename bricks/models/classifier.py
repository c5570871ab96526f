"""A classifier: a program whose results are the probabilities of classes, and what is decided by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bricks.models.archive import TEXT, ArrayPart
from bricks.models.kinds import Compiled, ModelKind
from bricks.models.program import Program
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable, shown

NAME_MOST = 100  # characters of a class's name
THRESHOLD = 0.5  # of a class, unless told otherwise


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier of rows of features.

    layout      name of the feature layout
    program     features [n, width] -> probabilities [n, classes]
    classes     names, in the order of the probabilities
    ordinary    number of the class that raises no alert
    thresholds  float64 [classes], from 0 to 1: a row whose most probable class is another one raises an alert if its probability is above
                that class's threshold
    about       how it came about; plain JSON values
    """

    kind: ClassVar[str] = "classifier"
    layout: str
    program: Program
    classes: tuple[str, ...]
    ordinary: int = 0
    thresholds: np.ndarray = field(default_factory=lambda: np.empty(0))
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        thresholds = np.array(self.thresholds if len(self.thresholds) else np.full(len(self.classes), THRESHOLD), dtype=np.float64)
        thresholds.flags.writeable = False
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "ordinary", int(self.ordinary))
        fault = _fault(self)
        if fault:
            raise ModelError(f"classifier of layout {shown(self.layout)}: {fault}; train or import it again")

    @property
    def width(self) -> int:
        return self.program.width

    def __repr__(self) -> str:
        return f"<Classifier {self.layout} {self.width} features, classes {', '.join(self.classes)}>"


def _fault(model: Classifier) -> str | None:
    """What makes it no classifier, or None."""
    names, count = model.classes, len(model.classes)
    if count < 2 or count != model.program.outputs:
        return f"it has {count} classes and {model.program.outputs} probabilities; wanted two or more, as many of both"
    if not all(isinstance(name, str) and 0 < len(name) <= NAME_MOST and printable(name) == name for name in names):
        return f"a class has no name of 1 to {NAME_MOST} printable characters"
    if len(set(names)) < count:
        return "two classes have one name"
    if not 0 <= model.ordinary < count:
        return f"its ordinary class has the number {model.ordinary}, and there are {count} classes"
    if model.thresholds.shape != (count,) or not ((model.thresholds >= 0) & (model.thresholds <= 1)).all():
        return f"wanted {count} thresholds from 0 to 1"
    return None


def _make(fields: dict[str, Any]) -> Classifier:
    program = Program(fields.pop("steps"), fields.pop("numbers"), fields.pop("indices"))
    classes = json.loads(fields.pop("classes"))
    if not isinstance(classes, list):
        raise ModelError("the names of the classes are no list; train or import it again")
    return Classifier(program=program, classes=tuple(classes), **fields)


def _arrays(model: Classifier) -> dict[str, np.ndarray]:
    names, ordinary = np.array(json.dumps(list(model.classes))), np.array(model.ordinary, np.int64)
    program = {"steps": model.program.steps, "numbers": model.program.numbers, "indices": model.program.indices}
    return {**program, "classes": names, "ordinary": ordinary, "thresholds": model.thresholds}


def _compiled(model: Classifier, precision: str = "float64") -> Compiled:
    """Features, float64 [n, width] -> probabilities, float64 [n, classes]; nan for a row with a feature that is not finite."""
    return model.program.compiled(precision)


def _described(model: Classifier) -> dict[str, Any]:
    return {
        "layout": model.layout,
        "features": model.width,
        "classes": list(model.classes),
        "ordinary": model.classes[model.ordinary],
        "thresholds": model.thresholds.tolist(),
        "operators": model.program.operators,
    }


KIND = ModelKind(
    name=Classifier.kind,
    parts={
        "steps": ArrayPart("<i8", 2),
        "numbers": ArrayPart.vector("<f8"),
        "indices": ArrayPart.vector("<i8"),
        "classes": TEXT,
        "ordinary": ArrayPart("<i8"),
        "thresholds": ArrayPart.vector("<f8"),
    },
    make=_make,
    arrays=_arrays,
    compiled=_compiled,
    described=_described,
)
