"""The kinds of models: how each is read, checked, compiled and described. A kind is a file of its name here, with a value KIND."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import bricks.models
from bricks.models.archive import ArrayPart
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import shown

Compiled = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ModelKind:
    """One kind of models. Every model has `kind` (the name), `layout` (of the features that it takes) and `about` (plain JSON values).

    parts      by name, what the file holds besides these
    make       (fields) -> the model, checked; ModelError if they are no model
    arrays     (model) -> the parts as arrays
    compiled   (model, precision) -> values float64 [n, inputs] -> float64 [n, outputs]. The bits of a row depend on nothing but that row
    described  (model) -> plain facts for people and JSON
    """

    name: str
    parts: Mapping[str, ArrayPart]
    make: Callable[[dict[str, Any]], Any]
    arrays: Callable[[Any], Mapping[str, np.ndarray]]
    compiled: Callable[[Any, str], Compiled]
    described: Callable[[Any], dict[str, Any]]


def kind_names() -> tuple[str, ...]:
    """Of every kind that there is, in alphabetical order."""
    names = (module.name for module in pkgutil.iter_modules(bricks.models.__path__))
    return tuple(sorted(name for name in names if hasattr(importlib.import_module(f"bricks.models.{name}"), "KIND")))


def find_kind(name: str) -> ModelKind:
    """ModelError, with those that there are, if there is none of this name."""
    if name not in kind_names():
        raise ModelError(f"the kind of model {shown(name)} is unknown; there are {', '.join(kind_names())}")
    kind: ModelKind = importlib.import_module(f"bricks.models.{name}").KIND
    return kind


def kind_of(model: Any) -> ModelKind:
    """The kind that a model says it is of. ModelError if it is of none."""
    return find_kind(getattr(model, "kind", type(model).__name__))


def compile_model(model: Any, precision: str = "float64") -> Compiled:
    """The kernel of a model; see `ModelKind.compiled`."""
    return kind_of(model).compiled(model, precision)
