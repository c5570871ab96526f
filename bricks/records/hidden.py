"""Packets whose IP addresses the switch does not see: how many there are, and why."""

from __future__ import annotations

import numpy as np

from bricks.records.packets import HIDDEN, HIDDEN_MASK, HIDDEN_SHIFT, UNSOUND


def count_hidden(rows: np.ndarray) -> np.ndarray:
    """PACKET rows by what hides their addresses: int64 [len(HIDDEN)], of number 0 those that nothing hides."""
    return np.bincount(rows["flags"] >> np.uint32(HIDDEN_SHIFT) & np.uint32(HIDDEN_MASK), minlength=len(HIDDEN))


def hidden_warnings(counts: np.ndarray) -> list[str]:
    """A sentence about packets that are taken by their MAC addresses, and one about those without an address, if there are any."""
    said = []
    by_mac = [f"{HIDDEN[why]} {count:,}" for why, count in enumerate(counts.tolist()) if count and 0 < why < UNSOUND]
    if by_mac:
        said.append(f"{counts[1:UNSOUND].sum():,} packets are taken by MAC only: {', '.join(by_mac)}")
    if counts[UNSOUND]:
        said.append(
            f"{counts[UNSOUND]:,} packets are taken without an address: the lengths in their IP or ARP headers do not fit the frame, "
            "and Open vSwitch does not read such headers"
        )
    return said
