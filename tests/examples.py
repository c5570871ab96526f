"""How many examples a property is tried with: all of them, or a share of them in the quick run (`--hypothesis-profile=quick`)."""

from __future__ import annotations

from hypothesis import settings

FULL, LEAST = 100, 5
settings.register_profile("quick", max_examples=FULL // 10)


def examples(count: int) -> int:
    """What a property takes of its `count` examples in this run."""
    return count if settings.default.max_examples >= FULL else max(LEAST, count * settings.default.max_examples // FULL)
