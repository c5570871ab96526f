"""From a spec to the bricks of a process: the NF's graph, its model, its interface."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bricks.capture.packet_ring import PacketRing
from bricks.nfs.registry import load
from bricks.packet_batching import PacketBatching
from bricks.records.brick import BRICKS, STATE_CALLS, Brick
from bricks.runtime.outputs import Follower, NextNode
from bricks.runtime.reorder import Joining
from bricks.runtime.spec import Spec
from bricks.runtime.stage import StagePlace
from bricks.streams.handover_buffer import HandoverBuffer
from bricks.streams.results import pick_for
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import BrickId, Graph, Node, require_runnable
from lego_sdn.core.nf.network_function import NetworkFunction
from lego_sdn.core.nf.split_key import SplitKey


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
    """The bricks of one process, in the order of the graph. BrickError or ModelError if one cannot be built."""
    nf = load(spec.nf)
    require_runnable(nf.graph)
    ids = [BrickId.parse(brick) for brick in spec.bricks]
    for id in ids:
        if id.node not in nf.graph:
            raise BrickError(f"process {spec.process}: {id} is no brick of {spec.nf}; its graph is {nf.graph}")
    nodes = [id.node for id in ids]
    connected = all(set(nf.graph.before(node)) & set(nodes) for node in nodes[1:])
    if not connected or len(set(nodes)) < len(nodes) or nodes != sorted(nodes, key=nf.graph.place):
        raise BrickError(f"process {spec.process}: {' -> '.join(spec.bricks)} is no part of the graph {nf.graph}")
    loaded = models.of(nf, nf.model_paths(spec.model, spec.models), spec.layout)
    return [_brick(nf, id, loaded, spec) for id in ids]


def place_of(node: str, nf: NetworkFunction, key: SplitKey, here: Mapping[str, Follower]) -> StagePlace:
    """A node's edges; `here`: the stages of this process that come after it. BrickError if its inputs cannot be joined."""
    graph = nf.graph
    after = []
    for target in graph.after(node):
        pick = pick_for(target, key) if node in graph.sources else None
        after.append(NextNode(target, here.get(target), graph.before(target).index(node), _may_share(target, graph), pick))
    return StagePlace(graph.before(node), tuple(after), joining_of(node, graph, key))


def _may_share(node: str, graph: Graph) -> bool:
    """Whether replicas of a node may each take any batch."""
    if graph.node(node).keyed or node not in graph.inner:
        return False
    try:
        return not brick_class(graph.node(node).kind).in_order
    except BrickError:  # a kind of another package, of which no brick was built here
        return True


def joining_of(node: str, graph: Graph, key: SplitKey) -> Joining:
    """How a node's inputs become one: side by side, unless each is another result of the packet."""
    before = graph.before(node)
    if len(before) < 2:
        return Joining(gaps=node in graph.ends)
    results = [frozenset(one for one in key.results if one == source or source in graph.beyond(one)) for source in before]
    every = frozenset[str]().union(*results)
    if all(one == results[0] for one in results):
        return Joining(len(before), gaps=node in graph.ends)
    if sum(map(len, results)) > len(every) or not all(results):
        raise BrickError(
            f"node {node} of the graph {graph} cannot join {' and '.join(before)}: they have one result in common, and another not"
        )
    return Joining(len(before), False, 1 if key.apart else len(every), node in graph.ends)


def _brick(nf: NetworkFunction, id: BrickId, models: Mapping[str, Any], spec: Spec) -> Brick:
    """The NF builds its bricks; only the one at the interface is built here."""
    node = nf.graph.node(id.node)
    if node.kind == PacketBatching.kind and spec.interface:
        ring = PacketRing(spec.interface, stamps=spec.stamps, switch=spec.switch, apart=spec.key.apart, **spec.capture)
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
            "key": spec.key.of_node(node.id),
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
