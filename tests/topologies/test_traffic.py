"""Synthetic traffic: the same bytes for the same seed, valid to the last checksum, and an attack that is where the labels say."""

import hashlib
import subprocess

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.records.packets import ARP, ICMP, MALFORMED, NO_PORT
from lego_sdn.core.facts.errors import CaptureError
from tests.bricks import tshark
from topologies.frames import checksum
from topologies.traffic import traffic, write_capture, write_pcap


@pytest.fixture(scope="module")
def made():
    return traffic()


@pytest.fixture(scope="module")
def capture(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("synthetic") / "x.pcap"
    write_pcap(path, made.frames, made.times_us)
    return path


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_capture(tmp_path / name, 800, 200, seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


@pytest.mark.slow
def test_the_benign_part_does_not_depend_on_the_attack(made):
    alone = traffic(attack_packets=0)
    assert alone.frames == made.frames[:20_000]
    assert alone.labels.infected == made.labels.infected
    assert not alone.labels.attack.any()


@pytest.mark.slow
def test_counts_times_and_sizes(made):
    assert len(made.frames) == len(made.times_us) == len(made.labels.attack) == 25_000
    assert (np.diff(made.times_us) >= 0).all()
    sizes = [len(frame) for frame in made.frames]
    assert min(sizes) == 60
    assert max(sizes) <= 1514
    benign_s = (made.times_us[19_999] - made.times_us[0]) / 1e6
    attack_s = (made.times_us[-1] - made.times_us[20_000]) / 1e6
    assert 20_000 / benign_s < 60
    assert 5_000 / attack_s > 200


def test_the_reader_gets_every_packet_back(made, capture):
    packets, warnings = read_packets([capture])
    assert warnings == []
    assert (packets["time_ns"] == made.times_us * 1000).all()
    assert not (packets["flags"] & MALFORMED).any()
    kinds = packets["flags"] & 3
    assert {int(kind): int((kinds == kind).sum()) > 100 for kind in np.unique(kinds)} == {1: True, 2: True}
    for fact in (ARP, ICMP):
        assert ((packets["flags"] & fact) != 0).sum() > 100
    ports = set(packets["dst_port"][:20_000].tolist())
    assert {53, 80, 123, 1883, 5004, 5353, NO_PORT} <= ports
    assert len(np.unique(packets["src_mac"])) == 13


def test_the_attack_is_what_the_infected_device_sends_too_much(made, capture):
    packets, _ = read_packets([capture])
    labels, attack = made.labels, made.labels.attack
    assert labels.first_attack == 20_000
    assert not attack[:20_000].any()
    assert 3_000 < attack.sum() < 5_000
    address = int.from_bytes(bytes(map(int, labels.infected.split("."))), "big")
    scanned = packets[attack]
    assert (scanned["src_lo"] == address).all()
    assert {f"{int(mac):012x}" for mac in scanned["src_mac"]} == {labels.infected_mac.replace(":", "")}
    arps = scanned["flags"] & ARP != 0
    assert set(scanned["dst_port"][~arps].tolist()) == {23, 2323}
    assert len(np.unique(scanned["dst_lo"][arps])) > 200
    assert len(np.unique(scanned["dst_lo"][~arps])) > 500
    before = set(packets["dst_port"][:20_000].tolist())
    assert not before & {23, 2323}
    others = packets[20_000:][~attack[20_000:]]
    assert len(np.unique(others["src_lo"])) > 12  # the others go on


@pytest.mark.slow
@tshark.needs_tshark
def test_tshark_finds_nothing_wrong_with_lengths_and_checksums(capture):
    checks = [f"{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")]
    options = [argument for check in checks for argument in ("-o", check)]
    bad = (
        "ip.checksum.status==0 || tcp.checksum.status==0 || udp.checksum.status==0 || icmp.checksum.status==0 || icmpv6.checksum.status==0"
    )
    wrong = f"{bad} || ip.bogus_ip_length || udp.length.bad || tcp.analysis.ack_lost_segment || tcp.analysis.lost_segment"
    for display, least in ((wrong, 0), ("tcp.checksum.status==1", 5_000), ("icmpv6.checksum.status==1", 100)):
        command = ["tshark", "-n", "-r", str(capture), *options, "-Y", display, "-T", "fields", "-e", "frame.number"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        count = len(done.stdout.split())
        assert count >= least if least else count == 0, done.stdout[:200]


def test_checksum_is_that_of_rfc_1071():
    rng = np.random.default_rng(6)
    for size in [*range(1, 60), 1460]:
        data = rng.bytes(size)
        padded = data + b"\0" * (size % 2)
        total = sum(int.from_bytes(padded[i : i + 2], "big") for i in range(0, len(padded), 2))
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        assert checksum(data) == 0xFFFF - total
    assert checksum(bytes(8)) == 0xFFFF
    assert checksum(b"\xff\xff") == 0


def test_other_sizes(tmp_path):
    small = traffic(devices=2, benign_packets=300, attack_packets=50, seed=9)
    assert len({frame[6:12] for frame in small.frames}) == 3
    large = traffic(devices=200, benign_packets=3000, attack_packets=0, seed=9)
    assert len({frame[6:12] for frame in large.frames}) > 150
    empty = traffic(benign_packets=0, attack_packets=0)
    assert empty.frames == []
    labels = write_capture(tmp_path / "attack.pcap", 0, 100)
    assert labels.first_attack == 0
    assert len(read_packets([tmp_path / "attack.pcap"])[0]) == 100


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [{"devices": 1}, {"devices": 201}, {"benign_packets": -1}, {"attack_packets": -1}])
def test_what_is_not_possible(wrong):
    with pytest.raises(ValueError, match="2 to 200 devices"):
        traffic(**wrong)


@pytest.mark.slow
def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(CaptureError, match=r"none/x\.pcap cannot be written: No such file"):
        write_capture(tmp_path / "none" / "x.pcap", 1, 0)
