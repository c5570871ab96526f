"""What is remembered over a crash, and who may hold a journal."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lego_sdn.adapters.linux.journal import Journal, Thing, peek
from lego_sdn.core.facts.errors import HostError

SPACE, PORT = Thing("namespace", "lego1", "r1"), Thing("port", "lego1", "r1", {"of": "1-a"})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.journal"


def test_what_was_made_and_is_not_gone_is_there_after_a_kill(path):
    """The process is killed between two calls: every line it wrote before is on the disk."""
    code = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=30, check=False).returncode
    assert code == -9
    assert [thing.name for thing in peek(path)] == ["lego1", "7"]
    with Journal(path) as journal:
        assert journal.things == [SPACE, Thing("process", "7", "r1")]
        assert journal.things[1].detail == {"start": 5}


KILLED = """
import os, sys
from pathlib import Path
from lego_sdn.adapters.linux.journal import Journal, Thing
journal = Journal(Path(sys.argv[1]))
journal.made(Thing("namespace", "lego1", "r1"))
journal.made(Thing("veth", "lego1", "r1"))
journal.made(Thing("process", "7", "r1"))
journal.gone(Thing("veth", "lego1", "r1"))
journal.made(Thing("process", "7", "r1", {"start": 5}))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_line_cut_off_anywhere_is_no_line(path, cut):
    with Journal(path) as journal:
        journal.made(SPACE)
        before = path.stat().st_size
        journal.made(PORT)
        os.truncate(path, max(before, path.stat().st_size - cut))
        things = peek(path)
        assert things in ([SPACE], [SPACE, PORT])
        assert (things == [SPACE, PORT]) == (cut == 1)  # only the end of the line was lost
        journal.gone(SPACE)


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_of_several_things_written_together_a_cut_leaves_the_first_ones(path, cut):
    things = [SPACE, PORT, Thing("ring", "lego-r1", "r1")]
    with Journal(path) as journal:
        before = path.stat().st_size
        journal.all_made(things)
        assert journal.things == peek(path) == things
        os.truncate(path, max(before, path.stat().st_size - cut))
        left = peek(path)
        assert left == things[: len(left)]
        for thing in things:
            journal.gone(thing)
    assert not path.exists()


def test_things_written_together_are_struck_out_one_by_one(path):
    with Journal(path) as journal:
        journal.all_made([SPACE, PORT])
        journal.all_made([])
        journal.gone(SPACE)
        assert peek(path) == journal.things == [PORT]
        journal.gone(PORT)


def test_after_a_cut_line_the_journal_goes_on(path):
    with Journal(path) as journal:
        journal.made(SPACE)
        journal.made(PORT)
    os.truncate(path, path.stat().st_size - 5)
    with Journal(path) as journal:
        assert journal.things == [SPACE]
        journal.made(PORT)
    with Journal(path) as journal:
        assert journal.things == [SPACE, PORT]


def test_an_empty_journal_leaves_no_file(path):
    with Journal(path) as journal:
        journal.made(SPACE)
        journal.gone(SPACE)
        journal.gone(SPACE)
    assert not path.exists()
    assert peek(path) == []


def test_only_one_process_has_it(path):
    with Journal(path) as journal:
        journal.made(SPACE)
        with pytest.raises(HostError, match=r"in use: another LEGO process runs with this run_dir"):
            Journal(path)
    Journal(path).close()


def test_after_a_boot_only_the_switch_remembers(path):
    with Journal(path, boot_id="yesterday") as journal:
        for thing in (SPACE, PORT, Thing("process", "1", "r1", {"start": 1}), Thing("bridge", "lego0", "r1")):
            journal.made(thing)
    with Journal(path) as journal:
        assert journal.things == [PORT, Thing("bridge", "lego0", "r1")]
    with Journal(path) as journal:  # and the next start of today does not take them for yesterday's
        assert len(journal.things) == 2


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(HostError, match=r"cannot open the journal .*No such file"):
        Journal(tmp_path / "nowhere" / "x.journal")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_journal_that_others_can_write_is_not_believed(path, mode):
    journal = Journal(path)
    journal.made(SPACE)
    os.chmod(path, mode)
    journal.close()
    for read in (peek, Journal):
        with pytest.raises(HostError, match=r"agent\.journal may be another user's work .* so it is not believed: remove it"):
            read(path)
    os.chmod(path, 0o600)
    assert peek(path) == [SPACE], "it is as it was"


@pytest.mark.root
def test_a_journal_of_another_user_is_not_believed(path):
    path.write_text(json.dumps({"made": {"kind": "file", "name": "/etc/passwd", "run": "r1"}}) + "\n")
    path.chmod(0o600)
    os.chown(path, 65534, -1)
    for read in (peek, Journal):
        with pytest.raises(HostError, match=r"\(user 65534 owns it\), so it is not believed"):
            read(path)
    assert path.exists()


def test_links_and_pipes_are_no_journals(path, tmp_path):
    (tmp_path / "elsewhere").write_text("")
    path.symlink_to(tmp_path / "elsewhere")
    for read in (peek, Journal):
        with pytest.raises(HostError, match="symbolic links"):
            read(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    for read in (peek, Journal):
        with pytest.raises(HostError, match="so it is not believed"):
            read(path)
    path.unlink()
    path.with_name("agent.journal.new").symlink_to(tmp_path / "elsewhere")
    with Journal(path) as journal:
        journal.made(SPACE)
        assert (tmp_path / "elsewhere").read_text() == ""
        journal.gone(SPACE)
