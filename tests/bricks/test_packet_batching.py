"""Packet batching, on a source in memory."""

import numpy as np
import pytest

from bricks.packet_batching import PacketBatching
from bricks.records.brick import BRICKS, Batch
from bricks.records.packets import HIDDEN_SHIFT, IN_MPLS, IN_PPPOE, IN_TAGS, PACKET, UNSOUND
from lego_sdn.core.facts.errors import BrickError


class Pile:
    """A source that holds `waiting` packets, numbered from 0."""

    def __init__(self, waiting: int, kernel_drops: int = 0, unstamped: int = 0) -> None:
        self.waiting, self.given = waiting, 0
        self.lost = {"kernel_drops": kernel_drops, "unstamped": unstamped}

    def fileno(self) -> int:
        return -1

    def read(self, out: np.ndarray) -> int:
        rows = min(len(out), self.waiting)
        out["seq"][:rows] = np.arange(self.given, self.given + rows)
        self.waiting -= rows
        self.given += rows
        return rows

    def queue(self) -> float:
        return 0.25

    def statistics(self) -> dict[str, int]:
        return {"received": self.given + self.lost["unstamped"]} | self.lost


@pytest.mark.parametrize("batch", [1, 2, 7, 256, 300])
def test_every_packet_is_in_one_batch(batch):
    brick = PacketBatching(0, Pile(600), batch)
    taken = []
    while (found := brick.take()) is not None:
        assert found.values is None
        assert 1 <= len(found) <= batch
        taken += found.head["seq"].tolist()
    assert taken == list(range(600))
    assert brick.counters == {"packets": 600, "batches": -(-600 // batch), "by_mac": 0, "no_address": 0}


def test_packets_are_counted_whose_addresses_the_switch_does_not_see():
    brick, rows = PacketBatching(0), np.zeros(6, PACKET)
    rows["flags"] = 15 | np.array([0, IN_TAGS, IN_PPPOE, UNSOUND, 0, IN_MPLS]) << HIDDEN_SHIFT
    brick.process(Batch(rows))
    brick.process(Batch(rows[3:4]))
    assert (brick.counters["by_mac"], brick.counters["no_address"]) == (3, 2)


def test_it_does_not_wait_for_a_full_batch():
    brick = PacketBatching(0, Pile(3), batch=256)
    assert len(brick.take()) == 3
    assert brick.take() is None
    brick.source.waiting = 1
    assert brick.take().head["seq"].tolist() == [3]


def test_a_batch_is_not_touched_by_later_ones():
    brick = PacketBatching(0, Pile(8), batch=4)
    first, second = brick.take(), brick.take()
    assert first.head["seq"].tolist() == [0, 1, 2, 3]
    assert second.head["seq"].tolist() == [4, 5, 6, 7]


def test_the_report_is_that_of_the_source_with_its_queue():
    brick = PacketBatching(2, Pile(5, kernel_drops=4, unstamped=3))
    assert brick.dropped == {}
    brick.take()
    assert brick.report() == {"received": 8, "kernel_drops": 4, "unstamped": 3, "queue": 0.25}
    assert brick.dropped == {"unstamped": 3}  # what the kernel dropped is counted by the report's reader
    assert brick.id == "packet-batching-2"


def test_without_a_source_packets_pass_and_there_is_nothing_to_take():
    brick = PacketBatching(0)
    rows = np.zeros(3, PACKET)
    assert brick.process(Batch(rows)).head is rows
    assert (brick.counters["packets"], brick.counters["batches"]) == (3, 1)
    assert brick.report() is None
    with pytest.raises(BrickError, match="packet-batching-0 has no interface"):
        brick.take()


def test_it_is_known_by_its_kind_and_refuses_an_empty_batch():
    assert BRICKS["packet-batching"] is PacketBatching
    with pytest.raises(BrickError, match="packet-batching-1: a batch must hold at least 1 packet, not 0"):
        PacketBatching(1, Pile(0), batch=0)
