"""What REST refuses because a browser may have been talked into asking it by a page of somebody else's."""

from __future__ import annotations

import re
import socket

import pytest

from tests.ryu_apps.lab import JSON, ROOT, Lab, lab

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A controller with nothing around it."""
    with lab(tmp_path_factory.mktemp("alone")) as made:
        made.start_controller()
        yield made


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """A controller that listens on every address of this machine."""
    with lab(tmp_path_factory.mktemp("everywhere")) as made:
        made.settings["rest"] = {"host": "0.0.0.0", "port": made.rest}
        made.start_controller()
        yield made


@pytest.mark.parametrize("name", ["replicate", "merge", "move", "pause", "resume"])
@pytest.mark.parametrize("kind", [FORM, "text/plain", "text/plain; application/json", "multipart/form-data; boundary=x"])
def test_a_command_is_json_or_refused(alone: Lab, name, kind):
    answer = alone.ask(f"/lego/v1/{name}", "POST", b"{}", {"Content-Type": kind})
    assert (answer.status, answer.body["error"]) == (415, "unsupported media type")
    assert answer.body["detail"] == f"{name} wants Content-Type: application/json"
    assert not alone.get("status")["paused"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instance": 1},
        {"buckets": [1]},
        {"buckets": [1], "instance": 1, "assignment": {"2": [3]}},
        {"assignment": [1]},
        {"assignment": {"x": [1]}},
        {"assignment": {"1": 1}},
        {"assignment": {"1": ["1"]}},
        {"assignment": {"1": [3], "2": [3]}},
        {"assignment": {"1": [3, 3]}},
    ],
)
def test_a_move_has_one_owner_or_an_assignment(alone: Lab, body):
    answer = alone.post("move", body)
    assert (answer.status, answer.body["error"]) == (400, "bad request")


@pytest.mark.parametrize("body", [{"buckets": [1, 2], "instance": 3}, {"assignment": {"1": [5, 4], "2": [0]}}])
def test_a_move_that_can_be_read_is_for_the_core_to_refuse(alone: Lab, body):
    answer = alone.post("move", body)
    assert (answer.status, answer.body) == (409, {"error": "move refused", "detail": "no switch is connected"})
    assert alone.get("moves") == {"moves": [], "total": 0}


def test_nothing_is_said_of_features_where_none_may_change(alone: Lab):
    assert alone.get("granularity")["changed"] == []
    assert [event for event in alone.get("events")["events"] if event["kind"] == "inexact"] == []


@pytest.mark.slow
def test_approximate_mode_says_which_features_it_changes(tmp_path):
    with lab(tmp_path, settings={"exact": False}) as made:
        made.start_controller()
        (told,) = [event for event in made.get("events")["events"] if event["kind"] == "inexact"]
        changed = made.get("granularity")["changed"]
        assert (told["type"], told["fields"]) == ("Inexact", {"reason": "approximate", "count": len(changed)})
        assert len(changed) > 0
        assert "HH_L5_magnitude" in changed


def test_what_is_written_of_it_is_what_it_answers(alone: Lab):
    """docs/reference/contract.md against the controller: every name, its method, and the statuses that can be had without a switch."""
    written = (ROOT / "docs" / "reference" / "contract.md").read_text(encoding="utf-8")
    names = dict(reversed(found) for found in re.findall(r"`(GET|POST) ([a-z]+)`", written.partition("## REST")[2].partition("\n## ")[0]))
    known = alone.ask("/lego/v1/").body["detail"].partition("there are ")[2].partition(", and")[0].split(", ")
    assert sorted(names) == sorted(known)
    for name, method in names.items():
        other = "POST" if method == "GET" else "GET"
        wrong = alone.ask(f"/lego/v1/{name}", other, {} if other == "POST" else None, JSON)
        assert (wrong.status, wrong.headers["Allow"]) == (405, method), name
    shown = {name: alone.ask(f"/lego/v1/{name}").status for name, method in names.items() if method == "GET"}
    assert shown == dict.fromkeys(shown, 200) | {"flows": 503}
    assert alone.ask("/lego/v1/events?limit=10001").status == 400
    assert alone.post("replicate", {"bricks": 1}).status == 400
    assert alone.post("replicate").status == 409
    assert alone.ask("/lego/v1/move", "POST", {"buckets": [1] * 40_000}, JSON).status == 413


def test_json_may_name_its_encoding(alone: Lab):
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert alone.ask("/lego/v1/pause", "POST", {}, kind).status == 202
    assert alone.get("status")["paused"]
    assert alone.post("resume").status == 202


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "[::2]:80", "["]
)
@pytest.mark.parametrize("path", ["/lego/v1/status", "/metrics", "/"])
def test_another_name_leads_nowhere(alone: Lab, host, path):
    answer = alone.ask(path, headers={"Host": host})
    assert (answer.status, answer.body["error"]) == (403, "forbidden")
    assert f"is not called {host}:" in answer.body["detail"]
    assert alone.ask("/lego/v1/pause", "POST", {}, JSON | {"Host": host}).status == 403
    assert not alone.get("status")["paused"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{0}", "127.0.0.1", "127.0.0.1:{0}", "[::1]:{0}", "[::1]"])
def test_its_own_names_do(alone: Lab, host):
    assert alone.ask("/lego/v1/status", headers={"Host": host.format(alone.rest)}).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000", "null", "", "http://127.0.0.1"])
def test_pages_of_others_may_not_ask(alone: Lab, origin):
    answer = alone.ask("/lego/v1/pause", "POST", {}, JSON | {"Origin": origin})
    assert (answer.status, answer.body) == (403, {"error": "forbidden", "detail": f"a page of {origin} may not ask this controller"})
    assert not alone.get("status")["paused"]


@pytest.mark.slow
def test_a_page_of_its_own_may(alone: Lab):
    assert alone.ask("/lego/v1/status", headers={"Origin": f"http://127.0.0.1:{alone.rest}"}).status == 200


@pytest.mark.slow
def test_who_listens_everywhere_is_asked_by_any_address_but_no_foreign_name(everywhere: Lab):
    for host in ("192.0.2.1", f"[2001:db8::1]:{everywhere.rest}", f"{socket.gethostname()}:{everywhere.rest}", "0.0.0.0", "localhost"):
        assert everywhere.ask("/lego/v1/status", headers={"Host": host}).status == 200, host
    assert everywhere.ask("/lego/v1/status", headers={"Host": "evil.example"}).status == 403
