"""What small apps make of answers that do not come (see test_in_eventlet)."""

from __future__ import annotations

import queue
import time
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from ryu.lib import hub
from webob import Request

from lego_sdn.core.control.events import Action, Command, Loads
from lego_sdn.core.facts.actions import StopInstance, StopReplica
from lego_sdn.core.facts.config import Config, InstanceSettings
from lego_sdn.core.facts.errors import RpcError
from lego_sdn.core.facts.graph import Graph
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.observe.score_audit import Ledger
from ryu_apps.apps.auditor import Auditor
from ryu_apps.apps.instances import Instances
from ryu_apps.apps.monitor import Monitor
from ryu_apps.apps.rest import Pages
from ryu_apps.apps.steering import Steering
from ryu_apps.context.facts import Observed, ObservedProcess
from ryu_apps.context.requests import REQUESTS, PullLastScores
from ryu_apps.context.shared import Shared
from ryu_apps.views import metrics, status
from tests.core.facts.test_reports import REPORT

KEY = (1, "1-a", 42)


class Client:
    """Answers what it is told to; RpcError for the rest. `meanwhile` happens while a call is under way."""

    def __init__(self, meanwhile=lambda: None, **answers: Any) -> None:
        self.answers, self.meanwhile, self.closed = answers, meanwhile, False

    def call(self, method: str, *_: Any) -> Any:
        self.meanwhile()
        if method not in self.answers:
            raise RpcError(f"{method} timed out")
        return self.answers[method]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def monitor() -> Monitor:
    """Of one process, whose last brick raises alerts; what it tells the core is in `told`."""
    seen, told = Observed(), []
    seen.processes[1, "1-a"] = ObservedProcess(1, "1-a", "/nowhere", 42, bricks=("sample-result-0",))
    state = SimpleNamespace(members={})
    woken = SimpleNamespace(set=lambda: told.append("woken"))
    lego = SimpleNamespace(config=Config(), observed=seen, state=state, wake_agent=woken, put=told.append, clock=time.monotonic)
    made = Monitor(lego=lego)
    made.told = told
    return made


def pull(monitor: Monitor, client: Client) -> None:
    monitor.shared.connect = lambda address, seconds: client
    monitor.clients.clear()
    monitor.asked.add(KEY)
    monitor.owed.add(KEY)
    monitor.pull(monitor.shared.observed.processes[1, "1-a"])


def test_a_process_whose_alerts_cannot_be_had_has_answered_all_the_same(monitor):
    process = monitor.shared.observed.processes[1, "1-a"]
    pull(monitor, Client(load=REPORT))
    assert [report.pid for report in monitor.collect(monitor.answers.qsize())] == [42], "one answer to one question"
    assert (process.silent_since, process.error, monitor.told) == (None, "alerts timed out", [])
    pull(monitor, Client(load=REPORT, alerts={"next": 1, "alerts": [{"seq": 7}], "by_source": {"10.0.0.1": 1}}))
    assert (process.error, len(monitor.shared.observed.alerts.latest), monitor.asked) == (None, 1, set())


def test_a_process_that_is_gone_is_not_called_silent(monitor):
    process = monitor.shared.observed.processes[1, "1-a"]
    client = Client(meanwhile=monitor.shared.observed.processes.clear)
    pull(monitor, client)
    assert (process.silent_since, process.error, monitor.told) == (None, None, [])
    assert monitor.answers.get_nowait() is None


def test_a_client_is_closed_only_when_no_call_is_under_way(monitor):
    monitor.clients[KEY] = client = Client()
    monitor.shared.observed.processes.clear()
    monitor.asked.add(KEY)
    monitor.period = 0.01
    monitor.ask_all()
    assert not client.closed
    monitor.asked.clear()
    monitor.ask_all()
    assert (client.closed, monitor.clients) == (True, {})


def test_an_answer_after_the_end_of_a_round_is_one_more_of_the_next(monitor):
    """Else that round would end without the last of its own."""
    monitor.shared.connect = lambda address, seconds: Client(load=REPORT)
    monitor.shared.clock = lambda: hub.sleep(0) or time.monotonic()  # others have their turn
    monitor.answers.put(None)
    monitor.ask_all()
    (loads,) = [event for event in monitor.told if isinstance(event, Loads)]
    assert [report.pid for report in loads.reports] == [42]


def test_a_command_that_nobody_takes_up_in_time_is_withdrawn():
    inbox: queue.Queue = queue.Queue()
    anybody = SimpleNamespace(refusal=lambda peer, here: None)
    lego = SimpleNamespace(
        inbox=inbox, config=Config(), commanders=anybody, answer_s=0.01, command=lambda command: Shared.command(lego, command)
    )
    asked = Request.blank("/lego/v1/pause", method="POST", body=b"{}", content_type="application/json", base_url="http://127.0.0.1:8080")
    asked.environ |= {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "1"}
    answer = Pages(asked, None, lego).answer(asked, "lego/v1/pause")
    assert (answer.status_int, answer.json["error"]) == (503, "no answer yet")
    assert answer.json["detail"].startswith("pause was asked, and the controller had no time for it within 0.01 s: it is withdrawn")
    item = inbox.get_nowait()
    assert (item.event, item.still()) == (Command("pause"), False)


class Performers(dict):
    """As `Shared.performers`; whoever registers second for a type is noticed."""

    def __setitem__(self, kind: type, work: Any) -> None:
        assert kind not in self, f"two apps perform {kind.__name__}"
        super().__setitem__(kind, work)

    def __ior__(self, more: dict) -> Performers:
        for kind, work in more.items():
            self[kind] = work
        return self


@pytest.fixture
def shared(tmp_path) -> SimpleNamespace:
    """What the apps have in common, without a socket or a file; `done`: what was asked of the agent and of instances, in order."""
    done: list[tuple[str, int]] = []
    host = SimpleNamespace(stop_instance=lambda n, *_: (done.append(("stop", n)), {"reports": []})[1])
    lego = SimpleNamespace(config=Config(), observed=Observed(), audit=Ledger(), performers=Performers(), wake_agent=hub.Event(), host=host)
    lego.done, lego.clock, lego.put, lego.note = done, time.monotonic, queue.Queue().put, done.append
    lego.ask = lambda request: Shared.ask(lego, request)
    return lego


def test_every_action_and_every_request_has_one_app(shared):
    for app in (Steering, Instances, Auditor):
        app(lego=shared)
    flat = [one for kind in get_args(Action) for one in get_args(kind) or (kind,)]
    assert set(shared.performers) == {*flat, *REQUESTS} - {Note}


def test_an_instance_gives_its_last_scores_before_it_is_stopped(shared):
    Instances(lego=shared)
    shared.performers[PullLastScores] = lambda request: shared.done.append(("scores", request.instance))
    shared.performers[StopInstance](StopInstance(3))
    shared.wake_agent.wait(10)
    assert shared.done == [("scores", 3), ("stop", 3)]


def test_a_change_that_was_not_wholly_done_is_an_event():
    action, told, notes = StopReplica(1, "unsupervised-network-1"), [], []
    answer = {
        "instance": 1,
        "ofport": 7,
        "graph": Graph.line("sample-result").to_dict(),
        "processes": [],
        "undone": ["1-f did not answer drain"],
    }
    lego = SimpleNamespace(observed=Observed(), put=told.append, note=notes.append, host=SimpleNamespace(regrow=lambda *_: answer))
    lego.performers, lego.wake_agent = {}, hub.Event()
    Instances(lego=lego)
    lego.performers[StopReplica](action)
    lego.wake_agent.wait(10)
    assert [(note.kind, note.instance, note.text) for note in notes] == [
        ("unfinished", 1, f"{action}: packets go the new way, but 1-f did not answer drain")
    ]
    assert [type(event).__name__ for event in told] == ["Regrown"]


ODD_BRICKS = [
    {"id": "packet-batching-0", "counters": {"by_mac": 5, "no_address": 2, "foreign": 3}},
    {"id": "other-0", "counters": {"rows": 9}},
]
ODD_CAPTURE = {"received": 10, "kernel_drops": 0, "foreign": 3}
ODD_SILENT = SimpleNamespace(instance=1, process="1-b", report=None)


def odd_process(**report: object) -> SimpleNamespace:
    about = {"cpu_s": 1.0, "rss_bytes": 1, "bricks": ODD_BRICKS, "capture": ODD_CAPTURE}
    return SimpleNamespace(instance=1, process="1-a", report=about | report)


def test_odd_packets_of_all_processes_are_added_and_of_none_are_zero():
    assert status.odd([odd_process(), odd_process(), ODD_SILENT]) == {"by_mac": 10, "no_address": 4, "foreign": 6}
    assert status.odd([]) == {"by_mac": 0, "no_address": 0, "foreign": 0}


def test_metrics_have_odd_packets_by_reason():
    found = {family.name: family for family in metrics.process_families([odd_process(), ODD_SILENT])}["lego_capture_odd_packets"]
    assert {sample.labels["reason"]: sample.value for sample in found.samples} == {"by_mac": 5, "no_address": 2, "foreign": 3}


def test_a_silent_process_is_given_up_after_the_configured_time(monitor):
    monitor.shared.config = Config(instance=InstanceSettings(silent_s=0.05))
    pull(monitor, Client())
    time.sleep(0.06)
    pull(monitor, Client())
    assert [type(one).__name__ for one in monitor.told] == ["str", "Silent"]
    assert "0.05 s" in monitor.told[-1].error
