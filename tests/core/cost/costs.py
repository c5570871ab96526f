"""Costs for tests: Kitsune's bricks with figures like the paper's, in which the learning network costs more than the rest together."""

from __future__ import annotations

from lego_sdn.core.cost.model import BrickCost, Carriage, Costs

MB = 1 << 20


def kitsune(**more) -> Costs:
    """Per packet of a full batch: 20, 100, 40, 300 and 40 us; 500 in all, so that a core takes 2,000 packets/s."""
    return Costs(
        "kitsune",
        "kitsune115",
        (
            BrickCost("packet-batching", 256.0, 19.0, memory_bytes=64 * MB, bytes_out=80.0),
            BrickCost("feature-quantization", 256.0, 99.0, 0.1, 100 * MB, bytes_out=1000.0, keyed=True),
            BrickCost("feature-mapping", 256.0, 39.0, memory_bytes=10 * MB, bytes_out=1000.0),
            BrickCost("unsupervised-network", 256.0, 299.0, memory_bytes=20 * MB, bytes_out=88.0),
            BrickCost("sample-result", 256.0, 39.0, memory_bytes=10 * MB),
        ),
        **({"ring": Carriage(), "wire": Carriage()} | more),
    )
