"""One suite for every brick: finds the classes in bricks/*.py and holds each to what `bricks/records/brick.py` and its own page say."""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bricks
from bricks.learning.training import Training, train_model
from bricks.models.model_file import Model
from bricks.nfs import registry
from bricks.packet_batching import PacketBatching
from bricks.records.brick import BRICKS, Batch, Brick
from bricks.records.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET, SHADOW, SRC_KIND_SHIFT
from bricks.runtime.stage import Stage
from bricks.service.shard_clients import LocalShard
from lego_sdn.core.nf.network_function import NetworkFunction

PARTS = ("In:    ", "Out:   ", "State: ", "Reads: ")
PAGE = re.compile(
    r"(?P<job>[A-Z].+?\.)\n" + "".join(rf"\n    {part}(?P<{part.strip(': ')}>.+?)" for part in PARTS) + r"\n(\n|    \Z)", re.S
)
COLUMNS = re.compile(r"float64 +\[\w+, ([^\]]+)\]")
SIZES = [1, 2, 3, 7, 8, 9, 63, 64, 65, 100, 300]
BUCKETS = 8


def _classes() -> dict[str, type[Brick]]:
    for module in pkgutil.iter_modules(bricks.__path__, "bricks."):
        importlib.import_module(module.name)
    return {kind: cls for kind, cls in sorted(BRICKS.items()) if cls.__module__.startswith("bricks.")}


CLASSES, NFS = _classes(), [registry.load(name) for name in registry.own()]
NODES = [(nf, node) for nf in NFS for node in nf.graph.nodes]
every_brick = pytest.mark.parametrize("kind", CLASSES)
any_order = pytest.mark.parametrize("kind", [kind for kind, cls in CLASSES.items() if not cls.in_order])
with_state = pytest.mark.parametrize("kind", [kind for kind, cls in CLASSES.items() if "State: none" not in (cls.__doc__ or "")])


def make(kind: str, model: Model) -> Brick:
    """A new brick, as an NF that has it in its graph builds it."""
    if kind == PacketBatching.kind:
        return PacketBatching(3)
    found = next(((nf, node) for nf, node in NODES if node.kind == kind), None)
    assert found is not None, f"no NF in bricks/nfs has a {kind} in its graph: how is it built?"
    nf, node = found
    return nf.build(node, 3, models_of(nf, model), {})


def models_of(nf: NetworkFunction, model: Model) -> dict[str, Any]:
    """The model for Kitsune; of another NF one that has learned nothing."""
    assert nf.blank is not None
    return dict.fromkeys(nf.models, model) if nf.name == "kitsune" else dict(nf.blank(nf.layouts[0]))


@pytest.fixture(scope="module")
def packets() -> np.ndarray:
    """400 packets among a few hosts, some of them shadows."""
    random = np.random.default_rng(11)
    rows = np.zeros(400, PACKET)
    rows["seq"] = np.arange(400)
    rows["time_ns"] = 10**18 + np.cumsum(random.integers(0, 3, 400) * 10**7)
    rows["src_lo"], rows["dst_lo"] = random.integers(1, 9, (2, 400))
    rows["src_mac"], rows["dst_mac"] = rows["src_lo"], rows["dst_lo"]
    rows["src_port"], rows["dst_port"] = random.integers(1, 4, (2, 400))
    rows["length"] = random.integers(60, 1500, 400)
    rows["flags"] = ADDRESS_IPV4 << SRC_KIND_SHIFT | ADDRESS_IPV4 << DST_KIND_SHIFT
    rows["flags"] |= np.where(random.random(400) < 0.2, SHADOW, 0).astype(np.uint32)
    return rows


@pytest.fixture(scope="module")
def model(packets) -> Model:
    from bricks.feature_quantization import extract

    return train_model(extract(packets), Training(fm_grace=60, ad_grace=100))


@pytest.fixture
def given(kind, model, packets) -> Batch:
    """What the brick gets in its graph for the packets."""
    nf, node = next((nf, node) for nf, node in NODES if node.kind == kind)
    batch = Batch(packets)
    for before in next(path for path in nf.graph.paths() if node.id in path):
        if before == node.id:
            break
        batch = make(nf.graph.node(before).kind, model).process(batch)
    return batch.copy()


def cut(batch: Batch, sizes: list[int]) -> list[Batch]:
    """The batch in pieces of these sizes in turn."""
    pieces, at = [], 0
    while at < len(batch):
        some = slice(at, at + sizes[len(pieces) % len(sizes)])
        pieces.append(Batch(batch.head[some], None if batch.values is None else batch.values[some]))
        at = some.stop
    return pieces


def joined(pieces: list[Batch]) -> Batch:
    values = None if pieces[0].values is None else np.concatenate([piece.values for piece in pieces])
    return Batch(np.concatenate([piece.head for piece in pieces]), values)


def assert_same(found: Batch, wanted: Batch) -> None:
    """The same bits."""
    assert found.head.tobytes() == wanted.head.tobytes()
    assert (found.values is None) == (wanted.values is None)
    assert wanted.values is None or (found.values.shape, found.values.tobytes()) == (wanted.values.shape, wanted.values.tobytes())


def page(kind: str) -> dict[str, str]:
    found = PAGE.match(CLASSES[kind].__doc__ or "")
    assert found, f"the docstring of {CLASSES[kind].__name__} is not of the fixed form: job, In, Out, State, Reads"
    return {name: " ".join(text.split()) for name, text in found.groupdict().items() if text}


def test_there_are_bricks():
    assert {node.kind for _, node in NODES} <= set(CLASSES)


@pytest.mark.parametrize("nf", NFS, ids=lambda nf: nf.name)
def test_keyed_nodes_are_those_with_state_and_come_right_after_a_source(nf):
    stateful = [node.id for node in nf.graph.nodes if not page(node.kind)["State"].startswith("none")]
    assert sorted(nf.graph.keyed) == sorted(stateful)
    assert all(set(nf.graph.before(id)) <= set(nf.graph.sources) for id in stateful)
    assert all(CLASSES[nf.graph.node(id).kind].in_order for id in stateful)


@every_brick
def test_one_brick_one_file(kind):
    assert Path(inspect.getfile(CLASSES[kind])).stem == kind.replace("-", "_")


@every_brick
def test_the_page_says_what_the_class_is(kind, model):
    brick, says = make(kind, model), page(kind)
    assert ("in stamp order" in says["In"]) == brick.in_order
    assert says["State"].startswith("none") == (brick.state is None)
    assert brick.in_order or brick.state is None, "a brick with state needs its batches in order"
    assert (brick.id, brick.serial) == (f"{kind}-3", 3)


@every_brick
def test_the_page_says_what_goes_in_and_out(kind, model, given):
    says, out = page(kind), make(kind, model).process(given)
    for text, batch in ((says["In"], given), (says["Out"], out)):
        columns = COLUMNS.search(text)
        if columns and re.fullmatch(r"\d+( or \d+)*", columns[1]):
            assert str(batch.values.shape[1]) in columns[1].split(" or ")
        assert not columns or (batch.values.dtype == np.float64 and batch.values.shape[0] == len(batch))
        assert "PACKET" not in text or batch.values is None
    assert out.head.dtype == PACKET
    assert "the same rows" not in says["Out"] or out.head.tobytes() == given.head.tobytes()


@every_brick
def test_counters_are_those_of_the_page(kind, model, given):
    brick, patterns = make(kind, model), re.findall(r"[a-z_]+\*?", page(kind)["Reads"])
    fresh = dict(brick.counters)
    brick.process(given)
    assert brick.counters.keys() == fresh.keys()
    unknown = [name for name in fresh if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    absent = [pattern for pattern in patterns if not fnmatch.filter(fresh, pattern)]
    assert (unknown, absent) == ([], [])
    for totals in (brick.counters, brick.dropped):
        assert all(type(total) is int and total >= 0 for total in totals.values())
    assert kind in repr(brick)


@pytest.mark.slow
@every_brick
@pytest.mark.parametrize("sizes", [[size] for size in SIZES] + [SIZES], ids=str)
def test_where_batches_are_cut_changes_nothing(kind, model, given, sizes):
    whole, pieces = make(kind, model), make(kind, model)
    wanted = whole.process(given)
    assert_same(joined([pieces.process(piece) for piece in cut(given, sizes)]), wanted)
    assert {**pieces.counters, "batches": 0} == {**whole.counters, "batches": 0}


@every_brick
def test_an_empty_batch_is_a_batch(kind, model, given):
    brick, plain = make(kind, model), make(kind, model)
    out = brick.process(Batch(given.head[:0], None if given.values is None else given.values[:0]))
    wanted = plain.process(given)
    assert (len(out), out.head.dtype) == (0, PACKET)
    assert (out.values is None) == (wanted.values is None)
    assert wanted.values is None or out.values.shape == (0, wanted.values.shape[1])
    assert_same(brick.process(given), wanted)


@every_brick
def test_inputs_are_neither_changed_nor_kept(kind, model, given):
    """They may lie in a ring: what the brick gave out before, and what it knows, must not depend on them afterwards."""
    brick, wanted = make(kind, model), make(kind, model).process(given)
    outs = []
    for piece in cut(given, [50]):
        mine = piece.copy()
        out = brick.process(mine)
        assert_same(mine, piece)
        outs.append(out.copy())
        mine.head[:] = np.zeros(1, PACKET)
        if mine.values is not None:
            mine.values[:] = np.nan
    assert_same(joined(outs), wanted)


@every_brick
def test_what_was_given_out_stays(kind, model, given):
    brick = make(kind, model)
    outs = [brick.process(piece) for piece in cut(given, [50])]
    assert_same(joined(outs), make(kind, model).process(given))


@any_order
def test_any_replica_may_take_any_batch(kind, model, given):
    replicas, pieces = [make(kind, model), make(kind, model)], cut(given, [30, 1])
    outs = {at: replicas[at % 2].process(pieces[at]) for at in reversed(range(len(pieces)))}
    assert_same(joined([outs[at] for at in range(len(pieces))]), make(kind, model).process(given))


@with_state
def test_state_moves(kind, model, given):
    """A brick that adopts everything goes on as the first one would have; adopting again changes nothing."""
    first = make(kind, model)
    early, late = cut(given, [200])
    first.process(early)
    everything = first.state.export(frozenset(range(BUCKETS)), BUCKETS)
    second = make(kind, model)
    assert second.state.adopt(everything) > 0
    assert second.state.adopt(everything) == 0, "records that are there already are left as they are"
    assert second.state.adopt(make(kind, model).state.export(frozenset({0}), BUCKETS)) == 0
    assert_same(second.process(late), first.process(late))


@with_state
def test_state_moves_as_the_runtime_moves_it(kind, model, given):
    """Through `LocalShard`, which is what moves and changes of replicas call: portion by portion, with what the receiver has left out."""
    ends = [LocalShard(Stage(make(kind, model)), BUCKETS) for _ in range(3)]
    first, second, idle = ends
    early, late = cut(given, [200])
    first.stage.brick.process(early)
    taken, had = 0, []
    for bucket in range(BUCKETS):
        told = second.adopt(first.export([bucket], had))
        assert told.keys() == {"records", "evicted"}
        taken, had = taken + told["records"], [*had, bucket]
    assert taken > 0
    assert second.adopt(first.export(list(range(BUCKETS)), []))["records"] == 0
    assert idle.adopt(first.export(list(range(BUCKETS)), []), [])["records"] == 0, "nothing has an end in no bucket"
    assert_same(second.stage.brick.process(late), first.stage.brick.process(late))


@with_state
def test_what_is_forgotten_is_gone_and_counted(kind, model, given):
    here = LocalShard(Stage(make(kind, model)), BUCKETS)
    here.stage.brick.process(given)
    counters = here.state.counters()
    assert all(name.startswith(("streams_", "evicted_", "pairs_")) and type(count) is int for name, count in counters.items())
    held = {name: count for name, count in counters.items() if name.startswith("streams_")}
    assert sum(held.values()) > 0
    here.keep(range(BUCKETS))
    assert here.state.counters() == counters, "every stream has an end in one of all buckets"
    here.begin(7)
    assert (sum(count for name, count in here.state.counters().items() if name in held), here.consumed(7), here.consumed(8)) == (
        0,
        True,
        False,
    )
    fresh = make(kind, model)
    assert_same(here.stage.brick.process(given), fresh.process(given))


@with_state
def test_state_moves_bucket_by_bucket(kind, model, given):
    first, second = make(kind, model), make(kind, model)
    early, late = cut(given, [200])
    first.process(early)
    assert isinstance(first.state.export(frozenset(), BUCKETS), bytes)
    for bucket in range(BUCKETS):
        second.state.adopt(first.state.export(frozenset({bucket}), BUCKETS))
    assert_same(second.process(late), first.process(late))
