"""`python -m tests.fuzz [--inputs N] [--seed S] [TARGET...]`: N mutated inputs in all; exit code 1 with the input at the first fault."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROUND = 1000  # inputs of one target between two lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    each = -(-asked.inputs // len(asked.targets))
    for name in asked.targets:
        with tempfile.TemporaryDirectory(prefix="lf", dir="/dev/shm") as folder:
            if not played(name, Path(folder), each, asked.seed):
                return 1
    return 0


def played(name: str, folder: Path, inputs: int, seed: int) -> bool:
    """Whether no input of this target is a fault."""
    target, began, refused = TARGETS[name](folder), time.monotonic(), 0
    for first in range(0, inputs, ROUND):
        rng = random.Random(f"{seed} {name} {first}")
        try:
            refused += target.run(rng, min(ROUND, inputs - first))
        except AssertionError as fault:
            print(f"{name}, seed {seed}, round {first}: {fault}", file=sys.stderr)
            return False
    target.close()
    print(f"{name}: {inputs} inputs, {refused} refused, no fault, {time.monotonic() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
