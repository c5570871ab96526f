"""Whatever the bytes are, the parser neither fails nor looks beyond the captured ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bricks.kernels.parse.ethernet import LINKS, parse_frame, parse_link
from bricks.records.packets import HIDDEN, HIDDEN_MASK, HIDDEN_SHIFT, NO_PORT, PACKET
from tests.bricks.odd import FRAMES
from tests.examples import examples

GUARD = 300  # bytes on each side: more than the longest header that a damaged length can claim in one step
NAMES = sorted(FRAMES)


def mutations(count: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        frame = bytearray(FRAMES[NAMES[rng.integers(len(NAMES))]])
        for _ in range(rng.integers(1, 5)):
            frame[rng.integers(len(frame))] = rng.choice([0, 255, rng.integers(256)])
        frames.append(bytes(frame[: rng.integers(len(frame) + 1)]) if rng.random() < 0.5 else bytes(frame))
    return frames


def parse_within(frame: bytes, poison: np.ndarray, link: int) -> tuple:
    """The record of a frame that lies between guard bytes."""
    buffer = np.concatenate([poison[:GUARD], np.frombuffer(frame, np.uint8), poison[GUARD:]])
    out = np.zeros(3, PACKET)
    before = out.copy()
    parse_link(buffer, GUARD, len(frame), len(frame), link, out, 1)
    assert out[0] == before[0]
    assert out[2] == before[2]
    return out[1].tolist()


@pytest.mark.slow
def test_what_lies_around_a_frame_has_no_influence():
    rng = np.random.default_rng(7)
    poisons = [np.zeros(2 * GUARD, np.uint8), np.full(2 * GUARD, 255, np.uint8), rng.integers(0, 256, 2 * GUARD, np.uint8)]
    poisons.append(np.frombuffer((FRAMES["unreachable"] * 20)[: 2 * GUARD], np.uint8))
    links = sorted(LINKS)
    for i, frame in enumerate(mutations(6000, seed=11)):
        link = 1 if i % 4 else links[i // 4 % len(links)]
        records = {parse_within(frame, poison, link) for poison in poisons}
        assert len(records) == 1, (link, frame.hex())


@pytest.mark.slow
def test_every_cut_of_every_frame_ignores_what_was_cut_off():
    for frame in FRAMES.values():
        for cut in range(len(frame)):
            rows = np.zeros(2, PACKET)
            whole, alone = np.frombuffer(frame, np.uint8), np.frombuffer(frame[:cut] + b"\xa5" * len(frame), np.uint8)
            parse_frame(whole, 0, cut, len(frame), rows, 0)
            parse_frame(alone, 0, cut, len(frame), rows, 1)
            assert rows[0] == rows[1]


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=120), st.sampled_from(sorted(LINKS)))
def test_any_bytes_give_a_record_of_the_agreed_form(frame, link):
    record = dict(zip(PACKET.names, parse_within(frame, np.zeros(2 * GUARD, np.uint8), link), strict=True))
    assert record["length"] == len(frame)
    assert max(record["src_port"], record["dst_port"]) <= NO_PORT
    assert record["flags"] >> HIDDEN_SHIFT & HIDDEN_MASK < len(HIDDEN)
    for side, shift in (("src", 0), ("dst", 2)):
        kind, high, low = record["flags"] >> shift & 3, record[f"{side}_hi"], record[f"{side}_lo"]
        assert kind == 2 or high == 0
        assert low < {0: 1, 1: 1 << 32, 2: 1 << 64, 3: 1 << 48}[kind]
