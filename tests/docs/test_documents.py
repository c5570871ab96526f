"""Documents are true on this tree: commands and options that they name exist, links lead somewhere, named files are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from lego_sdn.cli import lego
from lego_sdn.core.facts.config import Config

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if path.name != "decisions.md")
FENCED = re.compile(r"^```\w*[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OURS = ("lego_sdn/", "ryu_apps/", "bricks/", "topologies/", "tests/", "docs/")
each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def commands(text: str) -> list[list[str]]:
    """Calls of `lego` in code blocks, without comments."""
    lines = (line for block in FENCED.findall(text) for line in block.splitlines())
    calls = (call.strip() for line in lines if line.startswith("lego ") for call in line.partition("#")[0].split(";"))
    return [shlex.split(call) for call in calls if call.startswith("lego ") and not call.startswith("lego: ")]


def problem(call: list[str]) -> str | None:
    """What of a call is unknown: a command or an option."""
    command: click.Command = lego
    context = click.Context(command)
    words = call[1:]
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no command {words[0]}"
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
    return next((word for word in words if word.startswith("--") and word.partition("=")[0] not in known), None)


@each
def test_commands_and_options_exist(document):
    wrong = {" ".join(call): said for call in commands(document.read_text()) if (said := problem(call))}
    assert not wrong


@each
def test_configurations_are_accepted(document):
    for block in re.findall(r"^```yaml[^\n]*\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE):
        Config.parse(yaml.safe_load(block))


@each
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


@each
def test_files_that_are_named_are_there(document):
    named = set(re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|md))`", document.read_text()))
    places = (ROOT, ROOT / "lego_sdn")
    wanted = [name for name in named if name.startswith((*OURS, "core/", "adapters/"))]
    assert [name for name in sorted(wanted) if not any((place / name).exists() for place in places)] == []


def test_what_is_not_there_is_found_out():
    assert problem(["lego", "score", "--no-such-option"]) == "--no-such-option"
    assert problem(["lego", "fly"]) == "there is no command fly"
    assert len(commands((ROOT / "README.md").read_text())) > 8
