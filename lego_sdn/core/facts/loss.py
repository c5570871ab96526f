"""Warnings that tell that a result is partial."""

from __future__ import annotations

from collections.abc import Iterable


class LossWarning(str):
    """A sentence that tells which packets of a capture are not in the result. Other warnings leave the result whole."""

    __slots__ = ()


def is_partial(warnings: Iterable[str]) -> bool:
    """Whether one of the warnings tells of a loss."""
    return any(isinstance(warning, LossWarning) for warning in warnings)
