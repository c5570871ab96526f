"""What the monitor makes of a process that does not answer: the agent is asked at once, the core is told after a while, again and again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lego_sdn.core.events import Silent
from ryu_apps import monitor
from ryu_apps.monitor import GIVEN_UP_S, Monitor
from ryu_apps.observed import Process


@pytest.fixture
def clock(monkeypatch):
    made = SimpleNamespace(now=100.0, monotonic=lambda: made.now)
    monkeypatch.setattr(monitor, "time", made)
    return made


def test_a_process_that_is_silent_is_told_by_name(clock):
    told, woken, process = [], [], Process(1, "1-f", "/nowhere", 42)
    watching = SimpleNamespace(shared=SimpleNamespace(put=told.append, wake_agent=SimpleNamespace(set=lambda: woken.append(clock.now))))

    def silent(after_s: float) -> None:
        clock.now += after_s
        Monitor._silent(watching, process, "timed out")

    silent(0.0)
    silent(GIVEN_UP_S)
    assert (told, woken, process.error) == ([], [100.0], "timed out")
    silent(0.1)
    assert told == [Silent(1, "1-f", "process 1-f of instance 1 has not answered for 10 s: timed out")]
    silent(GIVEN_UP_S)
    assert len(told) == 1
    silent(0.1)
    assert len(told) == 2, "whoever could do nothing about it is told again"
