"""`python -m tests.fuzz [--inputs N] [--seed S] [TARGET...]`: N mutated inputs in all; exit code 1 with the input at the first fault."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time

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
        target, began, refused = TARGETS[name](), time.monotonic(), 0
        for first in range(0, each, ROUND):
            rng = random.Random(f"{asked.seed} {name} {first}")
            try:
                refused += target.run(rng, min(ROUND, each - first))
            except AssertionError as fault:
                print(f"{name}, seed {asked.seed}, round {first}: {fault}", file=sys.stderr)
                return 1
        print(f"{name}: {each} inputs, {refused} refused, no fault, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
