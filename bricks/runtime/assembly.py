"""From a spec to the bricks of a process: the NF's graph, its model, its interface."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bricks.capture.packet_ring import PacketRing
from bricks.nfs.registry import load
from bricks.packet_batching import PacketBatching
from bricks.records.brick import BRICKS, STATE_CALLS, Brick
from bricks.runtime.spec import Spec
from bricks.streams.handover_buffer import HandoverBuffer
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import BrickId, Node, require_runnable
from lego_sdn.core.nf.network_function import NetworkFunction


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

    loaded: dict[tuple[Any, str, int, int], Any] = field(default_factory=dict)

    def of(self, nf: NetworkFunction, wanted: Mapping[str, str], layout: str | None = None) -> dict[str, Any]:
        """By node, the models at the paths that `nf.model_paths` gave. ModelError if one is no model, or of another layout."""
        return {node: self._get(nf.models[node], path, layout) for node, path in wanted.items()}

    def _get(self, read: Callable[[str, str | None], Any], path: str, layout: str | None) -> Any:
        try:
            about = Path(path).stat()
            key = (read, path, about.st_mtime_ns, about.st_size)
        except OSError:
            key = (read, path, -1, -1)  # let the reader of models say what is wrong
        if key not in self.loaded:
            self.loaded[key] = read(path, None)
        found = self.loaded[key]
        fits = layout is None or getattr(found, "layout", layout) == layout
        return found if fits else read(path, layout)  # which says what is wrong


def build(spec: Spec, models: Models) -> list[Brick]:
    """The bricks of one process, chained as the graph says. BrickError or ModelError if one cannot be built."""
    nf = load(spec.nf)
    require_runnable(nf.graph)
    ids = [BrickId.parse(brick) for brick in spec.bricks]
    for id in ids:
        if id.node not in nf.graph:
            raise BrickError(f"process {spec.process}: {id} is no brick of {spec.nf}; its graph is {nf.graph}")
    for one, following in pairwise(ids):
        if nf.graph.after(one.node) != (following.node,):
            raise BrickError(f"process {spec.process}: {' -> '.join(spec.bricks)} is no part of the graph {nf.graph}")
    loaded = models.of(nf, nf.model_paths(spec.model, spec.models), spec.layout)
    return [_brick(nf, id, loaded, spec) for id in ids]


def _brick(nf: NetworkFunction, id: BrickId, models: Mapping[str, Any], spec: Spec) -> Brick:
    """The NF builds its bricks; only the one at the interface is built here."""
    node = nf.graph.node(id.node)
    if node.kind == PacketBatching.kind and spec.interface:
        ring = PacketRing(spec.interface, stamps=spec.stamps, switch=spec.switch, **spec.capture)
        brick: Brick = PacketBatching(
            id.serial, HandoverBuffer(ring, spec.buckets, stamped=spec.stamps == "trailer", key=spec.key), spec.batch
        )
    else:
        settings = {
            "limits": spec.limits,
            "precision": spec.precision,
            "threshold": spec.threshold,
            "batch": spec.batch,
            "capture": spec.capture,
            "key": spec.key,
        }
        brick = nf.build(node, id.serial, models, settings)
    brick.node = node.id
    _require_state(brick, node)
    return brick


def _require_state(brick: Brick, node: Node) -> None:
    """BrickError if the brick has no state where its node is keyed, one where it is not, or one that cannot be moved."""
    if (brick.state is not None) != node.keyed:
        found = "has no state" if node.keyed else "has a state"
        raise BrickError(f"node {node.id} is {'' if node.keyed else 'not '}keyed in its graph, and its brick ({node.kind}) {found}")
    lacking = [name for name in STATE_CALLS if brick.state is not None and not callable(getattr(brick.state, name, None))]
    if lacking:
        raise BrickError(
            f"the state of {node.id} ({node.kind}) lacks {', '.join(lacking)}: it could not be moved (bricks/records/brick.py, State)"
        )
