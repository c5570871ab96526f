"""Which features are exact under the configured split, as the NF's extractor declares it: for REST, and for the operator at the start."""

from __future__ import annotations

from bricks.nfs.registry import load
from lego_sdn.core.config import Config
from lego_sdn.core.granularity import algorithm_1, split_plan


def changed_features(config: Config) -> tuple[str, ...]:
    """Features that a split as configured may change: with shadows those that no header field can keep exact, else all that need copies."""
    extractor = load(config.nf).extractor(config.layout)
    plans = [split_plan(extractor, group) for group in algorithm_1(extractor.groups)]
    kept = set.intersection(*(set(plan.exact if config.exact else plan.alone) for plan in plans)) if plans else set()
    return tuple(feature.name for feature in extractor.features if feature.name not in kept)


def warning(config: Config) -> str | None:
    """What the operator should know at the start; None if scores are promised to be those of the unsplit run."""
    changed = changed_features(config)
    if not changed:
        return None
    groups: dict[str, int] = {}
    for name in changed:
        group = name.rsplit("_", 2)[0]
        groups[group] = groups.get(group, 0) + 1
    kinds = ", ".join(f"{count} of {group}" for group, count in groups.items())
    why = "no header field leads to what they read" if config.exact else "exact is false: no shadows are sent and no state moves"
    return f"{len(changed)} features may differ from those of an unsplit run ({kinds}), since {why}; GET granularity names them"
