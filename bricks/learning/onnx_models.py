"""ONNX models as programs of our own kernels: a chain of operators from the features to the probabilities of classes.

What is not in OPERATORS is refused by name. Constants are folded; a branch that only tells the label is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bricks.kernels.network import opcodes as op
from bricks.learning.onnx_trees import write_trees
from bricks.models.program import Program, ProgramBuilder
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable, shown

PROBABILITIES = {op.SOFTMAX, op.NORMALISE, op.SIGMOID}  # results of these are taken as probabilities; of others, as margins
ML = "ai.onnx.ml"


@dataclass
class OnnxReading:
    """A chain that is being compiled. last: operator that was written last; labels: names of classes that the model tells."""

    builder: ProgramBuilder
    constants: dict[str, np.ndarray]
    last: int = 0
    labels: list[str] = field(default_factory=list)

    def add(self, code: int, *numbers: Any, **fields: int) -> None:
        self.builder.add(code, numbers, **fields)
        self.last = code

    def dense(self, weights: np.ndarray, biases: np.ndarray) -> None:
        self.builder.dense(weights, biases)
        self.last = op.DENSE

    def constant(self, name: str, what: str) -> np.ndarray:
        """ModelError if it is computed and not constant."""
        if name not in self.constants:
            raise ModelError(f"{what}: {shown(name)} is computed; only chains of operators are compiled, whose other inputs are constant")
        return np.asarray(self.constants[name], np.float64)


def compile_onnx(graph: Any, width: int) -> tuple[Program, list[str], bool]:
    """The program of a graph (`lego_sdn.adapters.files.onnx_file.OnnxGraph`) that takes `width` features.

    Returns also the names of the classes that the model tells ([] if none), and whether its results are margins, which softmax then turns
    into probabilities. ModelError names the operator that is not compiled.
    """
    constants = {**graph.constants, **{node.outputs[0]: node.attributes["value"] for node in graph.nodes if _is_constant(node)}}
    chain = _chain(graph, constants)
    source = graph.inputs[0]
    if source[1] and source[1][-1] not in (None, 0, width):
        raise ModelError(f"the model takes {source[1][-1]} features, and the layout has {width}; export it for this layout")
    reading = OnnxReading(ProgramBuilder(width), constants)
    for node in chain:
        what = f"operator {shown(node.operator)[1:-1]}" + (f" ({printable(node.name, 60)})" if node.name else "")
        if node.operator not in OPERATORS:
            raise ModelError(f"the model's {what} is not compiled; there are {', '.join(sorted(OPERATORS))}")
        try:
            OPERATORS[node.operator](node, reading, f"the model's {what}")
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise ModelError(f"the model's {what} cannot be compiled: {printable(str(error), 200)}") from None
    margins = reading.last not in PROBABILITIES
    _finish(reading, margins)
    return reading.builder.done(), reading.labels, margins


def _is_constant(node: Any) -> bool:
    return node.operator == "Constant" and "value" in node.attributes


def _finish(reading: OnnxReading, margins: bool) -> None:
    """Two classes from one result, and probabilities from margins."""
    if reading.builder.width == 1 and margins:
        reading.add(op.SIGMOID)
    if reading.builder.width == 1:
        reading.dense(np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]))
    elif margins:
        reading.add(op.SOFTMAX)


def _chain(graph: Any, constants: Mapping[str, Any]) -> list[Any]:
    """The nodes from the input to the probabilities, in order. ModelError if that is no chain."""
    if len(graph.inputs) != 1:
        raise ModelError(f"the model has {len(graph.inputs)} inputs; wanted one, of all features side by side")
    makers = {name: node for node in graph.nodes for name in node.outputs}
    wanted, chain = _output(graph, makers), list[Any]()
    while wanted != graph.inputs[0][0]:
        node = makers.get(wanted)
        if node is None or len(chain) > len(graph.nodes):
            raise ModelError(f"the model's result {shown(wanted)} does not come from its input {shown(graph.inputs[0][0])}")
        chain.append(node)
        computed = [name for name in node.inputs if name and name not in constants]
        if len(set(computed)) != 1 or len(computed) > 1:
            joined = ", ".join(map(shown, computed)) or "nothing"
            raise ModelError(f"the model's operator {shown(node.operator)[1:-1]} joins {joined}; only a chain of operators is compiled")
        wanted = computed[0]
    return chain[::-1]


def _output(graph: Any, makers: Mapping[str, Any]) -> str:
    """The result that tells probabilities: not the label, which a classifier of ai.onnx.ml gives first and others by ArgMax."""
    for name in reversed(graph.outputs):
        node = makers.get(name)
        labels = node is not None and (node.operator == "ArgMax" or (node.operator in CLASSIFIERS and name == node.outputs[0]))
        if not labels:
            return str(name)
    if graph.outputs and (node := makers[graph.outputs[-1]]).operator in CLASSIFIERS and len(node.outputs) > 1:
        return str(node.outputs[1])
    raise ModelError("the model tells a label only; export one that tells probabilities")


# ---- operators: (node, reading, its name in an error) ----
def _nothing(node: Any, reading: OnnxReading, what: str) -> None:
    """Rows stay as they are."""


def _cast(node: Any, reading: OnnxReading, what: str) -> None:
    if node.attributes.get("to") not in (1, 11):
        raise ModelError(f"{what} to other types than float and double is not compiled")


def _softmax(node: Any, reading: OnnxReading, what: str) -> None:
    if node.attributes.get("axis", -1) not in (-1, 1):
        raise ModelError(f"{what} along axis {node.attributes['axis']} is not compiled; wanted that of the classes, -1 or 1")
    reading.add(op.SOFTMAX)


def _gemm(node: Any, reading: OnnxReading, what: str) -> None:
    told = node.attributes
    if told.get("transA", 0) or node.inputs[0] in reading.constants:
        raise ModelError(f"{what} with a constant or transposed first input is not compiled")
    weights = reading.constant(node.inputs[1], what)
    weights = (weights.T if told.get("transB", 0) else weights) * told.get("alpha", 1.0)
    biases = reading.constant(node.inputs[2], what) * told.get("beta", 1.0) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    _weighted(reading, weights, biases, what)


def _weighted(reading: OnnxReading, weights: np.ndarray, biases: np.ndarray, what: str) -> None:
    if weights.ndim != 2 or len(weights) != reading.builder.width:
        raise ModelError(f"{what} has weights of the shape {weights.shape}, and {reading.builder.width} inputs")
    reading.dense(weights, np.broadcast_to(biases.ravel(), weights.shape[1]))


def _matmul(node: Any, reading: OnnxReading, what: str) -> None:
    if node.inputs[0] in reading.constants:
        raise ModelError(f"{what} with a constant first input is not compiled")
    _weighted(reading, reading.constant(node.inputs[1], what), np.zeros(1), what)


def _arithmetic(node: Any, reading: OnnxReading, what: str) -> None:
    """The four operations with a constant."""
    first = node.inputs[0] in reading.constants
    number = np.broadcast_to(reading.constant(node.inputs[0 if first else 1], what).ravel(), reading.builder.width)
    one, nothing = np.ones(len(number)), np.zeros(len(number))
    if node.operator == "Add":
        reading.add(op.ADD, one, number)
    elif node.operator == "Mul":
        reading.add(op.ADD, number, nothing)
    elif node.operator == "Sub":
        reading.add(op.ADD, -one if first else one, number if first else -number)
    elif first:
        raise ModelError(f"{what} of a constant by a value is not compiled")
    else:
        reading.add(op.SCALE, nothing, number)


def _activation(code: int, attribute: str = "", usual: float = 0.0) -> Callable[[Any, OnnxReading, str], None]:
    def write(node: Any, reading: OnnxReading, what: str) -> None:
        reading.add(code, [node.attributes.get(attribute, usual)])

    return write


def _clip(node: Any, reading: OnnxReading, what: str) -> None:
    told = [node.attributes.get("min", -np.inf), node.attributes.get("max", np.inf)]
    for place, name in enumerate(node.inputs[1:3]):
        if name:
            told[place] = float(reading.constant(name, what).ravel()[0])
    largest = np.finfo(np.float32).max
    reading.add(op.CLIP, np.clip(told, -largest, largest))


def _batch_normalization(node: Any, reading: OnnxReading, what: str) -> None:
    scale, bias, mean, variance = (reading.constant(name, what).ravel() for name in node.inputs[1:5])
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    _each(reading, factor, bias - mean * factor, what)


def _each(reading: OnnxReading, factor: np.ndarray, offset: np.ndarray, what: str) -> None:
    width = reading.builder.width
    if len(factor) not in (1, width) or len(offset) not in (1, width):
        raise ModelError(f"{what} has {len(factor)} factors and {len(offset)} offsets, and {width} inputs")
    reading.add(op.ADD, np.broadcast_to(factor, width), np.broadcast_to(offset, width))


def _scaler(node: Any, reading: OnnxReading, what: str) -> None:
    factor = np.array(node.attributes.get("scale", [1.0]), np.float64)
    _each(reading, factor, -np.array(node.attributes.get("offset", [0.0]), np.float64) * factor, what)


def _normalizer(node: Any, reading: OnnxReading, what: str) -> None:
    if node.attributes.get("norm", "MAX") != "L1" or reading.last not in (op.SIGMOID, op.SOFTMAX, op.TREES):
        raise ModelError(f"{what} is compiled for probabilities and the norm L1 only")
    reading.add(op.NORMALISE)


def _linear_classifier(node: Any, reading: OnnxReading, what: str) -> None:
    reading.labels = labels_of(node)
    offsets = np.array(node.attributes.get("intercepts", [0.0]), np.float64)
    weights = np.array(node.attributes["coefficients"], np.float64).reshape(len(offsets), -1).T
    if len(offsets) == 1 and len(reading.labels) == 2:
        weights, offsets = np.hstack([-weights, weights]), np.append(-offsets, offsets)
    _weighted(reading, weights, offsets, what)
    transform_of(node, reading, what)


def labels_of(node: Any) -> list[str]:
    return [str(one) for one in node.attributes.get("classlabels_strings") or node.attributes.get("classlabels_ints") or []]


def transform_of(node: Any, reading: OnnxReading, what: str) -> None:
    """What is done to the results of a classifier."""
    transform = node.attributes.get("post_transform", "NONE")
    if transform not in ("NONE", "SOFTMAX", "LOGISTIC"):
        raise ModelError(f"{what} with post_transform {shown(transform)} is not compiled; there are NONE, SOFTMAX and LOGISTIC")
    if transform != "NONE":
        reading.add(op.SOFTMAX if transform == "SOFTMAX" else op.SIGMOID)


def _tree_classifier(node: Any, reading: OnnxReading, what: str) -> None:
    reading.labels = labels_of(node)
    told = write_trees(node.attributes, reading.builder, len(reading.labels), what)
    reading.last = op.NORMALISE if told else op.TREES
    transform_of(node, reading, what)


CLASSIFIERS = ("LinearClassifier", "TreeEnsembleClassifier")
OPERATORS: dict[str, Callable[[Any, OnnxReading, str], None]] = {
    **dict.fromkeys(("Identity", "Dropout", "Flatten", "ZipMap"), _nothing),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    "Cast": _cast,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Relu": _activation(op.RELU),
    "LeakyRelu": _activation(op.LEAKY, "alpha", 0.01),
    "Elu": _activation(op.ELU, "alpha", 1.0),
    "Sigmoid": _activation(op.SIGMOID),
    "Tanh": _activation(op.TANH),
    "Softmax": _softmax,
    "Clip": _clip,
    "BatchNormalization": _batch_normalization,
    "Scaler": _scaler,
    "Normalizer": _normalizer,
    "LinearClassifier": _linear_classifier,
    "TreeEnsembleClassifier": _tree_classifier,
}
