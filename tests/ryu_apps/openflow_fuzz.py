"""Gives Ryu's own parsers mutated messages by way of the door, as a process of its own: Ryu brings eventlet along.

Ends with code 0 and a count, or is ended by an alarm in the middle of the message that took too long, which it has named.
"""

from __future__ import annotations

import random
import signal
import struct
import sys
import time
import warnings
from collections.abc import Iterator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ryu.ofproto import ofproto_protocol

    from ryu_apps.doors import openflow_door
from lego_sdn.core.facts.lengths import MalformedError
from tests.ryu_apps.openflow_messages import SOUND

LIMIT_S = 0.5  # of CPU, for one message of at most 65,535 bytes
LENGTHS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 255, 4096, 0x7FFF, 0x8000, 0xFFFF)
INFLATED = 60_000


class Datapath(ofproto_protocol.ProtocolDesc):
    """As much of one as parsers ask for."""


def every_length(data: bytes) -> Iterator[bytes]:
    """Each two bytes of a message, those that are lengths among them, as each length."""
    for at in range(8, len(data) - 1, 2):
        for length in LENGTHS:
            yield data[:at] + struct.pack("!H", length) + data[at + 2 :]


def at_random(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, or the end cut, or lengthened; the header tells the truth."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if len(changed) > 8:
            changed[rng.randrange(8, len(changed))] = rng.choice((0, 0, 1, 4, 8, 255, rng.randrange(256)))
    cut = changed[: rng.randint(8, len(changed))] if rng.random() < 0.3 else changed
    if rng.random() < 0.05:
        cut += bytes(INFLATED - len(cut)) if rng.random() < 0.5 else cut[8:] * ((INFLATED - len(cut)) // max(1, len(cut) - 8))
    struct.pack_into("!H", cut, 2, len(cut))
    return bytes(cut)


def give(name: str, data: bytes, counts: dict[str, int]) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        openflow_door.parsed(Datapath(5), data)
        counts["read"] += 1
    except MalformedError:
        counts["malformed"] += 1
    except Exception:
        counts["beyond Ryu"] += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main(seed: int, seconds: float) -> None:
    openflow_door.OpenFlowDoor(None, None).install()  # type: ignore[arg-type]  # nobody connects
    current = ["nothing", b""]

    def too_long(*_: object) -> None:
        sys.stderr.write(f"{current[0]} took more than {LIMIT_S} s of CPU: {current[1].hex()[:4000]}\n")
        sys.exit(1)

    signal.signal(signal.SIGVTALRM, too_long)
    rng, counts, begun = random.Random(seed), {"read": 0, "malformed": 0, "beyond Ryu": 0}, time.monotonic()
    for name, data in SOUND.items():
        assert openflow_door.parsed(Datapath(5), data) is not None, name
        for mutated in every_length(data):
            current[:] = name, mutated
            give(name, mutated, counts)
    while time.monotonic() - begun < seconds:
        name = rng.choice(list(SOUND))
        current[:] = name, at_random(SOUND[name], rng)
        give(name, current[1], counts)
    print(counts)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
