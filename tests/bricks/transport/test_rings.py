"""Rings: order, integrity, waking and peers that die."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.records.sequence import SequenceRange
from bricks.transport import rings
from bricks.transport.ring_place import place_of
from bricks.transport.rings import RingReader, RingWriter
from lego_sdn.core.facts.errors import BrickError
from tests.bricks import ring_peer
from tests.bricks.ring_peer import ROWS, batch
from tests.examples import examples


@pytest.fixture
def name(request):
    name = f"lego-test-{os.getpid()}-{request.node.name[:40].translate(str.maketrans('[]', '--'))}"
    yield name
    rings.remove(name)


@pytest.fixture
def pair(name):
    writer, reader = RingWriter(name, ROWS, 4), RingReader(name, ROWS, 4)
    yield writer, reader
    writer.close()
    reader.end()


def peer(*arguments: object, stdout: int | None = None) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "tests.bricks.ring_peer", *map(str, arguments)], stdout=stdout)


@settings(max_examples=examples(30), deadline=None)
@given(some.lists(some.tuples(some.booleans(), some.integers(0, ROWS), some.sampled_from([0, 1, 5])), max_size=60))
def test_takes_come_out_as_they_went_in(steps):
    """Any sequence of puts and takes is that of a bounded queue; slots are used round and round."""
    name, queue, first = f"lego-test-{os.getpid()}-any", [], 0
    writer, reader = RingWriter(name, ROWS, 3), RingReader(name, ROWS, 3)
    try:
        for takes, count, width in steps:
            if takes:
                there = reader.peek()
                assert (there is None) == (not queue)
                if there:
                    want = batch(*queue.pop(0))
                    assert there[0].head.tobytes() == want.head.tobytes()
                    assert (there[0].values is None and want.values is None) or np.array_equal(there[0].values, want.values)
                    reader.release(there[1].end)
            elif writer.put(batch(first, count, width), SequenceRange(first, count)):
                queue.append((first, count, width))
                first += count
            else:
                assert len(queue) == 3
            assert (writer.queued, reader.queued_rows) == (len(queue), sum(count for _, count, _ in queue))
            assert writer.has_room == (len(queue) < 3)
    finally:
        there = None
        writer.close()
        reader.end()


@pytest.mark.slow
def test_two_processes_pass_every_batch_unharmed(name):
    writer = peer("write", name, 5, 30_000)
    sleeps = ring_peer.read(name, 5, 30_000)
    assert writer.wait(10) == 0
    assert sleeps > 0  # the reader, being ahead at least at the start, was woken by its doorbell


@pytest.mark.slow
def test_a_slow_reader_makes_the_writer_wait_at_its_doorbell(name):
    reader = peer("read", name, 6, 5_000)
    ring_peer.write(name, 6, 5_000)
    assert reader.wait(20) == 0


def test_the_bell_rings_only_for_a_sleeper(pair):
    writer, reader = pair
    assert writer.put(batch(0, 1, 1), SequenceRange(0, 1))
    assert select.select([reader], [], [], 0)[0] == []
    reader.release(1)
    assert not reader.sleep()
    assert writer.put(batch(1, 1, 1), SequenceRange(1, 1))
    assert select.select([reader], [], [], 5)[0] == [reader]
    reader.awake()
    assert select.select([reader], [], [], 0)[0] == []
    assert reader.sleep(), "a batch that is there already must not be slept through"


def test_room_is_announced_only_to_a_writer_that_waits_and_when_half_is_free(pair):
    writer, reader = pair
    for number in range(4):
        assert writer.put(batch(number, 1, 1), SequenceRange(number, 1))
    assert not writer.put(batch(4, 1, 1), SequenceRange(4, 1))
    assert not writer.wait_for_room()
    assert select.select([writer], [], [], 0)[0] == []
    reader.release(1)
    assert select.select([writer], [], [], 0)[0] == [], "a wake-up for every slot is dear"
    reader.release(2)
    assert select.select([writer], [], [], 5)[0] == [writer]
    assert writer.wait_for_room()
    writer.awake()
    reader.release(3)
    assert select.select([writer], [], [], 0)[0] == []


def test_a_batch_is_copied_in_and_read_in_place(pair):
    writer, reader = pair
    mine = batch(7, 5, 3)
    rows = Batch(mine.head[::2], np.asfortranarray(mine.values)[::2])  # neither is contiguous
    assert writer.put(rows, SequenceRange(7, 5, born=11, part=2, parts=3, scored=4))
    mine.values[:] = -1
    (there, ticket) = reader.peek()
    assert (ticket[:3], ticket.since > 0, ticket[4:]) == ((7, 5, 11), True, (2, 3, 4))
    assert there.head["seq"].tolist() == [7, 9, 11]
    assert there.values.tolist() == batch(7, 5, 3).values[::2].tolist()
    assert there.head.dtype == PACKET
    assert np.shares_memory(there.values, reader.cells)


@pytest.mark.slow
def test_what_a_killed_writer_wrote_is_read_and_another_writer_goes_on(name):
    reader, writer = RingReader(name, ROWS), peer("die", name, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"written\n"
    assert reader.writer_lives
    with pytest.raises(BrickError, match="has a writer already"):
        RingWriter(name, ROWS)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not reader.writer_lives
    again = RingWriter(name, ROWS)
    assert again.next_written == 3
    assert again.put(batch(3, 1, 2), SequenceRange(3, 1))
    seqs = []
    while there := reader.peek():
        seqs += there[0].head["seq"].tolist()
        reader.release(there[1].end)
    assert seqs == [0, 1, 2, 3]
    there = None
    again.close()
    reader.end()


def test_another_reader_goes_on_where_the_first_one_stood(name):
    writer, first = RingWriter(name, ROWS), RingReader(name, ROWS)
    for number in range(3):
        writer.put(batch(number, 1, 1), SequenceRange(number, 1))
    first.release(1)
    assert first.peek()[1][:2] == (1, 1)
    first.close()  # without a release: as if killed while it worked on the batch
    assert not writer.reader_lives
    second = RingReader(name, ROWS)
    assert writer.reader_lives
    assert (second.next_wanted, second.peek()[1][:2]) == (1, (1, 1))
    writer.close()
    second.end()


def test_a_ring_whose_reader_has_ended_takes_nothing_and_is_gone(name):
    writer, reader = RingWriter(name, ROWS), RingReader(name, ROWS)
    assert rings.names(name) == [name]
    reader.end()
    assert not writer.put(batch(0, 1, 1), SequenceRange(0, 1))
    assert not writer.has_room
    writer.close()
    assert rings.names(name) == []


@pytest.mark.slow
def test_makers_may_race(name):
    makers = [subprocess.Popen([sys.executable, "-c", f"from bricks.transport import rings; rings.make({name!r}, 64)"]) for _ in range(3)]
    assert [maker.wait(30) for maker in makers] == [0, 0, 0]
    assert rings.names(name) == [name]
    assert list(place_of(name).parent.glob(f"{name}.new.*")) == []


def test_what_does_not_fit_is_said(name, pair):
    writer, _ = pair
    with pytest.raises(BrickError, match=r"takes 64 rows of 128 values, not 65 of 1"):
        writer.put(batch(0, ROWS + 1, 1), SequenceRange(0, 1))
    with pytest.raises(BrickError, match=r"not 1 of 129"):
        writer.put(batch(0, 1, 129), SequenceRange(0, 1))
    with pytest.raises(BrickError, match="takes batches of 64 rows, not 65"):
        RingReader(name, ROWS + 1)
    with pytest.raises(BrickError, match="is no name for a ring"):
        rings.make("../etc", ROWS)


NOBODY = 65534


@pytest.mark.root
def test_a_name_that_another_user_took_first_holds_nobody_up(name):
    """Neither the folder of the run nor what lies in it is believed; theirs is moved out of the way, and stays theirs."""
    parent, victim = place_of(name).parent, place_of(name)
    before = set(parent.parent.glob("foreign-*"))
    code = f"import os; os.setgid({NOBODY}); os.setuid({NOBODY}); os.mkdir({str(parent)!r}, 0o777); os.mkdir({str(victim)!r}); "
    code += f"open({str(victim / 'ring')!r}, 'wb').write(bytes(9999))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    writer, reader = RingWriter(name, ROWS), RingReader(name, ROWS)
    assert writer.put(batch(0, 1, 1), SequenceRange(0, 1))
    assert (parent.stat().st_uid, parent.stat().st_mode & 0o777) == (0, 0o700)
    writer.close()
    reader.end()
    (moved,) = set(parent.parent.glob("foreign-*")) - before
    assert moved.stat().st_uid == NOBODY
    shutil.rmtree(moved)


@pytest.mark.root
@pytest.mark.parametrize("what", ["link", "file", "open"])
def test_what_is_no_folder_of_ours_is_not_followed(name, what, tmp_path):
    parent = place_of(name).parent
    before = set(parent.parent.glob("foreign-*"))
    if what == "link":
        parent.symlink_to(tmp_path)
    elif what == "file":
        parent.write_text("")
    else:
        parent.mkdir()
        os.chmod(parent, 0o777)
    RingReader(name, ROWS).end()
    assert list(tmp_path.iterdir()) == []
    for moved in set(parent.parent.glob("foreign-*")) - before:
        moved.rmdir() if moved.is_dir() and not moved.is_symlink() else moved.unlink()


@pytest.mark.root
def test_a_user_whose_name_is_taken_is_told(name):
    """Who is not root cannot move another user's folder."""
    code = f"import os; from bricks.transport import rings, ring_place; place = str(ring_place.place_of({name!r}).parent)\n"
    code += f"os.mkdir(place.replace('.0', '.{NOBODY}'))\n"
    code += f"os.setgid({NOBODY}); os.setuid({NOBODY})\ntry: rings.make({name!r}, 9)\nexcept rings.BrickError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    taken = str(place_of(name).parent).replace(".0", f".{NOBODY}")
    os.rmdir(taken)
    assert done.stdout == f"{taken} is another user's, or open to others: remove it\n", done.stderr


def test_a_foreign_file_is_refused(name):
    rings.make(name, ROWS)
    (place_of(name) / "ring").write_bytes(bytes(8192))
    with pytest.raises(BrickError, match="is no ring of this version"):
        RingReader(name, ROWS)
