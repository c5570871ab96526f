"""Streams that leave and enter a table: whole records with their keys, so that another instance goes on with the same bits.

A record is float64 [8 + words + 5]: the head, with what of the rest counts in the place of its links; the body; the
product sum with the opposite stream.
"""

import numpy as np
from numba import njit

from bricks.kernels.streams.eviction import make_way
from bricks.kernels.streams.index import LOW, TAG_SHIFT
from bricks.kernels.streams.lanes import LANES
from bricks.kernels.streams.table import (
    FIRST,
    HEAD,
    LAST,
    LINKS,
    META,
    ONE_SIDED,
    USED,
    WEIGHT,
    WORDS,
    Table,
    create,
    dusk_of,
    embody,
    find,
    join,
    links,
    opposite_of,
    secret_of,
    tag_of,
)

Ends = tuple[int, ...]  # words of a head that hold the fields whose low bits are buckets
_HAS_BODY, _HAS_PRODUCTS = 1.0, 2.0


def record_words(table: Table) -> int:
    """Float64 of a record of this table."""
    return HEAD + int(table.book[WORDS]) + LANES


def _heads(table: Table) -> np.ndarray:
    return table.heads[: int(table.book[USED]) * HEAD].reshape(-1, HEAD)


def rows_with_end(table: Table, ends: Ends, chosen: np.ndarray, but: np.ndarray | None = None) -> np.ndarray:
    """Rows, int64, of the streams with an end in the chosen buckets, but for those with one in `but`."""
    heads = _heads(table)
    found = has_end(heads, ends, chosen)
    if but is not None:
        found &= ~has_end(heads, ends, but)
    return np.flatnonzero(found & ~np.isnan(heads[:, LAST]))


def has_end(heads: np.ndarray, ends: Ends, chosen: np.ndarray) -> np.ndarray:
    """bool [n]: whether a stream, by its head (or its whole record), has an end in the chosen buckets; without ends, it is of bucket 0."""
    keys, low = heads.view(np.uint64), np.uint64(len(chosen) - 1)
    found = np.full(len(heads), not ends and bool(chosen[0]))
    for word in ends:
        found |= chosen[keys[:, word] & low]
    return found


def buckets_of(table: Table, ends: Ends, buckets: int) -> list[np.ndarray]:
    """For each end of the streams, its bucket: int64 [streams] each; without ends, all are of bucket 0."""
    heads = _heads(table)
    keys = heads[~np.isnan(heads[:, LAST])].view(np.uint64)
    found = [(keys[:, word] & np.uint64(buckets - 1)).astype(np.int64) for word in ends]
    return found or [np.zeros(len(keys), np.int64)]


def records_of(table: Table, rows: np.ndarray) -> np.ndarray:
    """Copies of streams: records, float64 [n, record_words]."""
    words = int(table.book[WORDS])
    records = np.zeros((len(rows), record_words(table)))
    records[:, :HEAD] = _heads(table)[rows]
    both = records.view(np.uint64)[:, LINKS].copy()
    opposite, body = (both & LOW).astype(np.int64) - 1, (both >> TAG_SHIFT).astype(np.int64) - 1
    records[body >= 0, HEAD : HEAD + words] = table.bodies.reshape(-1, words)[body[body >= 0]]
    if words > ONE_SIDED:
        first = np.minimum(rows, opposite)[opposite >= 0]
        records[opposite >= 0, HEAD + words :] = table.pairs.reshape(-1, LANES)[first]
    records[:, LINKS] = (body >= 0) * _HAS_BODY + (opposite >= 0) * _HAS_PRODUCTS
    return records


@njit(cache=True)
def put_into(table, records, keys):
    """Take records in, but for those whose key is held already; returns how many. The index must have room for them.

    `keys` is the same memory as `records`, as uint64.
    """
    taken = 0
    for i in range(len(records)):
        key = (keys[i, 0], keys[i, 1], keys[i, 2], keys[i, 3], keys[i, META])
        tag = tag_of(secret_of(table), key)
        if find(table, tag, key) < 0:
            make_way(table)
            row = create(table, tag, key, (records[i, FIRST], records[i, LAST]))
            _complete(table, row, key, records[i])
            taken += 1
    return taken


@njit(cache=True)
def _complete(table, row, key, record):
    """Give a new row the body, opposite and product sum of its record."""
    words = table.book[WORDS]
    if record[LINKS] == _HAS_BODY or record[LINKS] == _HAS_BODY + _HAS_PRODUCTS:
        body = embody(table, row)
        for word in range(words):
            table.bodies[body * words + word] = record[HEAD + word]
        table.dusk[row] = dusk_of(record[LAST], record[HEAD + WEIGHT + LANES - 1])
    if words == ONE_SIDED:
        return
    opposite = opposite_of(key)
    join(table, row, opposite, tag_of(secret_of(table), opposite))
    other = links(table, row)[0]
    if other >= 0 and record[LINKS] >= _HAS_PRODUCTS:
        for lane in range(LANES):
            table.pairs[min(row, other) * LANES + lane] = record[HEAD + words + lane]
