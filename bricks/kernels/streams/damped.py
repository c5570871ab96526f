"""Damped statistics of streams and of pairs of opposite streams, five lambdas at a time (Kitsune paper, section IV-B).

Three identities save work without touching a bit of the result: the jitter of a channel has the channel's weight and last
time, and the value it takes in is the time by which the channel is faded; a pair of opposite streams was last updated when the
later of the two was, so its fade is the nearer one's; and the product sum of a pair is 0 until both directions exist.
"""

from typing import NamedTuple

from bricks.kernels.jit import inlined
from bricks.kernels.streams.eviction import make_way
from bricks.kernels.streams.lanes import LANES, at_least, at_most, constants, exp2_lanes, load, roots, store, zero_where_zero
from bricks.kernels.streams.table import (
    FIRST,
    HEAD,
    LAST,
    LINEAR,
    RESIDUAL,
    SQUARES,
    TWO_SIDED,
    WEIGHT,
    WORDS,
    create,
    dusk_of,
    embody,
    find,
    join,
    links,
    opposite_of,
)

LAMBDAS = (5.0, 3.0, 1.0, 0.1, 0.01)
VARIANCE_FLOOR = 1e-10  # of the mean square: below it, a variance is rounding noise

CHANNEL_WORDS = TWO_SIDED + 2 * LANES  # a channel's body ends with the linear and squared sum of its jitter
JITTER_LINEAR, JITTER_SQUARES = TWO_SIDED, TWO_SIDED + LANES

_FADING = tuple(-rate for rate in LAMBDAS)
_ZEROS, _ONES = (0.0,) * LANES, (1.0,) * LANES


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


@inlined
def one_sided(table, tag, key, event):
    """Add a packet to a stream that has no opposite."""
    row = find(table, tag, key)
    if row >= 0:
        return _insert(table, row, event)
    make_way(table)
    return _begin(create(table, tag, key, event), event)


@inlined
def two_sided(table, tag, key, event):
    """Add a packet to a stream that may have an opposite; `tag` is the hash of its key and that of the opposite key."""
    row = find(table, tag[0], key)
    if row >= 0:
        own = _insert(table, row, event)
        store(table.bodies, own.body + RESIDUAL, event.value - own.mean)
        return own
    make_way(table)
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
    return Own(row, -1, 0.0, one, one, one * event.value, nothing)


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
    table.dusk[row] = dusk_of(max(last, event.now), bodies[base + WEIGHT + LANES - 1])
    mean, variance = _moments(weight, linear, squares)
    return Own(row, base, gap, fade, weight, mean, variance)


@inlined
def jitter(table, own):
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
def follow(table, own, event):
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
def against_opposite(table, own, event):
    """Weight, mean, deviation, magnitude, radius, covariance and correlation of a stream against its opposite."""
    other, fade, products = follow(table, own, event)
    nothing = constants(_ZEROS)
    if other < 0 and own.body < 0:  # what a scan or a flood is made of; sqrt(x * x) is x
        return own.weight, own.mean, nothing, own.mean, nothing, nothing, nothing
    deviation = roots(own.variance)
    if other < 0:
        return own.weight, own.mean, deviation, roots(own.mean * own.mean), roots(own.variance * own.variance), nothing, nothing
    weight, linear, squares, _ = _held(table, other)
    mean, variance = _moments(weight, linear, squares)
    magnitude = roots(own.mean * own.mean + mean * mean)
    radius = roots(own.variance * own.variance + variance * variance)
    covariance = products / (own.weight + weight * fade)
    spread = deviation * roots(variance)
    correlation = zero_where_zero(at_least(at_most(covariance / spread, 1.0), -1.0), spread)
    return own.weight, own.mean, deviation, magnitude, radius, covariance, correlation
