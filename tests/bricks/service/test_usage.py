"""What a brick process says of memory, disk and quota, held against processes that do just that."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bricks.service.usage import Usage

FORKED = """
import os, sys
from bricks.service.usage import Usage
kept = bytearray(os.urandom(1 << 16) * 512)
if os.fork():
    os.wait()
else:
    now = [0.0]
    used = Usage(clock=lambda: now[0])
    now[0] = 5.0
    told = used.report()
    print(told["rss_bytes"], told["pss_bytes"])
"""


def test_pages_that_a_forked_process_shares_are_divided():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=30)
    resident, proportional = map(int, done.stdout.split())
    assert resident > 32 << 20
    assert 16 << 20 < proportional < resident - (15 << 20), "half of the 32 MiB that both have"


def test_a_page_that_must_be_fetched_from_the_disk_is_a_major_fault():
    before = Usage().report()["disk"]
    with open(__file__, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
            assert pages[:3] == b'"""'
    after = Usage().report()["disk"]
    assert after["major_faults"] > before["major_faults"]
    assert after["read_bytes"] >= before["read_bytes"] + 4096
    assert after["wait_s"] >= before["wait_s"]


def test_the_pages_are_walked_over_now_and_then_only():
    walks, now = [], [100.0]
    used = Usage(clock=lambda: now[0], pages=lambda pid: walks.append(pid) or len(walks))
    told = []
    for now[0] in (100.0, 100.9):
        assert used.report()["pss_bytes"] >= 1 << 20, "a new process tells what it has touched"
    assert walks == [], "packets wait for it, and the walk is long"
    for now[0] in (101.0, 130.0, 131.0, 160.0, 162.0):
        told.append(used.report()["pss_bytes"])
    assert told == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    "stat", ["usage_usec 1\nnr_throttled 3\nthrottled_usec 750000\n", "nr_periods 5\nnr_throttled 3\nthrottled_time 750000000\n"]
)
def test_time_that_the_quota_took_is_read_from_the_first_group(tmp_path: Path, stat):
    (tmp_path / "cpu.stat").write_text(stat)
    assert Usage((str(tmp_path), "/nowhere")).report()["throttled_s"] == 0.75
    assert Usage().report()["throttled_s"] == 0.0
