"""The 100 statistics of the public Python implementation of Kitsune, its quirks and its bits included.

A host's packets move every pair that the host has ever been in, in the order in which they met, and fade the peers; so a packet
costs as much as its source has peers. Times, keys and the order of operations are those of the public code; powers are the C
library's, as in Python. Most pairs of a host were last moved at the same time: the fade of a time is computed once and kept.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from bricks.kernels.exponent import float_bits
from bricks.kernels.streams.lanes import LANES, interleave, load, store
from bricks.kernels.streams.named_streams import (
    LAST,
    LINEAR,
    MEAN,
    NEXT,
    PAIR_VALUES,
    PAIR_WEIGHT,
    PRODUCTS,
    RESIDUAL,
    SQUARES,
    VALUES,
    VARIANCE,
    WEIGHT,
    StreamGroup,
    create,
    find,
    link,
    make_way,
    new_group,
    with_room,
)
from bricks.kernels.streams.names import BY_MAC, CHANNEL, NAME, NAMES, SOURCE, SOURCE_SOCKET, TARGET, TARGET_SOCKET, write_names
from bricks.records.packets import SHADOW

WIDTH = 100
BLOCK = 512  # packets between two looks at the room in the indexes
# Inlined by force: a call would count references to every array that it is given.
inlined = njit(cache=True, forceinline=True)

LAMBDAS = (5.0, 3.0, 1.0, 0.1, 0.01)
_SLOTS = 1024  # fades that are kept
_FADE = LANES + 1  # float64 of a kept fade: the time, the five factors


KINDS = {"mi": False, "hh": True, "jit": False, "hp": True}  # and whether there are pairs


class Scratch(NamedTuple):
    """Memory of the computation that is no state: it never changes a result."""

    text: np.ndarray  # uint8 [6, 96]: the names of a packet
    fades: np.ndarray  # float64 [1024 * 6]
    two: np.ndarray  # float64 [1]: a 2 that the compiler does not see, lest it put something else for the power


class Tables100(NamedTuple):
    """All streams and pairs of one extractor."""

    mi: StreamGroup
    hh: StreamGroup
    jit: StreamGroup
    hp: StreamGroup
    scratch: Scratch


def new_tables(streams: int) -> Tables100:
    """Empty tables of at most `streams` streams and as many pairs each."""
    scratch = Scratch(np.zeros((NAMES, NAME), np.uint8), np.full(_SLOTS * _FADE, np.nan), np.array([2.0]))
    return Tables100(*(new_group(streams, paired) for paired in KINDS.values()), scratch)


def make_room(tables: Tables100, packets: int) -> Tables100:
    """The same tables, ready for as many packets, each of which may bring two new streams to each."""
    return tables._replace(**{kind: with_room(getattr(tables, kind), 2 * packets) for kind in KINDS})


class NamedEvent(NamedTuple):
    """What every stream of a packet takes in."""

    value: float  # bytes on the wire
    now: float  # epoch seconds
    scratch: Scratch


@njit(cache=True)
def advance(packets, tables, out):
    """Take packets in, in order; write the statistics of those that are no shadows to the flat array `out`.

    Returns the number of packets written, 100 float64 each.
    """
    written, scratch = 0, tables.scratch
    for i in range(len(packets)):
        packet = packets[i]
        whole = packet.time_ns // 1_000_000_000
        now = np.float64(whole) + np.float64(packet.time_ns - whole * 1_000_000_000) / 1e9
        event = NamedEvent(np.float64(packet.length), now, scratch)
        scratch.text[:] = 0
        write_names(packet, scratch.text)
        names = scratch.text.view(np.uint64)
        channel = _exchange(tables.hh, (names[SOURCE], names[TARGET]), packet, event)
        socket = _exchange(tables.hp, (names[SOURCE_SOCKET], names[TARGET_SOCKET]), packet, event)
        if packet.flags & SHADOW:
            continue
        at = written * WIDTH
        _write_single(tables.mi, _single(tables.mi, names[BY_MAC], packet.src_lo, event), out, at)
        _write_double(tables.hh, channel, scratch.two[0], (out, at + 15))
        _write_single(tables.jit, _gap(tables.jit, names[CHANNEL], packet.src_lo, event), out, at + 50)
        _write_double(tables.hp, socket, scratch.two[0], (out, at + 65))
        written += 1
    return written


@inlined
def _fade(scratch, gap):
    """Lanes 2**(-lambda gap), gap > 0, from those kept where there."""
    fades = scratch.fades
    at = ((np.uint64(float_bits(gap)) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(54)) * np.uint64(_FADE)
    if fades[at] != gap:
        fades[at] = gap
        for lane in range(LANES):
            fades[at + np.uint64(1 + lane)] = math.pow(scratch.two[0], -LAMBDAS[lane] * gap)
    return load(fades, np.int64(at) + 1)


@inlined
def _decay(values, at, now, scratch):
    """Fade a stream to now, unless it has been later already."""
    gap = now - values[at + LAST]
    if gap > 0.0:
        fade = _fade(scratch, gap)
        for what in (WEIGHT, LINEAR, SQUARES):
            store(values, at + what, load(values, at + what) * fade)
        values[at + LAST] = now


@njit(cache=True)
def _insert(group, row, event):
    """Add a value to a stream, and keep the mean and variance of this moment."""
    values, at, two = group.streams.values, row * VALUES, event.scratch.two[0]
    _decay(values, at, event.now, event.scratch)
    store(values, at + WEIGHT, load(values, at + WEIGHT) + 1.0)
    store(values, at + LINEAR, load(values, at + LINEAR) + event.value)
    store(values, at + SQUARES, load(values, at + SQUARES) + math.pow(event.value, two))
    for lane in range(at, at + LANES):
        mean = values[lane + LINEAR] / values[lane + WEIGHT]
        values[lane + MEAN] = mean
        values[lane + VARIANCE] = abs(values[lane + SQUARES] / values[lane + WEIGHT] - math.pow(mean, two))


@njit(cache=True)
def _single(group, name, low, event):
    """Add a packet to a stream without pairs; its row."""
    make_way(group, event.now)
    row = find(group.streams, name)
    if row < 0:
        row = create(group, name, low, event.now)
    _insert(group, row, event)
    return row


@njit(cache=True)
def _gap(group, name, low, event):
    """Add the time since a stream's last packet, 0 for the first one and for one that comes late; its row."""
    row = find(group.streams, name)
    gap = 0.0 if row < 0 else max(0.0, event.now - group.streams.values[row * VALUES + LAST])
    return _single(group, name, low, NamedEvent(gap, event.now, event.scratch))


@njit(cache=True)
def _exchange(group, names, packet, event):
    """Add a packet to its source and move all pairs of the source, and that with its target once more; source and pair."""
    make_way(group, event.now)
    source = find(group.streams, names[0])
    if source < 0:
        source = create(group, names[0], packet.src_lo, event.now)
    target = find(group.streams, names[1])
    _insert(group, source, event)
    pair = _move_all(group, source, target, event)
    if pair < 0:
        if target < 0:
            target = create(group, names[1], packet.dst_lo, event.now)
        pair = link(group, source, target, event.now)
    _move(group, pair, source, event)
    return source, pair


@njit(cache=True)
def _move_all(group, source, target, event):
    """Move every pair of a stream; the first one with the target, or -1. To itself: the first one, whoever its peer is."""
    ends = group.pairs.ends
    found, node = np.int64(-1), group.streams.lists[source, 0]
    while node >= 0:
        pair = node >> 1
        if found < 0 and (ends[pair, 0] == target or ends[pair, 1] == target):
            found = pair
        _move(group, pair, source, event)
        node = ends[pair, NEXT + (node & 1)]
    return found


@inlined
def _move(group, pair, source, event):
    """Fade a pair and the peer of the source, and add the product of the source's residual and the peer's last one."""
    streams, pairs = group
    values, at, now = pairs.values, pair * PAIR_VALUES, event.now
    side = 0 if pairs.ends[pair, 0] == source else 1
    _decay(streams.values, pairs.ends[pair, 1 - side] * VALUES, now, event.scratch)
    products, weight = load(values, at + PRODUCTS), load(values, at + PAIR_WEIGHT)
    gap = now - values[at + LAST]
    if gap > 0.0:
        fade = _fade(event.scratch, gap)
        products, weight = products * fade, weight * fade
        values[at + LAST] = now
    residual = event.value - load(streams.values, source * VALUES + MEAN)
    store(values, at + PRODUCTS, products + residual * load(values, at + RESIDUAL + LANES * (1 - side)))
    store(values, at + PAIR_WEIGHT, weight + 1.0)
    store(values, at + RESIDUAL + LANES * side, residual)


@njit(cache=True)
def _write_single(group, row, out, at):
    """Weight, mean, variance of each lambda."""
    values, base = group.streams.values, row * VALUES
    interleave(out, at, (load(values, base + WEIGHT), load(values, base + MEAN), load(values, base + VARIANCE)))


@njit(cache=True)
def _write_double(group, which, two, to):
    """Weight, mean, variance, radius, magnitude, covariance, correlation of each lambda."""
    values, ends, products = group.streams.values, group.pairs.ends[which[1]], group.pairs.values
    base, one, other, pair = which[0] * VALUES, ends[0] * VALUES, ends[1] * VALUES, which[1] * PAIR_VALUES
    out, at = to
    for lane in range(LANES):
        place = at + 7 * lane
        out[place] = values[base + WEIGHT + lane]
        out[place + 1] = values[base + MEAN + lane]
        out[place + 2] = values[base + VARIANCE + lane]
        mine, theirs = values[one + VARIANCE + lane], values[other + VARIANCE + lane]
        out[place + 3] = math.sqrt(math.pow(mine, two) + math.pow(theirs, two))
        out[place + 4] = math.sqrt(math.pow(values[one + MEAN + lane], two) + math.pow(values[other + MEAN + lane], two))
        covariance = products[pair + PRODUCTS + lane] / products[pair + PAIR_WEIGHT + lane]
        spread = math.sqrt(mine) * math.sqrt(theirs)
        out[place + 5] = covariance
        out[place + 6] = covariance / spread if spread != 0.0 else 0.0
