"""The policies that a configuration may name (`scaling.policy`); `adapters/files/plugins.py` adds those of a user's own."""

from __future__ import annotations

from lego_sdn.core.facts.config import KeyProblem, ScalingSettings
from lego_sdn.core.policy.base import Policy, WaterMarks
from lego_sdn.core.policy.bricks import Bricks
from lego_sdn.core.policy.predictive import Predictive

POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (WaterMarks, Bricks, Predictive)}


def policy(scaling: ScalingSettings) -> Policy:
    """The policy that the configuration names. Raises KeyProblem if there is none of that name."""
    if scaling.policy not in POLICIES:
        raise KeyProblem("scaling.policy", f"one of {', '.join(sorted(POLICIES))}, or a package.module:Class", scaling.policy)
    return POLICIES[scaling.policy](scaling)
