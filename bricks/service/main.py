"""Entry points of the processes in which bricks run. Heavy modules are imported only once the process knows its task.

python -m bricks.service.main --warm SOCKET    the fork server, from which brick processes are forked
python -m bricks.service.main SPEC.json        one brick process, to look at it alone
"""

from __future__ import annotations

import logging
import os
import sys

from lego_sdn.adapters.linux.logs import log_printable

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main(arguments: list[str]) -> int:
    """Entry point of `python -m bricks.service.main`."""
    for name in ONE_THREAD:  # before numpy is imported: forking is safe only from a single thread
        os.environ.setdefault(name, "1")
    log_printable(logging.WARNING)
    if len(arguments) == 2 and arguments[0] == "--warm":
        from bricks.service.forkserver import serve_forks

        return serve_forks(arguments[1])
    if len(arguments) == 1:
        import json

        from bricks.service.run import run

        with open(arguments[0]) as file:
            return run(json.load(file))
    print("usage: python -m bricks.service.main --warm SOCKET | SPEC.json", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
