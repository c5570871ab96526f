"""The cost model that simulations rest on: recorded by `lego profile mirai-benign-20000.pcap`, alone on a machine with two cores."""

from __future__ import annotations

from lego_sdn.core.cost.measurements import Measured
from lego_sdn.core.cost.model import BATCH, BrickCost, Carriage, Costs

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "capture": "mirai-benign-20000.pcap", "packets": 20000, "runs": 5}

SLOWER = 3000

# kind, batch_us, packet_us, spread, memory_bytes, bytes_out, keyed; then CPU microseconds by batch size
_BRICKS = (
    ("packet-batching", 10.78, 0.0855, 0.006738, 131072, 80.0, False, {1: 10.76, 16: 12.3, 64: 16.27, 256: 32.59}),
    ("feature-quantization", 18.38, 0.1882, 0.01347, 18132992, 1000.0, True, {1: 18.4, 16: 21.68, 64: 30.35, 256: 66.51}),
    ("feature-mapping", 6.639, 0.1711, 0.02879, 131072, 1000.0, False, {1: 6.685, 16: 9.545, 64: 18.04, 256: 49.33}),
    ("unsupervised-network", 38.66, 0.354, 0.005874, 126976, 88.0, False, {1: 44.41, 16: 48.1, 64: 48.15, 256: 164.7}),
    ("sample-result", 12.35, 0.01779, 0.01324, 360448, 88.0, False, {1: 11.99, 16: 12.81, 64: 13.9, 256: 16.74}),
)


def recorded() -> Costs:
    """Of Kitsune's bricks; `kitsune115`."""
    bricks = (BrickCost(k, b, p, s, m, 1.0, o, keyed, measured=_measured(us)) for k, b, p, s, m, o, keyed, us in _BRICKS)
    ring, wire = Carriage(8.711, 7.981e-05), Carriage(6.909, 0.0001034)
    return Costs("kitsune", "kitsune115", tuple(bricks), ring, wire, 1, 14655488, MACHINE)


def like_the_papers() -> Costs:
    """The same bricks, each slowed by the same factor, so that a core for each takes some hundred packets/s, as in the paper."""
    costs = recorded()
    return costs.slowed({brick.kind: (SLOWER - 1) * brick.per_packet_us(BATCH) for brick in costs.bricks})


def _measured(us: dict[int, float]) -> tuple[Measured, ...]:
    return tuple(Measured(batch, value) for batch, value in us.items())
