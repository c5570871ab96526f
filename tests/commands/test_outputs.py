"""What the commands write: never in the place of what is no regular file of its own, never over an input, whole or not at all."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from lego_sdn import cli
from lego_sdn.adapters.files.outputs import replacing
from lego_sdn.core.facts.errors import LegoError
from tests.commands.walk import parameters
from tests.onnx_models import write_linear
from topologies.traffic import write_capture

READ = {"config", "path", "model_file", "model", "captures", "capture", "assignment", "data", "oracle"}  # inputs, by parameter
FOLDERS = {"run_dir", "scores", "keep", "out"}  # where parameters of folders write; what is in them is tested with those who own them


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[Path, Path]:
    """A capture, and a model learned from it."""
    folder = tmp_path_factory.mktemp("outputs")
    capture, model = folder / "short.pcap", folder / "short.model"
    write_capture(capture, benign=600, attack=0)
    assert lego("train", capture, "--out", model).returncode == 0
    if WITH_ONNX:
        write_linear(folder / "import.onnx", 9)
    return capture, model


class Ended(NamedTuple):
    """How a command ended: exit code, and what it said on standard error."""

    returncode: int
    stderr: str


def lego(*words: object) -> Ended:
    """Run in this process, since there are many; `main` makes a LegoError exit code 2."""
    done = CliRunner().invoke(cli.lego, [str(word) for word in words])
    if isinstance(done.exception, LegoError):
        return Ended(2, str(done.exception))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ended(done.exit_code, done.stderr)


def writers(capture: Path, model: Path, out: Path) -> dict[tuple[str, ...], tuple[object, ...]]:
    """By command and parameter: words with which it writes to `out`."""
    return {
        ("features", "out"): ("features", capture, "--out", out),
        ("train", "out"): ("train", capture, "--out", out),
        ("score", "out"): ("score", capture, "--model", model, "--out", out),
        ("plan", "out"): ("plan", capture, "--instances", "2", "--out", out),
        ("synth", "out"): ("synth", out, "--benign", "50", "--attack", "0"),
        ("watch", "save_model"): ("watch", capture, "--learn", "300", "--save-model", out),
        ("paper", "policies", "plot"): ("paper", "policies", "--policy", "water-marks", "--seeds", "1", "--plot", out),
        ("import", "out"): ("import", capture.parent / "import.onnx", "--nf", "doshi", "--out", out),
    }


WITH_ONNX = importlib.util.find_spec("onnx") is not None  # an extra
WRITERS = [which for which in writers(Path(), Path(), Path()) if WITH_ONNX or which[0] != "import"]


def test_every_parameter_that_names_a_file_is_an_input_or_is_tested_here():
    files = {
        (*words, parameter.name)
        for words, parameter in parameters()
        if isinstance(parameter.type, click.Path)
        and parameter.type.file_okay
        and parameter.name not in READ
        and (WITH_ONNX or words != ("import",))
    }
    assert files == set(WRITERS)
    folders = {p.name for _, p in parameters() if isinstance(p.type, click.Path) and not p.type.file_okay and p.name not in READ}
    assert folders == FOLDERS


def kinds(folder: Path, capture: Path) -> dict[str, Path]:
    """What may stand where a command is to write; all are refused."""
    made = {name: folder / f"{name}.png" for name in ("pipe", "socket", "link to a pipe", "hard link", "device")}
    os.mkfifo(made["pipe"])
    os.mknod(made["socket"], stat.S_IFSOCK | 0o600)
    made["link to a pipe"].symlink_to(made["pipe"])
    (folder / "other").write_text("other")
    os.link(folder / "other", made["hard link"])
    made["device"].symlink_to("/dev/null")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("which", WRITERS)
def test_what_is_no_regular_file_of_its_own_stays_what_it_is(which, inputs, tmp_path):
    for name, path in kinds(tmp_path, inputs[0]).items():
        before = os.lstat(path)
        done = lego(*writers(*inputs, path)[which])
        assert done.returncode == 2, (name, done.stderr)
        assert str(path) in done.stderr
        after = os.lstat(path)
        assert (after.st_ino, after.st_mode, after.st_size, after.st_nlink) == (
            before.st_ino,
            before.st_mode,
            before.st_size,
            before.st_nlink,
        )
    assert (tmp_path / "other").read_text() == "other"


@pytest.mark.slow
@pytest.mark.parametrize("which", WRITERS)
def test_a_link_is_followed_a_mode_is_kept_and_nothing_is_left_beside(which, inputs, tmp_path):
    (real := tmp_path / "real.png").write_text("old")
    real.chmod(0o640)
    (link := tmp_path / "link.png").symlink_to(real)
    done = lego(*writers(*inputs, link)[which])
    assert done.returncode in (0, 1), done.stderr
    assert link.is_symlink()
    assert real.read_bytes() != b"old"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "real.png"]


@pytest.mark.parametrize("which", [which for which in WRITERS if which[0] not in ("synth", "paper", "import")])
def test_an_input_is_no_output_by_whatever_name(which, inputs, tmp_path):
    capture = tmp_path / "a.pcap"
    capture.write_bytes(inputs[0].read_bytes())
    content = capture.read_bytes()
    (tmp_path / "same").symlink_to("a.pcap")
    for name in (capture, tmp_path / "same", f"{tmp_path}/./a.pcap"):
        done = lego(*writers(capture, inputs[1], name)[which])
        assert done.returncode == 2
        assert capture.read_bytes() == content


def test_costs_are_no_input_and_replace_no_pipe(inputs, tmp_path):
    capture, model = tmp_path / "m.costs.json", tmp_path / "m"
    capture.write_bytes(inputs[0].read_bytes())
    model.write_bytes(inputs[1].read_bytes())
    done = lego("profile", capture, "--model", model, "--runs", "1", "--packets", "100")
    assert (done.returncode, capture.read_bytes()) == (2, inputs[0].read_bytes())
    capture.unlink()
    os.mkfifo(capture)
    done = lego("profile", inputs[0], "--model", model, "--runs", "1", "--packets", "100")
    assert done.returncode == 2
    assert stat.S_ISFIFO(capture.stat().st_mode)


def half(path: Path, then: Callable[[Path], object]) -> None:
    """Write half of a new file, then do something else."""
    with replacing(path) as fresh:
        fresh.write_text("half")
        then(fresh)


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path):
    (path := tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError):
        half(path, lambda fresh: 1 / 0)
    with pytest.raises(LegoError, match="cannot be written"):
        half(path, lambda fresh: (fresh / "nowhere").write_text("x"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words", [("bench", "--list"), ("nf", "list"), ("granularity",), ("synth", "{}/x.pcap", "--benign", "9", "--json")]
)
def test_a_full_standard_output_is_told_in_a_sentence(words, tmp_path):
    command = [sys.executable, "-m", "lego_sdn", *(word.format(tmp_path) for word in words)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("lego: ")


def test_a_reader_that_goes_away_ends_the_command_without_a_word():
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([sys.executable, "-m", "lego_sdn", "nf", "list"], stdout=theirs, stderr=subprocess.PIPE, timeout=600, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, b"")
