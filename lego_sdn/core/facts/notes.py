"""What is told of the system, for its log and `GET events`: frozen types with fields, which programs read; a text, which people read.

Where nothing decides on what is told, `Notice` carries a sentence. A value that a program or a test reads is a field of a type of its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from lego_sdn.core.facts.text import WORD_BITS, printable

Kind = Literal[
    # changes, when they begin and when they end
    "replicate",
    "merge",
    "separate",
    "chain",
    "quota",
    "rebalance",
    "move",
    # instances and their bricks
    "started",
    "stop",
    "stopped",
    "failed",
    "adopted",
    "unfinished",
    "deadlines",
    "memory",
    "standby",
    # buckets and scores
    "moved",
    "inexact",
    "audit",
    # what the manager and the operator decide
    "advice",
    "refused",
    "pause",
    "sla",
    # the switch, the agent, the host, the controller's file
    "switch",
    "repair",
    "foreign",
    "agent",
    "host",
    "store",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
APART = ("instance", "sentence")  # attributes of a note that `fields` leaves out
LARGEST = 2**WORD_BITS - 1  # stands for any number beyond it
INSTANCES = 2**31  # no instance has this number, or a higher one


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was decided or that happened. Its texts are printable and bounded, its instance is None or can be one's number.

    A type has one kind, `class One(Note, kind="failed")`, or its own `kind`. ValueError if that is none of `KINDS`.
    """

    _kind: ClassVar[Kind | None] = None
    instance: int | None = field(default=None, kw_only=True)

    def __init_subclass__(cls, kind: Kind | None = None) -> None:
        if kind is not None:  # a dataclass with slots is made twice, the second time without it
            cls._kind = kind

    def __post_init__(self) -> None:
        """Whatever it tells of, it can be kept and shown."""
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of event; there are {', '.join(sorted(KINDS))}")
        for one in dataclasses.fields(self):
            object.__setattr__(self, one.name, _bounded(getattr(self, one.name)))
        if self.instance is not None and not 0 <= self.instance < INSTANCES:
            object.__setattr__(self, "instance", None)

    @property
    def kind(self) -> Kind:
        assert self._kind is not None, f"{self.type} has no kind"
        return self._kind

    @property
    def type(self) -> str:
        """The name of its type, as `GET events` gives it."""
        return self.__class__.__name__

    @property
    def text(self) -> str:
        """For people: on one line, bounded."""
        return printable(self._words())

    def fields(self) -> dict[str, Any]:
        """For programs: name -> plain value, of what this type tells besides kind and instance."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in APART}

    def _words(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Notice(Note):
    """What is only shown: a sentence."""

    about: Kind
    sentence: str

    @property
    def kind(self) -> Kind:
        return self.about

    def fields(self) -> dict[str, Any]:
        return {}

    def _words(self) -> str:
        return self.sentence


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, int) and value.bit_length() > WORD_BITS:
        return LARGEST
    return tuple(map(_bounded, value)) if isinstance(value, tuple) else value
