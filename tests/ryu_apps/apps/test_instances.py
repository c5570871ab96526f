"""The controller and its agent: instances that come, grow in number, fail, hang and go; and what REST tells of it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from lego_sdn.adapters.rpc.wire import free_port
from tests.ryu_apps.bridges import bridge, instance_ports, ofctl, vsctl
from tests.ryu_apps.lab import Lab, lab, until

pytestmark = pytest.mark.root

SCALING = {"min_instances": 1, "max_instances": 3, "cooldown_s": 0.1, "period_s": 0.2, "up_after": 2, "down_after": 3, "drain_s": 1.0}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A controller, a bridge, and an agent whose instances are port numbers, on a host that shares nothing with the controller but TCP."""
    settings = {"scaling": SCALING, "buckets": 16, "agent_socket": f"tcp:127.0.0.1:{free_port()}"}
    with ExitStack() as stack:
        made = stack.enter_context(lab(tmp_path_factory.mktemp("instances"), settings=settings))
        made.start_agent()
        made.agent("warm_up", False)
        made.start_controller()
        stack.enter_context(bridge(made))
        stack.enter_context(instance_ports(made, SCALING["max_instances"], vsctl))
        until(lambda: not made.get("status")["missing"], "switch and agent are there")
        assert made.agent("called") == [], "no instance is asked for while the bricks are not warm"
        made.agent("warm_up", True)
        until(lambda: made.running_instances() == [1] and made.settled(), "one instance owns everything")
        yield made


def kinds(lab: Lab, after: int = 0) -> list[str]:
    return [event["kind"] for event in lab.get(f"events?after={after}")["events"]]


def told(lab: Lab, after: int, type: str) -> list[dict]:
    return [event for event in lab.get(f"events?after={after}")["events"] if event["type"] == type]


def last_event(lab: Lab) -> int:
    return lab.get("events")["next"]


def test_status_graph_bricks_and_switches_tell_of_it(running: Lab):
    until(lambda: running.get("bricks")["bricks"], "a first report")
    status = running.get("status")
    assert (status["state"], status["missing"]) == ("running", [])
    assert status["agent"]["answers"]
    assert status["host"]["cores"]["all"] == 2
    assert status["host"]["memory_bytes"] == {"all": 4e9, "used": 1 << 20, "free": 2e9}
    assert status["bridge"] | {"dpid": ""} == {"name": running.bridge, "connected": True, "dpid": ""}
    (one,) = until(lambda: running.get("graph")["instances"], "the agent has told of it")
    assert (one["instance"], one["state"], one["ofport"]) == (1, "running", 101)
    assert one["processes"][0]["bricks"] == ["packet-batching-0", "unsupervised-network-0", "sample-result-0"]
    (switch,) = running.get("switches")["switches"]
    assert (switch["name"], switch["steered"], switch["error"], switch["dpid"]) == (running.bridge, True, None, status["bridge"]["dpid"])
    assert switch["rules"] == len(running.get("flows")["flows"]) == 10 + 12 * 16 + 1
    found = until(lambda: next((b for b in running.get("bricks")["bricks"] if b["packets_per_s"] > 0), None), "a rate")
    assert (found["instance"], found["id"], found["dropped"]) == (1, "packet-batching-0", {"odd": 2})
    assert running.get("granularity")["result"] == ["SrcIP"]
    assert running.get("granularity")["plans"][0]["exact_with_shadows"] == 115


def test_metrics_are_read_by_prometheus_own_parser(running: Lab):
    from prometheus_client.parser import text_string_to_metric_families

    answer = running.ask("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples = {
        (s.name, tuple(sorted(s.labels.items()))): s.value for family in text_string_to_metric_families(answer.body) for s in family.samples
    }
    assert samples[("lego_switch_connected", ())] == 1
    assert samples[("lego_instance_buckets", (("instance", "1"), ("phase", "running")))] == 16
    assert samples[("lego_brick_dropped_total", (("brick", "packet-batching-0"), ("instance", "1"), ("reason", "odd")))] == 2
    assert samples[("lego_host_cores", (("part", "all"),))] == 2
    assert samples[("lego_host_memory_bytes", (("part", "used"),))] == 1 << 20
    assert samples[("lego_switch_rules", (("switch", running.bridge),))] == 203
    assert samples[("lego_brick_late_total", (("brick", "packet-batching-0"), ("instance", "1")))] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/", None, 404, "there is no /;"),
        ("GET", "/lego/v1/nothing", None, 404, "under /lego/v1/ there are status"),
        ("GET", "/lego/v2/status", None, 404, "there is no /lego/v2/status"),
        ("POST", "/lego/v1/status", {}, 405, "/lego/v1/status answers GET, not POST"),
        ("GET", "/lego/v1/merge", None, 405, "/lego/v1/merge answers POST, not GET"),
        ("DELETE", "/metrics", None, 405, "/metrics answers GET"),
        ("POST", "/lego/v1/move", b"{", 400, "the body is no JSON"),
        ("POST", "/lego/v1/move", [1], 400, "the body is no JSON object"),
        ("POST", "/lego/v1/move", {"instance": 1}, 400, 'move wants {"buckets": [numbers], "instance": number}'),
        ("POST", "/lego/v1/move", {"instance": 1, "buckets": [True]}, 400, "buckets: wanted a list of numbers from 0 to 15, found [True]"),
        ("POST", "/lego/v1/merge", {"instance": "1"}, 400, "instance: wanted a number from 1 to 999, found '1'"),
        ("POST", "/lego/v1/pause", {"now": 1}, 400, "pause has no key 'now'; its keys: none"),
        ("POST", "/lego/v1/move", {"instance": 9, "buckets": [1]}, 409, "instance 9 does not run"),
        ("POST", "/lego/v1/move", {"instance": 1, "buckets": [16]}, 400, "buckets: wanted a list of numbers from 0 to 15, found [16]"),
        ("POST", "/lego/v1/merge", {}, 409, "1 instances run and 1 is the minimum"),
        ("POST", "/lego/v1/merge", b"x" * ((1 << 16) + 1), 413, "a body has at most"),
        ("GET", "/lego/v1/events?after=x", None, 400, "after: wanted a whole number"),
        ("GET", "/lego/v1/alerts?limit=1001", None, 400, "limit: wanted a whole number up to 1000, found '1001'"),
    ],
)
def test_errors_are_json_with_the_right_status(running: Lab, method, path, body, status, said):
    answer = running.ask(path, method, body)
    assert answer.status == status
    assert set(answer.body) == {"error", "detail"}
    assert said in answer.body["detail"]
    assert (answer.headers["Allow"] is not None) == (status == 405)


def test_alerts_come_once_each_and_are_counted_by_source(running: Lab):
    alerts = [{"seq": n, "time": 1.0, "source": f"10.0.0.{n % 2}", "score": 3.5, "threshold": 2.0} for n in range(5)]
    running.agent("pretend", 1, {"alerts": alerts})
    found = until(lambda: running.get("alerts")["alerts"] and running.get("alerts"), "alerts")
    assert [(alert["seq"], alert["instance"]) for alert in found["alerts"]] == [(n, 1) for n in range(5)]
    assert (found["by_source"], found["total"]) == ({"10.0.0.0": 3, "10.0.0.1": 2}, 5)
    running.agent("pretend", 1, {"alerts": [*alerts, {**alerts[0], "seq": 9}]})
    until(lambda: len(running.get("alerts")["alerts"]) == 6, "one more")
    assert len(running.get("alerts?limit=1")["alerts"]) == 1


def test_load_brings_an_instance_and_its_end_takes_it_away(running: Lab):
    after = last_event(running)
    running.agent("pretend", 1, {"share": 0.95})
    until(lambda: running.running_instances() == [1, 2] and running.settled(), "a second instance")
    owned = {one["instance"]: one["buckets"] for one in running.get("status")["instances"]}
    assert owned == {1: 8, 2: 8}
    running.agent("pretend", 1, {"share": 0.1})
    running.agent("pretend", 2, {"share": 0.01})
    until(lambda: running.running_instances() == [1] and running.settled(), "one is spared again")
    assert running.agent("called")[-2:] == ["flush_cache", "stop_instance"], "cached flows are revalidated before it drains and stops"
    assert {row["owner"] for row in running.get("assignment")["buckets"]} == {1}
    assert [kind for kind in kinds(running, after) if kind in ("replicate", "merge")] == ["replicate"] * 2 + ["merge"] * 2


def test_commands_are_begun_and_pausing_holds(running: Lab):
    running.begun("pause")
    running.agent("pretend", 1, {"share": 0.95})
    assert running.begun("replicate").body["accepted"] == "replicate"
    until(lambda: running.running_instances() == [1, 2] and running.settled(), "an instance, paused or not")
    running.begun("move", {"buckets": [0, 1], "instance": 2})
    until(lambda: running.settled() and {row["owner"] for row in running.get("assignment")["buckets"][:2]} == {2}, "they are moved")
    running.agent("pretend", 1, {"share": 0.01})
    running.begun("merge", {"instance": 1})
    until(lambda: running.running_instances() == [2] and running.settled(), "instance 1 is gone")
    assert running.get("status")["paused"]
    running.begun("resume")
    until(lambda: not running.get("status")["paused"], "scaling goes on")


def processes(lab: Lab, instance: int) -> list[str]:
    return [process["process"] for process in lab.get("bricks")["processes"] if process["instance"] == instance]


def test_a_brick_is_replicated_and_merged_and_refusals_leave_it_as_it_was(running: Lab):
    (number,) = running.running_instances()
    after = last_event(running)
    assert running.post("replicate", {"instance": number, "brick": "sample-result"}).status == 409
    assert running.begun("replicate", {"brick": "unsupervised-network"}).body["accepted"] == "replicate"
    until(running.settled, "it is done")
    until(lambda: processes(running, number) == [f"{number}-a", f"{number}-b"], "the new process is watched")
    running.agent("refuse", ["no memory is left"])
    running.begun("replicate", {"brick": "unsupervised-network"})
    until(running.settled, "it has failed")
    finished = len(running.get("status")["finished"])
    running.begun("merge", {"brick": "unsupervised-network-1"})
    until(lambda: running.settled() and processes(running, number) == [f"{number}-a"], "its process is not watched any more")
    assert len(running.get("status")["finished"]) == finished + 1
    assert [(one["instance"], one["fields"]["brick"]) for one in told(running, after, "BrickRuns")] == [(number, "unsupervised-network-1")]
    (failed,) = told(running, after, "ChangeFailed")
    assert (failed["instance"], failed["fields"]["change"]) == (number, "replicate")
    assert "no memory is left" in failed["fields"]["reason"]
    assert running.running_instances() == [number]


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("replicate", {"instance": 1}, "replicate wants the kind of a brick along with an instance"),
        (
            "replicate",
            {"brick": 3},
            "brick: wanted a kind to replicate, or the id of a replica to merge (ASCII, at most 100 characters), found 3",
        ),
        ("merge", {"brick": []}, "brick: wanted a kind"),
        ("pause", {"brick": "x"}, "pause has no key 'brick'; its keys: none"),
    ],
)
def test_a_command_for_a_brick_is_checked_at_the_door(running: Lab, name, body, says):
    answer = running.post(name, body)
    assert (answer.status, answer.body["error"]) == (400, "bad request")
    assert says in answer.body["detail"]


def test_a_process_that_hangs_holds_nobody_up(running: Lab):
    (first,) = running.running_instances()
    running.begun("replicate")
    until(lambda: len(running.running_instances()) == 2 and running.settled(), "two")
    (second,) = set(running.running_instances()) - {first}

    def process() -> dict:
        return next((p for p in running.get("bricks")["processes"] if p["instance"] == second), {})

    until(lambda: process().get("age_s"), "a report of the second")
    running.agent("pretend", second, {"hangs": True})
    until(lambda: process()["error"], "its silence is shown", 15)
    ages = {process["instance"]: process["age_s"] for process in running.get("bricks")["processes"]}
    assert ages[first] < 1.0 < ages[second]


def test_a_link_that_was_off_for_a_short_time_is_told_though_the_switch_does_not(running: Lab):
    number, *_ = running.running_instances()
    after = last_event(running)
    running.agent("link_down", number, 1)
    (lost,) = until(lambda: told(running, after, "Inexact"), "the loss is told")
    assert (lost["instance"], lost["fields"]["reason"]) == (number, "link-down")
    (mark,) = [one["exact"] for one in running.get("status")["instances"] if one["instance"] == number]
    assert mark["losses"]["link-down"] == 1


def test_an_instance_that_dies_is_replaced_and_its_buckets_find_an_owner(running: Lab):
    after = last_event(running)
    for number in running.running_instances():
        running.agent("fail", number, "brick packet-batching-0 was killed by signal 9")
    until(lambda: kinds(running, after).count("failed") >= 2, "both deaths are noticed")
    until(lambda: len(running.running_instances()) == 1 and running.settled(), "another one runs")
    assert any("was killed by signal 9" in one["fields"]["reason"] for one in told(running, after, "InstanceDied"))
    assert {row["owner"] for row in running.get("assignment")["buckets"]} == set(running.running_instances())


def test_a_start_that_fails_is_told_and_tried_again(running: Lab):
    after = last_event(running)
    running.agent("refuse", ["the model is of another layout"])
    (number,) = running.running_instances()
    running.agent("fail", number, "it is dead")
    until(
        lambda: any("the model is of another layout" in one["fields"]["reason"] for one in told(running, after, "StartFailed")),
        "the reason",
    )
    until(lambda: len(running.running_instances()) == 1 and running.settled(), "the next start succeeds")
    assert told(running, after, "StopFailed") == [], "what never ran is not said to run on"


def test_an_agent_that_dies_is_told_and_what_runs_afterwards_is_the_truth(running: Lab):
    running.kill("agent")
    until(lambda: not running.get("status")["agent"]["answers"], "its death is seen")
    assert "no agent answers on" in " ".join(running.get("status")["missing"])
    assert running.running_instances(), "instances go on as they are"
    assert running.post("replicate").body["detail"] == "the agent does not answer"
    running.start_agent()
    until(lambda: running.get("status")["agent"]["answers"] and len(running.running_instances()) == 1 and running.settled(), "all is well")
    assert running.agent("hello")["instances"]


def test_another_bridge_is_shown_and_left_alone(running: Lab):
    other = f"{running.bridge}x"
    vsctl("add-br", other, "--", "set", "Bridge", other, "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow14")
    try:
        vsctl("set-controller", other, f"tcp:127.0.0.1:{running.openflow}")
        found = until(lambda: next((s for s in running.get("switches")["switches"] if s["name"] == other), None), "it is shown")
        assert (found["steered"], found["rules"]) == (False, 0)
        assert "cookie=" not in ofctl(running, "dump-flows", other)
    finally:
        vsctl("--if-exists", "del-br", other)
    assert running.running_instances()
