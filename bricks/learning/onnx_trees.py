"""The trees of ONNX (TreeEnsembleClassifier) as a step of a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bricks.kernels.network import opcodes as op
from bricks.models.program import ProgramBuilder
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import shown

LEAF, AT_MOST, BELOW = "LEAF", "BRANCH_LEQ", "BRANCH_LT"


def write_trees(told: Mapping[str, Any], builder: ProgramBuilder, classes: int, what: str) -> bool:
    """Write the step of all trees; inputs and thresholds are float32, as the operator has them.

    Returns whether its results are shares that sum to 1 already. ModelError if the trees are none.
    """
    nodes = _Nodes(told, what)
    outputs = 1 if classes == 2 and len(set(told["class_ids"])) == 1 else classes
    values = np.zeros((len(nodes.order), outputs))
    for tree, node, number, weight in zip(*(told[f"class_{name}"] for name in ("treeids", "nodeids", "ids", "weights")), strict=True):
        if (tree, node) not in nodes.place or not 0 <= number < classes:
            raise ModelError(f"{what} has a weight of node {node} of tree {tree} for class {number}, and there is none")
        values[nodes.place[tree, node], number if outputs > 1 else 0] += weight
    feature, left, right, thresholds = nodes.arrays()
    if len(feature) and not 0 <= feature.min() <= feature.max() < builder.width:
        raise ModelError(f"{what} looks at feature {feature.max()}, and there are {builder.width}")
    step = {"outputs": outputs, "size": len(nodes.roots), "extra": len(values), "option": 1}
    builder.add(op.TREES, [thresholds, values], [nodes.roots, feature, left, right], **step)
    if (base := told.get("base_values")) is not None and len(base):
        builder.add(op.ADD, [np.ones(outputs), np.broadcast_to(np.asarray(base, np.float64), outputs)])
        return False
    leaves = values[left < 0]
    sums = leaves.sum(axis=1)
    return outputs > 1 and bool((leaves >= 0).all()) and bool(np.allclose(sums * len(nodes.roots), 1.0, atol=1e-4))


class _Nodes:
    """Nodes by (tree, node), numbered anew so that children come after their parents: `order`, and `place` of each."""

    def __init__(self, told: Mapping[str, Any], what: str) -> None:
        names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
        self.rows = {(row[0], row[1]): row for row in zip(*(told[f"nodes_{name}"] for name in names), strict=True)}
        if len(self.rows) != len(told["nodes_treeids"]):
            raise ModelError(f"{what} has two nodes of one number")
        unknown = sorted({row[4] for row in self.rows.values()} - {LEAF, AT_MOST, BELOW})
        if unknown:
            raise ModelError(f"{what} with nodes of the mode {shown(unknown[0])} is not compiled; there are {LEAF}, {AT_MOST}, {BELOW}")
        children = {(row[0], child) for row in self.rows.values() if row[4] != LEAF for child in row[5:7]}
        starts = [key for key in self.rows if key not in children]
        if sorted(tree for tree, _ in starts) != sorted({tree for tree, _ in self.rows}):
            raise ModelError(f"{what} has a tree without one root")
        self.order: list[tuple[int, int]] = []
        self.roots = []
        for start in starts:
            self.roots.append(len(self.order))
            self._walk(start, what)
        self.place = {key: number for number, key in enumerate(self.order)}

    def _walk(self, start: tuple[int, int], what: str) -> None:
        todo = [start]
        while todo:
            key = todo.pop()
            if key not in self.rows or len(self.order) >= len(self.rows):
                raise ModelError(f"{what} has a node {key[1]} in tree {key[0]} that is not there, or is reached twice")
            self.order.append(key)
            row = self.rows[key]
            todo += [(key[0], row[6]), (key[0], row[5])] * (row[4] != LEAF)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """feature, left, right and threshold of each node; x < t is x <= the next float32 below t."""
        rows = [self.rows[key] for key in self.order]
        inner = np.array([row[4] != LEAF for row in rows])
        thresholds = np.array([row[3] for row in rows], np.float32)
        below = np.array([row[4] == BELOW for row in rows])
        thresholds[below] = np.nextafter(thresholds[below], np.float32(-np.inf))
        feature = np.where(inner, [row[2] for row in rows], 0)
        left, right = ([self.place.get((row[0], row[at]), -1) if row[4] != LEAF else -1 for row in rows] for at in (5, 6))
        return feature, np.array(left), np.array(right), np.where(inner, thresholds, 0).astype(np.float64)
