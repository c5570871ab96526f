"""`lego top`, against a controller of this process: one look, or one after the other, as text or JSON."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import HTTPServer

import pytest
from click.testing import CliRunner

from lego_sdn.commands import top
from tests.commands.test_control import STATUS, Controller

BRICK = {
    "instance": 1, "id": "unsupervised-network-0", "kind": "unsupervised-network", "process": "1-d", "packets_per_s": 812.4,
    "queue_in": 4096, "service_us": 244.0, "cost_us": 245.5, "estimate_us": 201.0,
    "cpu_of_quota": 0.99, "wait_us": 5100.0, "verdict": "slow",
    "deadline": {"ms": 12.5, "late": 0.031, "wait_ms": 5.1, "kept": False},
}  # fmt: skip
OLD = {
    "instance": 1,
    "id": "sample-result-0",
    "kind": "sample-result",
    "process": "1-e",
    "packets_per_s": 1.0,
    "queue_in": 0,
    "service_us": 3.0,
}
EVENTS = [{"number": n, "time": 1e9 + n, "kind": "replicate", "text": f"event {n}", "instance": 1} for n in range(1, 31)]


class Told(Controller):
    """Events are told from a number on."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/events"):
            after = int(query.partition("after=")[2].partition("&")[0])
            told = [event for event in EVENTS if event["number"] > after]
            self.answers[self.path] = (200, json.dumps({"events": told, "next": EVENTS[-1]["number"]}).encode())
        elif query:
            self.answers[self.path] = self.answers[path]
        self.answer()


@pytest.fixture
def controller():
    told = {
        "status": STATUS,
        "bricks": {"bricks": [BRICK, OLD], "processes": []},
        "alerts": {"alerts": [], "by_source": {"10.0.0.9": 7}, "total": 7},
    }
    Told.asked, Told.kinds = [], []
    Told.answers = {f"/lego/v1/{name}": (200, json.dumps(data).encode()) for name, data in told.items()}
    with HTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield ("127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def run(address, *words: str):
    environment = {"LEGO_CONFIG": None, "COLUMNS": "220"}
    return CliRunner().invoke(top.top, ["--rest", "{}:{}".format(*address), *words], env=environment, catch_exceptions=False)


def test_one_look_shows_all_of_it(controller):
    shown = run(controller, "--once").output
    rows = [line.replace("│", " ").split() for line in shown.splitlines()]
    slow = ["1", "unsupervised-network-0", "1-d", "812", "99%", "4,096", "245.5", "201.0", "5.10", "12.50", "3.1%", "!", "slow"]
    assert slow in rows
    assert ["1", "sample-result-0", "1-e", "1", "0", "3.0"] in rows
    assert "missing: no model is configured" in shown
    assert "event 30" in shown
    assert "event 18" not in shown
    assert "7 alerts: 10.0.0.9 7" in shown


def test_as_json_it_is_what_rest_says(controller):
    seen = json.loads(run(controller, "--once", "--json").output)
    assert (seen["status"], seen["bricks"]) == (STATUS, [BRICK, OLD])
    assert [event["number"] for event in seen["events"]] == list(range(19, 31))


def test_it_looks_again_and_asks_only_for_new_events(controller):
    looks = top.Watch(controller).looks(0.1, once=False)
    seen = list(itertools.islice(looks, 2))
    assert seen[0]["events"] == seen[1]["events"] == EVENTS[-12:]
    asked = [path for _, path, _ in Told.asked if "events" in path]
    assert asked == ["/lego/v1/events?after=0&limit=10000", "/lego/v1/events?after=30&limit=10000"]
