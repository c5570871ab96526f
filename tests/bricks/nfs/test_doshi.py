"""`doshi`: its features against a plain definition of them, its split, its bounds, and alerts that name the class."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.device_features import LAYOUTS, DeviceFeatures
from bricks.learning.supervised import Examples, Supervised, train_classifier
from bricks.nfs.doshi import NETWORK, NF
from bricks.offline.simulated_split import OwnershipChange, SimulatedSplit, Split
from bricks.records.brick import Batch
from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, DST_KIND_SHIFT, PACKET, PROTOCOL_SHIFT, SHADOW, TYPED
from lego_sdn.core.facts.errors import BrickError, ModelError
from lego_sdn.core.facts.headers import SRC_IP
from lego_sdn.core.nf.granularity import algorithm_1, split_plan
from lego_sdn.core.nf.split_key import split_key

SECOND = 1_000_000_000


def traffic(count: int = 3000, devices: int = 40) -> np.ndarray:
    """Devices that send at random, some times out of order, over half a minute and a gap of a minute."""
    random = np.random.default_rng(5)
    rows = np.zeros(count, PACKET)
    rows["seq"] = np.arange(count)
    rows["time_ns"] = 1_700_000_003 * SECOND + np.cumsum(random.integers(-(10**7), 3 * 10**7, count))
    rows["time_ns"][count // 2 :] += 60 * SECOND
    rows["src_lo"], rows["dst_lo"] = random.integers(1, devices, count), random.integers(1, 30, count)
    rows["src_hi"], rows["dst_hi"] = random.integers(0, 2, count), random.integers(0, 2, count)
    rows["length"] = random.integers(60, 1500, count)
    kinds = random.choice([ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT, ADDRESS_IPV6 | ADDRESS_IPV6 << DST_KIND_SHIFT], count)
    protocols = random.choice([6 << PROTOCOL_SHIFT, 17 << PROTOCOL_SHIFT, 47 << PROTOCOL_SHIFT, TYPED | 6 << PROTOCOL_SHIFT, 0], count)
    rows["flags"] = kinds | protocols
    return rows


def defined(rows: np.ndarray) -> np.ndarray:
    """The nine features, packet by packet, in plain Python."""
    known: dict[tuple[int, ...], dict] = {}
    out = []
    for row in rows:
        flags, time, window = int(row["flags"]), int(row["time_ns"]), int(row["time_ns"]) // (10 * SECOND)
        source = (int(row["src_hi"]), int(row["src_lo"]), flags & 3)
        one = known.setdefault(source, {"last": time, "dt": 0, "d1": 0, "window": window, "bytes": 0, "to": set(), "before": 0})
        if window > one["window"]:
            one |= {"before": len(one["to"]) if window == one["window"] + 1 else 0, "to": set(), "bytes": 0, "window": window}
        dt = time - one["last"]
        d1 = dt - one["dt"]
        d2 = d1 - one["d1"]
        one |= {"last": time, "dt": dt, "d1": d1, "bytes": one["bytes"] + int(row["length"])}
        one["to"].add((int(row["dst_hi"]), int(row["dst_lo"]), flags >> 2 & 3))
        number = 0 if flags & TYPED else flags >> PROTOCOL_SHIFT & 0xFF
        told = [int(row["length"]), dt / SECOND, d1 / SECOND, d2 / SECOND, number == 6, number == 17]
        out.append([*told, one["bytes"], len(one["to"]), len(one["to"]) - one["before"]])
    return np.array(out, float)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_those_defined(layout):
    rows = traffic()
    found = DeviceFeatures(0, layout).process(Batch(rows)).values
    assert found.tobytes() == np.ascontiguousarray(defined(rows)[:, : LAYOUTS[layout]]).tobytes()


def test_algorithm_1_gives_the_source_and_no_copies():
    for layout in NF.layouts:
        extractor = NF.extractor(layout)
        assert algorithm_1(extractor.groups) == (SRC_IP,)
        key = split_key(extractor)
        assert (key.own, key.shadows, key.exact, key.deliveries(4)) == (("src_ip",), (), True, 1.0)
        assert len(split_plan(extractor, SRC_IP).alone) == len(extractor.features) == LAYOUTS[layout]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_a_split_with_changes_of_ownership_changes_no_bit(replicas, layout):
    rows = traffic()
    changes = (OwnershipChange(700, 1), OwnershipChange(1300, 4), OwnershipChange(1900, replicas))
    fleet = SimulatedSplit(Split(split_plan(NF.extractor(layout), SRC_IP), replicas, events=changes), layout, 1000, DeviceFeatures)
    found = np.concatenate([fleet.features(rows[first : first + 97]) for first in range(0, len(rows), 97)])
    assert found.tobytes() == DeviceFeatures(0, layout).process(Batch(rows)).values.tobytes()
    assert sum(moved.state_bytes for moved in fleet.moved) > 0
    assert fleet.shadows == 0


def test_shadows_move_the_state_and_give_no_row():
    rows = traffic()
    rows["flags"][::3] |= SHADOW
    out = DeviceFeatures(0).process(Batch(rows))
    mine = rows["flags"] & SHADOW == 0
    assert out.values.tobytes() == np.ascontiguousarray(defined(rows)[mine]).tobytes()


def test_a_flood_of_devices_and_destinations_stays_within_the_bound_and_is_counted():
    brick, rows = DeviceFeatures(0, streams=64), traffic(4000)
    rows["src_lo"], rows["dst_lo"] = np.arange(4000), np.arange(4000)
    assert len(brick.process(Batch(rows)).values) == 4000
    counters = brick.counters
    assert counters["streams_devices"] <= 64
    assert counters["streams_devices"] + counters["evicted_devices"] == 4000
    rows["src_lo"], rows["src_hi"], rows["flags"], rows["time_ns"] = 7, 0, ADDRESS_IPV4, rows["time_ns"][-1]  # one that scans
    brick.process(Batch(rows))
    counters = brick.counters
    assert counters["streams_destinations"] <= 256
    assert counters["evicted_destinations"] > 0


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x80", b"\xc1", b"[]", b"\x93\x01\x02\x03"])
def test_what_is_no_export_is_one_sentence(data):
    with pytest.raises(BrickError, match="are no export of devices"):
        DeviceFeatures(0).state.adopt(data)


def test_an_export_of_another_layout_is_refused_and_one_beyond_the_bound_is_counted():
    brick = DeviceFeatures(0, "doshi6")
    brick.process(Batch(traffic(devices=400)))
    everything = brick.state.export(frozenset({0}), 1)
    with pytest.raises(BrickError, match="layout"):
        DeviceFeatures(0, "doshi9").state.adopt(everything)
    small = DeviceFeatures(0, "doshi6", streams=8)
    small.state.adopt(everything)
    counters = small.state.counters()
    assert (counters["streams_devices"], counters["evicted_devices"] > 0) == (8, True)


@pytest.fixture(scope="module")
def model():
    rows = traffic()
    features = DeviceFeatures(0).process(Batch(rows)).values
    labels = np.where(rows["length"] > 1000, "worm", np.where(rows["length"] > 500, "scan", "benign"))
    return train_classifier(Examples(features, labels, "doshi9"), Supervised("tree", thresholds={"scan": 1.0}))


def chain(model, rows, **settings) -> tuple:
    batch, brick = Batch(rows), None
    for id in NF.graph.order[1:]:
        brick = NF.build(NF.graph.node(id), 0, {NETWORK: model}, settings)
        batch = brick.process(batch)
    return batch, brick


def test_alerts_name_the_class_and_each_class_has_its_threshold(model):
    rows = traffic(500)
    batch, result = chain(model, rows)
    told = result.alerts()["alerts"]
    assert {alert["class"] for alert in told} == {"worm"}, "a tree is sure of everything, and scan needs more than 1"
    assert [alert["seq"] for alert in told] == np.flatnonzero(rows["length"] > 1000).tolist()
    assert all((alert["probability"], alert["threshold"], alert["score"]) == (1.0, 0.5, 1.0) for alert in told)
    assert result.counters["alerts"] == len(told)
    assert np.array_equal(batch.values[:, 0] > 0.5, rows["length"] > 500)
    everything = chain(model, rows, threshold=0.9)[1].alerts()["alerts"]
    assert {alert["class"] for alert in everything} == {"worm", "scan"}
    assert not chain(model, rows, threshold=1.0)[1].alerts()["alerts"]
    with pytest.raises(BrickError, match="of a classifier it is a probability"):
        chain(model, rows, threshold=1.5)


def test_a_row_that_is_not_finite_is_counted_and_raises_nothing(model):
    network, result = (NF.build(NF.graph.node(id), 0, {NETWORK: model}, {}) for id in (NETWORK, "class-result"))
    features = np.full((70, 9), 1200.0)
    features[33, 2] = np.nan
    decided = network.process(Batch(traffic(70), features))
    result.process(decided)
    assert decided.values[33].tolist()[1] == -1
    assert (result.counters["not_a_number"], result.counters["alerts"]) == (1, 69)


def test_a_model_of_another_width_or_kind_is_refused(model, tmp_path):
    from dataclasses import replace

    from bricks.models.model_file import save_model
    from bricks.nfs.kitsune.learn import blank_models

    save_model(replace(model, layout="doshi6"), tmp_path / "narrow")
    with pytest.raises(ModelError, match=r"takes 9 features of another layout than those of doshi, which are doshi9 \(9\), doshi6 \(6\)"):
        NF.models[NETWORK](str(tmp_path / "narrow"), None)
    save_model(*blank_models("kitsune115").values(), tmp_path / "kitnet")
    with pytest.raises(ModelError, match="is of the kind kitnet, not classifier"):
        NF.models[NETWORK](str(tmp_path / "kitnet"), None)
