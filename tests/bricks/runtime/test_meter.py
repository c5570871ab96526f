"""What a brick says of its own pace: waits, deadlines, back-pressure, burnt CPU. The clock is turned by hand."""

from __future__ import annotations

import time

import pytest

from bricks.records.sequence import SequenceRange
from bricks.runtime.meter import MEMORY, Meter

KIND = "unsupervised-network"


class Clocks:
    """`ms` turned by hand; `burnt` counts the looks at the CPU clock, each a tenth of a millisecond later."""

    ms, burnt = 1000.0, 0

    def meter(self, **how) -> Meter:
        return Meter(**how, now_ns=lambda: round(self.ms * 1e6), thread_s=self.thread_s)

    def thread_s(self) -> float:
        self.burnt += 1
        return self.burnt / 1e4


@pytest.fixture
def clock() -> Clocks:
    return Clocks()


def ns(ms: float) -> int:
    return round(ms * 1e6)


def test_waits_and_deadlines_are_counted_from_the_arrival_before_the_brick(clock):
    made = clock.meter()
    made.set_deadlines(KIND, {KIND: 5.0, "sample-result": 1.0})
    clock.ms = 1010.0
    made.account((10, 10), 0.001, SequenceRange(0, 10, since=ns(1006.0)), ns(1008.0))  # waited for 2 ms, done after 4
    assert (made.wait_us, made.late, made.service_us) == (2000.0, 0, 100.0)
    made.account((30, 30), 0.003, SequenceRange(10, 30, since=ns(1004.0)), ns(1008.0))  # waited for 4 ms, done after 6
    assert made.wait_us == pytest.approx(3500.0)
    assert made.late == 30
    assert "latency_us" not in made.report()
    assert made.counters() == {}


def test_a_batch_of_nobody_knows_when_waited_for_nothing(clock):
    made = clock.meter()
    made.account((1, 1), 0.0, SequenceRange(0, 1), ns(1000.0))
    assert (made.wait_us, made.report()["wait_us"]) == (0.0, 0.0)


def test_the_last_brick_sees_the_whole_path(clock):
    made = clock.meter(last=True)
    assert made.counters() == {}, "without deadlines nothing is late"
    made.set_deadlines("sample-result", {KIND: 5.0, "sample-result": 1.0})
    for born in (995.0, 993.0):  # 5 and 7 of 6 ms
        made.account((10, 10), 0.0, SequenceRange(0, 10, ns(born), ns(999.5)), ns(999.9))
    assert (made.late, made.counters()) == (0, {"late_total": 10})
    assert made.report()["latency_us"] == pytest.approx(6000.0)
    made.set_deadlines("sample-result", {})
    assert made.counters() == {}


def test_averages_forget(clock):
    made = clock.meter()
    for wait, batches in ((8.0, 20), (1.0, 400)):
        for _ in range(batches):
            made.account((256, 256), 0.0, SequenceRange(0, 256, since=ns(1000.0 - wait)), ns(1000.0))
    assert made.wait_us == pytest.approx(1000.0)
    assert made.packets_in > MEMORY


def test_back_pressure_is_timed(clock):
    made = clock.meter()
    for is_so, now in ((True, 1.0), (True, 1.5), (False, 2.0), (False, 3.0), (True, 4.0)):
        made.stuck(is_so, now)
    assert made.blocked_s(4.25) == pytest.approx(1.25)


def test_burnt_cpu_is_that_of_the_rows(clock):
    clock.meter().burn(100, 0.0)
    assert clock.burnt == 0
    clock.meter(slow_us=50.0).burn(100, 0.001)  # 5 ms of CPU, of which one was used before
    assert clock.burnt == 60


def test_burnt_cpu_is_cpu():
    began, cpu = time.monotonic(), time.thread_time()
    Meter(slow_us=100.0).burn(200, cpu)
    assert time.thread_time() - cpu >= 0.02
    assert time.monotonic() - began >= 0.02
