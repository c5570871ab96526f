"""Load reports: checked at the door, and turned to rates."""

from __future__ import annotations

import copy

import pytest

from lego_sdn.core.facts.reports import DiskLoad, Report, ReportError, instance_load

BRICK = {
    "id": "feature-quantization-0", "kind": "feature-quantization", "serial": 0, "packets_in": 1000, "packets_out": 990,
    "batches": 10, "cpu_s": 0.5, "service_us": 5.0, "queue_in": 0, "queue_out": 0, "dropped": {"malformed": 3}, "counters": {"streams": 7},
}  # fmt: skip
CAPTURE = {"received": 1000, "kernel_drops": 0, "queue": 0.25, "shadows": 10, "gaps": 0, "repeats": 0, "reordered": 0}
REPORT = {
    "instance": 1, "process": "1-a", "pid": 42, "time": 100.0, "uptime_s": 9.0, "cpu_s": 1.0, "rss_bytes": 1 << 20,
    "capture": CAPTURE, "bricks": [BRICK],
}  # fmt: skip


def report(**changes) -> dict:
    data = copy.deepcopy(REPORT)
    for path, value in changes.items():
        target = data
        *way, last = path.split("__")
        for key in way:
            target = target[int(key) if key.isdigit() else key]
        target[last] = value
    return data


def test_a_report_is_read_as_the_contract_says():
    parsed = Report.parse(REPORT)
    assert (parsed.instance, parsed.capture.queue, parsed.bricks[0].service_us) == (1, 0.25, 5.0)
    assert parsed.dropped == 3
    assert Report.parse(report(capture=None)).capture is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"instance": "1"}, "load report of process 1-a: instance is '1'"),
        ({"cpu_s": -1.0}, "cpu_s is -1.0, wanted a finite number"),
        ({"time": float("nan")}, "time is nan"),
        ({"pid": True}, "pid is True"),
        ({"capture__queue": 1.5}, "capture: queue is 1.5, wanted a share"),
        ({"capture__received": 1.5}, "capture: received is 1.5"),
        ({"bricks__0__packets_in": None}, "brick 0: packets_in is None"),
        ({"bricks": {}}, "bricks is {}"),
        ({"bricks": [3]}, "brick 0: wanted a map, found 3"),
    ],
)
def test_a_wrong_report_is_refused_and_says_where(changes, says):
    with pytest.raises(ReportError, match=says.replace("(", r"\(").replace("{", r"\{")):
        Report.parse(report(**changes))


def test_how_a_brick_keeps_its_deadline_may_be_left_out():
    assert (parsed := Report.parse(REPORT).bricks[0]).late == parsed.wait_us == parsed.blocked_s == parsed.latency_us == 0
    told = Report.parse(report(bricks__0__wait_us=1.5, bricks__0__late=3, bricks__0__blocked_s=0.25, bricks__0__latency_us=9)).bricks[0]
    assert (told.wait_us, told.late, told.blocked_s, told.latency_us) == (1.5, 3, 0.25, 9)
    with pytest.raises(ReportError, match=r"late is 1\.5"):
        Report.parse(report(bricks__0__late=1.5))


def test_memory_disk_and_quota_may_be_left_out():
    parsed = Report.parse(REPORT)
    assert (parsed.memory_bytes, parsed.throttled_s, parsed.disk) == (parsed.rss_bytes, 0.0, DiskLoad())
    disk = {"major_faults": 3, "read_bytes": 4096, "written_bytes": 512, "wait_s": 0.25}
    told = Report.parse(report(pss_bytes=1 << 18, throttled_s=1.5, disk=disk))
    assert (told.memory_bytes, told.throttled_s, told.disk) == (1 << 18, 1.5, DiskLoad(3, 4096, 512, 0.25))
    for wrong, says in (({"disk": disk | {"wait_s": -1}}, "disk: wait_s is -1"), ({"pss_bytes": 1.5}, r"pss_bytes is 1\.5")):
        with pytest.raises(ReportError, match=says):
            Report.parse(report(**wrong))


def test_a_report_that_lacks_something_says_what():
    data = report()
    del data["capture"]["gaps"]
    with pytest.raises(ReportError, match="capture: gaps is missing"):
        Report.parse(data)
    with pytest.raises(ReportError, match="load report: process is missing"):
        Report.parse({})


def between(quota=0.2, **changes):
    """Load from two reports two seconds apart, in which 800 packets and 0.3 s of CPU were used."""
    later = report(time=102.0, cpu_s=1.3, capture__received=1800, **changes)
    return instance_load({"1-a": Report.parse(REPORT)}, {"1-a": Report.parse(later)}, quota)


def test_rates_are_differences_over_time():
    load = between(capture__kernel_drops=100)
    assert load.packets == 400
    assert load.drops == 50
    assert load.cpu == pytest.approx(0.75)
    assert load.service_us == pytest.approx(375)
    assert load.queue == 0.25
    assert load.demand == pytest.approx(0.75 * 450 / 400)


def test_without_a_quota_a_process_has_one_core():
    assert between(quota=None).cpu == pytest.approx(0.15)


def test_a_process_in_a_large_quota_is_still_bound_by_its_core():
    assert between(quota=4.0).cpu == pytest.approx(0.15)


def test_the_busiest_process_decides():
    first = {name: Report.parse(report(process=name)) for name in ("1-a", "1-b")}
    later = {name: Report.parse(report(process=name, time=102.0, cpu_s=cpu)) for name, cpu in (("1-a", 1.1), ("1-b", 1.3))}
    load = instance_load(first, later, 0.2)
    assert load.cpu == pytest.approx(0.75)


def test_what_waits_before_bricks_counts_by_the_time_it_takes():
    assert between(bricks__0__queue_in=200_000, bricks__0__service_us=5.0).queue == pytest.approx(0.5)
    assert between(bricks__0__queue_in=9_000_000, bricks__0__service_us=5.0).queue == 1.0


@pytest.mark.parametrize("change", [{"pid": 43}, {"time": 100.0}, {"cpu_s": 0.1}])
def test_a_process_that_began_anew_cannot_be_compared(change):
    later = Report.parse({**report(time=102.0, cpu_s=1.3), **change})
    assert instance_load({"1-a": Report.parse(REPORT)}, {"1-a": later}, 0.2) is None
    assert instance_load({}, {"1-a": later}, 0.2) is None
