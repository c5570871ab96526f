"""Reading an ONNX file into plain values: nodes, their attributes and constants. The package `onnx` is imported here only."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable, shown

BYTES_MOST = 1 << 30


class OnnxNode(NamedTuple):
    """One operator. `attributes`: numbers, texts, arrays or lists of them, by name."""

    operator: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class OnnxGraph(NamedTuple):
    """nodes in the order of the file; constants: arrays by name; inputs: (name, shape; None where it is open); outputs: names."""

    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Any]
    inputs: tuple[tuple[str, tuple[int | None, ...]], ...]
    outputs: tuple[str, ...]


def read_onnx(path: str | Path) -> OnnxGraph:
    """The graph of a file. ModelError if it cannot be read, is no ONNX model, or keeps weights in other files."""
    named = printable(str(path))
    content = _content(path, named)
    try:
        import onnx
    except ImportError:
        raise ModelError("ONNX models are read by the package onnx, which is not installed: pip install 'lego-sdn[onnx]'") from None
    try:
        graph = onnx.ModelProto.FromString(content).graph
        if not graph.node:
            raise ValueError("it has no operators")
        for tensor in graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise ValueError(f"the weights {shown(tensor.name)} are in another file; export it into one")
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        nodes = tuple(_node(onnx, node) for node in graph.node)
        inputs = tuple((one.name, _shape(one)) for one in graph.input if one.name not in constants)
    except Exception as error:  # the file is somebody else's: whatever the reader of ONNX raises becomes one sentence
        raise ModelError(f"{named} is no ONNX model that can be read: {printable(str(error), 300) or type(error).__name__}") from None
    return OnnxGraph(nodes, constants, inputs, tuple(one.name for one in graph.output))


def _content(path: str | Path, named: str) -> bytes:
    """Of a regular file."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES_MOST:
                raise ModelError(f"{named} is no regular file of at most {BYTES_MOST} bytes; copy the model into one")
            return file.read(found.st_size)
    except (OSError, ValueError) as error:
        raise ModelError(f"{named} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _node(onnx: Any, node: Any) -> OnnxNode:
    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = onnx.numpy_helper.to_array(value)
        attributes[attribute.name] = _text(value)
    return OnnxNode(node.op_type, node.domain, node.name, tuple(node.input), tuple(node.output), attributes)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_text(one) for one in value] if isinstance(value, list) else value


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(one.dim_value if one.HasField("dim_value") else None for one in value.type.tensor_type.shape.dim)
