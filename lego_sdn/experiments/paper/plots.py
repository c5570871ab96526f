"""The figures, as PNG files; nothing of a display is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lego_sdn.core.facts.errors import HostError

FORMATS = (".png", ".pdf", ".svg", ".jpg")
WIDTH, HEIGHT, DPI = 8.0, 3.6, 120  # inches of a panel, dots per inch


def require_picture(path: Path) -> None:
    """HostError if no picture can be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise HostError(f"cannot draw {path}: its name must end with {', '.join(FORMATS)}")


def panels(path: Path, drawers: Sequence[Callable[[Any], None]], footnote: str) -> None:
    """One panel above the other, each drawn by a function that is given its matplotlib axes. HostError if the file cannot be written."""
    figure = Figure(figsize=(WIDTH, HEIGHT * len(drawers) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(drawers), 1, squeeze=False)
    for drawer, one in zip(drawers, axes[:, 0], strict=True):
        drawer(one)
        one.grid(alpha=0.3)
        one.set_ylim(bottom=0)
        one.legend(fontsize="small")
    figure.supxlabel(footnote, fontsize="x-small")
    try:
        figure.savefig(path, dpi=DPI, format=path.suffix[1:])
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
