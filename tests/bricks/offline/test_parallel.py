"""Scoring with several processes: the bits of one, whatever the split; and what happens when a process ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal

import numpy as np
import pytest

from bricks.learning.training import Training
from bricks.offline import parallel, shared_blocks
from bricks.offline.commands import score_captures
from bricks.offline.scoring import Scoring, read_blocks, train_on
from bricks.offline.source_partition import CLASSES, Partition
from bricks.records.packets import PACKET, SHADOW
from lego_sdn.core.facts.errors import CaptureError, LegoError
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey
from tests.examples import few_in_quick

WHOLE = SplitKey((), whole="any reason")


@pytest.fixture(scope="module")
def scored(data, tmp_path_factory):
    """(captures, model, scores by one process) of a time line with an infected host."""
    captures = [data / "mirai-benign-20000.pcap", data / "mirai-attack-5000.pcap"]
    model, _ = train_on(captures[:1], Training(fm_grace=1000, ad_grace=3000))
    out = tmp_path_factory.mktemp("one") / "s.npy"
    summary = score_captures(captures, out, Scoring(model))
    return captures, model, np.load(out), summary


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("workers", "rows"), few_in_quick([(3, 1024), (2, 32_768), (5, 777)]))
def test_any_number_of_workers_gives_the_same_bits(scored, tmp_path, monkeypatch, workers, rows):
    captures, model, alone, summary = scored
    monkeypatch.setattr(shared_blocks, "ROWS", rows)  # with small blocks, each slot is used many times
    together = score_captures(captures, tmp_path / "s.npy", Scoring(model, workers=workers))
    assert np.array_equal(np.load(tmp_path / "s.npy").view(np.uint64), alone.view(np.uint64))
    assert together.facts["by_source"] == summary.facts["by_source"]
    assert together.packets == 25_000
    assert multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("chunks", "exactly"), [(0, True), (1, True), (60, True), (1, False), (60, False)])
def test_who_scores_what_does_not_change_the_bits(scored, tmp_path, monkeypatch, chunks, exactly):
    """From nothing given away to everything: extracted by one worker alone, and more room for what waits than there are chunks."""
    captures, model, alone, _ = scored
    monkeypatch.setattr(parallel, "CHUNKS", chunks)
    monkeypatch.setattr(parallel, "key_of", lambda layout: BY_SOURCE if exactly else WHOLE)
    score_captures(captures, tmp_path / "s.npy", Scoring(model, workers=4))
    assert np.array_equal(np.load(tmp_path / "s.npy"), alone)


@pytest.mark.slow
@pytest.mark.data
def test_a_layout_that_cannot_be_split_exactly_is_extracted_by_one_worker(scored, tmp_path, monkeypatch):
    captures, model, alone, _ = scored
    monkeypatch.setattr(parallel, "key_of", lambda layout: WHOLE)
    score_captures(captures, tmp_path / "s.npy", Scoring(model, workers=3))
    assert np.array_equal(np.load(tmp_path / "s.npy"), alone)


def test_what_splits_exactly_follows_from_the_declarations():
    assert parallel.key_of("kitsune115") == BY_SOURCE
    assert parallel.key_of("kitsunepy100").whole is not None


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("workers", [1, 2])
def test_skipped_packets_count_in_the_statistics_only(scored, tmp_path, workers):
    captures, model, alone, _ = scored
    score_captures(captures, tmp_path / "s.npy", Scoring(model, skip=17_001, workers=workers))
    found = np.load(tmp_path / "s.npy")
    assert not found[:17_001].any()
    assert np.array_equal(found[17_001:], alone[17_001:])


@pytest.mark.data
def test_a_worker_that_dies_is_said_and_nobody_stays(scored, tmp_path, monkeypatch):
    captures, model, _, _ = scored

    def dies(seat, scoring, foreign):
        if seat.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    monkeypatch.setattr("bricks.offline.worker.work", dies)
    with pytest.raises(LegoError, match=r"scoring worker 1 \(process \d+\) ended with exit code -9"):
        score_captures(captures, tmp_path / "s.npy", Scoring(model, workers=2))
    assert multiprocessing.active_children() == []
    assert os.listdir(tmp_path) == []


@pytest.mark.data
def test_a_worker_that_cannot_go_on_says_why(scored, tmp_path, monkeypatch):
    captures, model, _, _ = scored

    def fails(worker, number, rows):
        raise LegoError("this one cannot")

    monkeypatch.setattr("bricks.offline.worker.OfflineWorker.extract", fails)
    with pytest.raises(LegoError, match=r"scoring worker \d: this one cannot"):
        score_captures(captures, tmp_path / "s.npy", Scoring(model, workers=2))
    assert multiprocessing.active_children() == []


@pytest.mark.data
def test_a_capture_that_is_none_leaves_nobody_and_nothing(scored, tmp_path):
    _, model, _, _ = scored
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"no capture at all")
    with pytest.raises(CaptureError):
        score_captures([bad], tmp_path / "s.npy", Scoring(model, workers=2))
    assert multiprocessing.active_children() == []
    assert os.listdir(tmp_path) == ["bad.pcap"]


def talk(pairs: list[tuple[int, int]]) -> np.ndarray:
    packets = np.zeros(len(pairs), PACKET)
    packets["src_lo"], packets["dst_lo"] = np.array(pairs, np.uint64).T
    return packets


def test_a_class_keeps_its_worker_from_first_sight():
    partition = Partition(3)
    random = np.random.default_rng(0)
    seen: dict[int, int] = {}
    for _ in range(20):
        packets = talk(random.integers(0, 300, (1000, 2)).tolist())
        owner, target = partition.owners(packets)
        for address, worker in [*zip(packets["src_lo"], owner, strict=True), *zip(packets["dst_lo"], target, strict=True)]:
            assert seen.setdefault(int(address), int(worker)) == worker
    assert set(seen.values()) == {0, 1, 2}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("workers", few_in_quick([2, 1, 3]))
def test_shadows_in_the_capture_itself_are_not_scored(scored, tmp_path, monkeypatch, workers):
    captures, model, _, _ = scored

    def marked(paths, summary, **where):
        for rows in read_blocks(paths, summary, **where):
            rows["flags"][rows["seq"] % 3 == 1] |= SHADOW
            yield rows

    monkeypatch.setattr("bricks.offline.scoring.read_blocks", marked)
    monkeypatch.setattr("bricks.offline.parallel.read_blocks", marked)
    score_captures([*captures, *captures, *captures, *captures], tmp_path / "s.npy", Scoring(model, workers=workers))
    found = np.load(tmp_path / "s.npy")
    assert not found[1::3].any()
    assert (found[0::3] > 0).all()
    assert (found[2::3] > 0).all()


def test_those_who_talk_to_each_other_stay_together():
    random = np.random.default_rng(1)
    rooms = random.integers(0, 8, 4000)
    packets = talk([(room * 100 + a, room * 100 + b) for room, a, b in zip(rooms, *random.integers(0, 10, (2, 4000)), strict=True)])
    owner, target = Partition(2).owners(packets)
    assert (owner != target).mean() < 0.15
    assert 0.15 < owner.mean() < 0.85


def test_whole_gives_everything_to_the_first():
    owner, target = Partition(4, WHOLE).owners(talk([(n, n + 1) for n in range(5000)]))
    assert not owner.any()
    assert not target.any()


def test_a_flood_of_new_sources_is_spread():
    partition = Partition(4)
    counts = np.zeros(4)
    for first in range(0, 40_000, 8000):
        owner, _ = partition.owners(talk([(n, 1) for n in range(100 + first, 8100 + first)]))
        counts += np.bincount(owner, minlength=4)
    assert counts.max() / counts.sum() < 0.65
    assert CLASSES > 40_000


def test_a_chunk_goes_to_one_of_those_who_would_take_it():
    with contextlib.closing(shared_blocks.Pool(3, 5)) as pool:
        assert pool.take() is None
        numbers = [pool.free(), pool.free(), pool.free()]
        assert sorted(numbers) == [0, 1, 2]
        assert pool.free() is None
        pool.chunks[numbers[0]].features[7, 4] = 42.0
        pool.give(numbers[0])
        child = os.fork()
        if child == 0:
            number = pool.take()
            os._exit(0 if number == numbers[0] and pool.chunks[number].features[7, 4] == 42.0 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pool.take() is None
        pool.release(numbers[0])
        assert pool.free() == numbers[0]


def test_slots_are_shared_between_processes():
    slot = shared_blocks.new_slot()
    child = os.fork()
    if child == 0:
        slot.scores[5] = 42.0
        os._exit(0)
    os.waitpid(child, 0)
    assert slot.scores[5] == 42.0
