"""`lego nf`: what is installed, and what one NF declares."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from lego_sdn.cli import lego
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph


def run(*words: str):
    return CliRunner().invoke(lego, ["nf", *words], standalone_mode=False)


def test_list_names_every_nf_and_its_graph():
    (row,) = [row for row in json.loads(run("list", "--json").output) if row["nf"] == "kitsune"]
    assert (row["graph"].split(" -> ")[0], row["error"]) == ("packet-batching", None)
    assert f"kitsune: {row['graph']}" in run("list").output


def test_show_has_graph_groups_and_the_result_of_algorithm_1():
    told = json.loads(run("show", "kitsune", "--json").output)
    graph = Graph.parse(told["graph"])
    assert (graph.keyed, told["models"], told["learns"]) == (("feature-quantization",), ["unsupervised-network"], True)
    first = told["layouts"][0]
    assert (first["layout"], first["features"], first["result"], first["clean"]) == ("kitsune115", 115, ["SrcIP"], True)
    words = run("show", "kitsune").output
    assert all(group in words for group in first["groups"])
    assert "Algorithm 1: split by SrcIP" in words


def test_one_that_is_not_there():
    with pytest.raises(BrickError, match="there is no NF 'nope'; there are doshi, kitsune"):
        raise run("show", "nope").exception


def test_one_that_cannot_be_loaded_is_listed_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "torn.py").write_text("raise OSError('torn')")
    about = tmp_path / "torn-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torn\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[lego.nfs]\ntorn = torn:NF\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (row,) = [row for row in json.loads(run("list", "--json").output) if row["nf"] == "torn"]
    assert (row["graph"], "OSError: torn" in row["error"]) == (None, True)
