"""Who gets which packet by a split key: what the switch's rules say (`core/traffic/rule_compiler.py`), on PACKET rows."""

from __future__ import annotations

import numpy as np

from bricks.records.packets import SHADOW, bucket_of
from lego_sdn.core.nf.split_key import SplitKey


def assign(rows: np.ndarray, table: np.ndarray, key: SplitKey) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """What `table` [buckets] says of each row's own bucket, and of that of each of its copies: arrays [rows] of the table's type."""
    owner, *copies = (table[bucket_of(rows, len(table), fields)] for fields in key.sides)
    return owner, tuple(copies)


def is_owned(rows: np.ndarray, chosen: np.ndarray, key: SplitKey) -> np.ndarray:
    """bool [rows]: whether the own bucket is one of `chosen`, bool [buckets]."""
    owned: np.ndarray = chosen[bucket_of(rows, len(chosen), key.own)]
    return owned


def is_copied(rows: np.ndarray, chosen: np.ndarray, key: SplitKey) -> np.ndarray:
    """bool [rows]: whether a copy, if it is sent, goes to one of the `chosen` buckets, bool [buckets]."""
    found = np.zeros(len(rows), np.bool_)
    for fields in key.shadows:
        found |= chosen[bucket_of(rows, len(chosen), fields)]
    return found


def owned_by_result(rows: np.ndarray, chosen: np.ndarray, key: SplitKey) -> np.ndarray:
    """bool [rows], where `key.apart`: whether the bucket of a row's own result is one of `chosen`, bool [buckets]."""
    first, second = (chosen[bucket_of(rows, len(chosen), fields)] for fields in key.sides)
    return np.where(rows["flags"] & SHADOW == 0, first, second)
