"""Events of alerts on every capture, against Suricata's schema and tshark."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime

import jsonschema
import pytest

from bricks.alerts.eve import SIGNATURES, AlertEvents, Sensor, stats_event, time_text
from bricks.alerts.incidents import Incidents
from bricks.alerts.sink import AlertSink
from bricks.learning.training import Training
from bricks.offline.scoring import CaptureSummary, Scoring, score_here, train_on
from lego_sdn.adapters.eve.writer import line_of
from tests.bricks import tshark
from tests.bricks.kernels.test_parse_captures import CAPTURES
from tests.bricks.test_flow import as_tshark, in_tunnel

SENSOR = Sensor("sensor-1", "x.pcap", True)


@pytest.fixture(scope="session")
def valid(data):
    """Checks that an event passes Suricata's schema."""
    path = data / "eve" / "suricata-eve.schema.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    return jsonschema.Draft202012Validator(json.loads(path.read_text())).validate


@pytest.fixture(scope="module")
def model(data):
    return train_on([data / "mirai-benign-20000.pcap"], Training(fm_grace=1000, ad_grace=4000))[0]


@functools.cache
def events(path, model, threshold, grouped):
    """All that is told of a capture, as a reader of the lines has it."""
    found = []
    sink = AlertSink(AlertEvents(SENSOR, model, threshold), found.extend, Incidents() if grouped else None)
    scoring = Scoring(model, threshold=threshold, explain=True)
    for block in score_here([path], scoring, CaptureSummary()):
        sink.take(*block)
    sink.end()
    return [json.loads(line_of(event)) for event in found], sink


VALIDATED = 300  # events of a capture, from its beginning to its end: each takes 10 ms


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", CAPTURES)
def test_events_of_every_capture_pass_the_schema_and_add_up(name, data, model, valid):
    found, sink = events(data / f"{name}.pcap", model, 0.02, True)
    for event in found[:: max(1, len(found) // VALIDATED)]:
        valid(event)
    ends = [event for event in found if event["alert"]["metadata"]["lego_state"] == ["end"]]
    assert sum(int(event["alert"]["metadata"]["lego_count"][0]) for event in ends) == sink.result.counters["alerts"] > 0
    assert len(ends) == sink.incidents.opened


@pytest.mark.slow
@pytest.mark.data
@tshark.needs_tshark
@pytest.mark.parametrize("name", ["mirai-attack-5000", "mixed-4631", "vlan-4096"])
def test_every_packet_as_an_alert_is_as_tshark_has_it(name, data, model, valid):
    path = data / f"{name}.pcap"
    found, _ = events(path, model, 1e-12, False)
    fields = as_tshark(path)
    assert len(found) == CAPTURES[name]
    for number, event in enumerate(found):
        if number % 10 == 0:
            valid(event)
        of_packet = fields[event["pcap_cnt"] - 1]
        assert event["pcap_cnt"] == number + 1
        if of_packet[6] and not in_tunnel(of_packet):
            assert event["community_id"] == of_packet[6]
        top = event["alert"]["metadata"]["lego_top"]
        assert 0 < sum(float(text.partition("=")[2]) for text in top) <= 1.003
        assert event["alert"]["signature_id"] == SIGNATURES[event["alert"]["metadata"]["lego_kind"][0]][0]
        assert event["flow_id"] < 1 << 53


@pytest.mark.slow
@pytest.mark.data
def test_the_infected_host_is_one_incident_of_each_kind(data, model):
    found, sink = events(data / "mirai-attack-5000.pcap", model, model.threshold, True)
    infected = [event for event in found if event.get("src_ip") == "192.168.2.110"]
    by_id = {}
    for event in infected:
        by_id.setdefault(event["alert"]["metadata"]["lego_incident"][0], []).append(event)
    assert all(len(told) <= 6 for told in by_id.values())
    assert len(by_id) == len({event["alert"]["signature_id"] for event in infected})
    assert sink.result.counters["alerts"] > 4000 > 100 > len(found)


def test_times_are_in_utc_to_the_microsecond():
    for time_ns in (0, 1, 999, 1_600_000_000_123_456_789, -1, 9_223_372_036_854_775_807, -9_223_372_036_854_775_808):
        text = time_text(time_ns)
        read = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
        assert text.endswith("+0000")
        whole = read - datetime(1970, 1, 1, tzinfo=UTC)
        assert (whole.days * 86_400 + whole.seconds) * 10**6 + whole.microseconds == time_ns // 1000


def test_statistics_pass_the_schema(valid):
    valid(stats_event(Sensor("s", "eth0", False), 10**18, 5, {"kernel_packets": 7, "kernel_drops": 1, "errors": 0}))
    valid(stats_event(Sensor("s", "a.pcap", True), 10**18, 5, {}))
