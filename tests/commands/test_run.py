"""The main job as a user starts it: `lego run`, with a real switch, real namespaces and its own controller and agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lego_sdn.adapters import netns
from lego_sdn.adapters.wire import free_port
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root
LEGO = [sys.executable, "-m", "lego_sdn"]
BRIDGE = f"lr{os.getpid()}"
MADE = tuple(f"{BRIDGE}-{end}" for end in ("src", "dst", 1, 2, 3))


@pytest.fixture(scope="module")
def captures(tmp_path_factory) -> tuple[list[str], str]:
    """A benign capture, one with an infected device, and that device's address."""
    made = traffic(devices=8, benign_packets=6000, attack_packets=1500, seed=7)
    folder = tmp_path_factory.mktemp("traffic")
    paths = [folder / "benign.pcap", folder / "attack.pcap"]
    for path, rows in zip(paths, (slice(0, 6000), slice(6000, None)), strict=True):
        write_pcap(path, made.frames[rows], made.times_us[rows])
    return [str(path) for path in paths], made.labels.infected


@pytest.fixture
def config(tmp_path) -> str:
    """A configuration file with a bridge and ports of this test's own, so that a LEGO that runs already is not in the way."""
    ports = free_port("127.0.0.1"), free_port("127.0.0.1")
    path = tmp_path / "lego.yaml"
    path.write_text(
        f"switch: {{bridge: {BRIDGE}, openflow_port: {ports[0]}}}\nrest: {{port: {ports[1]}}}\n"
        "scaling: {period_s: 0.25, cooldown_s: 1.0, down_after: 8}\n"
    )
    return str(path)


def bridges() -> list[str]:
    return subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, text=True, check=True).stdout.split()


def rings() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("lego-")}


@pytest.fixture(autouse=True)
def _no_ring_stays():
    before = rings()
    yield
    assert rings() <= before


def assert_nothing_left(run_dir: Path) -> None:
    assert BRIDGE not in bridges()
    assert not [name for name in MADE if netns.exists(name) or netns.link_exists(name)]
    mine = str(run_dir).encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert mine not in process.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_one_instance_scores_every_packet_as_the_unsplit_run(captures, config, tmp_path):
    """The rung below scaling: through the switch, chained in one process, no score may differ in a single bit."""
    files, infected = captures
    done = subprocess.run(
        [*LEGO, "run", *files, "--config", config, "--pps", "3000", "--quota", "1", "--instances", "1", "--keep", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["sent"] == 7500
    if not summary["dropped"]:
        assert summary["equal_share"] == 1.0
    assert summary["comparison"]["twice"] == summary["missing"] == 0
    assert next(iter(summary["alerts"])) == infected
    assert_nothing_left(tmp_path)


def test_load_rises_a_second_instance_starts_load_falls_and_they_merge(captures, config, tmp_path):
    """Issue: the whole loop; no packet is lost without a name, none is scored twice."""
    files, infected = captures
    done = subprocess.run(
        [
            *LEGO,
            "run",
            *files,
            "--config",
            config,
            "--pps",
            "1500",
            "--quota",
            "0.03",
            "--instances",
            "2",
            "--keep",
            str(tmp_path),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    kinds = [action["kind"] for action in summary["actions"]]
    assert kinds.index("replicate") < kinds.index("merge") < kinds.index("stopped")
    assert summary["comparison"]["scored"] + sum(summary["dropped"].values()) == summary["sent"] == 7500
    assert summary["comparison"]["twice"] == 0
    assert next(iter(summary["alerts"])) == infected
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment_nothing_is_left(captures, config, tmp_path, number):
    files, _ = captures
    child = subprocess.Popen(
        [*LEGO, "run", *files, "--config", config, "--pps", "500", "--keep", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    seen = []
    for line in child.stdout:
        seen.append(line)
        if line.startswith("sending"):
            break
    assert child.poll() is None, "".join(seen)
    child.send_signal(number)
    rest, _ = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "Traceback" not in rest
    assert_nothing_left(tmp_path)


def test_killed_while_it_runs_the_next_one_clears_up(captures, config, tmp_path):
    files, _ = captures
    command = [*LEGO, "run", *files, "--config", config, "--pps", "500", "--keep", str(tmp_path)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    for line in child.stdout:
        if line.startswith("sending"):
            break
    child.kill()
    child.communicate(timeout=30)
    down = subprocess.run([*LEGO, "down", "--run-dir", str(tmp_path / "run")], capture_output=True, text=True, timeout=60, check=False)
    assert down.returncode == 0, down.stderr
    deadline = time.monotonic() + 20
    while BRIDGE in bridges() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert_nothing_left(tmp_path)
