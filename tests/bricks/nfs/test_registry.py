"""Network functions by name: LEGO's own, those of installed packages, and one by its place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bricks.nfs import registry
from lego_sdn.core.facts.errors import BrickError, ConfigError
from lego_sdn.core.facts.graph import Graph
from lego_sdn.core.nf.network_function import NetworkFunction

PACKAGE = """
from bricks.nfs.kitsune import NF as KITSUNE
from dataclasses import replace
MINE = replace(KITSUNE, name="mine")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of somebody else's, as an installer leaves it, with these entry points."""

    def install(points: dict[str, str], package: str = "others", source: str = PACKAGE) -> None:
        (tmp_path / f"{package}.py").write_text(source)
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {place}\n" for name, place in points.items())
        (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}")

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    for name in ("others", "more", "broken"):
        sys.modules.pop(name, None)


def test_the_first_nf_is_there():
    assert registry.own() == ("doshi", "kitsune")
    assert registry.load("kitsune").graph.sources == ("packet-batching",)


def test_an_installed_package_registers_one(installed):
    installed({"mine": "others:MINE"})
    assert registry.names() == ("doshi", "kitsune", "mine")
    assert registry.load("mine").name == "mine"
    assert registry.load_installed("mine") is registry.load("others:MINE")


def test_a_place_is_loaded_only_by_who_may_run_its_code(installed):
    installed({})
    assert registry.load("others:MINE").name == "mine"
    sys.modules.pop("others")
    with pytest.raises(BrickError, match="there is no NF 'others:MINE'; there are doshi, kitsune"):
        registry.load_installed("others:MINE")
    assert "others" not in sys.modules


def test_the_same_name_twice_is_refused(installed):
    installed({"mine": "others:MINE"})
    installed({"mine": "more:MINE"}, "more")
    with pytest.raises(BrickError, match="'mine' is registered more than once"):
        registry.load("mine")


def test_nobody_takes_the_name_of_one_of_ours(installed):
    installed({"kitsune": "others:MINE"})
    assert registry.load("kitsune").name == "kitsune"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "there is no NF 'nothing'; there are doshi, kitsune"),
        ("../kitsune", "there is no NF"),
        ("bricks.nfs.kitsune", "there is no NF"),
        ("", "there is no NF ''"),
        ("bricks.nfs.kitsune:EXTRACTORS", "is no NetworkFunction, but dict"),
        ("bricks.nfs.kitsune:NONE", "cannot be imported"),
        ("nowhere.at.all:NF", "cannot be imported"),
        (":NF", "cannot be imported"),
        ("bricks.nfs.kitsune:", "cannot be imported"),
    ],
)
def test_names_that_are_none(name, words):
    with pytest.raises(BrickError, match=words):
        registry.load(name)


@pytest.mark.parametrize("source", ["raise SystemError('no')", "def f(:", "import nowhere_at_all", "MINE = 3", "MINE = NetworkFunction"])
def test_a_package_that_is_broken_is_one_sentence(installed, source):
    installed({"broken": "broken:MINE"}, "broken", source)
    with pytest.raises(BrickError, match="NF 'broken': broken:MINE "):
        registry.load("broken")


@pytest.mark.parametrize("name", registry.own())
def test_to_load_one_imports_no_kernel(name):
    """The controller loads it for its graph and declaration; Ryu's process has no use for numba, and agents start sooner."""
    heavy = "print([name for name in ('numba', 'numpy', 'scipy') if name in sys.modules])"
    source = f"import sys; from bricks.nfs.registry import load; load({name!r}); {heavy}"
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_models_by_node():
    nf = registry.load("kitsune")
    assert nf.model_paths("a", {}) == {"unsupervised-network": "a"}
    assert nf.model_paths("a", {"unsupervised-network": "b"}) == {"unsupervised-network": "b"}
    assert nf.model_paths(None, {}) == {}
    with pytest.raises(ConfigError, match="models: wanted nodes of kitsune that have a model"):
        nf.model_paths(None, {"feature-mapping": "b"})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"graph": Graph()}, "its graph has no node"),
        ({"models": {"x": print}}, "a model is read for 'x', which is no node"),
        ({"extractors": {}}, "no extractor is declared"),
    ],
)
def test_a_value_that_contradicts_itself(more, words):
    nf = registry.load("kitsune")
    with pytest.raises(BrickError, match=words):
        NetworkFunction(**{"name": "x", "graph": nf.graph, "extractors": nf.extractors, "build": nf.build} | more)
