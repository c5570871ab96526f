"""A journal on a disk that is full, lost, or read-only."""

from __future__ import annotations

import os
import subprocess

import pytest

from lego_sdn.adapters.linux.journal import Journal, Thing, peek
from lego_sdn.core.facts.errors import HostError
from tests.fakes.disk import fill, small_disk

THINGS = [Thing("namespace", f"lego{number}", "r1") for number in range(20)]


@pytest.mark.root
def test_on_a_full_disk_what_is_gone_is_struck_out_and_some_more_can_be_made(tmp_path):
    with small_disk(tmp_path, 512) as disk:
        journal = Journal(disk / "x.journal")
        for thing in THINGS:
            journal.made(thing)
        fill(disk)
        more = Thing("veth", "lego1", "r1")
        journal.made(more)  # in the space that was set aside
        for thing in THINGS[1:]:
            journal.gone(thing)
        assert peek(disk / "x.journal") == [THINGS[0], more]
        journal.close()
        with Journal(disk / "x.journal") as again:  # there is no space to write it anew
            assert again.things == [THINGS[0], more]
            again.gone(THINGS[0])
            again.gone(more)
        assert not (disk / "x.journal").exists()


@pytest.mark.root
def test_what_cannot_be_written_down_is_not_made_and_nothing_before_it_is_lost(tmp_path):
    with small_disk(tmp_path, 512) as disk:
        filler = fill(disk)
        journal = Journal(disk / "x.journal")
        with pytest.raises(HostError, match=r"cannot write down namespace lego0 in the journal .*No space left"):
            journal.made(THINGS[0])
        assert journal.things == []
        filler.unlink()
        for thing in THINGS:
            journal.made(thing)
        assert peek(disk / "x.journal") == THINGS
        fill(disk)
        with pytest.raises(HostError, match="No space left"):
            make_many(journal)
        there = journal.things
        assert peek(disk / "x.journal") == there
        assert journal.keep() is not None, "it says so"
        (disk / "filler").unlink()
        assert journal.keep() is None
        journal.made(Thing("ring", "lego-r1-1", "r1"))
        assert peek(disk / "x.journal") == [*there, Thing("ring", "lego-r1-1", "r1")]
        journal.close()


def make_many(journal):
    for number in range(10_000):
        journal.made(Thing("file", f"/{'x' * 200}{number}", "r1"))


@pytest.mark.root
def test_a_full_disk_after_a_boot(tmp_path):
    with small_disk(tmp_path, 512) as disk:
        before = Journal(disk / "x.journal", boot_id="yesterday")
        before.made(THINGS[0])
        before.made(Thing("bridge", "lego0", "r1"))
        fill(disk)
        before.close()
        with Journal(disk / "x.journal") as journal:
            assert journal.things == [Thing("bridge", "lego0", "r1")]
            journal.made(THINGS[1])
        assert peek(disk / "x.journal") == [Thing("bridge", "lego0", "r1"), THINGS[1]]


@pytest.mark.root
def test_on_a_read_only_disk_a_journal_can_be_read_and_what_it_names_be_removed(tmp_path):
    with small_disk(tmp_path, 512) as disk:
        with Journal(disk / "x.journal") as journal:
            journal.made(THINGS[0])
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Journal(disk / "x.journal") as journal:
            assert journal.things == [THINGS[0]]
            with pytest.raises(HostError, match=r"Read-only|Bad file"):
                journal.made(THINGS[1])
            journal.gone(THINGS[0])
            assert journal.things == []
            assert journal.keep() is not None


def test_a_lost_file_and_a_lost_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    journal = Journal(folder / "x.journal")
    journal.made(THINGS[0])
    os.unlink(folder / "x.journal")
    assert journal.keep() is None
    assert peek(folder / "x.journal") == [THINGS[0]]
    os.unlink(folder / "x.journal")
    folder.rmdir()
    assert "No such file" in journal.keep()
    with pytest.raises(HostError, match="cannot write down"):
        journal.made(THINGS[1])
    folder.mkdir()
    journal.made(THINGS[2])
    assert peek(folder / "x.journal") == [THINGS[0], THINGS[2]]
    journal.close()


@pytest.mark.slow
def test_it_does_not_grow_for_ever(tmp_path):
    journal = Journal(tmp_path / "x.journal")
    for number in range(4000):
        journal.made(Thing("instance", "1", "r1", {"number": number, "text": "x" * 200}))
        journal.keep()
    assert (tmp_path / "x.journal").stat().st_size < 400_000
    assert peek(tmp_path / "x.journal")[0].detail["number"] == 3999
    journal.close()
