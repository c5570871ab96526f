"""What Doshi's feature extractor declares: every feature follows from the packets of one source address. Names are in column order."""

from __future__ import annotations

from lego_sdn.core.facts.headers import SRC_IP
from lego_sdn.core.nf.granularity import Extractor, Feature, Read, Statistic

_SENT, _WINDOW = (Read.same("sent", "src_ip"),), (Read.same("window", "src_ip"),)
PACKET_ALONE = ()  # the packet itself tells

STATELESS = Statistic(
    "sent",
    SRC_IP,
    (
        Feature("length", PACKET_ALONE),
        *(Feature(name, _SENT) for name in ("interval", "interval_difference", "interval_second_difference")),
        Feature("tcp", PACKET_ALONE),
        Feature("udp", PACKET_ALONE),
    ),
)
WINDOW = Statistic("window", SRC_IP, tuple(Feature(name, _WINDOW) for name in ("bytes", "destinations", "destinations_difference")))

EXTRACTORS = {"doshi9": Extractor("doshi9", (STATELESS, WINDOW)), "doshi6": Extractor("doshi6", (STATELESS,))}
