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

from bricks.kernels.eviction import make_way
from bricks.kernels.index import LOW, prefetch
from bricks.kernels.lanes import LANES, at_least, at_most, constants, exp2_lanes, interleave, load, roots, store, zero_where_zero
from bricks.kernels.streams import (
    FIRST,
    HEAD,
    LAST,
    LINEAR,
    ONE_SIDED,
    RESIDUAL,
    SQUARES,
    TWO_SIDED,
    WEIGHT,
    WORDS,
    Table,
    create,
    embody,
    find,
    join,
    links,
    new_secret,
    new_table,
    opposite_of,
    secret_of,
    tag_of,
    with_room,
)
from bricks.packets import ADDRESS_MAC, ARP, ICMP, SHADOW

LAMBDAS = (5.0, 3.0, 1.0, 0.1, 0.01)
WIDTH = 115
VARIANCE_FLOOR = 1e-10  # of the mean square: below it, a variance is rounding noise

CHANNEL_WORDS = TWO_SIDED + 2 * LANES  # a channel's body ends with the linear and squared sum of its jitter
JITTER_LINEAR, JITTER_SQUARES = TWO_SIDED, TWO_SIDED + LANES

_FADING = tuple(-rate for rate in LAMBDAS)
_ZEROS, _ONES = (0.0,) * LANES, (1.0,) * LANES
_ARP_PORT, _ICMP_PORT = np.uint64(0x10001), np.uint64(0x10002)
_NONE = np.uint64(0)

_AHEAD = 8  # packets by which memory is asked for before it is needed

# Inlined by force: a call would count references to every array of the table that it is given.
inlined = njit(cache=True, forceinline=True)


class Tables(NamedTuple):
    """All streams of one extractor."""

    mi: Table
    h: Table
    hh: Table
    hp: Table


class Event(NamedTuple):
    """What every stream of a packet takes in."""

    value: float  # bytes on the wire
    now: float  # epoch seconds


class Own(NamedTuple):
    """A stream after a packet: where it is, how long it had faded, and what it holds (lanes)."""

    row: int
    body: int  # place in `bodies`, -1 after the first packet
    gap: float
    fade: float
    weight: float
    mean: float
    variance: float


def new_tables(streams: int) -> Tables:
    """Empty tables of at most `streams` streams each."""
    secret = new_secret()
    return Tables(*(new_table(streams, words, secret) for words in (ONE_SIDED, ONE_SIDED, CHANNEL_WORDS, TWO_SIDED)))


def make_room(tables: Tables, packets: int) -> Tables:
    """The same tables, ready for as many packets, each of which may bring a new stream to each."""
    return Tables(*(with_room(table, packets) for table in tables))


@njit(cache=True)
def advance(packets, tables, out):
    """Take packets in, in order; write the statistics of those that are no shadows to the flat array `out`.

    Returns the number of packets written, 115 float64 each.
    """
    tags, written = _tags(packets, tables), 0
    for i in range(len(packets)):
        _look_ahead(tables, tags, i)
        packet, tag = packets[i], tags[i]
        event = Event(np.float64(packet.length), _seconds(packet.time_ns))
        channel, socket = _pair_keys(packet)
        own_hh = _two_sided(tables.hh, (tag[0], tag[2]), channel, event)
        own_hp = _two_sided(tables.hp, (tag[1], tag[3]), socket, event)
        jitter = _jitter(tables.hh, own_hh)
        if packet.flags & SHADOW:
            _follow(tables.hh, own_hh, event)
            _follow(tables.hp, own_hp, event)
            continue
        at = written * WIDTH
        by_mac, by_address = _source_keys(packet)
        own_mi = _one_sided(tables.mi, tag[4], by_mac, event)
        own_h = _one_sided(tables.h, tag[5], by_address, event)
        interleave(out, at, (own_mi.weight, own_mi.mean, own_mi.variance))
        interleave(out, at + 15, (own_h.weight, own_h.mean, own_h.variance))
        interleave(out, at + 30, _against_opposite(tables.hh, own_hh, event))
        interleave(out, at + 65, jitter)
        interleave(out, at + 80, _against_opposite(tables.hp, own_hp, event))
        written += 1
    return written


@njit(cache=True)
def _tags(packets, tables):
    """Hashes of each packet's channel, socket, their opposites, and its two sources; uint64 [n, 6]."""
    secret = secret_of(tables.hh)
    tags = np.empty((len(packets), 6), np.uint64)
    for i in range(len(packets)):
        channel, socket = _pair_keys(packets[i])
        by_mac, by_address = _source_keys(packets[i])
        tags[i, 0], tags[i, 1] = tag_of(secret, channel), tag_of(secret, socket)
        tags[i, 2], tags[i, 3] = tag_of(secret, opposite_of(channel)), tag_of(secret, opposite_of(socket))
        tags[i, 4], tags[i, 5] = tag_of(secret, by_mac), tag_of(secret, by_address)
    return tags


@inlined
def _look_ahead(tables, tags, i):
    """Ask for the index slots of a later packet, and for the heads of a nearer one."""
    later, nearer = min(i + _AHEAD, len(tags) - 1), min(i + _AHEAD // 2, len(tags) - 1)
    _ask_slot(tables.hh, tags[later, 0])
    _ask_slot(tables.hp, tags[later, 1])
    _ask_slot(tables.hh, tags[later, 2])
    _ask_slot(tables.hp, tags[later, 3])
    _ask_slot(tables.mi, tags[later, 4])
    _ask_slot(tables.h, tags[later, 5])
    _ask_head(tables.hh, tags[nearer, 0])
    _ask_head(tables.hp, tags[nearer, 1])
    _ask_head(tables.mi, tags[nearer, 4])
    _ask_head(tables.h, tags[nearer, 5])


@inlined
def _ask_slot(table, tag):
    prefetch(table.index, np.int64(tag & np.uint64(len(table.index) - 1)))


@inlined
def _ask_head(table, tag):
    entry = table.index[tag & np.uint64(len(table.index) - 1)]
    prefetch(table.heads, (np.int64(entry & LOW) - 1) * HEAD)


@njit(cache=True)
def _seconds(time_ns):
    whole = time_ns // 1_000_000_000
    return np.float64(whole) + np.float64(time_ns - whole * 1_000_000_000) / 1e9


@inlined
def _pair_keys(packet):
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


@inlined
def _source_keys(packet):
    """Keys of the source by MAC and address, and by address alone."""
    kind = np.uint64(packet.flags) & np.uint64(3)
    by_mac = (packet.src_hi, packet.src_lo, _NONE, packet.src_mac, kind | np.uint64(ADDRESS_MAC << 2))
    return by_mac, (packet.src_hi, packet.src_lo, _NONE, _NONE, kind)


@inlined
def _one_sided(table, tag, key, event):
    row = find(table, tag, key)
    if row >= 0:
        return _insert(table, row, event)
    make_way(table, event.now)
    return _begin(create(table, tag, key, event), event)


@inlined
def _two_sided(table, tag, key, event):
    row = find(table, tag[0], key)
    if row >= 0:
        own = _insert(table, row, event)
        store(table.bodies, own.body + RESIDUAL, event.value - own.mean)
        return own
    make_way(table, event.now)
    row = create(table, tag[0], key, event)
    join(table, row, opposite_of(key), tag[1])
    return _begin(row, event)


@inlined
def _faded(gap):
    """Share of each sum that is left after a time."""
    return exp2_lanes(constants(_FADING) * gap)


@inlined
def _moments(weight, linear, squares):
    """Mean and variance from weight and sums."""
    mean = linear / weight
    square = squares / weight
    return mean, at_least(square - mean * mean - square * VARIANCE_FLOOR, 0.0)


@inlined
def _begin(row, event):
    """A stream after its first packet."""
    one, nothing = constants(_ONES), constants(_ZEROS)
    return Own(row, np.int64(-1), 0.0, one, one, one * event.value, nothing)


@inlined
def _insert(table, row, event):
    """Fade a stream to now and add the packet; a packet that comes late fades nothing."""
    bodies, head, body = table.bodies, row * HEAD, links(table, row)[1]
    if body < 0:
        body = embody(table, row)
    base, last = body * table.book[WORDS], table.heads[head + LAST]
    gap = max(0.0, event.now - last)
    fade = _faded(gap)
    weight = load(bodies, base + WEIGHT) * fade + 1.0
    linear = load(bodies, base + LINEAR) * fade + event.value
    squares = load(bodies, base + SQUARES) * fade + event.value * event.value
    store(bodies, base + WEIGHT, weight)
    store(bodies, base + LINEAR, linear)
    store(bodies, base + SQUARES, squares)
    table.heads[head + LAST] = max(last, event.now)
    mean, variance = _moments(weight, linear, squares)
    return Own(row, base, gap, fade, weight, mean, variance)


@inlined
def _jitter(table, own):
    """Add the time since the channel's previous packet to its jitter: weight, mean, variance."""
    if own.body < 0:
        nothing = constants(_ZEROS)
        return own.weight, nothing, nothing
    linear = load(table.bodies, own.body + JITTER_LINEAR) * own.fade + own.gap
    squares = load(table.bodies, own.body + JITTER_SQUARES) * own.fade + own.gap * own.gap
    store(table.bodies, own.body + JITTER_LINEAR, linear)
    store(table.bodies, own.body + JITTER_SQUARES, squares)
    mean, variance = _moments(own.weight, linear, squares)
    return own.weight, mean, variance


@inlined
def _held(table, row):
    """What a stream holds, not faded: weight, linear sum, squared sum, residual."""
    body, one = links(table, row)[1], constants(_ONES)
    if body < 0:
        first = table.heads[row * HEAD + FIRST]
        return one, one * first, one * (first * first), constants(_ZEROS)
    at = body * table.book[WORDS]
    bodies = table.bodies
    return load(bodies, at + WEIGHT), load(bodies, at + LINEAR), load(bodies, at + SQUARES), load(bodies, at + RESIDUAL)


@inlined
def _follow(table, own, event):
    """Bring the product sum of a stream and its opposite up to date: opposite row or -1, its fade, product sum."""
    other = links(table, own.row)[0]
    if other < 0:
        return other, own.fade, own.fade
    gap = max(0.0, event.now - table.heads[other * HEAD + LAST])
    fade = _faded(gap)
    nearer = own.fade if own.gap <= gap else fade
    at = min(own.row, other) * LANES
    products = load(table.pairs, at) * nearer + (event.value - own.mean) * _held(table, other)[3]
    store(table.pairs, at, products)
    return other, fade, products


@inlined
def _against_opposite(table, own, event):
    """Weight, mean, deviation, magnitude, radius, covariance and correlation of a stream against its opposite."""
    other, fade, products = _follow(table, own, event)
    deviation = roots(own.variance)
    if other < 0:
        nothing = constants(_ZEROS)
        return own.weight, own.mean, deviation, roots(own.mean * own.mean), roots(own.variance * own.variance), nothing, nothing
    weight, linear, squares, _ = _held(table, other)
    mean, variance = _moments(weight, linear, squares)
    magnitude = roots(own.mean * own.mean + mean * mean)
    radius = roots(own.variance * own.variance + variance * variance)
    covariance = products / (own.weight + weight * fade)
    spread = deviation * roots(variance)
    correlation = zero_where_zero(at_least(at_most(covariance / spread, 1.0), -1.0), spread)
    return own.weight, own.mean, deviation, magnitude, radius, covariance, correlation
