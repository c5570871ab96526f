"""What a standby keeps, and what an instance says of how far it has scored."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.records.brick import Batch
from bricks.records.packets import PACKET, SHADOW
from bricks.runtime.kept_rows import KeptRows, Unscored
from bricks.runtime.scored_stamp import ScoredStamp, read_scored
from lego_sdn.core.facts.errors import BrickError

BUCKETS = 4


def rows(first: int, count: int) -> Batch:
    """The source of each packet, and with it the bucket, is its stamp modulo 4; it has one feature, its stamp."""
    head = np.zeros(count, PACKET)
    head["seq"] = np.arange(first, first + count)
    head["src_lo"] = head["seq"] % BUCKETS
    return Batch(head, head["seq"].astype(float).reshape(-1, 1))


def kept_up_to(stamp: int, most: int = 64) -> KeptRows:
    kept = KeptRows(BUCKETS, most)
    kept.begin(-1)
    for first in range(0, stamp + 1, 5):
        assert len(kept.sift(rows(first, min(5, stamp + 1 - first)))) == 0
    return kept


def stamps(kept: KeptRows, *of: object) -> tuple[list[int], bool]:
    batches, forgotten = kept.take_over(Unscored(*of))  # type: ignore[arg-type]
    found = [(batch.head["seq"].tolist(), batch.values) for batch in batches]
    assert all(values[:, 0].tolist() == seqs for seqs, values in found if values is not None)
    return [seq for seqs, _ in found for seq in seqs], forgotten


def test_what_the_owner_has_not_scored_is_scored_and_then_what_comes():
    kept = kept_up_to(21)
    assert stamps(kept, 9, (1, 2)) == ([10, 13, 14, 17, 18, 21], False)
    assert kept.sift(rows(22, 8)).head["seq"].tolist() == [22, 25, 26, 29]


def test_of_buckets_that_it_gave_away_only_what_came_before():
    kept = kept_up_to(21)
    assert stamps(kept, 9, (1,), (1, 2), 14) == ([10, 13, 14, 17, 21], False)
    assert stamps(kept_up_to(21), 9, (), (2,), 9) == ([], False)


@pytest.mark.parametrize("most", [1, 3, 8, 13])
def test_a_full_ring_says_what_it_lacks(most):
    kept = kept_up_to(21, most)
    assert len(kept) == most
    oldest = 22 - most
    assert stamps(kept, oldest - 1, (0, 1, 2, 3)) == (list(range(oldest, 22)), False)
    assert stamps(kept_up_to(21, most), oldest - 2, (0, 1, 2, 3)) == (list(range(oldest, 22)), True)
    other = oldest % BUCKETS
    assert stamps(kept_up_to(21, most), oldest - 2, (other,))[1] is False, "of that bucket nothing is lacking"


def test_rows_from_before_the_streams_were_complete_do_not_count():
    kept = kept_up_to(9)
    kept.begin(6)
    assert stamps(kept, -1, (0, 1, 2, 3)) == ([7, 8, 9], False)


def test_copies_are_taken_for_packets():
    head = rows(0, 3).head
    head["flags"] = SHADOW | 1
    KeptRows.unmark(head)
    assert head["flags"].tolist() == [1, 1, 1]


def test_how_far_an_instance_has_scored_outlives_it(tmp_path):
    path = tmp_path / "i1.scored"
    assert read_scored(path) == -1
    scored = ScoredStamp(path)
    assert read_scored(path) == -1
    scored.note(rows(0, 1).head)
    assert read_scored(path) == 0
    scored.note(rows(5, 7).head)
    scored.note(rows(0, 0).head)
    scored.note(rows(3, 1).head)  # a late one
    assert read_scored(path) == 11
    scored.close()
    assert read_scored(path) == 11


def test_a_place_where_it_cannot_be_told_is_named(tmp_path):
    (tmp_path / "i1.scored").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "i1.scored", tmp_path / "no" / "i1.scored"):
        with pytest.raises(BrickError, match=str(path)):
            ScoredStamp(path)
    assert not (tmp_path / "elsewhere").exists()
