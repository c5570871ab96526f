"""From a spec to the bricks of a process: the NF's graph, its model, its interface."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from bricks.base import BRICKS, Brick
from bricks.hold import Hold
from bricks.model import Model, load_model
from bricks.packet_batching import PacketBatching
from bricks.packet_ring import PacketRing
from bricks.spec import Spec
from lego_sdn.core.errors import BrickError, ModelError


def _nf(name: str) -> ModuleType:
    """The module of an NF: its GRAPH, and how it builds its bricks. BrickError if there is no such NF."""
    path = name if "." in name else f"bricks.nfs.{name}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise BrickError(f"there is no NF {name!r}; an NF is a module in bricks/nfs with its GRAPH") from None


def graph_of(nf: str) -> tuple[str, ...]:
    """The kinds of an NF's bricks, in the order of its graph. BrickError if there is no such NF."""
    return tuple(_nf(nf).GRAPH)


def brick_class(kind: str) -> type[Brick]:
    """The class of a kind, from `bricks/<kind>.py`. BrickError if there is none."""
    if kind not in BRICKS:
        name = f"bricks.{kind.replace('-', '_')}"
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    if kind not in BRICKS:
        raise BrickError(f"there is no brick of kind {kind!r}; a brick is a file of this name in bricks/")
    return BRICKS[kind]


@dataclass(frozen=True)
class Models:
    """Models by path, each read once as long as its file does not change; a forked process inherits them."""

    loaded: dict[tuple[str, int, int], Model] = field(default_factory=dict)

    def get(self, path: str, layout: str | None = None) -> Model:
        """ModelError if the file is no model, or one of another layout."""
        try:
            about = Path(path).stat()
            key = (path, about.st_mtime_ns, about.st_size)
        except OSError:
            key = (path, -1, -1)  # let the reader of models say what is wrong
        if key not in self.loaded:
            self.loaded[key] = load_model(path)
        if layout is not None and self.loaded[key].layout != layout:
            raise ModelError(
                f"model {path} is of layout {self.loaded[key].layout}, not {layout}; train one with `lego train --layout {layout}`"
            )
        return self.loaded[key]


def build(spec: Spec, models: Models) -> list[Brick]:
    """The bricks of one process, chained as the graph says. BrickError or ModelError if one cannot be built."""
    graph = graph_of(spec.nf)
    split = [brick.rpartition("-") for brick in spec.bricks]
    kinds = tuple(kind for kind, _, _ in split)
    if not all(serial.isdecimal() for _, _, serial in split) or kinds[0] not in graph:
        raise BrickError(f"process {spec.process}: {', '.join(spec.bricks)} are no bricks of {spec.nf}; they are {', '.join(graph)}")
    at = graph.index(kinds[0])
    if kinds != graph[at : at + len(kinds)]:
        raise BrickError(f"process {spec.process}: {' -> '.join(spec.bricks)} is no part of the graph {' -> '.join(graph)}")
    model = models.get(spec.model, spec.layout) if spec.model else None
    return [_brick(spec, kind, int(serial), model) for kind, _, serial in split]


def _brick(spec: Spec, kind: str, serial: int, model: Model | None) -> Brick:
    """The NF builds its bricks; only the one at the interface is built here."""
    if kind == PacketBatching.kind and spec.interface:
        ring = PacketRing(spec.interface, stamps=spec.stamps, switch=spec.switch, **spec.capture)
        return PacketBatching(serial, Hold(ring, spec.buckets, stamped=spec.stamps == "trailer"), spec.batch)
    settings = {
        "limits": spec.limits,
        "precision": spec.precision,
        "threshold": spec.threshold,
        "batch": spec.batch,
        "capture": spec.capture,
    }
    return _nf(spec.nf).new_brick(kind, serial, model, settings)
