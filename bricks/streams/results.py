"""Results of a packet: what each keyed node takes of a batch where they divide packets by keys of their own.

The switch delivers a packet once for each result: as an own packet for the first, as a copy for the second, also to one instance. So the
packets of a result go where its state is, and nobody else takes them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bricks.records.brick import Batch
from bricks.records.packets import RESULT_MASK, RESULT_SHIFT, SHADOW
from lego_sdn.core.nf.split_key import SplitKey

Pick = Callable[[Batch], Batch]


def pick_for(node: str, key: SplitKey) -> Pick | None:
    """What goes from the source to a keyed node: the packets of its result, none of them a shadow. None: all that comes."""
    if node not in key.results:
        return None
    number = key.results.index(node)

    def pick(batch: Batch) -> Batch:
        rows = batch.head
        rows = rows[(rows["flags"] & SHADOW != 0) == bool(number)] if key.apart else rows.copy()
        rows["flags"] = rows["flags"] & ~np.uint32(SHADOW) | np.uint32(number << RESULT_SHIFT)
        return Batch(rows)

    return pick


def result_of(flags: np.ndarray) -> np.ndarray:
    """The number of the result that each row is, int64 [rows]; 0 where a packet has one."""
    return (flags >> np.uint32(RESULT_SHIFT) & np.uint32(RESULT_MASK)).astype(np.int64)
