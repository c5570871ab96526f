"""The features of Doshi's classifiers (2018), one row a packet: what a device, a source address, sends, and to whom.

Columns: length on the wire (bytes); interval since the device's packet before, its first and second difference (seconds); 1 if TCP; 1 if
UDP; and within the window so far: bytes, number of destinations, and that number less the one of the window before. Windows are
floor(time / 10 s) of absolute time. Everything follows from the packets of one device alone.

Devices and (device, destination) pairs are rows of two tables, found by hash; the secret words keep anybody from making addresses collide.
"""

from typing import NamedTuple

import numpy as np

from bricks.kernels.jit import compiled
from bricks.kernels.streams.table import tag_of
from bricks.records.packets import BYTE_MASK, DST_KIND_SHIFT, KIND_MASK, PROTOCOL_SHIFT, SHADOW, SRC_KIND_SHIFT, TYPED

WINDOW_NS = 10_000_000_000
NS = 1e9
TCP, UDP = 6, 17
WIDTH, STATELESS = 9, 6  # columns; of the window there are none among the first six

DEVICE = np.dtype(
    [
        *(("hi", "<u8"), ("lo", "<u8"), ("kind", "<u8"), ("last", "<i8"), ("interval", "<i8"), ("change", "<i8")),  # nanoseconds
        *(("window", "<i8"), ("octets", "<i8"), ("destinations", "<i8"), ("before", "<i8")),
    ]
)
PAIR = np.dtype([("hi", "<u8"), ("lo", "<u8"), ("to_hi", "<u8"), ("to_lo", "<u8"), ("kinds", "<u8"), ("window", "<i8")])

DEVICES, PAIRS, UNKEPT = 0, 1, 2  # in the book: rows in use; pairs that found no room


class DeviceTables(NamedTuple):
    """devices DEVICE [capacity], pairs PAIR [their own]; index of each: int32 [a power of two], row + 1 or 0; secret uint64 [4]"""

    devices: np.ndarray
    device_index: np.ndarray
    pairs: np.ndarray
    pair_index: np.ndarray
    book: np.ndarray
    secret: np.ndarray


@compiled
def _device_key(hi, lo, kind):
    return np.uint64(hi), np.uint64(lo), np.uint64(0), np.uint64(0), np.uint64(kind)


@compiled
def _secret(tables):
    secret = tables.secret
    return secret[0], secret[1], secret[2], secret[3]


@compiled
def find_device(tables, key):
    """(place in the index, row or -1) of a device: the first of the key's place on that is its own, or empty."""
    index, devices = tables.device_index, tables.devices
    at = np.int64(tag_of(_secret(tables), key)) & (len(index) - 1)
    while index[at] != 0:
        row = index[at] - 1
        one = devices[row]
        if one.lo == key[1] and one.hi == key[0] and one.kind == key[4]:
            return at, row
        at = (at + 1) & (len(index) - 1)
    return at, -1


@compiled
def find_pair(tables, key):
    """The same of a (device, destination) pair."""
    index, pairs = tables.pair_index, tables.pairs
    at = np.int64(tag_of(_secret(tables), key)) & (len(index) - 1)
    while index[at] != 0:
        row = index[at] - 1
        one = pairs[row]
        if one.to_lo == key[3] and one.lo == key[1] and one.to_hi == key[2] and one.hi == key[0] and one.kinds == key[4]:
            return at, row
        at = (at + 1) & (len(index) - 1)
    return at, -1


@compiled
def _is_new_pair(tables, key, window):
    """Whether the device has not sent to this destination in the window; from now on it has. Without room it counts as known."""
    at, row = find_pair(tables, key)
    book = tables.book
    if row >= 0:
        known = tables.pairs[row].window == window
        tables.pairs[row].window = window
        return not known
    if book[PAIRS] == len(tables.pairs):
        book[UNKEPT] += 1
        return False
    row = book[PAIRS]
    book[PAIRS] += 1
    tables.pair_index[at] = row + 1
    one = tables.pairs[row]
    one.hi, one.lo, one.to_hi, one.to_lo, one.kinds, one.window = key[0], key[1], key[2], key[3], key[4], window
    return True


@compiled
def _new_device(tables, at, key, time_ns, window):
    """A row for a device at its place in the index; there is room."""
    row = tables.book[DEVICES]
    tables.book[DEVICES] += 1
    tables.device_index[at] = row + 1
    one = tables.devices[row]
    one.hi, one.lo, one.kind, one.last, one.window = key[0], key[1], key[4], time_ns, window
    one.interval = one.change = one.octets = one.destinations = one.before = 0
    return row


@compiled
def advance(packets, tables, width, out):
    """Take PACKET rows in, of which there is room for each one's device; returns how many rows of `out`, float64 [n, width], are written.

    A packet that is late, of a window before, counts in the device's window.
    """
    written = 0
    for number in range(len(packets)):
        packet = packets[number]
        flags, time_ns = np.int64(packet.flags), packet.time_ns
        window = time_ns // WINDOW_NS
        kind, to_kind = flags >> SRC_KIND_SHIFT & KIND_MASK, flags >> DST_KIND_SHIFT & KIND_MASK
        key = _device_key(packet.src_hi, packet.src_lo, kind)
        at, row = find_device(tables, key)
        if row < 0:
            row = _new_device(tables, at, key, time_ns, window)
        one = tables.devices[row]
        if window > one.window:
            one.before = one.destinations if window == one.window + 1 else 0
            one.window, one.octets, one.destinations = window, 0, 0
        interval = time_ns - one.last
        change = interval - one.interval
        second = change - one.change
        one.last, one.interval, one.change = time_ns, interval, change
        one.octets += packet.length
        if width > STATELESS:
            pair = (key[0], key[1], np.uint64(packet.dst_hi), np.uint64(packet.dst_lo), np.uint64(kind << 2 | to_kind))
            if _is_new_pair(tables, pair, one.window):
                one.destinations += 1
        if flags & SHADOW:
            continue
        protocol = -1 if flags & TYPED else flags >> PROTOCOL_SHIFT & BYTE_MASK
        out[written, 0] = packet.length
        out[written, 1], out[written, 2], out[written, 3] = interval / NS, change / NS, second / NS
        out[written, 4] = 1.0 if protocol == TCP else 0.0
        out[written, 5] = 1.0 if protocol == UDP else 0.0
        if width > STATELESS:
            out[written, 6], out[written, 7], out[written, 8] = one.octets, one.destinations, one.destinations - one.before
        written += 1
    return written


@compiled
def enter_all(tables):
    """Fill both indices, which are empty, from the rows in use."""
    for row in range(tables.book[DEVICES]):
        one = tables.devices[row]
        at, _ = find_device(tables, _device_key(one.hi, one.lo, one.kind))
        tables.device_index[at] = row + 1
    for row in range(tables.book[PAIRS]):
        one = tables.pairs[row]
        at, _ = find_pair(tables, (one.hi, one.lo, one.to_hi, one.to_lo, one.kinds))
        tables.pair_index[at] = row + 1


@compiled
def mark_current(tables, current):
    """current[row] = whether a pair is of the window that its device, which is there, is in: bool [pairs in use]."""
    for row in range(tables.book[PAIRS]):
        one = tables.pairs[row]
        _, device = find_device(tables, _device_key(one.hi, one.lo, one.kinds >> np.uint64(2)))
        current[row] = device >= 0 and tables.devices[device].window == one.window
