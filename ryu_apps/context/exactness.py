"""Which features are exact under the configured split, as the NF's extractor declares it: for REST, and for the operator at the start."""

from __future__ import annotations

from bricks.nfs.registry import load
from lego_sdn.core.facts.config import Config
from lego_sdn.core.nf.split_key import SplitKey, configured_key


def key_of(config: Config) -> SplitKey:
    """The split key that is carried out."""
    return configured_key(load(config.nf).extractor(config.layout), config)


def changed_features(config: Config) -> tuple[str, ...]:
    """Features that a split as configured may change."""
    return key_of(config).inexact


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
    why = "since exact is false: no shadows are sent and no state moves"
    return f"{len(changed)} features may differ from those of an unsplit run ({kinds}), {why}; GET granularity names them"
