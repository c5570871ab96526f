"""Rounds of load reports: each has what came by its end, and no answer that comes late, or fails halfway, puts the rounds after it off."""

from __future__ import annotations

import queue
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from lego_sdn.core.errors import RpcError
from ryu_apps.observed import Process


@pytest.fixture
def monitor():
    """As Ryu makes one, but that nobody starts it: its rounds are taken by hand, and questions are answered when the test says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ryu's web server, at its import
        from ryu_apps.monitor import Monitor
    seen = SimpleNamespace(processes={}, bucket_rates={}, port_losses={}, alerts=SimpleNamespace(by_process={}, add=lambda *_: None))
    shared = SimpleNamespace(observed=seen, state=SimpleNamespace(members={}), rounds=[], wake_agent=SimpleNamespace(set=lambda: None))
    shared.put = shared.rounds.append
    made = Monitor.__new__(Monitor)
    made.shared, made.period, made.answers = shared, 0.01, queue.Queue()
    made.clients, made.asked, made.seen_alerts = {}, set(), {}
    return made


def report(at: float) -> dict[str, Any]:
    brick = {"id": "x-0", "kind": "x", "serial": 0, "packets_in": 1, "packets_out": 1, "batches": 1, "cpu_s": 0.1, "service_us": 1.0}
    brick |= {"queue_in": 0, "queue_out": 0, "dropped": {}, "counters": {}}
    told = {"instance": 1, "process": "1-a", "pid": 7, "time": at, "uptime_s": at, "cpu_s": 0.1, "rss_bytes": 1}
    return told | {"capture": None, "bricks": [brick]}


def asked_by_hand(monkeypatch, pulls: list) -> None:
    monkeypatch.setattr("ryu_apps.monitor.spawn", lambda work, *arguments: pulls.append((work, arguments)))


def times(monitor) -> list[list[float]]:
    return [[one.time for one in loads.reports] for loads in monitor.shared.rounds]


def test_a_late_answer_does_not_put_later_rounds_off(monitor, monkeypatch):
    pulls: list = []
    asked_by_hand(monkeypatch, pulls)
    process = Process(1, "1-a", "/nowhere", 7, ("x-0",))
    monitor.shared.observed.processes[1, "1-a"] = process
    now = iter([1.0, 2.0, 3.0])
    client = SimpleNamespace(call=lambda method, *_: report(next(now)) if method == "load" else {"next": 0, "alerts": [], "by_source": {}})
    monitor.clients[1, "1-a", 7] = client
    monitor._round()  # nobody answers in time
    for work, arguments in pulls:
        work(*arguments)  # it comes after the round
    monkeypatch.setattr("ryu_apps.monitor.spawn", lambda work, *arguments: work(*arguments))
    monitor._round()
    monitor._round()
    assert times(monitor) == [[], [1.0, 2.0], [3.0]]
    assert monitor.answers.empty()


def test_alerts_that_cannot_be_had_are_no_second_answer(monitor, monkeypatch):
    monkeypatch.setattr("ryu_apps.monitor.spawn", lambda work, *arguments: work(*arguments))
    process = Process(1, "1-a", "/nowhere", 7, ("x-0",))
    monitor.shared.observed.processes[1, "1-a"] = process
    now = iter([1.0, 2.0, 3.0])

    def call(method: str, *_: Any) -> Any:
        if method == "load":
            return report(next(now))
        raise RpcError("it was busy")

    monitor.clients[1, "1-a", 7] = SimpleNamespace(call=call)
    for _ in range(3):
        monitor._round()
    assert times(monitor) == [[1.0], [2.0], [3.0]]
    assert process.error == "it was busy"
    assert monitor.answers.empty()
