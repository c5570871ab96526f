"""Two Mininet hosts and their wire, and the script that has LEGO work behind it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.errors import HostError
from tests.conftest import ROOT
from tests.live.traces import traces
from topologies import mininet_package
from topologies.traffic import write_capture
from topologies.two_hosts import INSIDE, TwoHosts

SCRIPT = ROOT / "topologies" / "two_hosts.py"


@pytest.mark.root
def test_both_ends_are_there_and_afterwards_gone():
    before = traces()
    with TwoHosts("t2h-src") as hosts:
        assert "t2h-src" in dict(map(reversed, socket.if_nameindex()))
        out, words = hosts.run_on_source(["ip", "-brief", "address", "show", "dev", INSIDE]).communicate(timeout=10)
        assert out.split()[:2] == [f"{INSIDE}@if{socket.if_nametoindex('t2h-src')}", "UP"], words
        assert "fe80" not in out, "the kernel would send packets of its own"
        waiting = hosts.run_on_source(["sleep", "1000"])
    assert waiting.returncode is not None
    assert traces() <= before


@pytest.mark.root
def test_a_name_that_is_taken_is_an_error_and_leaves_nothing():
    before = traces()
    with TwoHosts("t2h-src"), pytest.raises(HostError, match="t2h-src"), TwoHosts("t2h-src"):
        pytest.fail("it must not start")
    assert traces() <= before


@pytest.mark.root
def test_the_script_alone_has_lego_score_a_replay(tmp_path):
    capture, model, config = (tmp_path / name for name in ("short.pcap", "short.model", "lego.yaml"))
    write_capture(capture, benign=1500, attack=0, seed=5)
    train = [sys.executable, "-m", "lego_sdn", "train", str(capture), "--out", str(model), "--fm-grace", "400", "--ad-grace", "900"]
    subprocess.run(train, check=True, capture_output=True, timeout=120)
    config.write_text(
        f"model: {model}\nrun_dir: {tmp_path / 'run'}\nforward: {{mode: drop}}\n"
        f"switch: {{bridge: t2h, openflow_port: {free_port()}}}\nrest: {{port: {free_port()}}}\n"
    )
    before = traces()
    command = [sys.executable, str(SCRIPT), str(capture), "--config", str(config), "--bridge", "t2h", "--pps", "1000"]
    wide = os.environ | {"COLUMNS": "160"}  # the table of instances has all its words
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=wide)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sent 1,500 packets")
    assert "instance" in done.stdout
    assert traces() <= before


def test_help_needs_nothing(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert done.returncode == 0
    assert "two hosts" in done.stdout


@pytest.mark.slow
def test_without_mnexec_or_the_module_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"mnexec is missing.*apt-get install"):
        mininet_package.load()
    (tmp_path / "mnexec").touch(mode=0o755)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mininet"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(HostError, match=r"Python module is missing.*apt-get install"):
        mininet_package.load(tmp_path / "nowhere")


@pytest.mark.slow
def test_versions_compare_as_mininet_wants():
    assert mininet_package.version_numbers("1.10") > mininet_package.version_numbers("1.9.3")
