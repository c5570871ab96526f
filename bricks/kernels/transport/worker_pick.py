"""Picking out of a block what concerns one worker; see `bricks.offline.parallel`."""

import numpy as np
from numba import njit

from bricks.records.packets import SHADOW

BATCH = 512  # scored rows of a chunk: what passes through the chain of bricks while it is in the cache


@njit(cache=True)
def pick(packets, owner, target, me, rows, places, ends):
    """Copy to `rows` the packets from and to sources of worker `me`, those from others marked as shadows. Returns (rows, of these scored).

    places[k]: where in the block the k-th of the scored rows is; ends[k]: the number of rows up to the last of the scored ones that
    make up chunks 0 to k, of BATCH each.
    """
    copied = scored = 0
    for at in range(len(packets)):
        if owner[at] == me or target[at] == me:
            rows[copied] = packets[at]
            if owner[at] != me:
                rows[copied]["flags"] |= np.uint32(SHADOW)
            copied += 1
            if rows[copied - 1]["flags"] & np.uint32(SHADOW) == 0:
                places[scored] = at
                ends[scored // BATCH] = copied
                scored += 1
    return copied, scored
