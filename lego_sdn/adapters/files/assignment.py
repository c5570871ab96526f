"""Buckets as people write them, and files that say who owns which."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lego_sdn.adapters.files.outputs import replacing
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.text import whole_number

MOST = 4096  # buckets of any configuration


@dataclass(frozen=True)
class Assignment:
    """Of `buckets` buckets in all: instance, as text, -> its buckets; every bucket has one owner."""

    buckets: int
    by_owner: Mapping[str, list[int]]

    @property
    def owners(self) -> tuple[int, ...]:
        """Instance by bucket."""
        found = {bucket: int(owner) for owner, buckets in self.by_owner.items() for bucket in buckets}
        return tuple(found[bucket] for bucket in range(self.buckets))


def parse_buckets(words: Iterable[str]) -> list[int]:
    """ "0-3,8" and "12" as [0, 1, 2, 3, 8, 12], each once. LegoError names what is wrong."""
    found: dict[int, None] = {}
    for part in (part.strip() for word in words for part in word.split(",")):
        low, dash, high = part.partition("-")
        first, last = whole_number(low), whole_number(high if dash else low)
        if first is None or last is None:
            raise LegoError(f"{part!r} is no bucket and no range of buckets; wanted for example 0-31,40")
        if first > last or last >= MOST:
            raise LegoError(f"{part!r}: wanted a range that rises, of buckets below {MOST}")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def write_assignment(path: str | Path, owners: Iterable[int]) -> None:
    """LegoError if the file cannot be written."""
    by_owner: dict[str, list[int]] = {}
    listed = list(owners)
    for bucket, owner in enumerate(listed):
        by_owner.setdefault(str(owner), []).append(bucket)
    with replacing(path) as fresh:
        fresh.write_text(json.dumps({"buckets": len(listed), "assignment": by_owner}) + "\n")


def read_assignment(path: str | Path) -> Assignment:
    """LegoError if the file is none that `write_assignment` wrote."""
    try:
        data = json.loads(Path(path).read_text())
        assignment = Assignment(
            int(data["buckets"]), {str(int(owner)): [int(b) for b in buckets] for owner, buckets in data["assignment"].items()}
        )
    except OSError as error:
        raise LegoError(f"assignment {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise LegoError(f"{path} is no assignment: wanted what 'lego plan --out' writes ({type(error).__name__}: {error})") from error
    named = sorted(bucket for buckets in assignment.by_owner.values() for bucket in buckets)
    if named != list(range(assignment.buckets)):
        raise LegoError(f"{path} is no assignment: each of its {assignment.buckets} buckets must have one owner")
    return assignment
