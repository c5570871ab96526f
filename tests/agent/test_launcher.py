"""The warm process: when it does not start, dies, or never gets ready, it is said."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from lego_sdn.adapters.linux.processes import Process
from lego_sdn.agent.launcher import Exit, Launcher
from lego_sdn.core.facts.errors import BrickError


@pytest.fixture
def launch(tmp_path):
    """Makes launchers whose warm process is some Python code; ends them."""
    made = []

    def make(code):
        made.append(Launcher(tmp_path, f"test{os.getpid()}", (sys.executable, "-c", code)))
        made[-1].start()
        return made[-1]

    yield make
    for launcher in made:
        launcher.stop()


def test_one_that_ends_at_once(launch):
    launcher = launch("import sys; sys.exit('no kernels here')")
    with pytest.raises(BrickError, match=r"the warm process of the bricks ended: no kernels here \(see .*warm\.log\)"):
        launcher.wait_ready()
    assert "no kernels here" in launcher.problem()


def test_one_that_never_answers(launch):
    launcher = launch("import signal; signal.pause()")
    with pytest.raises(BrickError, match=r"the bricks were not ready within 0\.05 s: the first start .* compiles"):
        launcher.wait_ready(0.05)
    assert launcher.problem() is None


def test_one_that_does_not_want_to_end(launch, monkeypatch):
    launcher = launch("import signal; signal.signal(15, signal.SIG_IGN)\nwhile True: signal.pause()")
    process = launcher.start()
    assert launcher.start() == process, "started twice, there is one"
    monkeypatch.setattr("lego_sdn.agent.launcher.STOP_S", 0.2)
    ignoring = threading.Event()
    while not ignoring.wait(0.01):  # until it ignores SIGTERM
        words = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
        if int(words.split()[1], 16) & 1 << (signal.SIGTERM - 1):
            ignoring.set()
    launcher.stop()
    assert Process.of(process.pid) is None


def test_how_a_process_ended_in_words():
    assert str(Exit(1, 3, None)) == "ended with status 3"
    assert str(Exit(1, None, signal.SIGSEGV)) == "was ended by SIGSEGV"
