"""CPU quotas within an instance: they always add up to what the instance was given with its processes.

A process brings a quota when it starts; re-allocation moves CPU from one process to another. Stopping a process removes exactly the quota
it was started with: CPU that it had borrowed returns to the lenders, and CPU that it had lent is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping

LEAST = 0.01  # cores: no host keeps a smaller quota
EXACT = 1e-9

Quotas = Mapping[str, float | None]  # cores by process; None: no limit


def settled(quotas: Quotas, given: Quotas) -> dict[str, float]:
    """Quotas by process so that they add up to what these processes were given: each is as large a part of what all have above `LEAST` as
    before. Processes without a quota are left out."""
    limited = {name: quota for name, quota in quotas.items() if quota is not None and given.get(name) is not None}
    total, has = sum(given[name] or 0.0 for name in limited), sum(limited.values())
    above = has - LEAST * len(limited)
    if abs(total - has) <= EXACT:
        return limited
    if above <= EXACT:
        return {name: given[name] or 0.0 for name in limited}
    scale = (total - LEAST * len(limited)) / above
    return {name: LEAST + (quota - LEAST) * scale for name, quota in limited.items()}


def regiven(quotas: Quotas, told: Quotas, given: Quotas) -> dict[str, float | None]:
    """What counts as given once some were told new quotas: as before, if CPU only went from one to another; else what they have then."""
    before, after = ([some.get(name) for name in told] for some in (quotas, told))
    if None not in before and None not in after and abs(_sum(before) - _sum(after)) <= EXACT:
        return dict(given)
    return {**quotas, **told}


def _sum(cores: list[float | None]) -> float:
    return sum(one for one in cores if one is not None)
