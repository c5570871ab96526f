"""Numbers of any size in every option of every command, with an otherwise small command line: a sentence and exit code 2, or it works."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lego_sdn import cli
from lego_sdn.core.facts.errors import LegoError
from tests.commands.walk import commands, parameters
from topologies.traffic import write_capture

NUMERIC = (click.types.IntParamType, click.types.FloatParamType)
LARGE = ("1000000000000000000000000000000", "1e308", "9" * 400)
BAD = ("-1000000000000000000000000000000", "-1", "nan", "inf", "-inf", "", " ", "1e999", "0x10", "1_0_", "½", "²", "1\x00", "--", *LARGE)
WORDS = (
    "",
    "-1",
    "0",
    "1e308",
    "nan",
    "inf",
    "9" * 5000,
    "½",
    "²:²",
    "1:1e308",
    "1e308:1",
    ",",
    ":",
    "0-99999999999",
    "\x00",
    "\ud800",
    "a=1e308",
)
REST = "127.0.0.1:1"  # nobody answers there
UNTRIED = {"run", "prove", "agent", "up", "down"}  # as root they would start something; their numbers are tried by type below
LEAST = {("train", "fm_grace"), ("train", "ad_grace"), ("train", "max_size"), ("train", "seed"), ("score", "threshold")}  # checked inside


def kinds(parameter: click.Parameter) -> tuple[click.ParamType, ...]:
    return tuple(parameter.type.types) if isinstance(parameter.type, click.Tuple) else (parameter.type,)


def numbers() -> Iterator[tuple[str, click.Parameter, click.ParamType]]:
    for words, parameter in parameters():
        yield from ((" ".join(words), parameter, kind) for kind in kinds(parameter) if isinstance(kind, NUMERIC))


def test_every_number_has_two_bounds():
    unbound = {
        (words, parameter.name)
        for words, parameter, kind in numbers()
        if getattr(kind, "min", None) is None or getattr(kind, "max", None) is None
    }
    assert unbound == LEAST


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [pytest.param(kind, parameter, id=f"{words} {parameter.name}") for words, parameter, kind in numbers() if hasattr(kind, "max")],
)
def test_what_lies_outside_is_refused_by_the_option(kind, parameter):
    for text in BAD:
        with pytest.raises(click.BadParameter):
            kind.convert(text, parameter, None)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, str]:
    """What required parameters are given, by name."""
    folder = tmp_path_factory.mktemp("bounds")
    write_capture(folder / "a.pcap", benign=300, attack=0)
    values = {
        "captures": "a.pcap",
        "capture": "a.pcap",
        "source": "a.pcap",
        "model_file": "m",
        "out": "out",
        "interface": "lego-none",
        "name": "kitsune",
        "packet": "5",
        "model": "m.onnx",
        "nf": "doshi",
    }
    return {name: value if name in ("interface", "name", "packet", "nf") else str(folder / value) for name, value in values.items()} | {
        "rest": REST
    }


def smallest(command: click.Command, given: dict[str, str], apart: str | None) -> list[str]:
    """Words for the required parameters but `apart`."""
    words = []
    for parameter in command.params:
        if parameter.name == apart or not (parameter.required or parameter.name == "rest"):
            continue
        words += [given[parameter.name]] if isinstance(parameter, click.Argument) else [parameter.opts[0], given[parameter.name]]
    return words


def tried() -> Iterator[object]:
    """(words, command, parameter) of every parameter with a value, but of paths and choices."""
    for words, command in commands():
        for parameter in command.params:
            free = not isinstance(parameter.type, click.Path | click.Choice) and not getattr(parameter, "is_flag", False)
            if free and words[0] not in UNTRIED and words[0] != "paper" and parameter.name != "rest":
                yield pytest.param(words, command, parameter, id=f"{' '.join(words)} {parameter.name}")


@pytest.mark.slow
@pytest.mark.parametrize(("words", "command", "parameter"), list(tried()))
def test_no_value_of_an_option_makes_a_traceback(words, command, parameter, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some of the words are names of files
    number = any(isinstance(kind, NUMERIC) for kind in kinds(parameter))
    for text in BAD if number else WORDS:
        option = ["--", text] if isinstance(parameter, click.Argument) else [f"{parameter.opts[0]}={text}"]
        done = CliRunner().invoke(cli.lego, [*words, *smallest(command, given, parameter.name), *option])
        told = str(done.exception) if isinstance(done.exception, LegoError) else done.output
        assert isinstance(done.exception, LegoError | SystemExit | None), (text, repr(done.exception))
        assert not number or (done.exit_code and told.strip()), text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "most"),
    [
        (("features", "{a}", "--out", "{o}", "--streams", "{most}"), "streams"),
        (("plan", "{a}", "--instances", "2", "--streams", "{most}"), "streams"),
        (("score", "{a}", "--model", "{m}", "--out", "{o}", "--skip", "{most}"), "skip"),
    ],
)
def test_the_largest_number_works_or_is_a_sentence_within_bounded_memory(words, most, given, tmp_path):
    (kind,) = (kind for name, parameter, kind in numbers() if name == words[0] and parameter.name == most)
    values = {"a": given["captures"], "o": str(tmp_path / "o"), "m": given["model_file"], "most": str(kind.max)}
    if not Path(given["model_file"]).exists():
        assert CliRunner().invoke(cli.lego, ["train", given["captures"], "--out", given["model_file"]]).exit_code == 0
    done = subprocess.run(
        [sys.executable, "-m", "lego_sdn", *(word.format(**values) for word in words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30)),
    )
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or done.stderr.startswith("lego: ")
