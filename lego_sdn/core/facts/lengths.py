"""Elements of a binary message that state their own length: each covers at least its header, and ends within what encloses it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from lego_sdn.core.facts.errors import LegoError

EXPERIMENTER = 0xFFFF  # the type of an element that OpenFlow does not define
Check = Callable[[bytes, int, int], None]  # data, start, end; raises MalformedError
Body = Callable[[bytes, int, int, int], None]  # data, start, end, type


class MalformedError(LegoError):
    """A message of a switch cannot be what it claims to be."""


def room(what: str, at: int, wanted: int, end: int) -> None:
    if at + wanted > end:
        raise MalformedError(f"{what} at byte {at} wants {wanted} bytes, and {max(0, end - at)} are left")


def chain(what: str, header: int, body: Body | None = None, length_at: int = 0, pad: int = 1, most: int = 65535) -> Check:
    """Elements one behind the other, each of which states its length at `length_at`; `body` gets data, start, end and type of each."""

    def check_all(data: bytes, at: int, end: int) -> None:
        while at < end:
            room(what, at, header, end)
            (length,) = struct.unpack_from("!H", data, at + length_at)
            if not header <= length <= most:
                raise MalformedError(f"{what} at byte {at} states {length} bytes; possible are {header} to {most}")
            room(what, at, length, end)
            if body is not None:
                body(data, at, at + length, struct.unpack_from("!H", data, at)[0])
            at += -(-length // pad) * pad

    return check_all


def then(header: int, inner: Check) -> Body:
    """The body of an element that is a header and elements of another sort."""
    return lambda data, at, end, _: inner(data, at + header, end)


def every(what: str, size: int) -> Check:
    """Elements that all have `size` bytes."""

    def check_all(data: bytes, at: int, end: int) -> None:
        if (end - at) % size:
            raise MalformedError(f"{what} at byte {at} have {size} bytes each, and {end - at} are left")

    return check_all


def one(what: str, size: int) -> Check:
    """Exactly one element of `size` bytes."""

    def check_it(data: bytes, at: int, end: int) -> None:
        if end - at != size:
            raise MalformedError(f"{what} at byte {at} has {size} bytes, and {end - at} are left")

    return check_it


def properties(what: str, least: Mapping[int, int], inner: Mapping[int, Check] | None = None) -> Check:
    """Properties, padded to 8 bytes. `least`: bytes by type; `inner`: what a type consists of after its header."""

    def body(data: bytes, at: int, end: int, kind: int) -> None:
        room(f"{what} of type {kind}", at, least.get(kind, 4), end)
        if inner and kind in inner:
            inner[kind](data, at + 4, end)

    return chain(what, 4, body, length_at=2, pad=8)
