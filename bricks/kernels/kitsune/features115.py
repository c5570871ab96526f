"""The 115 Kitsune statistics of each packet in O(1), whatever the number of peers.

A packet touches one stream of each table: source MAC and address (mi), source address (h), channel (hh), socket (hp); and
reads the opposite of the last two.
"""

from typing import NamedTuple

import numpy as np

from bricks.kernels.jit import compiled, inlined
from bricks.kernels.streams.damped import CHANNEL_WORDS, Event, against_opposite, follow, jitter, one_sided, two_sided
from bricks.kernels.streams.index import LOW, TAG_SHIFT, prefetch
from bricks.kernels.streams.lanes import interleave
from bricks.kernels.streams.table import HEAD, ONE_SIDED, TWO_SIDED, Table, new_secret, new_table, opposite_of, secret_of, tag_of
from bricks.records.packets import ADDRESS_MAC, ARP, ICMP, SHADOW

WIDTH = 115
BLOCK = 512  # packets that `advance` takes at most
KINDS = ("mi", "h", "hh", "hp")

_ARP_PORT, _ICMP_PORT = np.uint64(0x10001), np.uint64(0x10002)
_NONE = np.uint64(0)
_AHEAD = 8  # packets by which memory is asked for before it is needed


class Tables115(NamedTuple):
    """All streams of one extractor."""

    mi: Table
    h: Table
    hh: Table
    hp: Table
    tags: np.ndarray  # uint64 [BLOCK, 6]: memory for the hashes of a block of packets


def new_tables(streams: int) -> Tables115:
    """Empty tables of at most `streams` streams each."""
    secret = new_secret()
    words = (ONE_SIDED, ONE_SIDED, CHANNEL_WORDS, TWO_SIDED)
    return Tables115(*(new_table(streams, body, secret) for body in words), np.empty((BLOCK, 6), np.uint64))


def make_room(tables: Tables115, packets: int) -> Tables115:
    """The same tables: they have room for all that they may hold."""
    return tables


@compiled
def advance(packets, tables, out):
    """Take up to BLOCK packets in, in order; write the statistics of those that are no shadows to the flat array `out`.

    Returns the number of packets written, 115 float64 each.
    """
    tags, written = tables.tags, 0
    _hash(packets, tables)
    for i in range(len(packets)):
        _look_ahead(tables, i, len(packets) - 1)
        packet, tag = packets[i], tags[i]
        event = Event(np.float64(packet.length), _seconds(packet.time_ns))
        channel, socket = _pair_keys(packet)
        own_hh = two_sided(tables.hh, (tag[0], tag[2]), channel, event)
        own_hp = two_sided(tables.hp, (tag[1], tag[3]), socket, event)
        gaps = jitter(tables.hh, own_hh)
        if packet.flags & SHADOW:
            follow(tables.hh, own_hh, event)
            follow(tables.hp, own_hp, event)
            continue
        at = written * WIDTH
        by_mac, by_address = _source_keys(packet)
        own_mi = one_sided(tables.mi, tag[4], by_mac, event)
        own_h = one_sided(tables.h, tag[5], by_address, event)
        interleave(out, at, (own_mi.weight, own_mi.mean, own_mi.variance))
        interleave(out, at + 15, (own_h.weight, own_h.mean, own_h.variance))
        interleave(out, at + 30, against_opposite(tables.hh, own_hh, event))
        interleave(out, at + 65, gaps)
        interleave(out, at + 80, against_opposite(tables.hp, own_hp, event))
        written += 1
    return written


@compiled
def _hash(packets, tables):
    """Hashes of each packet's channel, socket, their opposites, and its two sources."""
    secret, tags = secret_of(tables.hh), tables.tags
    for i in range(len(packets)):
        channel, socket = _pair_keys(packets[i])
        by_mac, by_address = _source_keys(packets[i])
        tags[i, 0], tags[i, 1] = tag_of(secret, channel), tag_of(secret, socket)
        tags[i, 2], tags[i, 3] = tag_of(secret, opposite_of(channel)), tag_of(secret, opposite_of(socket))
        tags[i, 4], tags[i, 5] = tag_of(secret, by_mac), tag_of(secret, by_address)


@inlined
def _look_ahead(tables, i, last):
    """Ask for the index slots of a later packet, and for the heads of a nearer one."""
    tags, later, nearer = tables.tags, min(i + _AHEAD, last), min(i + _AHEAD // 2, last)
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
    if entry >> TAG_SHIFT == tag:  # else the key is new, most likely
        prefetch(table.heads, (np.int64(entry & LOW) - 1) * HEAD)


@compiled
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
