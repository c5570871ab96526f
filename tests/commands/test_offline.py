"""`lego features`, `lego train` and `lego score`, as a user calls them."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from bricks.models.model_file import load_model
from lego_sdn.cli import main
from tests.bricks import odd
from tests.bricks.files import written

BIN = Path(sys.executable).parent / "lego"


@dataclass
class Done:
    """What a call of the command left: exit code, standard output, standard error."""

    code: int
    stdout: str
    stderr: str


def lego(*words: object, code: int = 0) -> Done:
    """Run the command as its entry point does, in this process; `code`: the exit code wanted."""
    out, err = io.StringIO(), io.StringIO()
    done = 0
    with redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "argv", ["lego", *map(str, words)]):
        try:
            main()
        except SystemExit as end:
            done = end.code
    assert done == code, err.getvalue()
    return Done(done, out.getvalue(), err.getvalue())


@pytest.mark.slow
def test_the_installed_command_ends_with_2_and_one_sentence(tmp_path):
    done = subprocess.run([BIN, "features", tmp_path / "nix", "--out", tmp_path / "f"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"lego: capture {tmp_path / 'nix'} cannot be opened: No such file or directory\n"


@pytest.mark.slow
def test_the_installed_command_ends_with_0_and_shows_no_bar_without_a_terminal(capture, model, tmp_path):
    words = ["score", capture, "--model", model, "--out", tmp_path / "s.npy", "--workers", "2", "--json"]
    done = subprocess.run([BIN, *words], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["scored"] == 600
    lego("score", capture, "--model", model, "--out", tmp_path / "here.npy")
    assert np.array_equal(np.load(tmp_path / "s.npy"), np.load(tmp_path / "here.npy"))


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """A pcap of 600 UDP packets among five hosts, some seconds of traffic."""
    path = tmp_path_factory.mktemp("capture") / "lan.pcap"
    random = np.random.default_rng(4)
    now, body = 1_600_000_000.0, b""
    for _ in range(600):
        now += float(random.exponential(0.01))
        a, b = random.choice(5, 2, replace=False).tolist()
        payload = bytes(int(random.integers(20, 400)))
        udp = struct.pack("!HHHH", 1000 + a, 2000 + b, 8 + len(payload), 0) + payload
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes([10, 0, 0, 1 + a, 10, 0, 0, 1 + b])
        frame = bytes([2, 0, 0, 0, 0, b, 2, 0, 0, 0, 0, a, 8, 0]) + ip + udp
        body += struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + body)
    return path


@pytest.fixture(scope="module")
def model(capture, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "lan.model"
    lego("train", capture, "--out", path, "--fm-grace", 100, "--ad-grace", 300)
    return path


def test_features_are_written_for_every_packet(capture, tmp_path):
    done = lego("features", capture, "--out", tmp_path / "f.npy", "--json")
    found = np.load(tmp_path / "f.npy")
    assert found.shape == (600, 115)
    assert found.dtype == np.float64
    assert found[0, 0] == 1.0
    assert json.loads(done.stdout) == {
        "packets": 600,
        "layout": "kitsune115",
        "features": 115,
        "out": str(tmp_path / "f.npy"),
        "evicted": 0,
        "partial": False,
        "warnings": [],
    }
    assert os.listdir(tmp_path) == ["f.npy"]


def test_train_writes_a_model_and_says_what_it_learned_from(capture, tmp_path):
    done = lego("train", capture, "--out", tmp_path / "m", "--fm-grace", 100, "--ad-grace", 300, "--seed", 7, "--max-size", 5, "--json")
    told = json.loads(done.stdout)
    model = load_model(tmp_path / "m", "kitsune115")
    assert told["packets"] == 401
    assert told["threshold"] == model.threshold
    assert max(told["clusters"]) <= 5
    assert model.about["seed"] == 7
    assert model.about["numerics"] == "robust"


def test_reference_numerics_are_remembered_and_change_the_model(capture, model, tmp_path):
    lego("train", capture, "--out", tmp_path / "m", "--fm-grace", 100, "--ad-grace", 300, "--reference-numerics")
    reference = load_model(tmp_path / "m")
    assert reference.about["numerics"] == "reference"
    assert reference.span.min() < load_model(model).span.min()


def test_without_graces_a_short_capture_is_used_whole(capture, tmp_path):
    done = lego("train", capture, "--out", tmp_path / "m")
    assert "learned from 600 packets (150 + 1 for the map, 449 for" in done.stdout


def test_with_graces_too_few_packets_are_an_error(capture, tmp_path):
    done = lego("train", capture, "--out", tmp_path / "m", "--ad-grace", 700, code=2)
    assert "training needs 5701 packets (--fm-grace 5000 + 1 + --ad-grace 700), the capture has 600" in done.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_scores_are_written_for_every_packet_with_the_same_bits_for_any_workers(capture, model, tmp_path):
    for workers in (1, 2, 3):
        lego("score", capture, "--model", model, "--out", tmp_path / f"{workers}.npy", "--workers", workers)
    one, two, three = (np.load(tmp_path / f"{workers}.npy") for workers in (1, 2, 3))
    assert one.shape == (600,)
    assert (one > 0).all()
    assert np.array_equal(one.view(np.uint64), two.view(np.uint64))
    assert np.array_equal(one.view(np.uint64), three.view(np.uint64))


def test_skip_and_threshold_and_alerts(capture, model, tmp_path):
    out = tmp_path / "s.npy"
    done = lego("score", capture, "--model", model, "--out", out, "--skip", 401, "--threshold", 1e-9, "--json")
    told, scores = json.loads(done.stdout), np.load(out)
    assert not scores[:401].any()
    assert told["scored"] == told["alerts"] == 199
    assert sum(told["by_source"].values()) == 199
    assert set(told["by_source"]) == {f"10.0.0.{n}" for n in range(1, 6)}


def test_several_captures_are_one_time_line(capture, model, tmp_path):
    lego("score", capture, capture, "--model", model, "--out", tmp_path / "s.npy")
    lego("score", capture, "--model", model, "--out", tmp_path / "first.npy")
    both, first = np.load(tmp_path / "s.npy"), np.load(tmp_path / "first.npy")
    assert both.shape == (1200,)
    assert np.array_equal(both[:600], first)
    assert not np.array_equal(both[600:], first)


def test_float32_is_close(capture, model, tmp_path):
    for precision in ("float64", "float32"):
        lego("score", capture, "--model", model, "--out", tmp_path / precision, "--precision", precision)
    np.testing.assert_allclose(np.load(tmp_path / "float32"), np.load(tmp_path / "float64"), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_truncated_capture_is_scored_up_to_the_cut_and_it_is_said(capture, model, tmp_path, workers):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:50_000])
    lego("score", capture, "--model", model, "--out", tmp_path / "whole.npy")
    done = lego("score", cut, "--model", model, "--out", tmp_path / "s.npy", "--workers", workers, "--json", code=1)
    scores = np.load(tmp_path / "s.npy")
    assert 100 < len(scores) < 600
    assert np.array_equal(scores, np.load(tmp_path / "whole.npy")[: len(scores)])
    assert f"lego: warning: capture {cut} ends early, before packet {len(scores) + 1}" in done.stderr
    assert json.loads(done.stdout)["packets"] == len(scores)
    assert json.loads(done.stdout)["partial"]
    lego("score", cut, "--model", model, "--out", tmp_path / "asked.npy", "--workers", workers, "--partial")
    assert np.array_equal(np.load(tmp_path / "asked.npy"), scores)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["features", "train", "score", "verify", "plan"])
def test_a_partial_result_is_no_success_unless_it_is_asked_for(command, capture, model, tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-1])
    words = {"features": ["--out", tmp_path / "o"], "train": ["--out", tmp_path / "o"], "plan": ["--instances", "2"]}
    words |= {"verify": ["--model", model], "score": ["--model", model, "--out", tmp_path / "o"]}
    for code, more in ((1, []), (0, ["--partial"])):
        done = lego(command, cut, *words[command], *more, code=code)
        assert f"lego: warning: capture {cut} ends early, before packet 600" in done.stderr
        assert done.stdout


def test_what_was_lost_is_said_though_the_command_fails(capture, tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:3000])
    done = lego("train", cut, "--out", tmp_path / "m", code=2)
    assert f"capture {cut} ends early" in done.stderr
    assert "give a longer capture" in done.stderr
    cut.write_bytes(capture.read_bytes()[:30])
    for command in ("features", "train", "plan"):
        done = lego(command, cut, *(["--out", tmp_path / "m"] if command != "plan" else []), code=2)
        assert "there is no packet in it" in done.stderr
        assert "ends early, before packet 1, at byte 24" in done.stderr


def test_bad_input_is_one_sentence_and_exit_code_2(capture, model, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x00\x01\x02 not a capture")
    damaged = tmp_path / "damaged.model"
    damaged.write_bytes(model.read_bytes()[:-1])
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(capture.read_bytes()[:24])
    out = tmp_path / "out"
    for words, says in [
        (("features", tmp_path / "nix", "--out", out), "No such file"),
        (("features", junk, "--out", out), "is no capture"),
        (("features", empty, "--out", out), "there is no packet in it"),
        (("features", capture, "--out", tmp_path / "no" / "x.npy"), "cannot be written"),
        (("features", capture, "--out", out, "--layout", "nope"), "'nope' is unknown; there are kitsune115, kitsunepy100"),
        (("features", capture), "Missing option '--out'"),
        (("train", capture, "--out", tmp_path / "no" / "m"), "cannot be written"),
        (("train", capture, "--out", out, "--fm-grace", "0"), "--fm-grace is 0; it must be at least 1"),
        (("score", capture, "--model", damaged, "--out", out), "is damaged"),
        (("score", capture, "--model", junk, "--out", out), "is no LEGO model"),
        (("score", capture, "--model", tmp_path / "nix", "--out", out), "lego train CAPTURE --out"),
        (("score", capture, "--model", model, "--out", out, "--threshold", "-1"), "--threshold is -1.0; it must be above 0, and finite"),
        (("score", capture, "--model", model, "--out", out, "--workers", "0"), "--workers"),
        (("score", junk, "--model", model, "--out", out, "--workers", "2"), "is no capture"),
    ]:
        done = lego(*words, code=2)
        assert says in done.stderr, done.stderr
        assert done.stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["damaged.model", "empty.pcap", "junk"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["features", "plan"])
def test_packets_whose_addresses_the_switch_does_not_see_are_told_with_their_number(command, tmp_path):
    inner, pppoe = odd.FRAMES["tcp"][14:], b"\x11\0\0\1\0\x2a\0\x21"
    frames = 3 * [odd.ether(0x8864, pppoe + inner)] + 2 * [odd.ether(0x8847, b"\0\1\1\x40" + inner)] + [odd.FRAMES["total length 0"]]
    frames += 4 * [odd.FRAMES["tcp"]]
    path = written.save(tmp_path / "in.pcap", written.pcap([written.Packet(n + 1, frame) for n, frame in enumerate(frames)]))
    words = [command, str(path), "--out", str(tmp_path / "out.npy")] if command == "features" else [command, str(path), "--instances", "2"]
    done = subprocess.run([sys.executable, "-m", "lego_sdn", *words], capture_output=True, text=True, timeout=300, check=True)
    assert "5 packets are taken by MAC only: PPPoE 3, MPLS 2" in done.stderr
    assert "1 packets are taken without an address" in done.stderr


@pytest.mark.parametrize("command", ["features", "train", "score"])
def test_an_output_is_never_an_input_nor_anything_but_a_regular_file(command, capture, model, tmp_path):
    own, other = tmp_path / "own.pcap", tmp_path / "other.pcap"
    own.write_bytes(capture.read_bytes())
    other.write_bytes(capture.read_bytes())
    os.link(own, tmp_path / "hard")
    os.symlink(own, tmp_path / "soft")
    os.mkfifo(tmp_path / "pipe")
    more = {"score": ["--model", model], "train": ["--fm-grace", 100, "--ad-grace", 300]}.get(command, [])
    before = {path: (path.lstat().st_mode, path.lstat().st_ino) for path in tmp_path.iterdir()}
    for out in ("own.pcap", "hard", "soft", "pipe", f"../{tmp_path.name}/own.pcap"):
        lego(command, other, own, *more, "--out", tmp_path / out, code=2)
    if command == "score":
        lego(command, own, *more, "--out", model, code=2)
    assert {path: (path.lstat().st_mode, path.lstat().st_ino) for path in tmp_path.iterdir()} == before
    assert own.read_bytes() == capture.read_bytes()
    os.symlink(tmp_path / "target", tmp_path / "link")
    lego(command, own, *more, "--out", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").is_file()


@pytest.mark.parametrize(
    "words",
    [
        *(["train", "--fm-grace", n, "--ad-grace", n] for n in (0, -1, 2_000_000_000, 10**30)),
        *(["train", "--seed", n] for n in (-1, 2**32, 10**30)),
        *(["train", "--max-size", n] for n in (0, 10**30)),
        *(["score", "--threshold", n] for n in ("nan", "inf", "-inf", "1e999", 0)),
    ],
)
def test_a_number_of_any_size_is_one_sentence(words, capture, model, tmp_path):
    more = ["--model", model] if words[0] == "score" else []
    done = lego(words[0], capture, *more, "--out", tmp_path / "o", *words[1:], code=2)
    assert done.stderr.startswith("lego: --")
    assert os.listdir(tmp_path) == []
