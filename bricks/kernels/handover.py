"""Streams that leave and enter a table: whole records with their keys, so that another instance goes on with the same bits."""

import numpy as np
from numba import njit

from bricks.kernels.lanes import LANES
from bricks.kernels.streams import LAST, LINK, META, ONE_SIDED, USED, WEIGHT, WORDS, Table, create, drop, find, tag_of
from lego_sdn.core.errors import BrickError

SOURCE, TARGET = 1, 3  # words of a record that hold the low words of its addresses


def table_of_buckets(buckets: frozenset[int], of: int) -> np.ndarray:
    """bool [of]: which buckets are meant. `of` is a power of two."""
    if of < 1 or of & (of - 1) or not all(0 <= bucket < of for bucket in buckets):
        raise BrickError(f"buckets {sorted(buckets)} of {of}: the number of buckets must be a power of two and above each of them")
    chosen = np.zeros(of, np.bool_)
    chosen[list(buckets)] = True
    return chosen


def selected(table: Table, chosen: np.ndarray) -> np.ndarray:
    """Rows, int64, of the streams with an end in the chosen buckets; of a one-sided stream the source is the only end."""
    words = int(table.book[WORDS])
    records = table.rows[: int(table.book[USED]) * words].reshape(-1, words)
    keys, low = records.view(np.uint64), np.uint64(len(chosen) - 1)
    ends = chosen[keys[:, SOURCE] & low]
    if words > ONE_SIDED:
        ends |= chosen[keys[:, TARGET] & low]
    return np.flatnonzero(ends & (records[:, WEIGHT] > 0.0))


def taken_from(table: Table, rows: np.ndarray) -> np.ndarray:
    """Copies of records, float64 [n, words + 5]: the last five are the product sum; the link word says whether it counts."""
    words = int(table.book[WORDS])
    records = table.rows[: int(table.book[USED]) * words].reshape(-1, words)[rows]
    products = np.zeros((len(rows), LANES))
    linked = records[:, LINK] > 0
    first = np.minimum(rows[linked], records[linked, LINK].astype(np.int64) - 1)
    if len(first):
        products[linked] = table.pairs[: int(table.book[USED]) * LANES].reshape(-1, LANES)[first]
    records[:, LINK] = linked
    return np.concatenate([records, products], axis=1)


@njit(cache=True)
def put_into(table, records, keys):
    """Take records in, but for those whose key is held already; returns how many. The index must have room for them.

    `keys` is the same memory as `records`, as uint64.
    """
    words, taken = table.book[WORDS], 0
    for i in range(len(records)):
        key = (keys[i, 0], keys[i, 1], keys[i, 2], keys[i, 3], keys[i, META])
        tag = tag_of(table.secret, key)
        if find(table, tag, key) >= 0:
            continue
        taken += 1
        row = create(table, tag, key, records[i, LAST])
        base = row * words
        for word in range(WEIGHT, words):
            table.rows[base + word] = records[i, word]
        other = np.int64(table.rows[base + LINK]) - 1
        if other >= 0 and records[i, LINK] > 0.0:
            for lane in range(LANES):
                table.pairs[min(row, other) * LANES + lane] = records[i, words + lane]
    return taken


@njit(cache=True)
def forget(table, rows):
    """Drop these rows."""
    for row in rows:
        drop(table, row)
