"""`lego replay` from the command line, into a veth, read by the ring."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bricks.capture.packet_ring import PacketRing
from lego_sdn.commands.traffic import replay
from lego_sdn.core.facts.errors import CaptureError, HostError
from tests.bricks.capture.test_packet_ring import collect
from tests.bricks.veth import udp, veth

START_NS = 1_500_000_000_123_456_000


@pytest.fixture
def capture(tmp_path):
    """Three UDP packets, 10 ms apart; the second is cut to 50 of its 100 bytes."""
    sent = [(udp(60), 60), (udp(100)[:50], 100), (udp(1400), 1400)]
    data = np.array([0xA1B2C3D4, 4 << 16 | 2, 0, 0, 65535, 1], "<u4").tobytes()
    for i, (frame, length) in enumerate(sent):
        seconds, rest = divmod(START_NS + i * 10_000_000, 10**9)
        data += np.array([seconds, rest // 1000, len(frame), length], "<u4").tobytes() + frame
    path = tmp_path / "three.pcap"
    path.write_bytes(data)
    return str(path)


def run(*arguments: str):
    return CliRunner().invoke(replay, arguments)


@pytest.mark.root
def test_replay_with_stamps_says_what_it_sent(capture):
    with veth() as (here, there), PacketRing(there, stamps="trailer") as ring:
        result = run(capture, capture, "--interface", here, "--pps", "100", "--stamp", "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert (said["sent"], said["too_long"], said["bytes"]) == (6, 0, 2 * 1560 + 6 * 20)
        assert said["rate"] == pytest.approx(said["sent"] / said["seconds"])
        assert said["seconds"] >= 0.05
        rows = collect(ring, 6)
        assert rows["seq"].tolist() == list(range(6))
        assert rows["length"].tolist() == [60, 100, 1400] * 2
        assert rows["time_ns"].tolist() == [START_NS + ms * 10**6 for ms in (0, 10, 20, 20, 30, 40)]


@pytest.mark.root
def test_a_loop_runs_on_in_stamps_and_time(capture):
    with veth() as (here, there), PacketRing(there, stamps="trailer") as ring:
        result = run(capture, "--interface", here, "--fastest", "--stamp", "--loop", "3")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("sent 9 packets in 0.0")
        rows = collect(ring, 9)
        assert rows["seq"].tolist() == list(range(9))
        assert rows["time_ns"].tolist() == [START_NS + ms * 10**6 for ms in (0, 10, 20, 20, 30, 40, 40, 50, 60)]


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_what_was_sent_is_shown(capture, number):
    with veth() as (here, there), PacketRing(there, stamps="trailer") as ring:
        words = ["replay", capture, "--interface", here, "--pps", "2", "--stamp", "--loop", "100", "--json"]
        with subprocess.Popen([sys.executable, "-m", "lego_sdn", *words], stdout=subprocess.PIPE, text=True) as child:
            collect(ring, 1)
            child.send_signal(number)
            said = json.loads(child.communicate(timeout=600)[0])
        assert child.returncode == 128 + number
        assert (said["sent"] >= 1, said["sent"] + said["not_sent"]) == (True, 300)


@pytest.mark.root
def test_by_default_as_fast_as_captured_and_without_stamps(capture):
    with veth() as (here, there), PacketRing(there) as ring:
        result = run(capture, "--interface", here, "--json")
        assert json.loads(result.stdout)["seconds"] >= 0.02
        rows = collect(ring, 3)
        assert rows["length"].tolist() == [60, 100, 1400]
        assert rows["time_ns"][2] - rows["time_ns"][0] > 10**6


@pytest.mark.root
def test_stamps_of_the_clock(capture):
    with veth() as (here, there), PacketRing(there, stamps="trailer") as ring:
        assert run(capture, "--interface", here, "--speed", "2", "--stamp-clock").exit_code == 0
        rows = collect(ring, 3)
        assert rows["time_ns"][0] > START_NS + 10**15
        assert np.diff(rows["time_ns"]).tolist() == [5_000_000, 5_000_000]


@pytest.mark.root
def test_too_long_for_the_interface_is_said(capture):
    with veth(mtu=1000) as (here, _):
        result = run(capture, "--interface", here, "--fastest")
        assert result.exit_code == 0
        assert "sent 2 packets" in result.stdout
        assert f"1 packets longer than {here} takes, not sent; raise its MTU" in result.stdout


@pytest.mark.root
def test_what_is_wrong_is_one_sentence(capture, tmp_path):
    result = run(capture, "--interface", "nowhere0")
    assert isinstance(result.exception, HostError)
    text = tmp_path / "text.pcap"
    text.write_text("no capture at all, but long enough to have had a header of one")
    result = run(str(text), "--interface", "lo")
    assert isinstance(result.exception, CaptureError)


@pytest.mark.parametrize(
    "wrong",
    [["--pps", "0"], ["--pps", "-1"], ["--speed", "0"], ["--loop", "0"], ["--pps", "1", "--speed", "1"], ["--fastest", "--pps", "1"]],
)
def test_bad_use(capture, wrong):
    assert run(capture, "--interface", "lo", *wrong).exit_code == 2


def test_a_missing_file_or_interface_is_bad_use(capture):
    assert run("/no/such.pcap", "--interface", "lo").exit_code == 2
    assert run(capture).exit_code == 2


@pytest.mark.root
def test_a_cut_capture_is_sent_as_far_as_it_goes_and_said(capture, tmp_path):
    whole = Path(capture).read_bytes()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole[:-1])
    with veth() as (here, there), PacketRing(there) as ring:
        for accepted, code in ((), 1), (("--partial",), 0):
            result = run(str(cut), "--interface", here, "--fastest", *accepted)
            assert result.exit_code == code, result.stderr
            assert "sent 2 packets" in result.stdout
            assert "cut.pcap" in result.stderr
            assert len(collect(ring, 2)) == 2


@pytest.mark.root
def test_a_shape_repeats_the_capture_for_as_long_as_it_takes(capture):
    with veth() as (here, there), PacketRing(there) as ring:
        result = run(capture, "--interface", here, "--shape", "0.1:50,0.05:200", "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert said["sent"] == 15
        assert said["seconds"] >= 0.14
        assert collect(ring, 15)["length"].tolist() == [60, 100, 1400] * 5


@pytest.mark.parametrize("wrong", [("--shape", "5"), ("--shape", "5:x"), ("--shape", "1:1", "--pps", "5"), ("--shape", "1:1", "--stamp")])
def test_what_goes_with_no_shape(capture, wrong):
    assert run(capture, "--interface", "none", *wrong).exit_code == 2
