"""The policies that a configuration may name (`scaling.policy`)."""

from __future__ import annotations

from lego_sdn.core.brick_policy import Bricks
from lego_sdn.core.config import KeyProblem, Scaling
from lego_sdn.core.predictive_policy import Predictive
from lego_sdn.core.scaling import Policy, WaterMarks

POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (WaterMarks, Bricks, Predictive)}


def add(name: str, made: type[Policy]) -> None:
    """Make one more known, before anything is decided: the core itself imports nothing that a configuration names."""
    POLICIES[name] = made


def policy(scaling: Scaling) -> Policy:
    """The policy that the configuration names. Raises KeyProblem if there is none of that name."""
    if scaling.policy not in POLICIES:
        raise KeyProblem("scaling.policy", f"one of {', '.join(sorted(POLICIES))}, or package.module:Class", scaling.policy)
    return POLICIES[scaling.policy](scaling)
