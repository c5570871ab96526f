"""Files that root writes: no link is followed, nothing of another user's is believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from bricks.files.scores import SCORE, ScoreFile, read_scores
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from lego_sdn.adapters.linux import owned
from lego_sdn.core.facts.errors import BrickError, HostError

THEIRS = 65534


def test_a_new_file_and_the_same_again(tmp_path):
    for _ in range(2):
        scores = ScoreFile(tmp_path / "1-a.scores")
        scores.append(Batch(np.zeros(3, PACKET), np.ones((3, 1))))
        scores.close()
    assert len(read_scores(tmp_path / "1-a.scores")) == 6
    assert not stat.S_IMODE(os.stat(tmp_path / "1-a.scores").st_mode) & 0o137


def test_scores_after_a_record_that_a_death_cut_short_are_read(tmp_path):
    for _ in range(2):
        scores = ScoreFile(tmp_path / "1-a.scores")
        scores.append(Batch(np.zeros(3, PACKET), np.ones((3, 1))))
        scores.close()
        with (tmp_path / "1-a.scores").open("ab") as file:
            file.write(b"\xff" * (SCORE.itemsize - 1))
    assert read_scores(tmp_path / "1-a.scores")["score"].tolist() == [1.0] * 6


def test_a_pipe_that_somebody_reads_takes_scores(tmp_path):
    path = tmp_path / "1-a.scores"
    os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        path.chmod(0o666)
        with pytest.raises(BrickError, match="no plain file or pipe of this user's alone"):
            ScoreFile(path)
        path.chmod(0o600)
        scores = ScoreFile(path)
        scores.append(Batch(np.zeros(3, PACKET), np.ones((3, 1))))
        scores.close()
        assert np.frombuffer(os.read(reader, 1 << 16), SCORE)["score"].tolist() == [1.0] * 3
    finally:
        os.close(reader)


@pytest.mark.parametrize("kind", ["symbolic link", "dangling link", "second name", "pipe without a reader", "folder"])
def test_what_is_no_file_of_its_own_is_not_written_to(tmp_path, kind):
    victim, path = tmp_path / "victim", tmp_path / "1-a.scores"
    victim.write_text("secret")
    {
        "symbolic link": lambda: path.symlink_to(victim),
        "dangling link": lambda: path.symlink_to(tmp_path / "new"),
        "second name": lambda: path.hardlink_to(victim),
        "pipe without a reader": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises(BrickError, match="scores cannot be written to") as told:
        ScoreFile(path)
    assert str(told.value).isprintable()
    assert victim.read_text() == "secret"
    assert not (tmp_path / "new").exists()


@pytest.mark.root
@pytest.mark.parametrize("what", ["folder", "above", "open", "open above", "file"])
def test_root_writes_nothing_where_another_user_could(tmp_path, what):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / "x"
    if what == "file":
        path.write_text("theirs")
    if what in ("folder", "above", "file"):
        os.chown({"folder": folder, "above": folder.parent, "file": path}[what], THEIRS, -1)
    else:
        os.chmod(folder if what == "open" else folder.parent, 0o777)
    with pytest.raises(HostError, match=r"belongs to user 65534|is writable by others|no plain file or pipe of this user's alone"):
        owned.append_to(path)
    assert not path.exists() or path.read_text() == "theirs"


@pytest.mark.root
def test_a_link_into_a_folder_of_roots_is_looked_at_where_it_leads(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, THEIRS, -1)
    (tmp_path / "link").symlink_to(theirs)
    with pytest.raises(HostError, match=f"{theirs} belongs to user 65534"):
        owned.require_folder(tmp_path / "link")
    owned.require_folder(Path("/tmp").resolve() / tmp_path.relative_to("/tmp"))


@pytest.mark.parametrize("path", ["/nowhere/x", "a\0b/x", "/dev/null/x", "x" * 5000 + "/x"])
def test_what_cannot_be_opened_is_said_in_a_sentence(path):
    for attempt in (owned.append_to, owned.replace_file, owned.require_file):
        with pytest.raises(HostError) as told:
            attempt(path)
        assert str(told.value).isprintable()
