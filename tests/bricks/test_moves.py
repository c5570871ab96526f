"""Moves of buckets between instances: whatever the switch and the queues do meanwhile, every feature has the bits of the unsplit run."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_quantization import extract
from bricks.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET
from tests.bricks.feature_traffic import START
from tests.fakes.moving import World

BUCKETS = 8


def talk(seed: int, packets: int = 2500, hosts: int = 24) -> np.ndarray:
    """Hosts that talk across each other, some much more than others."""
    random = np.random.default_rng(seed)
    made = np.zeros(packets, PACKET)
    made["seq"] = np.arange(packets)
    made["time_ns"] = START + np.cumsum(random.integers(0, 2_000_000, packets))
    made["flags"] = ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT
    made["length"] = random.choice([60, 90, 590, 1514], packets)
    weights = 1 / np.arange(1, hosts + 1)
    for side in ("src", "dst"):
        made[f"{side}_lo"] = 0x0A000000 + random.choice(hosts, packets, p=weights / weights.sum())
        made[f"{side}_port"] = random.choice([23, 80, 443], packets)
    made["src_mac"] = made["src_lo"]
    return made


def split(random, owners, keep: float = 0.5, before=None) -> dict[int, int]:
    """A random assignment to these owners; where `before` has one of them, it stays with this chance."""
    return {
        b: before[b] if before and before[b] in owners and random.random() < keep else int(random.choice(owners)) for b in range(BUCKETS)
    }


def check(world: World, packets: np.ndarray, missing=frozenset()) -> None:
    found, unsplit = world.finish(), extract(packets)
    assert sorted(found) == [i for i in range(len(packets)) if i not in missing]
    wrong = [seq for seq, row in sorted(found.items()) if row.tobytes() != unsplit[seq].tobytes()]
    assert wrong == []


@pytest.mark.parametrize("seed", range(25))
def test_random_moves_change_no_bit(seed, monkeypatch):
    random, packets = np.random.default_rng(seed), talk(seed)
    owners = [list(range(1, n + 1)) for n in random.integers(1, 6, 6)]
    now = split(random, owners[0])
    world = World(packets, now, 5, seed).patch(monkeypatch)
    for there in owners[1:]:
        world.send(int(random.integers(0, 500)))
        now = split(random, there, random.choice([0.0, 0.5, 0.9]), now)
        world.move(now)
    assert all(moved.error is None for moved in world.moved)
    assert sum(moved.packets for moved in world.moved) > 0
    check(world, packets)
