"""What a standby costs: it takes every packet into its state, keeps the features, and scores nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lego_sdn.core.cost import capacity
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.standby import kept_bytes


@dataclass(frozen=True, slots=True)
class StandbyCost:
    """packet_us, share: CPU for each packet that comes into the system, in microseconds and by that of a packet that is scored, without
    the copy in the switch; memory_bytes: of its process with all streams; kept_bytes: of these, features of packets that are not scored
    yet; packets_per_s, cores: what it uses at that rate, None where no rate is given."""

    packet_us: float
    share: float
    memory_bytes: float
    kept_bytes: int
    packets_per_s: float | None = None
    cores: float | None = None


def standby_cost(costs: Costs, features: int, packets_per_s: float | None = None) -> StandbyCost:
    """By the profile; `features` of a packet."""
    layout = capacity.chained(costs.kinds)
    whole = sum(capacity.kind_us(costs, layout).values())
    share, kept = capacity.shadow_share(costs), kept_bytes(features)
    us = share * whole
    memory = capacity.memory(costs, layout) + kept
    return StandbyCost(us, share, memory, kept, packets_per_s, None if packets_per_s is None else us * packets_per_s / 1e6)
