"""A policy of a user's own: named in the configuration, imported from beside it, and followed by the controller's core."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lego_sdn.adapters import configfile
from lego_sdn.core.errors import ConfigError
from lego_sdn.core.policies import POLICIES
from tests.fakes.world import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "policies.md"


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


def test_the_documents_example_is_a_policy_that_scales(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    config = configfile.load(written(tmp_path, example))
    made = World(config, lambda bucket, time: (2000.0 if time < 1060 else 100.0) / 64).up().run(50)
    assert made.state.running == (1, 2, 3)
    assert made.run(60).state.running == (1,)
    assert made.notes("failed") == []


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
