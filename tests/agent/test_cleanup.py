"""Removal from a journal: everything that can be removed is, and the rest stays written down."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bricks.transport import ring_place
from lego_sdn.adapters.linux.journal import Journal, Thing
from lego_sdn.adapters.linux.netns import NameTaken
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.agent import cleanup
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.core.facts.errors import HostError

RUN = f"test{os.getpid()}"


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "j") as journal:
        yield journal


@pytest.fixture
def belongings(journal):
    return OwnedResources(journal, RUN)


def refuse():
    raise HostError("no")


def test_what_cannot_be_removed_stays_and_the_rest_goes(journal, belongings, tmp_path):
    (tmp_path / "one").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "two").write_text("")
    for name in ("one", "folder", "two", "never-there"):
        belongings.note("file", str(tmp_path / name))
    with pytest.raises(HostError, match=rf"file {tmp_path}/folder could not be removed: .*directory"):
        cleanup.clear(journal)
    assert [thing.name for thing in journal.things] == [str(tmp_path / "folder")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "j"]
    journal.gone(journal.things[0])


@pytest.mark.parametrize("name", ["../{0}", "lego-x/../{0}", "/{0}", "lego-x\n", "other", "", "."])
def test_nothing_but_rings_of_lego_is_removed_from_the_shared_memory(journal, belongings, tmp_path, monkeypatch, name):
    monkeypatch.setattr(ring_place, "FOLDER", tmp_path / "shm")
    ours = f"shm/lego-r1.{os.geteuid()}"
    for folder in ("victim", "shm/lego-x", "shm/lego-x\n", "shm/other", f"{ours}/lego-r1-i1-r0", f"{ours}/lego-r1-i1-r1"):
        (tmp_path / folder).mkdir(parents=True)
    os.chmod(tmp_path / ours, 0o700)
    for folder in ("victim", "shm/lego-x", "shm/lego-x\n", "shm/other", f"{ours}/lego-r1-i1-r0", f"{ours}/lego-r1-i1-r1"):
        (tmp_path / folder / "ring").write_text("x")
    bad = belongings.note("ring", name.format("victim"))
    belongings.note("ring", "lego-r1-i1-r0")
    with pytest.raises(HostError, match="that is no name of a ring of LEGO's"):
        cleanup.clear(journal)
    assert sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("ring")) == [
        f"{ours}/lego-r1-i1-r1",
        "shm/lego-x",
        "shm/lego-x\n",
        "shm/other",
        "victim",
    ]
    assert journal.things == [bad]
    journal.gone(bad)


def test_making_that_fails_takes_its_half_away_but_not_what_others_have(journal, belongings, tmp_path):
    mine = tmp_path / "mine"

    def half():
        mine.write_text("half")
        refuse()

    with pytest.raises(HostError, match="no"):
        belongings.make("file", str(mine), half)
    assert not mine.exists()

    def taken():
        raise NameTaken("taken")

    mine.write_text("another's")
    with pytest.raises(NameTaken):
        belongings.make("file", str(mine), taken)
    assert mine.exists()
    assert journal.things == belongings.things == []


def test_made_things_are_written_down_before_they_are_there(journal, belongings, tmp_path):
    path = str(tmp_path / "x")
    assert belongings.make("file", path, lambda: journal.things) == [Thing("file", path, RUN)]
    assert belongings.make("file", path + "2", lambda: 7, of="1-a") == 7
    assert [thing.name for thing in belongings.of("1-a")] == [path + "2"]
    belongings.remove(belongings.of("1-a"))
    assert [thing.name for thing in journal.things] == [path]
    belongings.remove()
    assert journal.things == []


def test_processes_by_identity_and_by_mark(journal):
    """A pid that belongs to another process now is left alone; a process that was never written down is found by the mark."""
    code = "import signal; print(flush=True); signal.pause()"
    children = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | env, stdout=subprocess.PIPE) for env in ({"LEGO_RUN": RUN}, {})
    ]
    try:
        for child in children:
            child.stdout.readline()
        innocent = Process.of(children[1].pid)
        journal.made(Thing("marked", RUN, RUN))
        journal.made(Thing("process", str(innocent.pid), RUN, {"start": innocent.start - 1}))
        cleanup.clear(journal)
        assert children[0].wait(10) == -15
        assert innocent.is_alive()
        assert journal.things == []
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()
