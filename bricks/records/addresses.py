"""Addresses of packet records as text, and back into one number for counting."""

from __future__ import annotations

import ipaddress

import numpy as np

from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC, DST_KIND_SHIFT, KIND_MASK, SRC_KIND_SHIFT

ADDRESS = np.dtype([("kind", "<u8"), ("hi", "<u8"), ("lo", "<u8")])


def addresses(packets: np.ndarray, side: str = "src") -> np.ndarray:
    """Source (or destination) of each packet: ADDRESS [packets], comparable and hashable as a whole."""
    found = np.empty(len(packets), ADDRESS)
    shift = SRC_KIND_SHIFT if side == "src" else DST_KIND_SHIFT
    found["kind"] = (packets["flags"] >> shift) & KIND_MASK
    found["hi"] = packets[f"{side}_hi"]
    found["lo"] = packets[f"{side}_lo"]
    return found


def address_text(kind: int, hi: int, lo: int) -> str:
    """An address as people write it: 192.168.0.1, fe80::1, 3c:33:00:98:ee:fd; "none" where there is none."""
    if kind == ADDRESS_IPV4:
        return str(ipaddress.IPv4Address(int(lo)))
    if kind == ADDRESS_IPV6:
        return str(ipaddress.IPv6Address((int(hi) << 64) | int(lo)))
    if kind == ADDRESS_MAC:
        return int(lo).to_bytes(6, "big").hex(":")
    return "none"
