"""`lego granularity`, as a user sees it."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from lego_sdn.cli import lego
from lego_sdn.core.facts.errors import LegoError


def run(*words: str) -> str:
    result = CliRunner().invoke(lego, ["granularity", *words], catch_exceptions=False, standalone_mode=False)
    return result.output


def test_it_shows_groups_result_and_shadows():
    out = " ".join(run("--nf", "kitsune").split())
    assert "Algorithm 1: split by SrcIP" in out
    assert "to the owner of DstIP" in out
    assert "Of 115 features: 75 exact without copies, 115 exact with shadows" in out
    assert "kitsunepy100" in out


def test_json_has_all_of_it():
    found = {layout["layout"]: layout for layout in json.loads(run("--nf", "kitsune", "--json"))["layouts"]}
    layout = found["kitsune115"]
    assert layout["result"] == ["SrcIP"]
    assert layout["clean"] is True
    assert ["SrcMAC-SrcIP", "SrcIP"] in layout["within"]
    plan = layout["plans"][0]
    assert plan["shadows"] == [{"to_owner_of": ["dst_ip"], "sentence": "the owner of DstIP"}]
    assert len(plan["exact"]) == 115
    assert plan["approximate"] == []
    assert {read["copies"] for read in plan["reads"]} == {"own", "shadow"}
    assert len(found["kitsunepy100"]["plans"][0]["approximate"]) == 70
    key = layout["key"]
    assert (key["own"], key["shadows"], key["exact"], key["one_instance_because"]) == (["src_ip"], [["dst_ip"]], True, None)
    assert key["deliveries_per_packet"]["4"] == 1.75
    assert "HH would need copies" in found["kitsunepy100"]["key"]["one_instance_because"]


def test_the_key_of_an_nf_of_another_package_is_shown():
    found = {layout["layout"]: layout["key"] for layout in json.loads(run("--nf", "tests.destinations:NF", "--json"))["layouts"]}
    assert (found["received"]["own"], found["received"]["shadows"]) == (["dst_ip"], [])
    assert (found["answered"]["own"], found["answered"]["shadows"]) == (["dst_ip"], [["src_ip"]])
    assert "buckets of DstIP, no copies" in run("--nf", "tests.destinations:NF", "--layout", "received")


def test_another_split_can_be_looked_at():
    found = json.loads(run("--layout", "kitsune115", "--by", "SrcMAC-SrcIP", "--assume", "one-mac-per-address", "--json"))
    (plan,) = found["layouts"][0]["plans"]
    assert plan["shadows"][0]["to_owner_of"] == ["dst_ip", "dst_mac"]
    assert len(plan["exact_without_copies"]) == 75


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--nf", "nope"), "there is no NF 'nope'; there are doshi, kitsune"),
        (("--layout", "nope"), "unknown layout of kitsune: 'nope'; there are kitsune115, kitsunepy100"),
        (("--by", "nope"), "unknown header group: 'nope'"),
        (("--assume", "nope"), "unknown assumption: 'nope'; there are distinct-keys, one-mac-per-address"),
    ],
)
def test_what_does_not_exist_is_said(words, says):
    result = CliRunner().invoke(lego, ["granularity", *words], standalone_mode=False)
    assert isinstance(result.exception, LegoError)
    assert says in str(result.exception)


def test_it_needs_no_heavy_imports():
    import subprocess

    code = "import sys; from lego_sdn.commands.granularity import granularity as g; g(['--json'], standalone_mode=False); "
    code += "sys.exit(any(m in sys.modules for m in ('numpy', 'numba', 'rich', 'ryu')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
