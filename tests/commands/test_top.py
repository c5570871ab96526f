"""`lego top`, against a controller of this process: one look, or one after the other, as text or JSON."""

from __future__ import annotations

import io
import itertools
import json
import threading
from http.server import HTTPServer

import pytest
from click.testing import CliRunner
from rich.console import Console

from lego_sdn.commands import top
from lego_sdn.commands.top_view import pictures
from lego_sdn.core.facts.errors import HostError
from tests.commands.test_control import BRICK, FLOWS, STATUS, Controller

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
    """Of the events the latest are told."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/events"):
            told = EVENTS[-int(query.partition("limit=")[2]) :]
            self.answers[self.path] = (200, json.dumps({"events": told, "next": EVENTS[-1]["number"]}).encode())
        elif query:
            self.answers[self.path] = self.answers[path]
        self.answer()


@pytest.fixture
def controller():
    told = {
        "flows": FLOWS,
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
    slow = [
        "1",
        "unsupervised-network-0",
        "1-a",
        "812",
        "99%",
        "4,096",
        "245.5",
        "201.0",
        "5.10",
        "12.50",
        "3.1%",
        "1.23%",
        "of",
        "0.60%",
        "!",
        "slow",
    ]
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


def test_it_asks_for_the_latest_events_only(controller):
    seen = list(itertools.islice(top.looks(controller, 0.1), 2))
    assert seen[0]["events"] == seen[1]["events"] == EVENTS[-12:]
    assert {path for _, path, _ in Told.asked if "events" in path} == {"/lego/v1/events?limit=12"}


def test_it_goes_on_while_the_controller_is_away(controller):
    looks = top.looks(controller, 0.1)
    there = Told.answers["/lego/v1/status"]
    first = next(looks)
    Told.answers["/lego/v1/status"] = (500, b'{"error": "cannot be told", "detail": "just now"}')
    away = next(looks)
    Told.answers["/lego/v1/status"] = there
    assert away == {"away": "cannot be told: just now"}
    assert next(looks) == first
    drawn = [shown(picture) for picture in pictures([first, away, first], keep=True)]
    assert drawn[0] == drawn[2]
    assert drawn[1] == "controller is away (cannot be told: just now); below is what it said last\n" + drawn[0]
    assert shown(list(pictures([first, away], keep=False))[1]) == "controller is away (cannot be told: just now)\n"


def test_who_never_answered_is_not_waited_for(controller):
    Told.answers["/lego/v1/status"] = (200, b"<html>")
    with pytest.raises(HostError, match="is no LEGO controller"):
        next(top.looks(controller, 0.1))


def shown(picture) -> str:
    console = Console(width=220, file=io.StringIO())
    console.print(picture)
    return console.file.getvalue()
