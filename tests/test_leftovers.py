"""A test run that is killed hurts no later one: what it left is removed, and what is another's is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tests import leftovers
from tests.leftovers import MARK, SHARED_MEMORY
from tests.system.test_local import configuration, marks, place  # noqa: F401 (fixture)

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


# It is the run, with a whole system under it
LIVE = """
import json, sys
from lego_sdn.core.facts.config import Config
from lego_sdn.system.local import System
from tests import leftovers
leftovers.mark_this_run()
with System(Config.parse(json.loads(sys.argv[1]))):
    print(0, flush=True)
    sys.stdin.read()
"""


def a_run(code: str = RUN, *arguments: str) -> tuple[subprocess.Popen, int]:
    """A run of its own, and the pid of what it started."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    command = [sys.executable, "-c", code, *arguments]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
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


@pytest.mark.root
def test_what_a_killed_run_made_on_this_host_is_removed(place):  # noqa: F811
    """Agent, controller, bridge and namespaces outlive it: its journals tell of them."""
    run, _ = a_run(LIVE, json.dumps(configuration(place).to_dict()))
    with run:
        runs = marks(place)
        run.kill()
        run.wait()
        assert place.left(*runs) != []
        leftovers.clear()
        assert place.left(*runs) == []
