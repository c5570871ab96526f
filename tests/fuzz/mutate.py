"""Mutations of bytes, all from one seed: bits, numbers of extreme value, pieces repeated, removed, exchanged, words of the format."""

from __future__ import annotations

import random

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
LONGEST = 1 << 17


def mutated(rng: random.Random, corpus: list[bytes], words: tuple[bytes, ...] = ()) -> bytes:
    """One of the corpus with one to eight changes."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        rng.choice(CHANGES)(rng, data)
        if words and rng.random() < 0.5:
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 0, 1, 4))] = rng.choice(words) * rng.choice((1, 1, 1, 2, 50))
        if not data:
            data += b"\0"
    return bytes(data[:LONGEST])


def _bit(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _number(rng: random.Random, data: bytearray) -> None:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice((rng.choice(EDGES), rng.getrandbits(64))) & (1 << 8 * size) - 1
    at = rng.randrange(len(data))
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _remove(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 4, 60))]


def _repeat(rng: random.Random, data: bytearray) -> None:
    at, size = rng.randrange(len(data)), rng.choice((1, 8, 100))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 30))


def _exchange(rng: random.Random, data: bytearray) -> None:
    first, second, size = rng.randrange(len(data)), rng.randrange(len(data)), rng.choice((1, 4, 16))
    data[first : first + size], data[second : second + size] = data[second : second + size], data[first : first + size]


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]
    if not data:
        data += b"\0"


CHANGES = (_bit, _bit, _number, _number, _remove, _repeat, _exchange, _cut)
