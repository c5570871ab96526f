"""How many examples a property is tried with: all of them, or a share of them in the quick run (`--hypothesis-profile=quick`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

FULL, LEAST = 100, 5
settings.register_profile("quick", max_examples=FULL // 10)


def examples(count: int) -> int:
    """What a property takes of its `count` examples in this run."""
    return count if settings.default.max_examples >= FULL else max(LEAST, count * settings.default.max_examples // FULL)


def few_in_quick(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """Parameters of a test, of which the quick run takes the first `count`; the others are marked slow."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*value, marks=() if at < count else pytest.mark.slow) for at, value in enumerate(values)]
