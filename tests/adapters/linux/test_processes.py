"""Processes by identity: nobody is signalled who was not meant."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from lego_sdn.adapters.linux import processes
from lego_sdn.adapters.linux.processes import Process

SLEEP = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
STUBBORN = [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True)\nwhile True: signal.pause()"]


@pytest.fixture
def start():
    """Starts processes that are ready (they print a line), and ends those that are left."""
    children = []

    def begin(command=SLEEP, **env):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | env)
        children.append(child)
        child.stdout.readline()
        return child

    yield begin
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_pid_that_was_used_again_is_another_process(start):
    child = start()
    me = Process.of(child.pid)
    other = Process(child.pid, me.start - 1)
    assert me.is_alive()
    assert not other.is_alive()
    assert other.wait(time.monotonic() + 60)
    assert not other.send(signal.SIGKILL)
    processes.end([other])
    assert child.poll() is None


def test_a_zombie_is_dead(start):
    child = start()
    me = Process.of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it ended, and nobody has reaped it
    assert not me.is_alive()
    assert Process.of(child.pid) is None
    assert me.wait(time.monotonic() + 60)


def test_ending_politely_and_by_force(start):
    polite, stubborn = start(), start(STUBBORN)
    processes.end([Process.of(polite.pid), Process.of(stubborn.pid)], patience_s=0.2)
    assert polite.wait(10) == -signal.SIGTERM
    assert stubborn.wait(10) == -signal.SIGKILL


def test_processes_and_their_children_are_found_by_the_mark_of_their_run(start):
    run = f"test{os.getpid()}"
    forks = "import os, signal; print(os.fork(), flush=True)\nwhile True: signal.pause()"
    child = start([sys.executable, "-c", forks], LEGO_RUN=run)
    start(LEGO_RUN=run + "9")
    found = processes.marked(run)
    assert len(found) == 2
    assert Process.of(child.pid) in found
    processes.end(found)
    assert processes.marked(run) == []


def test_a_process_that_never_was():
    gone = Process(2**22 - 3, 1)
    assert not gone.is_alive()
    assert not gone.send(signal.SIGTERM)
    assert gone.wait(time.monotonic())


def test_last_line(tmp_path):
    log = tmp_path / "log"
    assert processes.last_line(log) == ""
    log.write_bytes(b"Traceback\n  File\nValueError: \xff no\n\n  \n")
    assert processes.last_line(log) == "ValueError: � no"
