"""ONNX files for tests."""

from __future__ import annotations

from pathlib import Path


def write_linear(path: Path, width: int, operator: str = "Softmax", classes: int = 2) -> Path:
    """A linear classifier: the margin of class k is k times the first feature; `operator` comes last."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((width, classes), np.float32)
    weights[0] = np.arange(classes)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node(operator, ["z"], ["y"])]
    given, told = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", width), ("y", classes)))
    graph = helper.make_graph(nodes, "linear", [given], [told], [numpy_helper.from_array(weights, "w")])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    return path
