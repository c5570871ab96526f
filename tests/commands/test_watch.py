"""`lego watch` and `lego explain`, as a user calls them: on captures, and on an interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bricks.feature_quantization import NAMES
from bricks.models.model_file import load_model
from lego_sdn.adapters.linux.replay_sender import Sender
from tests.bricks.veth import frames, udp, veth
from tests.commands.test_offline import BIN, lego
from tests.fakes.disk import fill, small_disk
from topologies.traffic import traffic, write_pcap

LEARN = 3000
GRACES = ("--fm-grace", LEARN // 4, "--ad-grace", LEARN - LEARN // 4 - 1)


@pytest.fixture(scope="module")
def made():
    return traffic(devices=6, benign_packets=4000, attack_packets=2000, seed=3)


@pytest.fixture(scope="module")
def capture(made, tmp_path_factory):
    """Synthetic traffic; a device is infected after 4,000 packets."""
    path = tmp_path_factory.mktemp("watch") / "lan.pcap"
    write_pcap(path, made.frames, made.times_us)
    return path


@pytest.fixture(scope="module")
def model(capture, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model"
    lego("train", capture, "--out", path, *GRACES)
    return path


def events(path: Path, kind: str = "alert") -> list[dict]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [event for event in found if event["event_type"] == kind]


def watch(*words: object, code: int = 0) -> dict:
    return json.loads(lego("watch", *words, "--json", code=code).stdout)


def refused(*words: object) -> str:
    """The one sentence of a command that ends with 2."""
    done = lego(*words, code=2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.slow
def test_alerts_are_those_of_score(capture, model, tmp_path):
    scored = json.loads(lego("score", capture, "--model", model, "--out", tmp_path / "s.npy", "--json").stdout)
    watched = watch(capture, "--model", model, "--eve", tmp_path / "e.json", "--every-alert")
    scores, found = np.load(tmp_path / "s.npy"), events(tmp_path / "e.json")
    assert watched["alerts"] == scored["alerts"] == watched["events"]["written"] - len(events(tmp_path / "e.json", "stats")) > 0
    assert watched["by_source"] == dict(list(scored["by_source"].items())[:20])
    assert [event["pcap_cnt"] - 1 for event in found] == np.flatnonzero(scores > load_model(model).threshold).tolist()
    for event in found:
        assert float(event["alert"]["metadata"]["lego_score"][0]) == scores[event["pcap_cnt"] - 1]


@pytest.mark.slow
def test_workers_write_the_same_alerts(capture, model, tmp_path):
    written = []
    for workers in (1, 3):
        path = tmp_path / f"{workers}.json"
        watch(capture, "--model", model, "--eve", path, "--every-alert", "--workers", workers)
        written.append(events(path))
    assert written[0] == written[1] != []


def test_incidents_hold_every_alert(capture, model, made, tmp_path):
    watched = watch(capture, "--model", model, "--eve", tmp_path / "e.json", "--host", "here")
    found = events(tmp_path / "e.json")
    ends = [event["alert"]["metadata"] for event in found if event["alert"]["metadata"]["lego_state"] == ["end"]]
    assert sum(int(end["lego_count"][0]) for end in ends) == watched["alerts"]
    assert len(ends) == watched["incidents"]
    assert {event["host"] for event in found} == {"here"}
    assert next(iter(watched["by_source"])) == made.labels.infected


@pytest.mark.slow
def test_without_a_model_it_learns_what_train_learns_and_then_scores_the_rest(capture, model, tmp_path):
    saved = tmp_path / "saved"
    watched = watch(capture, "--learn", LEARN, "--save-model", saved, "--eve", tmp_path / "e.json", "--every-alert")
    lego("score", capture, "--model", model, "--skip", LEARN, "--out", tmp_path / "s.npy")
    own, trained = load_model(saved), load_model(model)
    assert own.weights.tobytes() == trained.weights.tobytes()
    assert own.threshold == trained.threshold
    assert (watched["learned"], watched["scored"]) == (LEARN, 6000 - LEARN)
    scores = np.load(tmp_path / "s.npy")
    assert [event["pcap_cnt"] - 1 for event in events(tmp_path / "e.json")] == np.flatnonzero(scores > trained.threshold).tolist()
    again = watch(capture, "--model", saved)
    assert again["scored"] == 6000


@pytest.mark.slow
def test_standard_output_takes_events_and_nothing_else(capture, model):
    done = subprocess.run([BIN, "watch", capture, "--model", model, "--eve", "-"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0
    assert {json.loads(line)["event_type"] for line in done.stdout.splitlines()} == {"alert", "stats"}
    assert "packets in" in done.stderr


@pytest.mark.slow
def test_a_reader_of_standard_output_that_leaves_ends_it_without_a_traceback(capture, model):
    for words in (("--eve", "-"), ()):
        command = [BIN, "watch", str(capture), "--model", str(model), "--every-alert", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) in (1, 2)
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()


@pytest.mark.root
def test_a_model_that_cannot_be_written_is_used_all_the_same(capture, tmp_path):
    with small_disk(tmp_path, 64) as disk:
        fill(disk)
        done = lego("watch", capture, "--learn", LEARN, "--save-model", disk / "m", "--json")
    assert "cannot be written" in done.stderr
    assert json.loads(done.stdout)["scored"] == 6000 - LEARN


def test_people_get_a_line_an_incident_step(capture, model):
    done = lego("watch", capture, "--model", model)
    assert len(done.stdout.splitlines()) > 3


def test_what_cannot_be_is_refused_in_one_sentence(capture, model, tmp_path):
    assert "3000" in lego("watch", capture, "--learn", 6001, code=2).stderr.splitlines()[-1]
    assert "no interface" in refused("watch", "nothing0")
    assert "no interface" in refused("watch", "x" * 300)
    assert "--workers" in refused("watch", "lo", "--workers", 2)
    assert "--save-model" in refused("watch", capture, "--model", model, "--save-model", tmp_path / "m")
    assert "no folder" in refused("watch", capture, "--save-model", tmp_path / "nix" / "m")
    assert "same file" in refused("watch", capture, "--model", model, "--eve", model)
    assert "same file" in refused("watch", capture, "--save-model", capture)
    assert "is no socket" in refused("watch", capture, "--model", model, "--eve", f"unix:{capture}")
    assert "cannot be written" in refused("watch", capture, "--model", model, "--eve", tmp_path)
    assert "no LEGO model" in refused("watch", capture, "--model", capture)
    assert "cannot be opened" in refused("watch", tmp_path / "nix.pcap")
    for words in (("--threshold", "nan"), ("--threshold", "0"), ("--learn", "99"), ("--workers", "0"), ("--layout", "x")):
        assert lego("watch", capture, *words, code=2).stdout == ""


def test_a_capture_that_is_cut_is_a_partial_result(capture, model, tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-10])
    assert watch(cut, "--model", model, code=1)["scored"] == 5999
    assert watch(cut, "--model", model, "--partial")["warnings"]


def test_an_explanation_divides_the_score(capture, model, made, tmp_path):
    lego("score", capture, "--model", model, "--out", tmp_path / "s.npy")
    packet = int(np.flatnonzero(made.labels.attack)[100])
    found = json.loads(lego("explain", model, capture, "--packet", packet, "--json").stdout)
    assert found["score"] == np.load(tmp_path / "s.npy")[packet]
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-12)
    assert set(found["shares"]) == set(NAMES["kitsune115"])
    shares = [reason["share"] for reason in found["reasons"]]
    assert shares == sorted(found["shares"].values(), reverse=True)[:5]
    assert len(lego("explain", model, capture, "--packet", packet).stdout.splitlines()) == 6
    assert "there is no packet 6000" in refused("explain", model, capture, "--packet", 6000)
    assert lego("explain", model, capture, "--packet", -1, code=2).stdout == ""


@pytest.fixture
def running():
    """Starts `lego watch` on an interface; what still runs is killed."""
    started = []

    def start(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lego_sdn", "watch", *map(str, words)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(fact, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def of_interface(path: Path, kind: str) -> list[dict]:
    return events(path, kind) if path.exists() else []


@pytest.mark.root
def test_an_interface_is_watched_until_it_is_interrupted(model, running, tmp_path):
    path = tmp_path / "e.json"
    with veth() as (here, there), Sender(here) as sender:
        process = running(there, "--model", model, "--eve", path, "--threshold", "1e-9", "--every-alert", "--json")
        until(lambda: of_interface(path, "stats"))
        sender.send(frames(*(udp(60 + i % 40, port=1000 + i % 7) for i in range(500))))
        until(lambda: len(of_interface(path, "alert")) == 500)
        path.rename(tmp_path / "old.json")
        process.send_signal(signal.SIGHUP)
        until(path.exists)
        sender.send(frames(*(udp(60) for _ in range(20))))
        until(lambda: len(of_interface(path, "alert")) == 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert (summary["packets"], summary["scored"], summary["alerts"], summary["kernel_drops"]) == (520, 520, 520, 0)
    alert = of_interface(path, "alert")[0]
    assert (alert["in_iface"], alert["src_ip"], alert["dest_port"], alert["proto"]) == (there, "10.0.0.1", 53, "UDP")
    assert of_interface(path, "stats")[-1]["stats"]["capture"] == {"kernel_packets": 520, "kernel_drops": 0, "errors": 0}


@pytest.mark.root
def test_an_interface_is_learned_first(running, tmp_path):
    path, saved = tmp_path / "e.json", tmp_path / "model"
    with veth() as (here, there), Sender(here) as sender:
        process = running(there, "--learn", "400", "--save-model", saved, "--eve", path, "--json")
        until(lambda: of_interface(path, "stats"))
        sender.send(frames(*(udp(60 + i % 40, port=1000 + i % 7) for i in range(400))))
        until(saved.exists)
        sender.send(frames(*(udp(1400) for _ in range(100))))
        until(lambda: of_interface(path, "alert"))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert (summary["learned"], summary["scored"], summary["packets"]) == (400, 100, 500)
    assert load_model(saved).about["report"]["packets"] == 400


@pytest.mark.root
def test_an_interface_that_goes_away_ends_with_a_sentence(model, running, tmp_path):
    path = tmp_path / "e.json"
    with veth() as (_, there):
        process = running(there, "--model", model, "--eve", path)
        until(lambda: of_interface(path, "stats"))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2
    assert f"{there} was removed" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_without_the_right_to_capture_it_says_so(model):
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*without, sys.executable, "-m", "lego_sdn", "watch", "lo", "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert "CAP_NET_RAW" in done.stderr
    assert "Traceback" not in done.stderr
