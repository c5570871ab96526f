"""Good inputs to mutate: a model, captures of every format, configurations, requests."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from pathlib import Path

import msgpack

from bricks.models.model_file import FORMAT, save_model
from bricks.nfs.kitsune.learn import blank_models
from lego_sdn.core.facts.messages import AGENT, BRICK
from tests.bricks.files import written
from tests.bricks.files.written import Packet, enhanced, interface, obsolete, section, simple
from tests.bricks.odd import FRAMES

PREFIX = len(FORMAT) + 2 + 65  # of a model file: format, version and checksum


def model_archives() -> list[bytes]:
    """What the checksum of a model file is of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        save_model(next(iter(blank_models("kitsune115").values())), path)
        return [path.read_bytes()[PREFIX:]]


def as_model(archive: bytes) -> bytes:
    """A model file with the right checksum."""
    return FORMAT + b"1\n" + hashlib.sha256(archive).hexdigest().encode() + b"\n" + archive


def captures() -> list[bytes]:
    packets = [Packet(10**9 * (i + 1), frame) for i, frame in enumerate(list(FRAMES.values())[:6])]
    blocks = [section(), interface(snap=96), interface(options=[(9, b"\x09"), (14, bytes(8))])]
    blocks += [enhanced(packet.time_ns, packet, number=1) for packet in packets]
    blocks += [simple(packets[0]), obsolete(1, packets[1]), written.block(5, bytes(16))]
    rows = ["frame.time_epoch\tframe.len\teth.src\teth.dst\tip.src\tip.dst\ttcp.srcport\ttcp.dstport"]
    rows += [f"{i}.5\t60\t00:00:00:00:00:01\t00:00:00:00:00:02\t10.0.0.1\t10.0.0.2\t80\t{i}" for i in range(5)]
    pcap = written.pcap(packets)
    return [pcap, written.pcap(packets, ">", True), b"".join(blocks), gzip.compress(pcap), "\n".join(rows).encode()]


def configurations() -> list[bytes]:
    return [
        b"nf: kitsune\nmodel: m.lego\nbuckets: 64\nswitch: {bridge: lego0, openflow_port: 1}\n"
        b"scaling:\n  policy: bricks\n  high_water: 0.85\n",
        b"forward:\n  mode: wires\n  wires: [[a, b], [1, 2]]\ncapture: {stamps: trailer, blocks: 2048, block_bytes: 32768}\n",
        b"a: &x [1, 2]\nb: *x\nc: {<<: {d: 2026-11-30, e: 0x1F, f: 1e3, g: 12:30:45}, h: ~, i: !!str 7}\n",
        b"instance:\n  cpu_quota: 0.5\n  slow_us: {unsupervised-network: 3.5}\nsla: {latency_ms: 5, loss: 1.0e-05}\n"
        b"rest: {host: '::1', port: 8080}\n",
    ]


def requests() -> list[bytes]:
    """A request for every message that there is."""
    values = [1, 0, "a", [1, 2], ["a"], {"a": 1}, None, b"\0" * 80, 0.5]
    made = []
    for number, (method, signature) in enumerate(sorted((AGENT | BRICK).items())):
        params = [next(v for v in (*values, {"a": ["r"]}, {"a": {"ring": None}}) if one.fits(v)) for one in signature.takes]
        made.append(msgpack.packb([0, number, method, params]))
    return made
