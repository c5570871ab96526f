"""Alerts and statistics as events of EVE JSON (docs/reference/eve.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bricks.alerts.incidents import Alert, IncidentNote
from bricks.explanation.shares import MIXED, groups_of
from bricks.explanation.words import reasons
from bricks.feature_quantization import NAMES
from bricks.models.model_file import Model
from bricks.records.flow import flow_of
from bricks.records.packets import ARP

SIGNATURES = {  # one for each kind of oddity: the group of statistics that makes most of the score
    "MI_dir": (1_900_001, "unusual traffic of this MAC and IP address"),
    "H": (1_900_002, "unusual traffic from this host"),
    "HH": (1_900_003, "unusual traffic between these hosts"),
    "HH_jit": (1_900_004, "unusual timing between these hosts"),
    "HpHp": (1_900_005, "unusual traffic between these sockets"),
    "mixed": (1_900_006, "unusual traffic in several respects"),
}
_CATEGORY = "Potentially Bad Traffic"
_HIGH, _USUAL, _FAR = 1, 2, 10.0  # severities; a score of so many thresholds is of the first
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sensor:
    """What is the same in every event: `place` is in_iface, or pcap_filename with `file`."""

    host: str
    place: str
    file: bool
    nf: str = "kitsune"

    @property
    def common(self) -> dict[str, Any]:
        return {"host": self.host, "pcap_filename" if self.file else "in_iface": self.place}


def time_text(time_ns: int) -> str:
    """As EVE wants it: microseconds (rounded down), in UTC, with +0000."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")


@dataclass(frozen=True)
class AlertEvents:
    """Turns alerts of a model into events."""

    sensor: Sensor
    model: Model
    threshold: float
    _kinds: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kinds", groups_of(NAMES[self.model.layout])[0])

    def event(self, alert: Alert, incident: IncidentNote | None = None) -> dict[str, Any]:
        """The event of an alert; `incident`: how the incident stands that it tells of."""
        packet = alert.packet
        time_ns = int(packet["time_ns"])
        event: dict[str, Any] = {"timestamp": time_text(time_ns), "event_type": "alert", "pkt_src": "wire/pcap"} | self.sensor.common
        if self.sensor.file:
            event["pcap_cnt"] = int(packet["seq"]) + 1
        event |= _addressed(packet)
        kind = self._kinds[alert.kind] if alert.kind != MIXED else "mixed"
        number, text = SIGNATURES[kind]
        event["alert"] = {
            "action": "allowed",
            "gid": 1,
            "signature_id": number,
            "rev": 1,
            "signature": f"LEGO {self.sensor.nf}: {text}",
            "category": _CATEGORY,
            "severity": _HIGH if alert.score >= _FAR * self.threshold else _USUAL,
            "metadata": self._metadata(alert, kind) | (_of_incident(incident) if incident else {}),
        }
        return event

    def _metadata(self, alert: Alert, kind: str) -> dict[str, list[str]]:
        found = {
            "lego_nf": [self.sensor.nf],
            "lego_stamp": [str(int(alert.packet["seq"]))],
            "lego_score": [repr(alert.score)],
            "lego_threshold": [repr(self.threshold)],
            "lego_kind": [kind],
        }
        if alert.explained is not None:
            why = reasons(alert.explained, self.model, NAMES[self.model.layout])
            found["lego_top"] = [f"{reason.feature}={reason.share:.3f}" for reason in why]
            found["lego_why"] = [reason.text for reason in why]
        return found


def _addressed(packet: np.void) -> dict[str, Any]:
    """Addresses, ports, protocol and names of the flow, as far as the packet has them."""
    flow, found = flow_of(packet), {}
    if flow.ip:
        found |= {"src_ip": flow.source, "dest_ip": flow.destination, "ip_v": flow.ip}
    if flow.ports:
        found["src_port"], found["dest_port"] = flow.ports
    if flow.protocol.icmp:
        found["icmp_type"], found["icmp_code"] = flow.protocol.icmp
    if flow.protocol.number:
        found["proto"] = flow.protocol.name
    elif packet["flags"] & ARP:
        found["proto"] = "ARP"
        found.pop("ip_v", None)
    found |= {"app_proto": "failed", "flow_id": flow.number}
    if flow.community:
        found["community_id"] = flow.community
    macs = {"src_mac": int(packet["src_mac"]), "dest_mac": int(packet["dst_mac"])}
    if any(macs.values()):
        found["ether"] = {name: mac.to_bytes(8, "big")[2:].hex(":") for name, mac in macs.items()}
    return found


def _of_incident(note: IncidentNote) -> dict[str, list[str]]:
    return {
        "lego_incident": [note.id],
        "lego_state": [note.state],
        "lego_count": [str(note.count)],
        "lego_first": [time_text(note.first_ns)],
        "lego_last": [time_text(note.last_ns)],
        "lego_peak": [repr(note.peak)],
    }


def stats_event(sensor: Sensor, time_ns: int, uptime_s: int, capture: Mapping[str, int]) -> dict[str, Any]:
    """A `stats` event. capture: kernel_packets, kernel_drops, errors."""
    event = {"timestamp": time_text(time_ns), "event_type": "stats"} | sensor.common
    return event | {"stats": {"uptime": uptime_s, "capture": dict(capture)}}


def events_of(how: AlertEvents, told: Sequence[tuple[Alert, IncidentNote | None]]) -> list[dict[str, Any]]:
    """The events of alerts, each with the note of its incident or None."""
    return [how.event(alert, note) for alert, note in told]
