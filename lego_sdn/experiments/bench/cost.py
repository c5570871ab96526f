"""The cost model: what each stage takes for a packet, against what the machine would need for the work that cannot be avoided.

The limit of a stage is the sum, over kinds of work, of how often it is done for a packet times the best time in which this machine does one
(`lego_sdn.experiments.bench.limits`). Nothing overlaps in that sum and nothing else is done, so a stage may come out below its limit a
little, and
one that is many times above it waits for something: latency, branches, interpreted code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bricks.feature_mapping import FeatureMapping
from bricks.kernels.transport.worker_pick import BATCH
from bricks.learning.training import Training, train_model
from bricks.models.kitnet import Model, hidden_units
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.sample_result import SampleResult
from bricks.unsupervised_network import UnsupervisedNetwork
from lego_sdn.experiments.bench import captures, limits
from lego_sdn.experiments.bench.chain import score_to
from lego_sdn.experiments.bench.features import extract_all
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.network import mapped
from lego_sdn.experiments.bench.parsing import read
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import in_turns

LANES = 5  # lambdas
LINE = 64  # bytes
Work = dict[str, float]  # kind of work, a field of Limits -> how often for a packet

_WHAT = {
    "parse": "parsing",
    "features": "feature quantization, kitsune115",
    "scan": "the same under a scan, every packet a new pair",
    "mapping": "feature mapping",
    "kitnet": "learning network, float64",
    "kitnet32": "learning network, float32",
    "result": "sample result",
    "score": "the whole chain, output included",
    "train": "training",
}
TABLE = {name: Row(f"cost.{name}", f"cost of {what}", "ns/packet", fewer=True) for name, what in _WHAT.items()}
ROWS = tuple(TABLE.values())


@dataclass(frozen=True)
class CostStage:
    """Work on `packets` packets, and what each of them cannot do without."""

    run: Callable[[], object]
    packets: int
    work: Work


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    stages = {name: stage for name, stage in _stages(bench).items() if TABLE[name].name in wanted}
    for stage in stages.values():
        stage.run()
    laps = in_turns(bench.runs, {name: stage.run for name, stage in stages.items()})
    rates = limits.measure(min(1.0, bench.sizes.packets / 250_000)).as_dict()
    for name, stage in stages.items():
        parts = {kind: count * rates[kind] for kind, count in stage.work.items()}
        runs = tuple(1e9 * one.cpu / stage.packets for one in laps[name])
        yield Result(TABLE[name], runs=runs, note=_words(parts), detail={"limit": sum(parts.values()), "parts": parts, "rates": rates})


def _words(parts: dict[str, float]) -> str:
    """The limit and its three largest parts."""
    largest = sorted(parts.items(), key=lambda item: -item[1])[:3]
    told = ", ".join(f"{kind.replace('_', ' ')}s {ns:,.0f}" for kind, ns in largest)
    return f"limit {sum(parts.values()):,.0f}: {told}"


def _stages(bench: Bench) -> dict[str, CostStage]:
    """Every stage alone, then the chain; inputs are made here, before anything is timed."""
    rows, count, model = bench.repeated, bench.sizes.packets, bench.model
    path, scanned = bench.large_capture, captures.scan(bench.sizes.packets)
    features, vectors = bench.vectors[:BATCH], mapped(bench)
    heads = np.zeros(BATCH, PACKET)[: len(features)]
    some = Batch(vectors.head[:BATCH], None if vectors.values is None else vectors.values[:BATCH])
    scored, times = Batch(heads, np.zeros((len(features), 1))), max(1, min(count, 250_000) // BATCH)
    wide, narrow = UnsupervisedNetwork(0, model), UnsupervisedNetwork(0, model, "float32")
    mapping, result = FeatureMapping(0, model), SampleResult(0, model)
    many = times * len(features)
    work = {"parse": _parse(path.stat().st_size / count), "features": _features(), "mapping": _mapping(model.width)}
    work |= {"kitnet": _network(model), "result": {"near_line": heads.itemsize / LINE}}
    whole = {kind: sum(one.get(kind, 0.0) for one in work.values()) for kind in {kind for one in work.values() for kind in one}}
    return {
        "parse": CostStage(lambda: read(path), count, work["parse"]),
        "features": CostStage(lambda: extract_all(rows), count, work["features"]),
        "scan": CostStage(lambda: extract_all(scanned, streams=2 * count), count, _scan()),
        "mapping": CostStage(lambda: _again(mapping, Batch(heads, features), times), many, work["mapping"]),
        "kitnet": CostStage(lambda: _again(wide, some, times), many, work["kitnet"]),
        "kitnet32": CostStage(lambda: _again(narrow, some, times), many, _network(model, "_32")),
        "result": CostStage(lambda: _again(result, scored, times), many, work["result"]),
        "score": CostStage(lambda: score_to(bench, "cost"), count, whole),
        "train": CostStage(lambda: train_model(bench.vectors, bench.training), bench.training.vectors, _training(model, bench.training)),
    }


def _again(brick: FeatureMapping | UnsupervisedNetwork | SampleResult, batch: Batch, times: int) -> None:
    for _ in range(times):
        brick.process(batch)


def _parse(record_bytes: float) -> Work:
    """The file's bytes copied into the window, and the record written; the two lines of its headers looked at."""
    return {"copied_line": (record_bytes + PACKET.itemsize) / LINE, "near_line": 2}


def _features() -> Work:
    """Streams: source by MAC, by address, channel, socket, and the opposites of the last two; jitter goes along with the channel.

    fades      one for each of the six (the jitter's is its channel's)
    divisions  two for mean and mean square of seven statistics; covariance and correlation of two
    roots      two deviations, magnitude and radius of two
    lines      six heads; bodies of 2, 2, 4 and 3 lines, 3 and 3 read of the opposites'; two product sums, four index slots; 115 results
    """
    lines = 6 + (2 + 2 + 4 + 3) + (3 + 3) + 2 + 4 + 115 * 8 / LINE
    sums = 4 * 3 + 2 + 7 * 2 + 2 * 4  # multiplications and additions
    return {
        "exponential": 6 * LANES,
        "division": (7 * 2 + 2 * 2) * LANES,
        "root": 2 * 4 * LANES,
        "multiply_add": sums * LANES,
        "near_line": lines,
    }


def _scan() -> Work:
    """Two known sources; a new channel and a new socket: a head, an index slot, and a look for the opposite each, in main memory.

    New memory: two heads of a line, and two slots of 8 bytes in an index that is half full and was as large again before it grew.
    """
    return {
        "exponential": 2 * LANES,
        "division": 2 * 2 * LANES,
        "root": 2 * 3 * LANES,
        "multiply_add": 2 * 5 * LANES,
        "near_line": 2 + 2 * 2 + 2 + 115 * 8 / LINE,
        "far_line": 2 * 3,
        "new_line": 2 * (64 + 8 * 2 * 2) / LINE,
    }


def _mapping(width: int) -> Work:
    return {"multiply_add": width, "near_line": 2 * width * 8 / LINE}


def _network(model: Model, suffix: str = "") -> Work:
    """Weights once in each direction; a sigmoid for each unit."""
    visible = model.all_sizes
    hidden = hidden_units(visible)
    return {
        f"multiply_add{suffix}": 2 * int((visible * hidden).sum()) + int(visible.sum()),
        f"sigmoid{suffix}": int((visible + hidden).sum()),
        "near_line": model.width * 8 / LINE,
    }


def _training(model: Model, training: Training) -> Work:
    """The map: products of all pairs of features. The autoencoders: as execution, and three more passes over the weights, for the
    gradient and the two products that go into every weight."""
    visible = model.all_sizes
    hidden = hidden_units(visible)
    for_nets = training.ad_grace / training.vectors
    each = 5 * int((visible * hidden).sum()) + int(visible.sum())
    return {
        "multiply_add": for_nets * each + (1 - for_nets) * model.width * (model.width + 1) / 2,
        "sigmoid": for_nets * int((visible + hidden).sum()),
        "division": model.width,
        "copied_line": model.width * 8 / LINE,
    }
