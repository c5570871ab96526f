"""Logs of LEGO's processes: one line for each entry, whatever stands in it; a traceback keeps its lines."""

from __future__ import annotations

import logging

from lego_sdn.core.facts.text import printable

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class PrintableFormatter(logging.Formatter):
    """What a terminal or a reader of logs could take for a command or a new entry is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in super().format(record).split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


def log_printable(level: int) -> None:
    """Log to standard error from this level on, as `logging.basicConfig` would."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


def make_printable() -> None:
    """Let the handlers that another program (Ryu's manager) has set up write printable lines."""
    for handler in logging.getLogger().handlers:
        before = handler.formatter
        handler.setFormatter(
            PrintableFormatter(before._fmt if before is not None else None, before.datefmt if before is not None else None)
        )
