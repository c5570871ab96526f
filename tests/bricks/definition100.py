"""The 100 statistics of the public implementation once more, slow and plain, from its description: strings, dicts and lists."""

from __future__ import annotations

import math
import socket

import numpy as np

from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC, ARP, DST_KIND_SHIFT, ICMP, KIND_MASK, NO_PORT, seconds

LAMBDAS = (5, 3, 1, 0.1, 0.01)


class Stream:
    def __init__(self, now):
        self.w, self.cf1, self.cf2, self.last, self.mean, self.var, self.pairs = 1e-20, 0.0, 0.0, now, 0.0, 0.0, []

    def fade(self, lam, now):
        if now > self.last:
            factor = math.pow(2, -lam * (now - self.last))
            self.cf1, self.cf2, self.w, self.last = self.cf1 * factor, self.cf2 * factor, self.w * factor, now

    def insert(self, value, lam, now):
        self.fade(lam, now)
        self.cf1, self.cf2, self.w = self.cf1 + value, self.cf2 + math.pow(value, 2), self.w + 1
        self.mean = self.cf1 / self.w
        self.var = abs(self.cf2 / self.w - math.pow(self.mean, 2))
        for pair in self.pairs:
            pair.move(self, value, lam, now)
        return [self.w, self.mean, self.var]


class Pair:
    def __init__(self, first, second, now):
        self.ends, self.residuals, self.cf3, self.w3, self.last3 = (first, second), [0.0, 0.0], 0.0, 1e-20, now

    def move(self, stream, value, lam, now):
        side = 0 if stream is self.ends[0] else 1
        self.ends[1 - side].fade(lam, now)
        if now > self.last3:
            factor = math.pow(2, -lam * (now - self.last3))
            self.cf3, self.w3, self.last3 = self.cf3 * factor, self.w3 * factor, now
        residual = value - stream.mean
        self.cf3, self.w3 = self.cf3 + residual * self.residuals[1 - side], self.w3 + 1
        self.residuals[side] = residual

    def stats(self):
        one, other = self.ends
        covariance, spread = self.cf3 / self.w3, math.sqrt(one.var) * math.sqrt(other.var)
        radius = math.sqrt(math.pow(one.var, 2) + math.pow(other.var, 2))
        magnitude = math.sqrt(math.pow(one.mean, 2) + math.pow(other.mean, 2))
        return [radius, magnitude, covariance, covariance / spread if spread else 0.0]


class Group:
    """Streams by name and lambda."""

    def __init__(self):
        self.streams = {}

    def single(self, name, value, lam, now):
        return self.streams.setdefault((name, lam), Stream(now)).insert(value, lam, now)

    def gap(self, name, lam, now):
        stream = self.streams.setdefault((name, lam), Stream(now))
        return stream.insert(max(now - stream.last, 0.0), lam, now)

    def double(self, source, target, value, lam, now):
        stats = self.single(source, value, lam, now)
        one = self.streams[source, lam]
        other = self.streams.setdefault((target, lam), Stream(now))
        pair = next((pair for pair in one.pairs if other in pair.ends), None)
        if pair is None:
            pair = Pair(one, other, now)
            one.pairs.append(pair)
            other.pairs.append(pair)
        pair.move(one, value, lam, now)
        return stats + pair.stats()


def address(kind, high, low):
    """Text of an address as tshark prints it."""
    if kind == ADDRESS_IPV4:
        return socket.inet_ntop(socket.AF_INET, int(low).to_bytes(4, "big"))
    if kind == ADDRESS_IPV6:
        return socket.inet_ntop(socket.AF_INET6, (int(high) << 64 | int(low)).to_bytes(16, "big"))
    return int(low).to_bytes(6, "big").hex(":") if kind == ADDRESS_MAC else ""


def defined100(packets):
    """float64 [n, 100]."""
    mi, hh, jit, hp = (Group() for _ in range(4))
    rows = []
    for now, packet in zip(seconds(packets["time_ns"]).tolist(), packets, strict=True):
        flags, value = int(packet["flags"]), int(packet["length"])
        source = address(flags & KIND_MASK, packet["src_hi"], packet["src_lo"])
        target = address(flags >> DST_KIND_SHIFT & KIND_MASK, packet["dst_hi"], packet["dst_lo"])
        macs = address(ADDRESS_MAC, 0, packet["src_mac"]), address(ADDRESS_MAC, 0, packet["dst_mac"])
        ports = ["" if port == NO_PORT else str(port) for port in (packet["src_port"], packet["dst_port"])]
        if flags & ICMP and packet["src_port"] == NO_PORT:
            ports = ["icmp", "icmp"]
        sockets = macs if flags & ARP else (source + ports[0], target + ports[1])
        rows.append(
            [v for lam in LAMBDAS for v in mi.single(macs[0] + source, value, lam, now)]
            + [v for lam in LAMBDAS for v in hh.double(source, target, value, lam, now)]
            + [v for lam in LAMBDAS for v in jit.gap(source + target, lam, now)]
            + [v for lam in LAMBDAS for v in hp.double(*sockets, value, lam, now)]
        )
    return np.array(rows).reshape(-1, 100)
