"""`lego up` from outside: whatever dies or hangs, traffic goes on, nothing is removed, and everything comes back."""

from __future__ import annotations

import signal
import time

import pytest

from lego_sdn.adapters.linux.processes import Process
from tests.fakes.host import PATIENCE_S
from tests.fakes.lego_up import lego_up, until
from tests.system.test_local import marks

pytestmark = pytest.mark.root


@pytest.fixture
def up():
    with lego_up() as made:
        yield made


def test_a_controller_that_is_killed_again_and_again_costs_no_packet(up):
    up.start()
    runs, first = marks(up.host), up.forwarded()
    began = time.monotonic()
    for _ in range(5):
        victim = up.role("controller")
        if victim.pid < 0:
            time.sleep(0.2)
        victim.send(signal.SIGKILL)
        before = up.forwarded()
        until(lambda victim=victim: up.role("controller") not in (victim, Process(-1, -1)), up.said)
        assert up.forwarded() > before, "it forwards meanwhile"
    seconds = time.monotonic() - began
    assert seconds < 60, "five within a minute"
    assert up.child.poll() is None
    assert up.forwarded() - first > 0.6 * seconds / 0.02
    assert "it is started anew in 8 s" in up.said()
    until(up.is_well, up.said)
    assert up.forwards()
    up.child.send_signal(signal.SIGINT)
    up.child.wait(PATIENCE_S)
    assert up.host.left(*runs) == []


def test_who_lives_and_does_not_answer_is_started_anew(up):
    up.start()
    for role in ("controller", "agent"):
        victim = up.role(role)
        victim.send(signal.SIGSTOP)
        until(lambda victim=victim: not victim.is_alive(), up.said, 30)
        until(lambda role=role, victim=victim: up.role(role) != victim and up.is_well(), up.said)
        assert f"{role} has not answered for 10 s and was killed" in up.said()
        assert up.forwards()
    assert up.child.poll() is None
