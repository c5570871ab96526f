"""The auditor's twin: given every stream while traffic goes on, it gives the sampled sources the bits of the unsplit run."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_quantization import extract
from bricks.files.scores import SCORE
from bricks.records.brick import Batch
from bricks.records.packets import PACKET, bucket_of
from bricks.runtime.score_sampler import Sampled
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.observe.score_audit import RECORD, parse
from lego_sdn.simulation.moves import MovingInstances
from tests.bricks.service.test_handover import BUCKETS, check, moving, split, talk

SCORED = (1, 5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_twin_has_the_bits_of_the_unsplit_run_and_nobody_else_notices(seed):
    """It comes while packets are under way, buckets move afterwards, and it is given everything anew."""
    random, packets = np.random.default_rng(seed), talk(seed, 4000)
    world = MovingInstances(packets, split(random, [1, 2, 3]), seed)
    world.send(int(random.integers(0, 900)))
    after = world.copy(SCORED)
    moving(world, random, 2)
    if seed % 2:
        after = world.copy(SCORED)
        moving(world, random, 1)
    check(world, packets)
    assert world.twin is not None
    unsplit, wanted = extract(packets), np.isin(bucket_of(packets, BUCKETS), SCORED) & (packets["seq"] > after)
    given = [(seq, row) for seq, row in world.instances[world.twin].features if seq > after]
    assert [seq for seq, _ in given] == packets["seq"][wanted].tolist()
    assert [seq for seq, row in given if row.tobytes() != unsplit[seq].tobytes()] == []


def batch(first: int, rows: int) -> Batch:
    head = np.zeros(rows, PACKET)
    head["seq"] = head["src_lo"] = np.arange(first, first + rows)
    return Batch(head, head["seq"].astype(float).reshape(-1, 1) / 7)


def stamps(told: dict) -> list[int]:
    return np.frombuffer(told["records"], SCORE)["seq"].tolist()


def test_the_latest_scores_of_the_sampled_buckets_are_kept():
    kept = Sampled([1, 3], 4, kept=4)
    assert kept.since(0) == {"next": 0, "missed": 0, "more": False, "records": b""}
    kept.append(batch(0, 1))
    kept.append(batch(0, 6))
    assert stamps(kept.since(0)) == [1, 3, 5]
    assert kept.since(3)["records"] == b""
    kept.append(batch(6, 8))
    told = kept.since(2)
    assert (stamps(told), told["next"], told["missed"], told["more"]) == ([7, 9, 11, 13], 7, 1, False)
    assert [(score.stamp, score.value) for score in parse(told["records"])] == [(stamp, stamp / 7) for stamp in (7, 9, 11, 13)]
    with pytest.raises(BrickError, match="there is no bucket 4"):
        Sampled([4], 4)


def test_one_answer_is_bounded():
    kept = Sampled([0], 1, at_once=3)
    kept.append(batch(0, 5))
    assert [(stamps(told), told["more"]) for told in (kept.since(0), kept.since(3))] == [([0, 1, 2], True), ([3, 4], False)]


def test_the_controller_reads_the_records_that_bricks_write():
    assert RECORD.size == SCORE.itemsize
