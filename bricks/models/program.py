"""A network as a program: a few steps, each an operator on all values of a row, with its numbers in flat arrays.

Whoever learns or imports a model writes one with `ProgramBuilder`; `bricks/kernels/network` runs it. Every operator always has at least
one number, which the activations without a parameter ignore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bricks.kernels.network import opcodes as op
from lego_sdn.core.facts.errors import ModelError

WIDTH_FREE = 1024  # values of a row that a program may have, whatever its size; more only in proportion to its numbers
NAMES = {
    op.DENSE: "dense",
    op.SCALE: "scale",
    op.ADD: "multiply and add",
    op.CLIP: "clip",
    op.RELU: "relu",
    op.LEAKY: "leaky relu",
    op.ELU: "elu",
    op.SIGMOID: "sigmoid",
    op.TANH: "tanh",
    op.ABOVE: "above",
    op.SOFTMAX: "softmax",
    op.NORMALISE: "normalise",
    op.TREES: "trees",
    op.NEAREST: "nearest neighbours",
    op.GAUSSIAN: "gaussian densities",
}


@dataclass(frozen=True, eq=False)
class Program:
    """steps int64 [steps, 8], as `bricks/kernels/network/opcodes.py` says; numbers float64, indices int64, both flat. ModelError if a step
    would read beyond them, or does not take what the step before gives."""

    steps: np.ndarray
    numbers: np.ndarray
    indices: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in (("steps", np.int64), ("numbers", np.float64), ("indices", np.int64)):
            array = np.array(getattr(self, name), dtype=kind)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if fault := _fault(self):
            raise ModelError(f"the model's program is none: {fault}; train or import it again")

    @property
    def width(self) -> int:
        """Values of a row that goes in."""
        return int(self.steps[0, op.INPUTS])

    @property
    def outputs(self) -> int:
        return int(self.steps[-1, op.OUTPUTS])

    @property
    def widest(self) -> int:
        return int(self.steps[:, [op.INPUTS, op.OUTPUTS]].max())

    @property
    def operators(self) -> list[str]:
        """The names of the steps, in order."""
        return [NAMES[code] for code in self.steps[:, op.OPERATOR].tolist()]

    def compiled(self, precision: str = "float64") -> Callable[[np.ndarray], np.ndarray]:
        """values float64 [n, width] -> float64 [n, outputs], by arithmetic of this precision."""
        from bricks.kernels.network.run import run_program

        with np.errstate(over="ignore"):
            numbers, widest, outputs = self.numbers.astype(precision), self.widest, self.outputs
        if not np.isfinite(numbers).all():
            raise ModelError(f"the model has numbers that are too large for {precision}; score with float64")

        def run(values: np.ndarray) -> np.ndarray:
            out = np.empty((len(values), outputs))
            run_program(values, self.steps, numbers, self.indices, widest, out)
            return out

        return run


class ProgramBuilder:
    """Writes a program step by step; `width` is the number of values after the last step."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._steps: list[list[int]] = []
        self._numbers: list[np.ndarray] = []
        self._indices: list[np.ndarray] = []

    def add(self, code: int, numbers: Iterable[Any] = (), indices: Iterable[Any] = (), **fields: int) -> None:
        """A step. numbers, indices: arrays that follow each other; fields: outputs (else as many as inputs), size, extra, option."""
        mine = [np.ravel(np.asarray(one, np.float64)) for one in numbers] or [np.zeros(1)]
        whole = [np.ravel(np.asarray(one, np.int64)) for one in indices]
        outputs = fields.get("outputs", self.width)
        place = sum(map(len, self._numbers)), sum(map(len, self._indices))
        self._steps.append([code, self.width, outputs, *place, *(fields.get(name, 0) for name in ("size", "extra", "option"))])
        self._numbers += mine
        self._indices += whole
        self.width = outputs

    def dense(self, weights: Any, biases: Any) -> None:
        """Weighted sums: weights [inputs, outputs]."""
        self.add(op.DENSE, [weights, biases], outputs=np.shape(weights)[1])

    def done(self) -> Program:
        return Program(
            np.array(self._steps).reshape(-1, op.FIELDS), np.concatenate(self._numbers or [[]]), np.concatenate(self._indices or [[]])
        )


def _fault(program: Program) -> str | None:
    """What makes the arrays no program, or None."""
    steps = program.steps
    if steps.ndim != 2 or steps.shape[1] != op.FIELDS or not len(steps):
        return f"its steps have the shape {steps.shape}"
    if steps.min() < 0 or steps.max() > 1 << 31:
        return "a field of a step is negative or too large"
    if program.numbers.ndim != 1 or program.indices.ndim != 1 or not np.isfinite(program.numbers).all():
        return "a number is not finite"
    before = None
    for number, step in enumerate(steps.tolist()):
        if step[op.OPERATOR] not in NAMES:
            return f"step {number} has the unknown operator {step[op.OPERATOR]}"
        if before is not None and step[op.INPUTS] != before:
            return f"step {number} takes {step[op.INPUTS]} values, and the step before gives {before}"
        fault = _step_fault(step, program)
        if fault:
            return f"step {number} ({NAMES[step[op.OPERATOR]]}) {fault}"
        before = step[op.OUTPUTS]
    return None


def _step_fault(step: list[int], program: Program) -> str | None:
    code, ins, outs, number, index, size, extra, _ = step
    if not 1 <= ins <= WIDTH_FREE + len(program.numbers) or not 1 <= outs <= WIDTH_FREE + len(program.numbers):
        return f"has {ins} inputs and {outs} outputs"
    numbers, indices = _needed(step)
    if number + numbers > len(program.numbers) or index + indices > len(program.indices):
        return f"needs {numbers} numbers and {indices} indices, which it has not"
    if code not in (op.DENSE, op.TREES, op.NEAREST, op.GAUSSIAN) and ins != outs:
        return f"has {ins} inputs and {outs} outputs"
    mine, whole = program.numbers[number : number + numbers], program.indices[index : index + indices]
    if code == op.TREES:
        return _trees_fault(whole, size, extra, ins)
    if code == op.NEAREST and (not 1 <= extra <= size or whole.min() < 0 or whole.max() >= outs):
        return f"has {size} points, of which {extra} are looked for, or a class beyond the {outs} that there are"
    if code == op.SCALE and (mine[ins:] == 0).any():
        return "divides by 0"
    if code == op.GAUSSIAN and (mine.reshape(outs, -1)[:, 1 + ins :] <= 0).any():
        return "has a variance that is not above 0"
    return None


def _needed(step: list[int]) -> tuple[int, int]:
    """How many numbers and indices a step reads."""
    code, ins, outs, _, _, size, extra, _ = step
    numbers = {op.DENSE: (ins + 1) * outs, op.SCALE: 2 * ins, op.ADD: 2 * ins, op.CLIP: 2, op.GAUSSIAN: (2 * ins + 1) * outs}
    numbers |= {op.TREES: extra * (1 + outs), op.NEAREST: size * ins}
    return numbers.get(code, 1), {op.TREES: size + 3 * extra, op.NEAREST: size}.get(code, 0)


def _trees_fault(indices: np.ndarray, trees: int, nodes: int, inputs: int) -> str | None:
    """Whatever the input, a walk must end: children come after their parents."""
    if not trees or not nodes:
        return "has no tree"
    roots, (feature, left, right) = indices[:trees], indices[trees:].reshape(3, nodes)
    inner, numbers = left >= 0, np.arange(nodes)
    if roots.min() < 0 or roots.max() >= nodes:
        return "has a root that is no node"
    if (feature[inner] < 0).any() or (feature[inner] >= inputs).any():
        return f"looks at a value beyond the {inputs} that there are"
    for child in (left, right):
        if (child[inner] <= numbers[inner]).any() or (child[inner] >= nodes).any():
            return "has a node whose child does not come after it"
    return None
