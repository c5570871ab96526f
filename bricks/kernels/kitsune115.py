"""The 115 Kitsune statistics of each packet, five lambdas at a time, in O(1) whatever the number of peers.

A packet touches one stream of each table: source MAC and address (mi), source address (h), channel (hh), socket (hp); and
reads the opposite of the last two. Three identities save work without touching a bit of the result:
the jitter of a channel has the channel's weight and last time, and the value it takes in is the time by which the channel
is faded; a pair of opposite streams was last updated when the later of the two was, so its fade is the nearer one's; and the
product sum of a pair is 0 until both directions exist.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bricks.kernels.lanes import LANES, at_least, at_most, constants, exp2_lanes, interleave, load, roots, store, zero_where_zero
from bricks.kernels.streams import (
    LAST,
    LINEAR,
    LINK,
    ONE_SIDED,
    RESIDUAL,
    SQUARES,
    WEIGHT,
    WORDS,
    Table,
    find_or_create,
    new_table,
    tag_of,
    with_room,
)
from bricks.packets import ADDRESS_MAC, ARP, ICMP, SHADOW

LAMBDAS = (5.0, 3.0, 1.0, 0.1, 0.01)
WIDTH = 115
VARIANCE_FLOOR = 1e-10  # of the mean square: below it, a variance is rounding noise

SOCKET_WORDS = ONE_SIDED + LANES
CHANNEL_WORDS = SOCKET_WORDS + 2 * LANES  # linear and squared sum of the jitter
JITTER_LINEAR, JITTER_SQUARES = SOCKET_WORDS, SOCKET_WORDS + LANES

_FADING = tuple(-rate for rate in LAMBDAS)
_ARP_PORT, _ICMP_PORT = np.uint64(0x10001), np.uint64(0x10002)
_NONE = np.uint64(0)
_NOTHING = (0.0,) * LANES


class Tables(NamedTuple):
    """All streams of one extractor."""

    mi: Table
    h: Table
    hh: Table
    hp: Table


def new_tables(streams: int) -> Tables:
    """Empty tables of at most `streams` streams each."""
    return Tables(
        new_table(streams, ONE_SIDED), new_table(streams, ONE_SIDED), new_table(streams, CHANNEL_WORDS), new_table(streams, SOCKET_WORDS)
    )


def make_room(tables: Tables, packets: int) -> Tables:
    """The same tables, ready for as many packets, each of which may bring a new stream to each."""
    return Tables(*(with_room(table, packets) for table in tables))


class Event(NamedTuple):
    """What every stream of a packet takes in."""

    value: float  # bytes on the wire
    now: float  # epoch seconds


class Own(NamedTuple):
    """A stream after a packet: how long it had faded, and what it holds; lanes but for the first two."""

    base: int
    gap: float
    fade: float
    weight: float
    mean: float
    variance: float


@njit(cache=True)
def advance(packets, tables, out):
    """Take packets in, in order; write the statistics of those that are no shadows to the flat array `out`.

    Returns the number of packets written, 115 float64 each.
    """
    written = 0
    for i in range(len(packets)):
        packet = packets[i]
        event = Event(np.float64(packet.length), _seconds(packet.time_ns))
        channel, socket = _keys(packet)
        hh = find_or_create(tables.hh, tag_of(tables.hh.secret, channel), channel, event.now)
        hp = find_or_create(tables.hp, tag_of(tables.hp.secret, socket), socket, event.now)
        own_hh = _insert(tables.hh, hh, event)
        own_hp = _insert(tables.hp, hp, event)
        jitter = _jitter(tables.hh.rows, own_hh)
        if packet.flags & SHADOW:
            _follow(tables.hh, hh, own_hh, event)
            _follow(tables.hp, hp, own_hp, event)
            continue
        at = written * WIDTH
        _one_sided(tables, packet, event, out, at)
        interleave(out, at + 30, _two_sided(tables.hh, hh, own_hh, event))
        interleave(out, at + 65, jitter)
        interleave(out, at + 80, _two_sided(tables.hp, hp, own_hp, event))
        written += 1
    return written


@njit(cache=True)
def _seconds(time_ns):
    whole = time_ns // 1_000_000_000
    return np.float64(whole) + np.float64(time_ns - whole * 1_000_000_000) / 1e9


@njit(cache=True)
def _keys(packet):
    """Keys of the channel and of the socket pair."""
    flags = np.uint64(packet.flags)
    kinds = flags & np.uint64(15)
    source, target = np.uint64(packet.src_port), np.uint64(packet.dst_port)
    if flags & np.uint64(ARP):
        source = target = _ARP_PORT
    elif flags & np.uint64(ICMP):
        source = target = _ICMP_PORT
    ports = kinds | source << np.uint64(8) | target << np.uint64(32)
    channel = (packet.src_hi, packet.src_lo, packet.dst_hi, packet.dst_lo, kinds)
    return channel, (packet.src_hi, packet.src_lo, packet.dst_hi, packet.dst_lo, ports)


@njit(cache=True)
def _one_sided(tables, packet, event, out, at):
    """Columns 0 to 29: the source's streams, by MAC and address and by address alone."""
    kind = np.uint64(packet.flags) & np.uint64(3)
    key = (packet.src_hi, packet.src_lo, _NONE, packet.src_mac, kind | np.uint64(ADDRESS_MAC << 2))
    own = _insert(tables.mi, find_or_create(tables.mi, tag_of(tables.mi.secret, key), key, event.now), event)
    interleave(out, at, (own.weight, own.mean, own.variance))
    key = (packet.src_hi, packet.src_lo, _NONE, _NONE, kind)
    own = _insert(tables.h, find_or_create(tables.h, tag_of(tables.h.secret, key), key, event.now), event)
    interleave(out, at + 15, (own.weight, own.mean, own.variance))


@njit(cache=True)
def _faded(gap):
    """Share of each sum that is left after a time."""
    return exp2_lanes(constants(_FADING) * gap)


@njit(cache=True)
def _moments(weight, linear, squares):
    """Mean and variance from weight and sums."""
    mean = linear / weight
    square = squares / weight
    return mean, at_least(square - mean * mean - square * VARIANCE_FLOOR, 0.0)


@njit(cache=True)
def _insert(table, row, event):
    """Fade a stream to now and add the packet; a packet that comes late fades nothing."""
    rows, base = table.rows, row * table.book[WORDS]
    last = rows[base + LAST]
    gap = max(0.0, event.now - last)
    fade = _faded(gap)
    weight = load(rows, base + WEIGHT) * fade + 1.0
    linear = load(rows, base + LINEAR) * fade + event.value
    squares = load(rows, base + SQUARES) * fade + event.value * event.value
    store(rows, base + WEIGHT, weight)
    store(rows, base + LINEAR, linear)
    store(rows, base + SQUARES, squares)
    rows[base + LAST] = max(last, event.now)
    mean, variance = _moments(weight, linear, squares)
    return Own(base, gap, fade, weight, mean, variance)


@njit(cache=True)
def _jitter(rows, own):
    """Add the time since the channel's previous packet to its jitter: weight, mean, variance."""
    linear = load(rows, own.base + JITTER_LINEAR) * own.fade + own.gap
    squares = load(rows, own.base + JITTER_SQUARES) * own.fade + own.gap * own.gap
    store(rows, own.base + JITTER_LINEAR, linear)
    store(rows, own.base + JITTER_SQUARES, squares)
    mean, variance = _moments(own.weight, linear, squares)
    return own.weight, mean, variance


@njit(cache=True)
def _follow(table, row, own, event):
    """Residual and product sum: what a stream's opposite will read. Opposite's base, its fade, product sum."""
    rows = table.rows
    residual = event.value - own.mean
    store(rows, own.base + RESIDUAL, residual)
    link = np.int64(rows[own.base + LINK])
    if link == 0:
        return np.int64(-1), own.fade, own.fade
    other = (link - 1) * table.book[WORDS]
    gap = max(0.0, event.now - rows[other + LAST])
    fade = _faded(gap)
    nearer = own.fade if own.gap <= gap else fade
    at = min(row, link - 1) * LANES
    products = load(table.pairs, at) * nearer + residual * load(rows, other + RESIDUAL)
    store(table.pairs, at, products)
    return other, fade, products


@njit(cache=True)
def _two_sided(table, row, own, event):
    """Weight, mean, deviation, magnitude, radius, covariance and correlation of a stream against its opposite."""
    rows = table.rows
    other, fade, products = _follow(table, row, own, event)
    deviation = roots(own.variance)
    if other < 0:
        nothing = constants(_NOTHING)
        return own.weight, own.mean, deviation, roots(own.mean * own.mean), roots(own.variance * own.variance), nothing, nothing
    weight = load(rows, other + WEIGHT)
    mean, variance = _moments(weight, load(rows, other + LINEAR), load(rows, other + SQUARES))
    magnitude = roots(own.mean * own.mean + mean * mean)
    radius = roots(own.variance * own.variance + variance * variance)
    covariance = products / (own.weight + weight * fade)
    spread = deviation * roots(variance)
    correlation = zero_where_zero(at_least(at_most(covariance / spread, 1.0), -1.0), spread)
    return own.weight, own.mean, deviation, magnitude, radius, covariance, correlation
