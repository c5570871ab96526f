"""The controller's file: what is saved is there after a crash, and a file that cannot be used is named."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys

import pytest

from lego_sdn.adapters.files.store import MEMORY, Entry, Intent, Store, Stored, StoreError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "controller.db")


def test_an_assignment_comes_back(path):
    first = Store(path)
    assert first.load() is None
    first.save(Stored({0: 1, 1: 2}, 7, 2))
    first.save(Stored({0: 2}, 8, 2))
    first.close()
    second = Store(path)
    assert second.load() == Stored({0: 2}, 8, 2)
    second.close()


def test_a_pause_comes_back_and_is_no_assignment(path):
    first = Store(path)
    assert not first.paused()
    first.save_paused(True)
    assert first.load() is None
    first.save(Stored({0: 1}, 1, 1))
    first.close()
    second = Store(path)
    assert (second.paused(), second.load()) == (True, Stored({0: 1}, 1, 1))
    second.save_paused(False)
    assert not second.paused()
    second.close()


def test_nobody_else_may_read_it(path):
    Store(path).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_an_assignment_outlives_a_killed_process(path):
    code = (
        "import os, signal, sys; from lego_sdn.adapters.files.store import *; s = Store(sys.argv[1])\n"
        "s.save(Stored({b: 1 for b in range(64)}, 1, 64)); s.note(Entry(1.0, 'a', 'b'))\n"
        "import sqlite3; base = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "base.execute('BEGIN IMMEDIATE'); base.execute('DELETE FROM assignment'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -signal.SIGKILL
    again = Store(path)
    assert again.load() == Stored(dict.fromkeys(range(64), 1), 1, 64)
    assert [entry.text for entry in again.events()] == ["b"]
    again.close()


def test_events_are_numbered_bounded_and_read_from_a_number_on(path):
    kept = Store(path, kept_events=5)
    numbers = [kept.note(Entry(float(i), "steer", f"event {i}", i)) for i in range(8)]
    assert numbers == list(range(1, 9))
    assert [entry.number for entry in kept.events()] == [4, 5, 6, 7, 8]
    assert [entry.number for entry in kept.events(after=6)] == [7, 8]
    assert kept.events(limit=1) == [Entry(7.0, "steer", "event 7", 7, number=8)]
    kept.close()


def test_a_failed_save_changes_nothing(path):
    kept = Store(path)
    kept.save(Stored({0: 1}, 1, 2))
    with pytest.raises(StoreError):
        kept.save(Stored({0: None}, 2, 2))  # type: ignore[dict-item]
    assert kept.load() == Stored({0: 1}, 1, 2)
    kept.close()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at as one " * 20])
def test_a_file_that_is_something_else_is_named(path, content):
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(StoreError, match=r"cannot use .*controller\.db: file is not a database; make it writable, move it away"):
        Store(path)


def test_a_file_of_another_format_is_named(path):
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 9")
    base.close()
    with pytest.raises(StoreError, match="has format 9, and this version reads 1: move it away"):
        Store(path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="No such file or directory"):
        Store(str(tmp_path / "none" / "controller.db"))


def test_memory_keeps_nothing():
    one, other = Store(MEMORY), Store(MEMORY)
    one.save(Stored({0: 1}, 1, 1))
    assert one.load() == Stored({0: 1}, 1, 1)
    assert other.load() is None
    one.close()
    other.close()


def test_a_move_that_was_begun_is_found_again(tmp_path):
    path = str(tmp_path / "controller.db")
    first = Store(path)
    first.begin_move(Intent(2**49 + 1, {0: 1, 1: 2}, {0: 2, 1: 2}))
    first.begin_move(Intent(5, {0: 2, 1: 2}, {0: 3, 1: 3}))
    first.end_move(5)
    first.close()
    second = Store(path)
    assert second.open_moves() == [Intent(2**49 + 1, {0: 1, 1: 2}, {0: 2, 1: 2})]
    second.end_move(2**49 + 1)
    assert second.open_moves() == []
    second.close()


def test_who_has_the_streams_is_found_again(tmp_path):
    path = str(tmp_path / "controller.db")
    first = Store(path)
    assert first.owners() == {}
    first.save_owners({0: 1, 1: 2})
    first.save_owners({0: 3})
    first.close()
    second = Store(path)
    assert second.owners() == {0: 3}
    second.close()


def test_a_file_from_before_events_had_fields_is_read_and_goes_on(tmp_path):
    path = str(tmp_path / "controller.db")
    base = sqlite3.connect(path)
    base.executescript(
        "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,"
        " instance INTEGER); INSERT INTO events (time, kind, text, instance) VALUES (1.0, 'failed', 'instance 2 failed: x', 2);"
        " PRAGMA user_version = 1"
    )
    base.close()
    new = Entry(2.0, "started", "y", 3, "InstanceRuns", {"port": 7, "buckets": 12, "more": [1, {"a": None}]}, number=2)
    for _ in range(2):  # the second time the columns are there
        kept = Store(path)
        if len(kept.events()) == 1:
            kept.note(new)
        assert kept.events() == [Entry(1.0, "failed", "instance 2 failed: x", 2, "Notice", {}, number=1), new]
        kept.close()
    old = sqlite3.connect(path)  # the version of before goes on with it, too
    old.execute("INSERT INTO events (time, kind, text, instance) VALUES (3.0, 'move', 'z', NULL)")
    old.commit()
    old.close()
    assert Store(path).events(after=2) == [Entry(3.0, "move", "z", None, "Notice", {}, number=3)]


@pytest.mark.parametrize("fields", ["", "[]", "1", "{", "null", "[" * 10**5])
def test_fields_that_are_none_are_a_damaged_file(tmp_path, fields):
    path = str(tmp_path / "controller.db")
    kept = Store(path)
    kept.note(Entry(1.0, "move", "x"))
    kept.close()
    base = sqlite3.connect(path)
    base.execute("UPDATE events SET fields = ?", (fields,))
    base.commit()
    base.close()
    with pytest.raises(StoreError, match=r"controller\.db"):
        Store(path).events()
