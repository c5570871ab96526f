"""`lego status`, `flows` and the commands, against a server that answers as the controller does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from lego_sdn.adapters.files.assignment import write_assignment
from lego_sdn.adapters.rpc.rest_client import RequestRefused
from lego_sdn.commands import control
from lego_sdn.commands.status_view import odd
from lego_sdn.core.facts.errors import ConfigError, HostError, LegoError

LOAD = {"packets": 1234.4, "cpu": 0.456, "queue": 0.02, "drops": 0.0, "service_us": 7.25}
STAMPS = {"gaps": 5, "repeats": 1, "reordered": 12}
STATUS = {
    "state": "running",
    "missing": ["no model is configured, so no instance is started"],
    "uptime_s": 12.0,
    "nf": "kitsune",
    "layout": "kitsune115",
    "exact": True,
    "buckets": 64,
    "paused": True,
    "change": None,
    "instances": [
        {"instance": 1, "phase": "running", "ofport": 7, "buckets": 64, "load": LOAD, "stamps": STAMPS},
        {"instance": 2, "phase": "starting", "ofport": None, "buckets": 0},
    ],
    "bridge": {"name": "lego0", "connected": True, "dpid": "00000000000000aa"},
    "agent": {"socket": "/run/lego/agent.sock", "answers": False, "error": "gone"},
    "rules": {"version": 5, "in_force": 4, "last": None},
    "alerts": 3,
}
BRICK = {
    "instance": 1, "id": "unsupervised-network-0", "kind": "unsupervised-network", "process": "1-a", "packets_per_s": 812.4,
    "queue_in": 4096, "service_us": 244.0, "cost_us": 245.5, "estimate_us": 201.0, "cpu_of_quota": 0.99, "wait_us": 5100.0,
    "verdict": "slow", "deadline": {"ms": 12.5, "late": 0.031, "wait_ms": 5.1, "may_wait_ms": 4.0, "lost": 0.0123, "may_lose": 0.006,
        "kept": False},
}  # fmt: skip
FLOW = {
    "table": 1,
    "stage": "own",
    "priority": 300,
    "role": "owner",
    "family": "ipv4",
    "bucket": 9,
    "owner": 1,
    "packets": 77,
    "bytes": 7700,
}
FLOWS = {
    "flows": [
        FLOW,
        FLOW | {"bucket": 10, "packets": 0},
        FLOW | {"role": "base", "bucket": None, "owner": None, "family": None, "packets": 1},
    ],
    "packets_by_owner": {"1": 77},
    "packets_by_bucket": {"9": 77},
}


class Controller(BaseHTTPRequestHandler):
    """Answers from a table; what was asked is kept."""

    asked: list
    kinds: list
    answers: dict

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        self.kinds.append(self.headers.get("Content-Type"))
        status, text = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def controller():
    commands = {name: (202, {"accepted": name}) for name in ("replicate", "merge", "move", "pause", "resume")}
    told = {"status": (200, STATUS), "bricks": (200, {"bricks": [BRICK], "processes": []}), "flows": (200, FLOWS)} | commands
    Controller.asked, Controller.kinds = [], []
    Controller.answers = {f"/lego/v1/{name}": (status, json.dumps(data).encode()) for name, (status, data) in told.items()}
    with HTTPServer(("127.0.0.1", 0), Controller) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(command, *words: str):
    return CliRunner().invoke(command, words, env={"LEGO_CONFIG": None, "COLUMNS": "200"}, catch_exceptions=False)


def test_status_shows_what_is_missing_instances_and_rules(controller):
    shown = run(control.status, "--rest", controller).output
    for part in (
        "running for 12 s: kitsune (kitsune115), exact, 64 buckets, scaling paused",
        "missing: no model is configured",
        "bridge lego0: connected, 00000000000000aa; agent: does not answer; rules: version 4 (5 wanted); alerts: 3",
    ):
        assert part in shown
    row = next(line for line in shown.splitlines() if "1234" in line)
    assert row.replace("│", " ").split() == ["1", "running", "7", "64", "1234", "46%", "2%", "0", "7.2", "5", "1", "12"]
    row = next(line for line in shown.splitlines() if "unsupervised-network-0" in line)
    assert row.replace("│", " ").split()[5:] == ["4,096", "245.5", "201.0", "5.10", "12.50", "3.1%", "1.23%", "of", "0.60%", "!", "slow"]


def test_status_as_json_is_what_rest_says(controller):
    assert json.loads(run(control.status, "--rest", controller, "--json").output) == STATUS


def test_flows_shows_rules_with_packets_or_all(controller):
    shown = run(control.flows, "--rest", controller).output
    assert "3 rules, 2 shown. Packets steered to their owner: instance 1: 77." in shown
    assert sum("1 own" in line for line in shown.splitlines()) == 2
    assert "3 rules, 3 shown" in run(control.flows, "--rest", controller, "--all").output
    assert json.loads(run(control.flows, "--rest", controller, "--json").output) == FLOWS


@pytest.mark.parametrize(
    ("command", "words", "asked"),
    [
        (control.replicate, [], ("replicate", {})),
        (control.replicate, ["--brick", "feature-mapping"], ("replicate", {"brick": "feature-mapping"})),
        (control.replicate, ["--brick", "feature-mapping", "--instance", "2"], ("replicate", {"brick": "feature-mapping", "instance": 2})),
        (control.merge, [], ("merge", {})),
        (control.merge, ["--brick", "feature-mapping-1"], ("merge", {"brick": "feature-mapping-1"})),
        (control.merge, ["--instance", "2"], ("merge", {"instance": 2})),
        (control.move, ["3", "4", "--to", "2"], ("move", {"buckets": [3, 4], "instance": 2})),
        (control.move, ["--buckets", "0-3,9", "--to", "2"], ("move", {"buckets": [0, 1, 2, 3, 9], "instance": 2})),
        (control.move, ["5", "--buckets", "7", "--buckets", "5-6", "--to", "1"], ("move", {"buckets": [5, 7, 6], "instance": 1})),
        (control.pause, [], ("pause", {})),
        (control.resume, [], ("resume", {})),
    ],
)
def test_commands_are_sent(controller, command, words, asked):
    done = run(command, *words, "--rest", controller)
    name, body = asked
    told = {"pause": "scaling is paused; 'lego resume' ends that", "resume": "scaling goes on"}
    assert done.output == told.get(name, f"{name} is begun; 'lego status' shows how it goes") + "\n"
    assert Controller.asked == [("POST", f"/lego/v1/{name}", body)]
    assert Controller.kinds == ["application/json"], "the controller refuses commands of any other kind"


def test_an_assignment_goes_to_all_its_owners_at_once(controller, tmp_path):
    path = tmp_path / "a.json"
    write_assignment(path, [1, 2, 2, 1])
    run(control.move, "--assignment", str(path), "--rest", controller)
    assert Controller.asked == [("POST", "/lego/v1/move", {"assignment": {"1": [0, 3], "2": [1, 2]}})]


@pytest.mark.parametrize("words", [[], ["3"], ["--to", "2"], ["--buckets", "3"], ["3", "--to", "1", "--assignment", "setup.cfg"]])
def test_a_move_wants_buckets_and_an_owner_or_an_assignment(controller, words):
    assert run(control.move, *words, "--rest", controller).exit_code == 2
    assert Controller.asked == []


@pytest.mark.parametrize("words", [["x"], ["3-1"], ["-1"], ["1-"], ["4096"], ["1,,2"]])
def test_what_is_no_bucket_is_named(controller, words):
    with pytest.raises(LegoError, match="wanted"):
        run(control.move, "--to", "1", "--rest", controller, "--", *words)
    assert Controller.asked == []


def test_an_instance_alone_says_not_what_to_replicate(controller):
    done = CliRunner().invoke(control.replicate, ["--instance", "2", "--rest", controller], env={"LEGO_CONFIG": None})
    assert done.exit_code == 2
    assert "give --brick KIND too" in done.output


def test_status_shows_the_promise_the_policy_and_what_holds_instances_up(controller):
    held_up = {"cause": "brick", "brick": "unsupervised-network-0", "evidence": "unsupervised-network-0: 99% of its quota"}
    sla = {"latency_ms": 50.0, "loss": 0.01, "window_s": 5.0, "broken": {"1": ["latency"]}, "violations": {"latency": 3}, "problem": None}
    more = {"scaling": {"policy": "bricks", "mode": "advise", "costs": "learned", "advice": "one more replica"}, "sla": sla, "change": None}
    found = STATUS | more | {"instances": [STATUS["instances"][0] | {"bottleneck": held_up}]}
    Controller.answers["/lego/v1/status"] = (200, json.dumps(found).encode())
    shown = run(control.status, "--rest", controller).output
    for part in (
        "policy: bricks, advise, by costs as they run ('lego profile' gives estimates); it would do: one more replica",
        "promise: latency 50 ms, loss 1.00%: broken by instance 1: latency; windows of 5 s broken so far: latency 3",
        "instance 1 is held up (brick): unsupervised-network-0: 99% of its quota",
    ):
        assert part in shown


def test_a_refusal_is_the_controller_s_own_sentence(controller):
    Controller.answers["/lego/v1/merge"] = (409, b'{"error": "merge refused", "detail": "1 instances run and 1 is the minimum"}')
    with pytest.raises(RequestRefused, match="merge refused: 1 instances run and 1 is the minimum"):
        run(control.merge, "--rest", controller)


@pytest.mark.parametrize("text", [b"<html>", b"\xff", b""])
def test_somebody_else_s_server_is_no_controller(controller, text):
    Controller.answers["/lego/v1/status"] = (200, text)
    with pytest.raises(HostError, match="is no LEGO controller: give --rest HOST:PORT"):
        run(control.status, "--rest", controller)


def test_the_address_comes_from_the_configuration(controller, tmp_path):
    path = tmp_path / "lego.yaml"
    path.write_text(f"rest: {{port: {controller.rpartition(':')[2]}}}\n")
    assert json.loads(run(control.status, "--config", str(path), "--json").output) == STATUS
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        run(control.status, "--lego-config", str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("address", ["here", ":80", "host:x", "host:70000"])
def test_a_wrong_address_is_said(address):
    with pytest.raises(HostError, match="--rest: wanted HOST:PORT"):
        run(control.status, "--rest", address)


def test_no_controller_is_one_sentence_and_exit_code_2(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Controller) as server:
        port = server.server_port
    command = [sys.executable, "-m", "lego_sdn", "status", "--rest", f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"lego: no controller answers on 127.0.0.1:{port} (")
    assert done.stderr.endswith("start it with 'lego up', or give --rest HOST:PORT\n")


def test_the_terminal_names_packets_that_cannot_be_split():
    shown = list(odd({"instances": [{"instance": 1, "odd": {"by_mac": 1500, "no_address": 0, "foreign": 3}}, {"instance": 2}]}))
    assert shown == ["instance 1 took 1,500 by MAC only, 3 frames that are none of the switch's packets"]
