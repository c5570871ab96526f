"""A policy of a user's own: named in the configuration, imported from beside it, and followed by the controller's core."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lego_sdn.adapters.files import configfile
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.policy.registry import POLICIES
from lego_sdn.simulation.memory import InMemorySystem

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "policies.md"


@pytest.fixture(autouse=True)
def forgotten():
    """What a test makes known is not known to others."""
    before = dict(POLICIES)
    yield
    POLICIES.clear()
    POLICIES.update(before)


def written(folder: Path, text: str, name: str = "patient") -> Path:
    (folder / f"{name}.py").write_text(text)
    file = folder / "lego.yaml"
    file.write_text(f'model: m\nscaling:\n  max_instances: 3\n  policy: "{name}:Patient"\n')
    return file


@pytest.mark.slow
def test_the_documents_example_is_a_policy_that_scales(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    config = configfile.load(written(tmp_path, example))
    made = InMemorySystem(config, lambda bucket, time: (2000.0 if time < 1060 else 100.0) / 64).up().run(50)
    assert made.state.running == (1, 2, 3)
    assert made.run(60).state.running == (1,)
    assert made.notes("failed") == []


def test_the_module_is_found_also_by_whoever_is_told_the_configuration_by_another_file(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    config = configfile.load(written(tmp_path, example, "elsewhere"))
    other = tmp_path / "run"
    other.mkdir(mode=0o700)
    configfile.write(config, other / "config.yaml")
    POLICIES.pop("elsewhere:Patient")
    del sys.modules["elsewhere"]
    assert configfile.load(other / "config.yaml") == config
    assert "elsewhere:Patient" in POLICIES


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("absent", None, "absent cannot be imported (ModuleNotFoundError: No module named 'absent')"),
        ("broken", "1 / 0", "broken cannot be imported (ZeroDivisionError: division by zero)"),
        ("empty", "", "package.module:Class (module 'empty' has no attribute 'Patient')"),
        ("number", "Patient = 3", "a class (Patient in number is none)"),
        ("mute", "class Patient: pass", "a class with `suggest(memory, seen)`, which Patient lacks"),
    ],
)
def test_what_is_no_policy_is_refused_with_file_line_and_reason(tmp_path, name, text, why):
    file = written(tmp_path, text or "", name)
    if text is None:
        (tmp_path / f"{name}.py").unlink()
    with pytest.raises(ConfigError) as told:
        configfile.load(file)
    assert str(told.value).startswith(f"{file}:4: scaling.policy: wanted ")
    assert why in str(told.value)


THEIRS = 65534


def as_their(what: str, folder: Path) -> None:
    """Make one part of the place another user's, or open to others."""
    if what == "folder":
        os.chown(folder, THEIRS, -1)
    elif what == "module":
        os.chown(folder / "patient.py", THEIRS, -1)
    elif what == "open":
        os.chmod(folder, 0o777)
    elif what == "above":
        os.chown(folder.parent, THEIRS, -1)
    else:
        (folder / "beside.py").write_text("")
        os.chown(folder / "beside.py", THEIRS, -1)


@pytest.mark.root
@pytest.mark.parametrize("what", ["folder", "module", "open", "above", "beside"])
def test_root_does_not_run_what_another_user_may_have_written(tmp_path, what):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    file = written(folder, f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Patient:\n    def suggest(self): pass")
    as_their(what, folder)
    with pytest.raises(ConfigError, match=r"scaling\.policy: wanted a module that only root can have written"):
        configfile.load(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.root
@pytest.mark.parametrize("command", ["agent", "up", "down", "status"])
def test_a_command_that_does_not_scale_imports_no_policy(tmp_path, command):
    """`sudo lego down --config ~user/lego.yaml` would run the user's module as root."""
    file = written(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')")
    file.write_text(file.read_text() + f"run_dir: {tmp_path / 'file'}\nrest: {{port: 1}}\n")
    (tmp_path / "file").write_text("a run_dir that cannot be: the command ends there")
    done = subprocess.run([sys.executable, "-m", "lego_sdn", command, "--config", str(file)], capture_output=True, timeout=120, check=False)
    assert done.returncode in (0, 2), done.stderr
    assert not (tmp_path / "ran").exists()
