"""A test run that is killed hurts no later one: what it left is removed, and what is another's is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests import leftovers
from tests.leftovers import MARK, SHARED_MEMORY

# It is the run, with a process of its own that outlives it and a ring
RUN = """
import os, subprocess, sys
from tests import leftovers
leftovers.mark_this_run()
child = subprocess.Popen(["sleep", "300"])
os.mkdir(f"/dev/shm/lego-test-{os.getpid()}-left")
print(child.pid, flush=True)
sys.stdin.read()
"""


def a_run() -> tuple[subprocess.Popen, int]:
    """A run of its own, and the pid of what it started."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    run = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    return run, int(run.stdout.readline())


def lives(pid: int) -> bool:
    return leftovers.Process.of(pid) is not None


def test_what_a_killed_run_left_is_removed_and_a_living_run_is_left_alone():
    killed, orphan = a_run()
    living, child = a_run()
    rings = [SHARED_MEMORY / f"lego-test-{run.pid}-left" for run in (killed, living)]
    with killed, living:
        killed.kill()
        killed.wait()
        assert lives(orphan)
        began = time.monotonic()
        leftovers.clear()
        assert time.monotonic() - began < leftovers.PATIENCE_S
        assert (lives(orphan), lives(child)) == (False, True)
        assert [ring.exists() for ring in rings] == [False, True]
        living.kill()
    leftovers.clear()
    assert not lives(child)
    assert not rings[1].exists()
