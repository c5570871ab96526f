"""Tutorials do what they say: their files are written, and their commands run, in a folder of their own, as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bricks.files.scores import read_scores
from lego_sdn.adapters.rpc.wire import free_port
from tests.fakes.environment import new_environment, write_facts

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorials" / "your-first-nf.md"
FENCED = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = FENCED.findall(TUTORIAL.read_text(encoding="utf-8"))
MOST_LINES = 100


def written(folder: Path) -> dict[str, str]:
    """The tutorial's files, in the folder; by name, their text."""
    files = {name: text for language, name, text in BLOCKS if language != "sh"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return files


def commands(kind: str) -> list[list[str]]:
    """Commands of the blocks of a kind: "" (anybody), "install" or "root"."""
    return [line.split() for language, name, text in BLOCKS if (language, name) == ("sh", kind) for line in text.splitlines()]


def install(folder: Path) -> Path:
    """A virtual environment with LEGO in it, and what `pip install .` leaves there. Returns its Python."""
    python, site = new_environment(folder)
    about = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    shutil.copytree(folder / about["name"], site / about["name"])
    write_facts(site, about["name"], about["version"], about["entry-points"])
    return python


def run(command: list[str], folder: Path, python: Path) -> subprocess.CompletedProcess[str]:
    assert command[0] == "lego", f"a tutorial's command that no test runs: {command}"
    call = [str(python), "-I", "-m", "lego_sdn", *command[1:]]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture
def package(tmp_path):
    written(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_it_is_short_and_installs_an_nf_that_is_split_as_it_says(package):
    folder, python = package, install(package)
    files = [text for language, _, text in BLOCKS if language != "sh"]
    assert sum(bool(line.strip()) for text in files for line in text.splitlines()) < MOST_LINES
    assert commands("install") == [["pip", "install", "."]]
    said = [run(command, folder, python) for command in commands("")]
    assert [one.returncode for one in said] == [0] * 3, [one.stderr for one in said]
    assert "buckets of SrcMAC, no copies" in said[1].stdout
    assert "buckets of SrcMAC, no copies" in TUTORIAL.read_text()
    assert (folder / "traffic-benign.pcap").exists()


def live(folder: Path) -> subprocess.CompletedProcess[str]:
    """The tutorial's last command, on a bridge and ports of this test's own."""
    python = install(folder)
    own = f"switch: {{bridge: lt{os.getpid()}, openflow_port: {free_port('127.0.0.1')}}}\nrest: {{port: {free_port('127.0.0.1')}}}\n"
    with (folder / "cards.yaml").open("a") as file:
        file.write(own)
    (synth,) = (command for command in commands("") if command[1] == "synth")
    assert run(synth, folder, python).returncode == 0
    (command,) = commands("root")
    return run(command, folder, python)


@pytest.mark.root
def test_it_is_scored_live_in_two_instances_bit_for_bit(package):
    folder = package
    said = live(folder)
    assert said.returncode == 0, said.stdout + said.stderr
    files = [read_scores(path) for path in sorted((folder / "kept" / "scores").iterdir())]
    assert len(files) == 2
    assert all(len(rows) > 100 for rows in files)
    assert np.array_equal(np.sort(np.concatenate([rows["seq"] for rows in files])), np.arange(8000))


@pytest.mark.root
def test_a_declaration_that_is_untrue_is_found_out(package):
    """Features that read all senders' state, though a sender's own is declared: two instances have other scores than one."""
    folder = package
    code = folder / "cards" / "bricks.py"
    code.write_text(code.read_text().replace("(mac,)", "(mac % 1,)"))
    said = live(folder)
    assert said.returncode == 1, said.stdout + said.stderr
    assert len(list((folder / "kept" / "scores").iterdir())) == 2
