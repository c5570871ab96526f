"""A policy of the user's own: docs/policies.md's example is imported by its name, decides, and what is no policy is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lego_sdn.adapters import configfile
from lego_sdn.core.errors import ConfigError
from lego_sdn.core.policies import POLICIES
from tests.fakes.world import World

DOCS = Path(__file__).resolve().parents[2] / "docs/policies.md"
BAD = """
class Nameless:
    def __init__(self, scaling): pass
    def suggest(self, memory): pass

class Bare:
    name = "bare"
    def suggest(self, memory, seen): pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(example)
    (tmp_path / "bad_policies.py").write_text(BAD)
    (tmp_path / "broken_policy.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in POLICIES if ":" in name]:
        del POLICIES[name]
    for module in ("mine", "bad_policies", "broken_policy"):
        sys.modules.pop(module, None)


def test_the_documented_example_scales_out_and_in(folder):
    config = configfile.parse('model: m\nscaling: {policy: "mine:ByRate", max_instances: 2, cooldown_s: 1, high_water: 1}\n')
    sys.modules["mine"].MOST = 500.0
    made = World(config, lambda bucket, time: 10.0 if time < 1030 else 2.0).up().run(20)
    assert made.state.running == (1, 2)
    assert any("takes 640 packets/s" in note.text for note in made.notes("replicate"))
    made.run(60)
    assert len(made.state.running) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:Policy", "a module that can be imported (ModuleNotFoundError: No module named 'nowhere')"),
        ("broken_policy:Policy", "a module that can be imported (ZeroDivisionError: division by zero)"),
        ("mine:Other", "a class 'Other' in module mine"),
        ("bad_policies:Nameless", "a policy; Nameless lacks name, a text and suggest(self, memory, seen)"),
        ("bad_policies:Bare", "a policy; Bare lacks __init__(self, scaling)"),
    ],
)
def test_what_is_no_policy_is_refused_with_file_key_and_what_is_missing(folder, name, said):
    with pytest.raises(ConfigError) as caught:
        configfile.parse(f'nf: kitsune\nscaling:\n  policy: "{name}"\n', "lego.yaml")
    assert str(caught.value).startswith(f"lego.yaml:3: scaling.policy: wanted {said}, found '{name}'")
