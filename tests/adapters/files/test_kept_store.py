"""The controller's store goes on whatever becomes of its file, and the file is whole again when it can be."""

from __future__ import annotations

import os

import pytest

from lego_sdn.adapters.files.kept_store import KeptStore
from lego_sdn.adapters.files.store import Entry, Intent, Store, Stored, StoreError
from tests.fakes.disk import fill, small_disk

STORED = Stored({0: 1, 1: 2}, 7, 2)


def write_all(store):
    store.save(STORED)
    store.save_paused(True)
    store.save_owners({0: 1})
    store.begin_move(Intent(5, {0: 1}, {0: 2}))
    store.note(Entry(1.0, "move", "a move"))


def knows_all(store):
    move = [Intent(5, {0: 1}, {0: 2})]
    texts = [entry.text for entry in store.events()]
    return (store.load(), store.paused(), store.owners(), store.open_moves(), texts) == (STORED, True, {0: 1}, move, ["a move"])


def in_file(path):
    store = Store(str(path))
    known = knows_all(store)
    store.close()
    return known


def test_what_was_kept_comes_back(tmp_path):
    first = KeptStore(str(tmp_path / "x.db"))
    write_all(first)
    first.close()
    second = KeptStore(str(tmp_path / "x.db"))
    assert knows_all(second)
    assert second.problem is None
    second.close()


@pytest.mark.parametrize("away", [False, True])
def test_a_file_that_is_lost_is_written_anew(tmp_path, away):
    path = tmp_path / "x.db"
    kept = KeptStore(str(path))
    write_all(kept)
    if away:
        os.rename(path, tmp_path / "away")
    else:
        os.unlink(path)
    kept.keep()
    assert kept.problem is None
    assert knows_all(kept)
    kept.close()
    assert in_file(path)


def test_a_folder_that_is_lost_and_comes_back(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    kept = KeptStore(str(folder / "x.db"))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    kept.keep()
    assert "x.db" in kept.problem
    write_all(kept)
    assert knows_all(kept)
    folder.mkdir()
    kept.keep()
    assert kept.problem is None
    kept.close()
    assert in_file(folder / "x.db")


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at as one " * 20])
def test_somebody_elses_file_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    kept = KeptStore(str(path))
    write_all(kept)
    kept.keep()
    assert path.read_bytes() == content
    assert "move it away" in kept.problem
    path.unlink()
    kept.keep()
    assert kept.problem is None
    kept.close()
    assert in_file(path)


@pytest.mark.parametrize(
    "entry", [Entry(1.0, "x", "\ud800"), Entry(1.0, "x", "y", 2**70), Entry(1.0, "x", "y", 10**5000), Entry(1.0, "x", object())]
)
def test_a_value_that_no_store_holds_changes_nothing(tmp_path, entry):
    kept = KeptStore(str(tmp_path / "x.db"))
    with pytest.raises(StoreError):
        kept.note(entry)
    write_all(kept)
    assert kept.problem is None
    assert knows_all(kept)
    kept.close()


@pytest.mark.root
def test_a_full_disk(tmp_path):
    with small_disk(tmp_path, 8192) as disk:
        kept = KeptStore(str(disk / "x.db"))
        filler = fill(disk)
        for nth in range(500):
            kept.note(Entry(float(nth), "x", "y" * 2000))
        assert kept.problem is not None
        kept.keep()
        assert kept.problem is not None
        kept.save(STORED)
        assert kept.load() == STORED
        filler.unlink()
        kept.keep()
        assert kept.problem is None
        kept.save_paused(True)
        expected = kept.events()
        kept.close()
        again = Store(str(disk / "x.db"))
        assert (again.events(), again.load(), again.paused()) == (expected, STORED, True)
        again.close()
