"""The warm process: what it forks, what it outlives and what outlives it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lego_sdn.adapters.rpc.calls import Client, RpcError
from tests.bricks.chain import CHAIN, Feed, Instance, check

pytestmark = pytest.mark.data

PARENT = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-m", "bricks.service.main", "--warm", sys.argv[1]]).pid, flush=True)
sys.stdin.read()
"""


def gone(handle: int, seconds: float = 20) -> bool:
    """Whether the process of a pidfd ends in time."""
    return bool(select.select([handle], [], [], seconds)[0])


@pytest.mark.slow
def test_the_warm_process_dies_with_its_parent_and_the_bricks_go_on(tmp_path, packets, model, offline):
    address = tmp_path / "warm.sock"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(address)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    warm_pid = int(parent.stdout.readline())
    handle, feed = os.pidfd_open(warm_pid), Feed(tmp_path, packets)
    instance = Instance(tmp_path, model, feed, Client(str(address), 30))
    try:
        deadline = time.monotonic() + 120
        while not address.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        instance.start("a", CHAIN)
        instance.call("a", "load")
        parent.kill()
        assert gone(handle), "the warm process outlived its parent"
        feed.let(3000)
        instance.drain("a")
        check(instance, offline, 3000)
    finally:
        brick = os.pidfd_open(instance.started["a"]) if "a" in instance.started else None
        instance.close()
        assert brick is None or gone(brick)
        feed.close()
        parent.stdin.close()
        parent.stdout.close()
        parent.wait()
        for one in (handle, brick):
            if one is not None:
                os.close(one)
        instance.warm.close()


@pytest.mark.slow
def test_a_killed_child_is_reported_with_its_signal(tmp_path, model, warm, packets):
    feed = Feed(tmp_path, packets)
    instance = Instance(tmp_path, model, feed, warm)
    try:
        instance.start("a", CHAIN)
        instance.call("a", "load")
        os.kill(instance.started["a"], signal.SIGKILL)
        deadline, exits = time.monotonic() + 20, []
        while not exits:
            assert time.monotonic() < deadline
            exits = [one for one in warm.call("exits") if one["pid"] == instance.started["a"]]
        assert exits == [{"pid": instance.started["a"], "status": None, "signal": signal.SIGKILL}]
    finally:
        instance.close()
        feed.close()


def open_files(pid: int) -> set[str]:
    """What a process holds open, but for what it closes while one looks (the connection of a call that has ended)."""
    links = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return links


def test_a_child_inherits_the_model_and_no_connection(tmp_path, model, warm, packets):
    """The child does not answer on its parent's socket, and the parent's connections end with the parent's ends."""
    feed = Feed(tmp_path, packets)
    instance = Instance(tmp_path, model, feed, warm)
    try:
        assert warm.call("preload", str(model))
        instance.start("a", CHAIN)
        instance.call("a", "load")
        pid = instance.started["a"]
        links = open_files(pid)
        warm_pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        inherited = open_files(warm_pid)
        assert {link for link in links & inherited if link.startswith("socket:")} == set()
    finally:
        instance.close()
        feed.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bricks": []}, "spec of process a: bricks: wanted at least one brick"),
        ({"bathc": 1}, "spec of process a: unknown key 'bathc'; the keys are batch, "),
        ({"batch": 0}, "batch: wanted a whole number above 0, found 0"),
        ({"buckets": 48}, "buckets: wanted a power of two, found 48"),
        ({"rings_out": {"other-0": ["r"]}}, "rings_out: wanted rings of bricks of this process"),
    ],
)
def test_an_impossible_spec_is_refused_at_the_door(tmp_path, model, warm, change, sentence):
    spec = Instance(tmp_path, model, None, warm).spec("a", CHAIN) | change
    with pytest.raises(RpcError, match=sentence):
        warm.call("fork", spec)


@pytest.mark.parametrize(
    ("bricks", "sentence"),
    [
        (["feature-mapping-0", "feature-quantization-0"], "is no part of the graph packet-batching -> feature-quantization"),
        (["feature-mapping"], "'feature-mapping' is no brick's id"),
        (["nothing-0"], "nothing-0 is no brick of"),
    ],
)
def test_bricks_that_do_not_fit_the_graph_are_refused(tmp_path, model, warm, bricks, sentence):
    instance = Instance(tmp_path, model, None, warm)
    instance.start("a", bricks)
    deadline = time.monotonic() + 20
    while not any(one["pid"] == instance.started["a"] and one["status"] == 1 for one in warm.call("exits")):
        assert time.monotonic() < deadline
    assert sentence in (tmp_path / "a.log").read_text()
