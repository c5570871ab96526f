"""Work in greenthreads of Ryu, whose unforeseen errors end the process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ryu.lib import hub

LOG = logging.getLogger("lego")


def every(seconds: float, work: Callable[[], None]) -> None:
    """Do `work` again and again, in a greenthread of its own, `seconds` from start to start. An unforeseen error ends the process."""

    def loop() -> NoReturn:
        while True:
            began = time.monotonic()
            work()
            hub.sleep(max(0.01, began + seconds - time.monotonic()))

    spawn(loop)


def spawn(work: Callable[..., Any], *arguments: Any) -> Any:
    """A greenthread whose unforeseen errors end the process, loudly: half a controller is worse than none, and it can be restarted."""

    def guarded() -> None:
        try:
            work(*arguments)
        except Exception:
            LOG.critical("the controller ends because of an error that should not happen", exc_info=True)
            logging.shutdown()
            os._exit(70)

    return hub.spawn(guarded)
