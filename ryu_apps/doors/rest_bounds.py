"""What REST takes from a request: every number, text and body within bounds, or refused with the key that is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lego_sdn.core.control.events import Command
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.section import whole
from lego_sdn.core.facts.text import printable, shown

MOST_INSTANCES = 999
LONGEST_TEXT = 100  # characters of a name in a command, and of what an answer repeats of a request
MOST_DIGITS = 19
_IS_INSTANCE = whole(1, MOST_INSTANCES)

# command -> keys of its body: (name, wanted)
COMMANDS: dict[str, frozenset[str]] = {
    "replicate": frozenset({"instance", "brick"}),
    "merge": frozenset({"instance", "brick"}),
    "move": frozenset({"buckets", "instance", "assignment"}),
    "pause": frozenset(),
    "resume": frozenset(),
}


class RestRefused(LegoError):
    """A request that is not answered; `status` is HTTP's."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error = status, error


def command(name: str, body: Mapping[str, Any], most_buckets: int) -> Command:
    """The command that a request's body describes. Raises Refused (400), naming the key that is wrong."""
    wrong = sorted(set(body) - COMMANDS[name])
    if wrong:
        known = ", ".join(sorted(COMMANDS[name])) or "none"
        raise RestRefused(400, "bad request", f"{name} has no key {shown(wrong[0])}; its keys: {known}")
    instance, buckets, brick = body.get("instance"), body.get("buckets", []), body.get("brick")
    if instance is not None and not _IS_INSTANCE(instance):
        raise RestRefused(400, "bad request", f"instance: wanted a number from 1 to {MOST_INSTANCES}, found {shown(instance)}")
    if not _are_buckets(buckets, most_buckets):
        raise RestRefused(400, "bad request", f"buckets: wanted a list of numbers from 0 to {most_buckets - 1}, found {shown(buckets)}")
    if brick is not None and not _is_text(brick):
        wanted = f"a kind to replicate, or the id of a replica to merge (ASCII, at most {LONGEST_TEXT} characters)"
        raise RestRefused(400, "bad request", f"brick: wanted {wanted}, found {shown(brick)}")
    if name == "replicate" and instance is not None and brick is None:
        raise RestRefused(400, "bad request", "replicate wants the kind of a brick along with an instance")
    assignment = _assignment(body.get("assignment", {}), most_buckets)
    if name == "move" and (instance is None or not buckets) == (not assignment):
        raise RestRefused(
            400, "bad request", 'move wants {"buckets": [numbers], "instance": number}, or {"assignment": {instance: [numbers]}}'
        )
    return Command(name, instance, tuple(buckets), brick, assignment)


def _assignment(given: Any, most_buckets: int) -> tuple[tuple[int, int], ...]:
    """(bucket, new owner), of a map from instances to buckets; no bucket twice."""
    fits = isinstance(given, dict) and all(_is_instance(owner) and _are_buckets(buckets, most_buckets) for owner, buckets in given.items())
    if not fits:
        wanted = f"a map from instances (1 to {MOST_INSTANCES}) to lists of buckets (0 to {most_buckets - 1})"
        raise RestRefused(400, "bad request", f"assignment: wanted {wanted}, found {shown(given)}")
    pairs = [(bucket, int(owner)) for owner, buckets in given.items() for bucket in buckets]
    if len(dict(pairs)) != len(pairs):
        raise RestRefused(400, "bad request", "assignment: a bucket is given to two instances, or twice")
    return tuple(sorted(pairs))


def _is_instance(written: str) -> bool:
    return written.isascii() and written.isdecimal() and len(written) <= MOST_DIGITS and 1 <= int(written) <= MOST_INSTANCES


def _are_buckets(value: Any, most_buckets: int) -> bool:
    return isinstance(value, list) and all(map(whole(0, most_buckets - 1), value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isascii() and value.isprintable()


def body_of(request) -> dict[str, Any]:
    if not request.body.strip():
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise RestRefused(400, "bad request", f"the body is no JSON that can be read: {printable(str(error), LONGEST_TEXT)}") from error
    if not isinstance(body, dict):
        raise RestRefused(400, "bad request", "the body is no JSON object")
    return body


def query_of(request) -> Mapping[str, str]:
    try:
        return dict(request.GET)
    except UnicodeError:
        raise RestRefused(400, "bad request", "the query is no UTF-8") from None


def whole_of(query: Mapping[str, str], key: str, default: int, most: int) -> int:
    written = query.get(key, str(default))
    if not (written.isascii() and written.isdecimal() and len(written) <= MOST_DIGITS and int(written) <= most):
        raise RestRefused(400, "bad request", f"{key}: wanted a whole number up to {most}, found {shown(written)}")
    return int(written)
