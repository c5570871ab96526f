"""The main job as a user starts it: `lego run`, with a real switch, real namespaces and its own controller and agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.rpc.wire import free_port
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
    """Rings in shared memory, without those that a process of another run tries out while it warms up."""
    names = {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("lego-")}
    return {name for name in names if not (name.startswith("lego-warm-") and psutil.pid_exists(int(name.split("-")[2])))}


@pytest.fixture(autouse=True)
def _no_ring_stays():
    before = rings()
    yield
    assert rings() <= before


def assert_nothing_left(run_dir: Path) -> None:
    assert BRIDGE not in bridges()
    assert not [name for name in MADE if netns.exists(name) or netns.link_exists(name)]
    for process in psutil.process_iter(["cmdline"]):  # LEGO's own name the run's folder, the replay its namespace
        words = " ".join(process.info["cmdline"] or ())
        assert str(run_dir) not in words, words
        assert f"{BRIDGE}-src" not in words, words


def run_to_the_end(files: list[str], config: str, folder: Path, *options: str) -> dict[str, Any]:
    """The summary of a run that must succeed and leave nothing."""
    command = [*LEGO, "run", *files, "--config", config, "--keep", str(folder), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert_nothing_left(folder)
    return json.loads(done.stdout)


def test_one_instance_scores_every_packet_as_the_unsplit_run(captures, config, tmp_path):
    """The rung below scaling: through the switch, chained in one process, no score may differ in a single bit."""
    files, infected = captures
    summary = run_to_the_end(files, config, tmp_path, "--pps", "1500", "--quota", "1", "--instances", "1")
    assert summary["sent"] == summary["forwarded"] == summary["comparison"]["scored"] == summary["comparison"]["equal"] == 7500
    assert summary["comparison"]["twice"] == summary["missing"] == 0
    assert summary["dropped"] == {}
    assert next(iter(summary["alerts"])) == infected


def test_load_rises_a_second_instance_starts_load_falls_and_they_merge(captures, config, tmp_path):
    """The whole loop: flows are rewritten under traffic, no packet is lost or scored twice, and no score differs in a bit."""
    files, infected = captures
    summary = run_to_the_end(files, config, tmp_path, "--pps", "1500", "--quota", "0.03", "--instances", "2", "--policy", "water-marks")
    kinds = [action["kind"] for action in summary["actions"]]
    assert kinds.index("replicate") < kinds.index("merge") < kinds.index("stopped")
    assert sum(action["type"] == "InstanceRuns" for action in summary["actions"]) == 2
    assert summary["sent"] == summary["forwarded"] == summary["comparison"]["scored"] == summary["comparison"]["equal"] == 7500
    assert summary["comparison"]["twice"] == summary["missing"] == 0
    assert summary["dropped"] == {}
    assert next(iter(summary["alerts"])) == infected


def started(files: list[str], config: str, folder: Path, until: str) -> subprocess.Popen:
    """A run that has come to the line that begins with `until`."""
    child = subprocess.Popen(
        [*LEGO, "run", *files, "--config", config, "--pps", "500", "--keep", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    seen = []
    for line in child.stdout:
        seen.append(line)
        if line.startswith(until):
            return child
    raise AssertionError("".join(seen))


@pytest.mark.parametrize(
    ("until", "number"),
    [("learning", signal.SIGTERM), ("bridge ready", signal.SIGINT), ("sending", signal.SIGINT), ("sending", signal.SIGTERM)],
)
def test_interrupted_at_any_moment_nothing_is_left(captures, config, tmp_path, until, number):
    child = started(captures[0], config, tmp_path, until)
    child.send_signal(number)
    rest, _ = child.communicate(timeout=600)
    assert child.returncode != 0
    assert "Traceback" not in rest
    assert_nothing_left(tmp_path)


def test_killed_while_it_runs_lego_down_clears_up(captures, config, tmp_path):
    child = started(captures[0], config, tmp_path, "sending")
    child.kill()
    child.communicate(timeout=600)
    down = subprocess.run([*LEGO, "down", "--run-dir", str(tmp_path / "run")], capture_output=True, text=True, timeout=600, check=False)
    assert down.returncode == 0, down.stderr
    assert_nothing_left(tmp_path)


def test_a_model_of_another_layout_is_run_as_what_it_is(captures, config, tmp_path):
    """The layout is the model's own; nothing has to be said twice."""
    files, _ = captures
    model = tmp_path / "hundred.model"
    trained = subprocess.run([*LEGO, "train", files[0], "--layout", "kitsunepy100", "--out", str(model)], capture_output=True, check=False)
    assert trained.returncode == 0, trained.stderr
    summary = run_to_the_end(files, config, tmp_path, "--model", str(model), "--pps", "2500", "--quota", "1", "--instances", "1")
    assert summary["comparison"]["equal"] == 7500


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scaling: {policy: nonsense}", "scaling.policy: wanted one of bricks, predictive, water-marks"),
        ("nf: nothing", "'nothing'"),
        ("model: /nowhere.model", "/nowhere.model"),
        ("layout: kitsunepy100", "scaling.max_instances is 4, but one instance must take all packets: HH "),
        ("granularity: DstIP", "header field"),
        ("granularity: Host", "granularity: wanted one of SrcMAC-SrcIP, "),
    ],
)
def test_what_cannot_work_is_said_at_the_door(tmp_path, text, sentence):
    path = tmp_path / "lego.yaml"
    path.write_text(f"{text}\n")
    command = [*LEGO, "up", "--config", str(path), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
