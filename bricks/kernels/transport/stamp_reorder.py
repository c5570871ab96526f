"""Rows into the order of their stamps again, when they come at most a little out of it."""

import numpy as np
from numba import njit

from bricks.records.packets import PACKET

WORDS = PACKET.itemsize // 8  # a row as uint64, of which the first is `seq`
# state: one more than the last stamp given out; the highest that came; rows given out of order; how many of these one after the other
NEXT, HIGHEST, LATE, RUN = 0, 1, 2, 3
APART = 4  # 1: a stamp may come twice, so that the next one is not known to be the next
STATE = 5
RESTART = 64  # so many late rows in a row show that the highest stamp was none of theirs: the order begins anew with them


@njit(cache=True)
def settle(rows, arrived, held, total, now_ns, limits, state, out):
    """Sort rows[held:total] into rows[:held], which are sorted; move to `out` what need not wait. Returns how many rows that are.

    rows     uint64 [capacity, WORDS]; what stays is moved to the front
    arrived  int64 [capacity], nanoseconds: when each row was read; `now_ns` for the new ones
    limits   (reach, patience_ns): a row waits until one with a stamp `reach` higher came, or `patience_ns` passed, or it is the next
             (where each comes once)
    state    int64 [STATE]
    """
    reach, patience_ns = limits
    for i in range(held, total):
        arrived[i] = now_ns
        state[HIGHEST] = max(state[HIGHEST], np.int64(rows[i, 0]))
        _sink(rows, arrived, i)
    given = 0
    while given < total and given < len(out):
        stamp = np.int64(rows[given, 0])
        if (stamp > state[NEXT] or state[APART]) and stamp > state[HIGHEST] - reach and now_ns - arrived[given] < patience_ns:
            break
        late = stamp < state[NEXT] - 1
        state[LATE] += late
        state[RUN] = state[RUN] + 1 if late else 0
        if state[RUN] >= RESTART:
            state[NEXT], state[HIGHEST], state[RUN] = stamp, np.int64(rows[total - 1, 0]), 0
        state[NEXT] = max(state[NEXT], stamp + 1)
        out[given] = rows[given]
        given += 1
    if given:
        for i in range(given, total):
            rows[i - given] = rows[i]
            arrived[i - given] = arrived[i]
    return given


@njit(cache=True)
def _sink(rows, arrived, i):
    """Row i to its place among those before it; behind those with the same stamp."""
    while i > 0 and np.int64(rows[i - 1, 0]) > np.int64(rows[i, 0]):
        for word in range(WORDS):
            rows[i - 1, word], rows[i, word] = rows[i, word], rows[i - 1, word]
        arrived[i - 1], arrived[i] = arrived[i], arrived[i - 1]
        i -= 1
